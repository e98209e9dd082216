#pragma once
// Matrix products of a few rows, as decoding has them: their time is reading B, so it is a family of curves of seconds
// over B's bytes, one per number of rows. calibrate measures them, HostCosts reads between two of them.
//
//   if (auto thin = thin_product(program, op)) t = between(curve(thin->below), curve(thin->above), thin->share);

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// Rows of A that are measured; what lies between is interpolated in log-log. More rows than the last are no thin
/// product: a backend packs B from there on (kernels/cpu does).
inline constexpr std::array<std::int64_t, 3> kThinRows{1, 4, 16};

struct ThinProduct {
  std::string below, above;  ///< families (op_family.h) of the measured numbers of rows around the op's
  double share = 0;          ///< how far from the one to the other, of the logarithm
  double work = 0;           ///< bytes of B
};

/// Nothing for ops that are no products of a few rows.
std::optional<ThinProduct> thin_product(const Program& program, const Op& op);

/// A family as it is measured.
struct ThinFamily {
  DType weights = DType::kF32;
  bool trans_b = false;
  std::int64_t rows = 1;
  std::string name() const;  ///< "thin_product:i8:tb:4"
};
const std::vector<ThinFamily>& thin_families();

}  // namespace shardscope
