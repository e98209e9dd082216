#pragma once
// Sums (or maxima) of the same elements of several ranks, in rank order: the arithmetic of every reducing collective.

#include <cstdint>
#include <span>

#include "core/program/types.h"

namespace shardscope {

/// outs[j][0, count) = ins[0] op ins[1] op ... for every j, element by element and in that order. An `out` may be one
/// of the `ins`; apart from that nothing may overlap. bf16 and fp16 are summed in fp32 and rounded once, to nearest
/// even. i32 sums wrap. Memory is read and written once. Throws Error{kUnsupported} for i8.
void reduce_in_order(std::span<const std::byte* const> ins, std::span<std::byte* const> outs, std::int64_t count,
                     DType dtype, ReduceOp op);

/// fp32 to bf16 or fp16 bits, to nearest even, NaN kept; and back (exact).
std::uint16_t to_bf16(float value);
std::uint16_t to_fp16(float value);
float from_bf16(std::uint16_t bits);
float from_fp16(std::uint16_t bits);

}  // namespace shardscope
