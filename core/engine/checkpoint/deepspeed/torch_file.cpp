#include "core/engine/checkpoint/deepspeed/torch_file.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "core/engine/float_convert.h"
#include "core/error.h"
#include "core/spec/json_tree.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMaxPickle = 64 << 20;

struct StorageType {
  std::string_view name;
  DType dtype;
};

constexpr std::array<StorageType, 4> kStorages{{{"torch FloatStorage", DType::kF32},
                                                {"torch BFloat16Storage", DType::kBF16},
                                                {"torch HalfStorage", DType::kF16},
                                                {"torch DoubleStorage", DType::kF64}}};

std::optional<DType> dtype_of(const std::string& global) {
  for (const StorageType& type : kStorages) {
    if (type.name == global) return type.dtype;
  }
  return std::nullopt;
}

/// Row-major and without gaps; what stride a dimension of one element has does not matter.
bool is_contiguous(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  std::int64_t expected = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

/// The product, or nothing if it is more than 2^56.
std::optional<std::int64_t> product(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(n, extent, &n) || n > (std::int64_t{1} << 56)) return std::nullopt;
  }
  return n;
}

/// The arguments of torch._utils._rebuild_tensor_v2 in a tensor, in a parameter around one, or in a tensor that
/// somebody gave attributes of its own (then function and arguments are arguments in turn). Nothing: it is none of
/// these.
PickleValue rebuild_arguments(PickleValue value) {
  std::string function = value.callee().global();
  PickleValue arguments = value.arguments();
  for (int depth = 0; depth < 8; ++depth) {
    if (function == "torch._utils _rebuild_tensor_v2") return arguments;
    if (function == "torch._tensor _rebuild_from_type_v2") {
      function = arguments[std::size_t{0}].global();
      arguments = arguments[std::size_t{2}];
    } else if (function.starts_with("torch._utils _rebuild_parameter")) {  // also ..._with_state
      function = arguments[std::size_t{0}].callee().global();
      arguments = arguments[std::size_t{0}].arguments();
    } else {
      break;
    }
  }
  return {};
}

}  // namespace

std::int64_t TorchTensor::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

std::vector<std::int64_t> torch_size(PickleValue value) {
  if (value.callee().global() == "torch Size") value = value.arguments()[std::size_t{0}];
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; value.is(PickleNode::Kind::kList) && i < value.size(); ++i) {
    const auto extent = value[i].integer();
    if (!extent) return {};
    sizes.push_back(*extent);
  }
  return sizes;
}

TorchFile::TorchFile(const std::string& path) : zip_(path) {
  const ZipEntry* pickle = nullptr;
  for (const ZipEntry& entry : zip_.entries()) {
    if (entry.name.ends_with("/data.pkl")) pickle = &entry;
  }
  if (pickle == nullptr) fail("has no data.pkl, so it is none of torch.save's");
  if (pickle->size > kMaxPickle) fail("has a pickle of more than 64 MiB");
  folder_ = pickle->name.substr(0, pickle->name.size() - std::string("data.pkl").size());
  std::vector<std::byte> bytes(static_cast<std::size_t>(pickle->size));
  zip_.file().read(pickle->offset, bytes);
  pickle_ = parse_pickle(bytes, path);
  const ZipEntry* order = zip_.find(folder_ + "byteorder");
  if (order == nullptr || order->size != 6) return;  // older versions do not say, and are little-endian
  std::array<std::byte, 6> word{};
  zip_.file().read(order->offset, word);
  if (std::string(reinterpret_cast<const char*>(word.data()), 6) != "little") fail("is not little-endian");
}

bool TorchFile::is_tensor(PickleValue value) { return static_cast<bool>(rebuild_arguments(value)); }

TorchTensor TorchFile::tensor(PickleValue value, const std::string& what) const {
  if (!is_tensor(value)) fail(fmt::format("has no tensor {}", what));
  const PickleValue arguments = rebuild_arguments(value);  // storage, offset, size, stride, ...
  const PickleValue storage = arguments[std::size_t{0}];
  if (!storage.is(PickleNode::Kind::kPersistent)) fail(fmt::format("has tensor {} without a storage", what));
  const PickleValue id = storage.persistent_id();
  const std::string type = id[std::size_t{1}].global();
  const std::optional<DType> dtype = dtype_of(type);
  if (!dtype) {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("{}: tensor {} is a {}; weights are read from float, bfloat16, half "
                            "and double",
                            path(), what, printable(type)));
  }
  const ZipEntry* entry = zip_.find(folder_ + "data/" + id[std::size_t{2}].text().value_or(""));
  if (entry == nullptr) fail(fmt::format("lacks the data of tensor {}", what));
  TorchTensor tensor{*dtype, torch_size(arguments[std::size_t{2}])};
  const std::vector<std::int64_t> strides = torch_size(arguments[std::size_t{3}]);
  const std::optional<std::int64_t> n = product(tensor.shape);
  const std::int64_t first = arguments[std::size_t{1}].integer().value_or(-1), held = entry->size / size_of(*dtype);
  if (!n || strides.size() != tensor.shape.size() || first < 0 || *n > held || first > held - *n) {
    fail(fmt::format("has tensor {} reach beyond its {} elements of data", what, held));
  }
  if (!is_contiguous(tensor.shape, strides)) {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("{}: tensor {} is a view whose elements do not lie side by side", path(), what));
  }
  tensor.offset = entry->offset + first * size_of(*dtype);
  return tensor;
}

double TorchFile::number(PickleValue value, const std::string& what) const {
  if (const std::optional<double> number = value.number()) return *number;
  const TorchTensor scalar = tensor(value, what);
  if (scalar.elements() != 1) fail(fmt::format("has {} numbers as {}", scalar.elements(), what));
  std::array<std::byte, 8> bytes{};
  const std::span<std::byte> stored(bytes.data(), static_cast<std::size_t>(size_of(scalar.dtype)));
  zip_.file().read(scalar.offset, stored);
  float result = 0;
  to_floats(bytes.data(), scalar.dtype, std::span(&result, 1));
  return result;
}

void TorchFile::fail(const std::string& what) const {
  throw Error(ErrorKind::kParse, fmt::format("{}: {}", path(), what));
}

}  // namespace shardscope
