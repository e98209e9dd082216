#pragma once
// What the CUDA backend takes of a GPU for a rank beside its program: where cuBLAS works, copies of operands that
// tensor cores cannot read in place, and operands cast to fp8. The CUDA context (some 500 MB) and NCCL's buffers come
// on top.
//
//   needed = peak + gpu_memory_beside(program);

#include <cstdint>

#include "core/program/program.h"

namespace shardscope {

/// Of each lane that multiplies matrices: what cuBLAS's documentation advises from Hopper on; 4 MiB are enough before.
inline constexpr std::int64_t kBlasWorkspace = std::int64_t{32} << 20;
/// Rows of 16-bit matrices that do not begin at 16 bytes (GPT-2's vocabulary is odd) are copied for a product, at most
/// so much of them at a time.
inline constexpr std::int64_t kMostMovedForProduct = std::int64_t{128} << 20;
/// For the largest magnitudes of blocks of threads, with which both casts of a product to fp8 begin.
inline constexpr std::int64_t kBesideFp8Casts = 32 << 10;

/// An upper bound, to which the scratch of other ops adds some MiB.
std::int64_t gpu_memory_beside(const Program& program);

}  // namespace shardscope
