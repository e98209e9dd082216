#include "core/engine/float_convert.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "core/engine/reduce.h"
#include "core/error.h"

namespace shardscope {
namespace {

template <class Stored, class Convert>
void load(const std::byte* from, std::span<float> out, Convert convert) {
  for (float& x : out) {
    Stored stored;
    std::memcpy(&stored, from, sizeof stored);
    x = convert(stored);
    from += sizeof stored;
  }
}

template <class Stored, class Convert>
void store(std::span<const float> values, std::byte* to, Convert convert) {
  for (const float x : values) {
    const Stored stored = convert(x);
    std::memcpy(to, &stored, sizeof stored);
    to += sizeof stored;
  }
}

[[noreturn]] void refuse(DType dtype) {
  throw Error(ErrorKind::kUnsupported, std::string(to_string(dtype)) +
                                           " elements where weights should be: they must be "
                                           "of a floating type");
}

}  // namespace

bool is_floating(DType dtype) { return dtype != DType::kI32 && dtype != DType::kI8; }

void to_floats(const std::byte* from, DType dtype, std::span<float> out) {
  if (out.empty()) return;
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out.data(), from, out.size_bytes());
      return;
    case DType::kF64:
      return load<double>(from, out, [](double x) { return static_cast<float>(x); });
    case DType::kBF16:
      return load<std::uint16_t>(from, out, from_bf16);
    case DType::kF16:
      return load<std::uint16_t>(from, out, from_fp16);
    case DType::kI32:
    case DType::kI8:
      break;
  }
  refuse(dtype);
}

void from_floats(std::span<const float> values, DType dtype, std::byte* to) {
  if (values.empty()) return;
  switch (dtype) {
    case DType::kF32:
      std::memcpy(to, values.data(), values.size_bytes());
      return;
    case DType::kF64:
      return store<double>(values, to, [](float x) { return static_cast<double>(x); });
    case DType::kBF16:
      return store<std::uint16_t>(values, to, to_bf16);
    case DType::kF16:
      return store<std::uint16_t>(values, to, to_fp16);
    case DType::kI32:
    case DType::kI8:
      break;
  }
  refuse(dtype);
}

}  // namespace shardscope
