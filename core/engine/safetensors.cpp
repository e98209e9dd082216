#include "core/engine/safetensors.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

const char* format_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kF64:
      return "F64";
    case DType::kI32:
      return "I32";
    case DType::kI8:
      return "I8";
  }
  return "F32";
}

/// The header, padded with blanks so that the data is aligned to 8 bytes.
std::string header_of(const std::vector<TensorEntry>& tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t begin = 0;
  for (const TensorEntry& tensor : tensors) {
    const std::int64_t end = begin + tensor.bytes();
    header[tensor.name] = {{"dtype", format_name(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", std::vector<std::int64_t>{begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

std::int64_t TensorEntry::bytes() const {
  std::int64_t n = size_of(dtype);
  for (const std::int64_t dim : shape) n *= dim;
  return n;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, const std::vector<TensorEntry>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : path_(path), file_(std::fopen(path.c_str(), "wb")) {
  if (file_ == nullptr) fail();
  const std::string header = header_of(tensors, metadata);
  const std::uint64_t length = header.size();
  left_ = static_cast<std::int64_t>(sizeof length + header.size());
  for (const TensorEntry& tensor : tensors) left_ += tensor.bytes();
  append(std::span(&length, 1));
  append(std::span(header.data(), header.size()));
}

void SafetensorsWriter::append(std::span<const std::byte> data) {
  left_ -= static_cast<std::int64_t>(data.size());
  SS_CHECK(left_ >= 0, path_, left_);
  if (std::fwrite(data.data(), 1, data.size(), file_.get()) != data.size()) fail();
}

void SafetensorsWriter::finish() {
  SS_CHECK(left_ == 0, path_, left_);
  if (std::fclose(file_.release()) != 0) fail();
}

void SafetensorsWriter::fail() const {
  throw Error(ErrorKind::kIo, path_ + ": cannot be written: " + std::strerror(errno));
}

}  // namespace shardscope
