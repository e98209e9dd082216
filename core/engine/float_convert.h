#pragma once
// Elements of any floating type as fp32 and back: what initialisation, checkpoints and weight files need between steps.
// (During a step ops convert.)
//
//   to_floats(bytes, DType::kBF16, values);

#include <cstddef>
#include <span>

#include "core/program/types.h"

namespace shardscope {

bool is_floating(DType dtype);

/// out.size() elements of `dtype` at `from`, which need not be aligned. bf16 and fp16 are exact, fp64 is rounded.
/// Throws Error{kUnsupported} for an integer type.
void to_floats(const std::byte* from, DType dtype, std::span<float> out);

/// The other way, to nearest even. Throws Error{kUnsupported} for an integer type.
void from_floats(std::span<const float> values, DType dtype, std::byte* to);

}  // namespace shardscope
