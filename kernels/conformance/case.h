#pragma once
// One op with its operands and what must come out, built by hand:
//
//   CaseBuilder b("scale 17");
//   const Region data = b.in(b.random(17));
//   b.expect(data, wanted, {.relative = 1e-6});
//   cases.push_back(b.build(Scale{data, 0.5}));

#include <cstddef>
#include <cstdint>
#include <optional>
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

/// The dtype of an op's activations and weights, and that of the weights' gradients.
struct CaseTypes {
  DType model = DType::kF32, gradient = DType::kF32;
};
/// fp32; bf16 and fp16 with gradients of their own dtype, or of fp32.
inline constexpr CaseTypes kCaseTypes[] = {{DType::kF32, DType::kF32},
                                           {DType::kBF16, DType::kBF16},
                                           {DType::kBF16, DType::kF32},
                                           {DType::kF16, DType::kF16},
                                           {DType::kF16, DType::kF32}};
inline constexpr DType kFloats[] = {DType::kF32, DType::kBF16, DType::kF16};

class CaseBuilder {
 public:
  /// Operands are of `dtype` unless they say otherwise.
  explicit CaseBuilder(std::string name, DType dtype = DType::kF32);
  CaseBuilder(const std::string& name, const CaseTypes& types);

  /// An operand with these values (rounded to the dtype), or one with NaNs (-1 in integers) for the op to overwrite.
  Region in(const Doubles& values, std::optional<DType> dtype = {});
  Region out(std::int64_t count, std::optional<DType> dtype = {});
  /// What an operand must hold afterwards. Operands without one must stay as they are. A tolerance is that of
  /// arithmetic in fp32: one rounding to a 16-bit dtype is allowed on top of it. Without one, bits must be right.
  void expect(const Region& region, Doubles want, Tolerance tolerance = {});
  StepScalars& scalars() { return case_.scalars; }
  ConformanceCase build(const Op& op);

  /// Standard normal numbers times `size`, already rounded to the case's dtype: the same for the same case name.
  Doubles random(std::int64_t count, double size = 1);
  /// Whole numbers in [0, end).
  Doubles random_indices(std::int64_t count, std::int64_t end);

 private:
  ConformanceCase case_;
  DType dtype_;
  std::mt19937_64 generator_;
};

/// The case with its operands at multiples of 16 bytes, as most lie in a program: what vector loads and tensor cores
/// want.
ConformanceCase aligned(ConformanceCase test);
/// Aligned attention, as tensor cores may do it: probabilities and the gradients of scores are rounded to the dtype
/// before they are multiplied. Such roundings of the terms of a sum come to about one of the sum itself.
ConformanceCase on_tensor_cores(ConformanceCase test);

/// The number nearest to v that the dtype has, ties to even; infinity beyond its range (integers: held at the ends).
double rounded(DType dtype, double v);
double rounded(Fp8 format, double v);  ///< the same of an 8-bit float
void encode(DType dtype, double v, std::byte* to);
double decode(DType dtype, const std::byte* from);

}  // namespace shardscope
