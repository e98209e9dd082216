#pragma once
// Matrix products with a bias added while the result is still in registers, which saves writing and reading c once
// more: cublasLt's. Finding the algorithm for a shape takes some 100 us, so a lane keeps what it found.
//
//   if (!products.run(product, bias, workspace, bytes, stream)) { ... }   // false: this shape has none

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace shardscope::cuda {

/// c [m,n] = op(a) op(b) + bias [n], row-major, rows of x `ld` elements apart. a and b have one dtype; c and the bias
/// too.
struct BiasedProduct {
  std::int64_t m = 0, n = 0, k = 0, lda = 0, ldb = 0, ldc = 0;
  bool trans_a = false, trans_b = false, tf32 = false;
  cudaDataType_t type = CUDA_R_32F, result = CUDA_R_32F;
  friend auto operator<=>(const BiasedProduct&, const BiasedProduct&) = default;
};

class BiasedProducts {
 public:
  struct Operands {
    const void *a, *b, *bias;
    void* c;
  };
  BiasedProducts();
  ~BiasedProducts();
  BiasedProducts(const BiasedProducts&) = delete;
  BiasedProducts& operator=(const BiasedProducts&) = delete;
  /// All operands at multiples of 16 bytes.
  bool run(const BiasedProduct& product, const Operands& operands, std::byte* workspace, std::size_t bytes,
           cudaStream_t stream);

 private:
  struct Plan;
  Plan& plan_of(const BiasedProduct& product, std::size_t workspace_bytes);

  cublasLtHandle_t handle_ = nullptr;
  std::map<BiasedProduct, std::unique_ptr<Plan>> plans_;
};

}  // namespace shardscope::cuda
