#include "kernels/conformance/case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "core/check.h"

namespace shardscope {
namespace {

/// Elements of each buffer before and after its operand: odd, so that operands are not aligned, and watched for
/// changes.
constexpr std::int64_t kBefore = 3, kAfter = 21;

/// A binary floating-point format: bits of mantissa, smallest exponent of a normal number, largest number.
struct Format {
  int mantissa, lowest_exponent;
  double largest;
};
constexpr Format kBF16{7, -126, 3.3895313892515355e38}, kF16{10, -14, 65504}, kE4M3{3, -6, 448}, kE5M2{2, -14, 57344};

double round_to_format(const Format& format, double v) {
  if (v == 0 || !std::isfinite(v)) return v;
  const int exponent = std::max(std::ilogb(v), format.lowest_exponent);
  const double unit = std::ldexp(1, exponent - format.mantissa), r = std::nearbyint(v / unit) * unit;
  return std::abs(r) > format.largest ? std::copysign(std::numeric_limits<double>::infinity(), v) : r;
}

double round_to_integer(double v, double low, double high) {
  return std::isnan(v) ? 0 : std::clamp(std::nearbyint(v), low, high);
}

/// The 16 bits of a number the format has.
std::uint16_t bits_of(const Format& format, double v) {
  const int sign = std::signbit(v) ? 0x8000 : 0, top = 0x7fff >> format.mantissa << format.mantissa;
  if (std::isnan(v)) return static_cast<std::uint16_t>(0x7fff);
  if (std::isinf(v)) return static_cast<std::uint16_t>(sign | top);
  const int exponent = v == 0 ? format.lowest_exponent : std::max(std::ilogb(v), format.lowest_exponent);
  const auto units = static_cast<int>(std::abs(v) / std::ldexp(1, exponent - format.mantissa));
  return static_cast<std::uint16_t>(sign | (((exponent - format.lowest_exponent) << format.mantissa) + units));
}

double value_of(const Format& format, std::uint16_t bits) {
  const int exponent = (bits & 0x7fff) >> format.mantissa, units = bits & ((1 << format.mantissa) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 0x7fff >> format.mantissa) {
    return units == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  const int hidden = exponent == 0 ? 0 : 1 << format.mantissa;
  const int power = std::max(exponent, 1) - 1 + format.lowest_exponent - format.mantissa;
  return sign * std::ldexp(hidden + units, power);
}

template <class T>
void put(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
template <class T>
T get(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

double rounded(DType dtype, double v) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<double>(static_cast<float>(v));
    case DType::kBF16:
      return round_to_format(kBF16, v);
    case DType::kF16:
      return round_to_format(kF16, v);
    case DType::kF64:
      return v;
    case DType::kI32:
      return round_to_integer(v, -2147483648.0, 2147483647.0);
    case DType::kI8:
      return round_to_integer(v, -128, 127);
  }
  return v;
}

double rounded(Fp8 format, double v) {
  return format == Fp8::kNone ? v : round_to_format(format == Fp8::kE4M3 ? kE4M3 : kE5M2, v);
}

void encode(DType dtype, double v, std::byte* to) {
  const double r = rounded(dtype, v);
  switch (dtype) {
    case DType::kF32:
      return put(to, static_cast<float>(r));
    case DType::kBF16:
      return put(to, bits_of(kBF16, r));
    case DType::kF16:
      return put(to, bits_of(kF16, r));
    case DType::kF64:
      return put(to, r);
    case DType::kI32:
      return put(to, static_cast<std::int32_t>(r));
    case DType::kI8:
      return put(to, static_cast<std::int8_t>(r));
  }
}

double decode(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<double>(get<float>(from));
    case DType::kBF16:
      return value_of(kBF16, get<std::uint16_t>(from));
    case DType::kF16:
      return value_of(kF16, get<std::uint16_t>(from));
    case DType::kF64:
      return get<double>(from);
    case DType::kI32:
      return get<std::int32_t>(from);
    case DType::kI8:
      return get<std::int8_t>(from);
  }
  return 0;
}

namespace {

std::string with_dtype(std::string name, DType dtype) {
  return dtype == DType::kF32 ? name : std::move(name) + " " + std::string(to_string(dtype));
}

/// The largest error of one rounding, relative above the smallest normal number and absolute below.
Tolerance rounding_of(DType dtype) {
  if (dtype == DType::kBF16) return {std::ldexp(1, -8), 0};
  if (dtype == DType::kF16) return {std::ldexp(1, -11), std::ldexp(1, -25)};
  return {};
}

}  // namespace

CaseBuilder::CaseBuilder(std::string name, DType dtype) : dtype_(dtype) {
  case_.name = with_dtype(std::move(name), dtype);
  generator_.seed(std::hash<std::string>{}(case_.name));
}

CaseBuilder::CaseBuilder(const std::string& name, const CaseTypes& types)
    : CaseBuilder(types.gradient == types.model ? name : name + " gradient " + std::string(to_string(types.gradient)),
                  types.model) {}

Region CaseBuilder::out(std::int64_t count, std::optional<DType> wanted) {
  const DType dtype = wanted.value_or(dtype_);
  const std::int64_t size = size_of(dtype);
  std::int64_t end = 0;
  if (!case_.program.buffers.empty()) end = case_.program.buffers.back().address + case_.program.buffers.back().bytes();
  end = (end + size - 1) / size * size;  // devices reach an element only at a multiple of its size
  Buffer buffer{"b" + std::to_string(case_.program.buffers.size()), dtype, kBefore + count + kAfter};
  buffer.address = end;
  case_.contents.emplace_back(static_cast<std::size_t>(buffer.bytes()), std::byte{0xff});
  case_.program.arena_bytes[static_cast<int>(Space::kDevice)] = end + buffer.bytes();
  case_.program.buffers.push_back(std::move(buffer));
  return {BufferId{static_cast<std::int32_t>(case_.program.buffers.size()) - 1}, kBefore, count};
}

Region CaseBuilder::in(const Doubles& values, std::optional<DType> wanted) {
  const DType dtype = wanted.value_or(dtype_);
  const Region region = out(static_cast<std::int64_t>(values.size()), dtype);
  std::byte* to = case_.contents.back().data() + region.offset * size_of(dtype);
  for (std::size_t i = 0; i < values.size(); ++i) {
    encode(dtype, values[i], to + static_cast<std::int64_t>(i) * size_of(dtype));
  }
  return region;
}

void CaseBuilder::expect(const Region& region, Doubles want, Tolerance tolerance) {
  SS_CHECK(static_cast<std::int64_t>(want.size()) == region.count, want.size(), region.count);
  if (tolerance.relative != 0 || tolerance.absolute != 0) {
    const Tolerance rounding = rounding_of(case_.program.buffer(region.buffer).dtype);
    tolerance.relative += rounding.relative;
    tolerance.absolute += rounding.absolute;
  }
  case_.expectations.push_back({region, std::move(want), tolerance});
}

ConformanceCase CaseBuilder::build(const Op& op) {
  case_.program.instructions.push_back({op});
  return std::move(case_);
}

ConformanceCase aligned(ConformanceCase test) {
  constexpr std::int64_t kLine = 16;
  std::int64_t end = 0;
  for (Buffer& buffer : test.program.buffers) {
    const std::int64_t before = kBefore * size_of(buffer.dtype);
    buffer.address = (end + before + kLine - 1) / kLine * kLine - before;
    end = buffer.address + buffer.bytes();
  }
  test.program.arena_bytes[static_cast<int>(Space::kDevice)] = end;
  test.name += ", aligned";
  return test;
}

ConformanceCase on_tensor_cores(ConformanceCase test) {
  test = aligned(std::move(test));
  for (Expectation& e : test.expectations) {
    const DType dtype = test.program.buffer(e.region.buffer).dtype;
    double most = 0;
    for (const double v : e.want) most = std::isfinite(v) ? std::max(most, std::abs(v)) : most;
    if (dtype != DType::kF32) e.tolerance.absolute += std::ldexp(most, dtype == DType::kBF16 ? -8 : -11);
  }
  return test;
}

Doubles CaseBuilder::random(std::int64_t count, double size) {
  std::normal_distribution<double> normal(0, size);
  Doubles values(static_cast<std::size_t>(count));
  for (double& v : values) v = rounded(dtype_, normal(generator_));
  return values;
}

Doubles CaseBuilder::random_indices(std::int64_t count, std::int64_t end) {
  std::uniform_int_distribution<std::int64_t> uniform(0, end - 1);
  Doubles values(static_cast<std::size_t>(count));
  for (double& v : values) v = static_cast<double>(uniform(generator_));
  return values;
}

}  // namespace shardscope
