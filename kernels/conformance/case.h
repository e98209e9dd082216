#pragma once
// One op with its operands and what must come out, built by hand:
//
//   CaseBuilder b("scale 17");
//   const Region data = b.in(b.random(17));
//   b.expect(data, wanted, {.relative = 1e-6});
//   cases.push_back(b.build(Scale{data, 0.5}));

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "core/engine/backend.h"
#include "core/program/program.h"

namespace shardscope {

using Doubles = std::vector<double>;

/// |got - want| <= absolute + relative * |want|. NaN must meet NaN, and infinity itself.
struct Tolerance {
  double relative = 0, absolute = 0;
};

struct Expectation {
  Region region;
  Doubles want;
  Tolerance tolerance;
};

struct ConformanceCase {
  std::string name;
  Program program;                               ///< one instruction; each operand has a buffer of its own
  std::vector<std::vector<std::byte>> contents;  ///< of each buffer before the op
  std::vector<Expectation> expectations;
  StepScalars scalars;
};

class CaseBuilder {
 public:
  explicit CaseBuilder(std::string name);

  /// An operand with these values (rounded to the dtype), or one with NaNs (-1 in integers) for the op to overwrite.
  Region in(const Doubles& values, DType dtype = DType::kF32);
  Region out(std::int64_t count, DType dtype = DType::kF32);
  /// What an operand must hold afterwards. Operands without one must stay as they are.
  void expect(const Region& region, Doubles want, Tolerance tolerance = {});
  StepScalars& scalars() { return case_.scalars; }
  ConformanceCase build(const Op& op);

  /// Standard normal numbers times `size`, already rounded to fp32: the same for the same case name.
  Doubles random(std::int64_t count, double size = 1);
  /// Whole numbers in [0, end).
  Doubles random_indices(std::int64_t count, std::int64_t end);

 private:
  ConformanceCase case_;
  std::mt19937_64 generator_;
};

/// The number nearest to v that the dtype has, ties to even; infinity beyond its range (integers: held at the ends).
double rounded(DType dtype, double v);
void encode(DType dtype, double v, std::byte* to);
double decode(DType dtype, const std::byte* from);

}  // namespace shardscope
