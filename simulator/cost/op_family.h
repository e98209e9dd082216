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
  std::string family;  ///< the op's name, with ":variant" where variants differ in speed ("activation:silu"), and
                       ///< ":bf16" or ":f16" where it computes on 16-bit operands ("adam:bf16")
  double work = 0;
};

/// Nothing for ops that are costed otherwise: matmul (but of as few rows as thin_products.h measures), attention, nvme
/// ops, collectives, and what takes no time.
std::optional<FamilyWork> family_work(const Program& program, const Op& op);

/// The dtype that decides how fast an op is: bf16 or fp16 if an operand is, else fp32. Copies and fills of one dtype
/// only move bytes.
DType speed_dtype(const Program& program, const Op& op);

/// "adam" of "adam:bf16": the family with the same arithmetic in fp32, or itself.
std::string_view fp32_family(std::string_view family);

/// What a family of this name costs where nothing was measured, relative to a plain copy of as many bytes. Guess.
double guess_slowness(std::string_view family);

/// Whether ops of a family of fp32 also come on 16-bit operands, as families of their own.
bool has_16_bit_kernels(std::string_view family);

/// Every family that an op of this version can belong to.
const std::vector<std::string>& all_families();

}  // namespace shardscope
