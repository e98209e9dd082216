#include "core/engine/safetensors_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "core/check.h"
#include "core/engine/float_convert.h"
#include "core/error.h"
#include "core/spec/json_reader.h"

namespace shardscope {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and are read as they are");

struct Format {
  std::string_view name;
  std::int64_t bits;
  std::optional<DType> dtype;
};

constexpr std::array<Format, 17> kFormats{{{"F32", 32, DType::kF32},
                                           {"BF16", 16, DType::kBF16},
                                           {"F16", 16, DType::kF16},
                                           {"F64", 64, DType::kF64},
                                           {"I32", 32, DType::kI32},
                                           {"I8", 8, DType::kI8},
                                           {"I64", 64, std::nullopt},
                                           {"U64", 64, std::nullopt},
                                           {"U32", 32, std::nullopt},
                                           {"I16", 16, std::nullopt},
                                           {"U16", 16, std::nullopt},
                                           {"U8", 8, std::nullopt},
                                           {"BOOL", 8, std::nullopt},
                                           {"F8_E4M3", 8, std::nullopt},
                                           {"F8_E5M2", 8, std::nullopt},
                                           {"F8_E8M0", 8, std::nullopt},
                                           {"F4", 4, std::nullopt}}};

[[noreturn]] void fail(const std::string& file, const std::string& tensor, const std::string& what) {
  throw Error(ErrorKind::kParse, fmt::format("{}: tensor {} {}", file, printable(tensor), what));
}

const Format& format_of(const JsonReader& reader, const std::string& tensor) {
  const std::string name = reader.text("dtype", "");
  for (const Format& format : kFormats) {
    if (format.name == name) return format;
  }
  fail(reader.file(), tensor, fmt::format("has dtype \"{}\", which safetensors does not know", printable(name)));
}

/// Whole numbers from 0, at most `limit` of them.
std::vector<std::int64_t> numbers(const JsonReader& reader, const char* key, std::size_t limit,
                                  const std::string& tensor) {
  const JsonNode* node = reader.find(key);
  if (node == nullptr || node->type != JsonNode::Type::kArray || node->items.size() > limit) {
    fail(reader.file(), tensor, fmt::format("has no {}, or one that is no list of at most {} numbers", key, limit));
  }
  std::vector<std::int64_t> values;
  for (const JsonNode& item : node->items) {
    if (item.type != JsonNode::Type::kInteger || item.integer < 0) {
      fail(reader.file(), tensor, fmt::format("has {} in {}; it must be a whole number from 0", describe(item), key));
    }
    values.push_back(item.integer);
  }
  return values;
}

SafetensorsTensor read_tensor(const JsonMember& member, std::int64_t data_bytes, const std::string& file) {
  const std::string& name = member.first;
  if (!member.second.is_object()) fail(file, name, "must be an object with dtype, shape and data_offsets");
  const JsonReader reader(member.second, file, name);
  const Format& format = format_of(reader, name);
  SafetensorsTensor tensor{name, format.dtype, std::string(format.name), numbers(reader, "shape", 32, name)};
  const std::vector<std::int64_t> offsets = numbers(reader, "data_offsets", 2, name);
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes) {
    fail(file, name, fmt::format("has data_offsets beyond the {} bytes of data, or not in order", data_bytes));
  }
  tensor.offset = offsets[0];
  tensor.bytes = offsets[1] - offsets[0];
  std::int64_t bits = format.bits;
  for (const std::int64_t extent : tensor.shape) {
    if (__builtin_mul_overflow(bits, extent, &bits)) fail(file, name, "has a shape of more than 2^63 bits");
  }
  if (bits != tensor.bytes * 8) {
    fail(file, name,
         fmt::format("has {} bytes of data; {} of shape [{}] take {}", tensor.bytes, format.name,
                     fmt::join(tensor.shape, ", "), bits / 8));
  }
  return tensor;
}

void check_side_by_side(const std::vector<SafetensorsTensor>& tensors, std::int64_t data_bytes,
                        const std::string& file) {
  std::int64_t end = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.offset < end) fail(file, tensor.name, "overlaps the tensor before it");
    if (tensor.offset > end)
      fail(file, tensor.name, fmt::format("leaves {} bytes before it unused", tensor.offset - end));
    end = tensor.offset + tensor.bytes;
  }
  if (end == data_bytes) return;
  throw Error(ErrorKind::kParse, fmt::format("{}: has {} bytes after its last tensor", file, data_bytes - end));
}

}  // namespace

std::int64_t SafetensorsTensor::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

std::vector<SafetensorsTensor> parse_safetensors_header(std::string_view json, std::int64_t data_bytes,
                                                        const std::string& file) {
  const JsonNode root = parse_json(json, file);
  if (!root.is_object()) throw Error(ErrorKind::kParse, file + ": the header must be a JSON object");
  std::vector<SafetensorsTensor> tensors;
  for (const JsonMember& member : root.members) {
    if (member.first != "__metadata__") tensors.push_back(read_tensor(member, data_bytes, file));
  }
  std::stable_sort(tensors.begin(), tensors.end(), [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  check_side_by_side(tensors, data_bytes, file);
  return tensors;
}

SafetensorsReader::SafetensorsReader(const std::string& path) : file_(DiskFile::open(path)) {
  const std::int64_t size = file_.size();
  std::uint64_t length = 0;
  if (size < 8) throw Error(ErrorKind::kParse, fmt::format("{}: is {} bytes long: no safetensors file", path, size));
  file_.read(0, std::as_writable_bytes(std::span(&length, 1)));
  const std::uint64_t limit = std::min<std::uint64_t>(static_cast<std::uint64_t>(size) - 8, kMaxSafetensorsHeader);
  if (length > limit) {
    throw Error(ErrorKind::kParse,
                fmt::format("{}: says that its header is {} bytes long; the file is {}, and {} is the most: it is cut "
                            "short, or no safetensors file",
                            path, length, size, kMaxSafetensorsHeader));
  }
  std::string header(length, '\0');
  file_.read(8, std::as_writable_bytes(std::span(header)));
  data_ = 8 + static_cast<std::int64_t>(length);
  tensors_ = parse_safetensors_header(header, size - data_, path);
}

void SafetensorsReader::read(const SafetensorsTensor& tensor, std::int64_t begin, std::span<float> out) const {
  if (!tensor.dtype || !is_floating(*tensor.dtype)) {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("{}: tensor {} is {}; weights are read from F32, BF16, F16 and F64", path(),
                            printable(tensor.name), tensor.format));
  }
  const std::int64_t size = size_of(*tensor.dtype);
  SS_CHECK(begin >= 0 && (begin + static_cast<std::int64_t>(out.size())) * size <= tensor.bytes, tensor.name, begin);
  const std::int64_t at = data_ + tensor.offset + begin * size;
  if (*tensor.dtype == DType::kF32) return file_.read(at, std::as_writable_bytes(out));
  std::vector<std::byte> stored(out.size() * static_cast<std::size_t>(size));
  file_.read(at, stored);
  to_floats(stored.data(), *tensor.dtype, out);
}

}  // namespace shardscope
