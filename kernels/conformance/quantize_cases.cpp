// Quantize and Dequantize. Values and scales are fp32, so the reference rounds to fp32 where the definition does.
#include <algorithm>
#include <cmath>

#include "kernels/conformance/conformance.h"

namespace shardscope {
namespace {

struct Shape {
  std::int64_t elements, slice, group, bits;
};

struct Quantized {
  Doubles q, scales;
};

Quantized quantized(const Doubles& x, const Shape& s) {
  Quantized result;
  const double top = s.bits == 4 ? 7 : 127;
  std::vector<std::int64_t> values;
  for (std::int64_t slice = 0; slice < s.elements; slice += s.slice) {
    for (std::int64_t at = 0; at < s.slice; at += s.group) {
      const auto begin = x.begin() + slice + at, end = begin + std::min(s.group, s.slice - at);
      double largest = 0;
      for (auto it = begin; it != end; ++it) largest = std::max(largest, std::abs(*it));
      const float scale = static_cast<float>(largest) / static_cast<float>(top);
      const float inverse = scale > 0 ? 1 / scale : 0;
      result.scales.push_back(static_cast<double>(scale));
      for (auto it = begin; it != end; ++it) {
        values.push_back(static_cast<std::int64_t>(
            std::nearbyint(std::clamp(static_cast<double>(static_cast<float>(*it) * inverse), -top, top))));
      }
    }
  }
  for (std::size_t i = 0; i < values.size(); i += s.bits == 4 ? 2 : 1) {
    std::int64_t byte = values[i];
    if (s.bits == 4) {
      byte = (values[i] & 15) | ((values[i + 1] & 15) << 4);
      if (byte > 127) byte -= 256;  // as a signed byte
    }
    result.q.push_back(static_cast<double>(byte));
  }
  return result;
}

std::string name_of(const char* op, const Shape& s, std::int64_t parts) {
  std::string name = op;
  for (const std::int64_t n : {s.elements, s.slice, s.group, s.bits, parts}) name += " " + std::to_string(n);
  return name;
}

void add_quantize(std::vector<ConformanceCase>& cases, DType dtype, const Shape& s, const Doubles& x,
                  const std::string& suffix) {
  CaseBuilder b(name_of("quantize", s, 1) + suffix, dtype);
  const Quantized want = quantized(x, s);
  const Quantize op{b.in(x),
                    b.out(static_cast<std::int64_t>(want.q.size()), DType::kI8),
                    b.out(static_cast<std::int64_t>(want.scales.size()), DType::kF32),
                    s.slice,
                    s.group,
                    s.bits};
  b.expect(op.q, want.q);
  b.expect(op.scales, want.scales);
  cases.push_back(b.build(op));
}

void add_dequantize(std::vector<ConformanceCase>& cases, DType dtype, const Shape& s, std::int64_t parts) {
  CaseBuilder b(name_of("dequantize", s, parts), dtype);
  Doubles want(static_cast<std::size_t>(s.elements), 0), q, scales;
  for (std::int64_t part = 0; part < parts; ++part) {
    const Doubles x = b.random(s.elements, 3);
    const Quantized one = quantized(x, s);
    q.insert(q.end(), one.q.begin(), one.q.end());
    scales.insert(scales.end(), one.scales.begin(), one.scales.end());
    for (std::int64_t i = 0; i < s.elements; ++i) {
      const std::int64_t inside = i % s.slice, groups = (s.slice + s.group - 1) / s.group;
      const double scale = one.scales[static_cast<std::size_t>(i / s.slice * groups + inside / s.group)];
      const auto byte = static_cast<std::int64_t>(one.q[static_cast<std::size_t>(s.bits == 4 ? i / 2 : i)]);
      const std::int64_t nibble = (byte >> (i % 2 * 4)) & 15;
      const double value =
          s.bits == 4 ? static_cast<double>(nibble > 7 ? nibble - 16 : nibble) : static_cast<double>(byte);
      want[static_cast<std::size_t>(i)] += value * scale;
    }
  }
  const Dequantize op{
      b.in(q, DType::kI8), b.in(scales, DType::kF32), b.out(s.elements), s.slice, s.group, s.bits, parts};
  b.expect(op.out, want, {1e-6, 1e-6});
  cases.push_back(b.build(op));
}

}  // namespace

void add_quantize_cases(std::vector<ConformanceCase>& cases) {
  for (const Shape& s : {Shape{1, 1, 1, 8},
                         {17, 17, 5, 8},
                         {64, 16, 16, 8},
                         {96, 48, 32, 8},
                         {40000, 20000, 8192, 8},
                         {2, 2, 2, 4},
                         {34, 34, 6, 4},
                         {64, 16, 16, 4},
                         {96, 48, 32, 4},
                         {40000, 20000, 8192, 4}}) {
    for (const DType dtype : kFloats) {
      CaseBuilder values(name_of("quantize values", s, 1), dtype);
      add_quantize(cases, dtype, s, values.random(s.elements, 3), "");
      add_quantize(cases, dtype, s, Doubles(static_cast<std::size_t>(s.elements), 0), " zero");
      for (const std::int64_t parts : {1, 2, 3}) add_dequantize(cases, dtype, s, parts);
    }
  }
}

}  // namespace shardscope
