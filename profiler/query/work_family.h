#pragma once
// What sort of work is an op, in words that our own programs and other programs' kernels share?
//
//   work_family("kernel", "ampere_bf16_s16816gemm_128x128_tn") == WorkFamily::kMatmul
//   work_family("matmul", "transformer.h.3.mlp.c_fc") == WorkFamily::kMatmul
//
// Of kernels by their names, which is a guess: what is not known is element-wise, other.

#include <string_view>

#include "core/program/types.h"

namespace shardscope {

enum class WorkFamily : std::uint8_t {
  kMatmul,  ///< matrix products and convolutions
  kAttention,
  kNorm,
  kEmbedding,
  kLoss,
  kOptimizer,
  kLayout,  ///< changes the order of elements only: transposes, NCHW to NHWC
  kElementwise,
  kCollective,
  kCopy,   ///< copies, memset, NVMe
  kOpaque  ///< a CUDA graph recorded as a whole
};
inline constexpr int kWorkFamilies = 11;
std::string_view to_string(WorkFamily family);  ///< "matrix products"

/// Of an op that is no communication.
WorkFamily work_family(std::string_view kind, std::string_view name);

}  // namespace shardscope
