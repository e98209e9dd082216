// Fill, Copy, CopyRows, Accumulate, Scale, Add.
#include <limits>

#include "kernels/conformance/conformance.h"

namespace shardscope {
namespace {

const std::int64_t kSizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 257, 1031, 40009};

std::string sized(const char* op, std::int64_t n) { return std::string(op) + " " + std::to_string(n); }

/// What the op does in fp32 must be the correctly rounded result of its one operation, then rounded to its dtype.
Doubles in_fp32(DType dtype, const Doubles& a, const Doubles& b, double (*f)(double, double)) {
  Doubles result;
  for (std::size_t i = 0; i < a.size(); ++i) result.push_back(rounded(dtype, rounded(DType::kF32, f(a[i], b[i]))));
  return result;
}

void add_copy_rows(std::vector<ConformanceCase>& cases, CopyRows op, std::int64_t src_count, DType dtype) {
  CaseBuilder b("copy_rows " + std::to_string(op.blocks) + " x " + std::to_string(op.rows) + " x " +
                std::to_string(op.cols) + " from " + std::to_string(op.src_stride) + " to " +
                std::to_string(op.dst_stride) + " of " + std::to_string(src_count) + " " +
                std::string(to_string(dtype)));
  const Doubles src = b.random_indices(src_count, 100);
  Doubles dst = b.random_indices((op.blocks - 1) * op.dst_block + (op.rows - 1) * op.dst_stride + op.cols, 100);
  op.src = b.in(src, dtype);
  op.dst = b.in(dst, dtype);
  for (std::int64_t i = 0; i < op.blocks * op.rows * op.cols; ++i) {
    const std::int64_t block = i / (op.rows * op.cols), r = i / op.cols % op.rows, c = i % op.cols;
    const std::int64_t from = block * op.src_block + r * op.src_stride + c;
    const auto to = static_cast<std::size_t>(block * op.dst_block + r * op.dst_stride + c);
    dst[to] = from < src_count ? src[static_cast<std::size_t>(from)] : 0;
  }
  b.expect(op.dst, dst);
  cases.push_back(b.build(op));
}

void add_accumulate(std::vector<ConformanceCase>& cases, std::int64_t n, DType from, DType to) {
  CaseBuilder b(sized("accumulate", n) + " from " + std::string(to_string(from)), to);
  const Doubles x = b.random(n), y = b.random(n);
  Doubles narrow = x;
  for (double& v : narrow) v = rounded(from, v);
  const Region src = b.in(x, from), dst = b.in(y);
  b.expect(dst, in_fp32(to, narrow, y, [](double p, double q) { return p + q; }));
  cases.push_back(b.build(Accumulate{src, dst}));
}

}  // namespace

void add_elementwise_cases(std::vector<ConformanceCase>& cases) {
  for (const std::int64_t n : kSizes) {
    for (const DType dtype : kFloats) {
      for (const DType from : kFloats) add_accumulate(cases, n, from, dtype);
      {
        CaseBuilder b(sized("scale", n), dtype);
        const Doubles x = b.random(n), factors(x.size(), 0.375);
        const Region data = b.in(x);
        b.expect(data, in_fp32(dtype, x, factors, [](double p, double q) { return p * q; }));
        cases.push_back(b.build(Scale{data, 0.375}));
      }
      for (const bool in_place : {false, true}) {
        CaseBuilder b(sized(in_place ? "add in place" : "add", n), dtype);
        const Doubles x = b.random(n), y = b.random(n);
        const Region a = b.in(x), other = b.in(y), out = in_place ? other : b.out(n);
        b.expect(out, in_fp32(dtype, x, y, [](double p, double q) { return p + q; }));
        cases.push_back(b.build(Add{a, other, out}));
      }
    }
  }
}

void add_copy_cases(std::vector<ConformanceCase>& cases) {
  const DType dtypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64, DType::kI32, DType::kI8};
  // Whole, tiny (subnormal in f16), halfway between neighbours, too large for some; infinities and NaN.
  const double infinity = std::numeric_limits<double>::infinity();
  const Doubles special = {0,
                           -0.0,
                           1,
                           -2,
                           3e-7,
                           6e-8,
                           2.9802322387695312e-8,
                           1.00390625,
                           1.01171875,
                           65504,
                           65519,
                           65520,
                           -70000,
                           3.4e38,
                           1e-40,
                           infinity,
                           -infinity,
                           std::numeric_limits<double>::quiet_NaN(),
                           127,
                           -128,
                           2.5,
                           3.5,
                           2049,
                           2051,
                           -1e9};
  for (const DType from : dtypes) {
    for (const DType to : dtypes) {
      for (const std::int64_t n : {1, 17, 1031, 40009}) {
        CaseBuilder b("copy " + std::string(to_string(from)) + " to " + std::string(to_string(to)) + " " +
                      std::to_string(n));
        Doubles values = n == 17 ? special : b.random(n, 50);
        Doubles want;
        for (double& v : values) {
          v = rounded(from, rounded(DType::kF32, v));
          want.push_back(rounded(to, v));
        }
        const Region src = b.in(values, from), dst = b.out(static_cast<std::int64_t>(values.size()), to);
        b.expect(dst, want);
        cases.push_back(b.build(Copy{src, dst}));
      }
    }
    for (const double value : {0.0, 3.0}) {
      for (const std::int64_t n : {1, 17, 1031, 40009}) {
        CaseBuilder b("fill " + std::to_string(value) + " " + std::string(to_string(from)) + " " + std::to_string(n));
        const Region dst = b.out(n, from);
        b.expect(dst, Doubles(static_cast<std::size_t>(n), value));
        cases.push_back(b.build(Fill{dst, value}));
      }
    }
  }
  add_copy_rows(cases, {{}, {}, 1, 1, 1, 1}, 1, DType::kF32);
  add_copy_rows(cases, {{}, {}, 4, 7, 7, 11}, 25, DType::kF32);  // the last row ends beyond src
  add_copy_rows(cases, {{}, {}, 3, 5, 9, 5}, 10, DType::kBF16);  // the last row begins beyond src
  add_copy_rows(cases, {{}, {}, 2, 20011, 20011, 20100}, 40022, DType::kF32);
  add_copy_rows(cases, {{}, {}, 20011, 2, 3, 2}, 60000, DType::kF64);
  add_copy_rows(cases, {{}, {}, 5, 3, 12, 7, 4, 3, 35}, 60, DType::kF32);               // four heads of five rows apart
  add_copy_rows(cases, {{}, {}, 4000, 16, 16, 48, 3, 64000, 16}, 190000, DType::kF32);  // and back
}

}  // namespace shardscope
