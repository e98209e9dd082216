#pragma once
// Matrix products that only cublasLt makes: with a bias added while the result is still in registers, which saves
// writing and reading c once more, and of operands in fp8. Finding the algorithm for a shape takes some 100 us, so a
// lane keeps what it found.
//
//   if (!products.run(product, operands, workspace, bytes, stream)) { ... }   // false: this shape has none

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace shardscope::cuda {

/// c [m,n] = op(a) op(b), + bias [n] or added to c, row-major, rows of x `ld` elements apart. a and b have one dtype,
/// or are both in fp8 with rows along k; c and the bias have one.
struct LtProduct {
  std::int64_t m = 0, n = 0, k = 0, lda = 0, ldb = 0, ldc = 0;
  bool trans_a = false, trans_b = false, tf32 = false, biased = false;
  cudaDataType_t type_a = CUDA_R_32F, type_b = CUDA_R_32F, result = CUDA_R_32F;
  friend auto operator<=>(const LtProduct&, const LtProduct&) = default;
};

class LtProducts {
 public:
  struct Operands {
    const void *a, *b, *bias;
    void* c;
    bool accumulate = false;
    const float *scale_a = nullptr, *scale_b = nullptr;  ///< of fp8: one number each, times which its elements count
  };
  LtProducts();
  ~LtProducts();
  LtProducts(const LtProducts&) = delete;
  LtProducts& operator=(const LtProducts&) = delete;
  /// All operands at multiples of 16 bytes.
  bool run(const LtProduct& product, const Operands& operands, std::byte* workspace, std::size_t bytes,
           cudaStream_t stream);

 private:
  struct Plan;
  Plan& plan_of(const LtProduct& product, const Operands& operands, std::size_t workspace_bytes);

  cublasLtHandle_t handle_ = nullptr;
  std::map<LtProduct, std::unique_ptr<Plan>> plans_;
};

}  // namespace shardscope::cuda
