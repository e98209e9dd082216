#pragma once
// Families of ops whose time is one curve: which family an op belongs to and how much work it is, in the family's own
// unit. calibrate measures the curves, HostCosts reads them, so both must count alike: they count here.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// `work` is in bytes_touched() (core/program/program.h), but in elements for the loss and for sampling, whose time is
/// arithmetic.
struct FamilyWork {
  std::string family;  ///< the op's name, with ":variant" where variants differ in speed ("activation:silu")
  double work = 0;
};

/// Nothing for ops that are costed otherwise: matmul (but of as few rows as thin_products.h measures), attention, nvme
/// ops, collectives, and what takes no time.
std::optional<FamilyWork> family_work(const Program& program, const Op& op);

/// What a family of this name costs where nothing was measured, relative to a plain copy of as many bytes. Guess.
double guess_slowness(std::string_view family);

/// Every family that an op of this version can belong to.
const std::vector<std::string>& all_families();

}  // namespace shardscope
