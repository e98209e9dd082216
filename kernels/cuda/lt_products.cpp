#include "kernels/cuda/lt_products.h"

#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

/// Column-major, as cublasLt has it: c' = b' a', so that our b is its A and the bias is one of rows.
struct LtProducts::Plan {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool found = false;

  ~Plan() {
    for (cublasLtMatrixLayout_t layout : {first, second, out}) {
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    }
    if (product != nullptr) cublasLtMatmulDescDestroy(product);
  }
  template <class T>
  void set(cublasLtMatmulDescAttributes_t which, const T& value) {
    check(cublasLtMatmulDescSetAttribute(product, which, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }
  /// What lies elsewhere each time.
  void aim(const Operands& at) {
    if (at.bias != nullptr) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, at.bias);
    if (at.scale_b != nullptr) set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, at.scale_b);
    if (at.scale_a != nullptr) set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, at.scale_a);
  }
};

namespace {

/// A row-major matrix [rows, cols] is a column-major one [cols, rows].
cublasLtMatrixLayout_t layout_of(cudaDataType_t type, std::int64_t rows, std::int64_t cols, std::int64_t ld) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(
      cublasLtMatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(cols), static_cast<std::uint64_t>(rows), ld),
      "cublasLtMatrixLayoutCreate");
  return layout;
}

cublasOperation_t transposed(bool is) { return is ? CUBLAS_OP_T : CUBLAS_OP_N; }

}  // namespace

LtProducts::LtProducts() { check(cublasLtCreate(&handle_), "cublasLtCreate"); }

LtProducts::~LtProducts() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

LtProducts::Plan& LtProducts::plan_of(const LtProduct& p, const Operands& at, std::size_t workspace_bytes) {
  auto [entry, is_new] = plans_.try_emplace(p);
  if (!is_new) return *entry->second;
  entry->second = std::make_unique<Plan>();
  Plan& plan = *entry->second;
  const cublasComputeType_t compute = p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(cublasLtMatmulDescCreate(&plan.product, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
  plan.set(CUBLASLT_MATMUL_DESC_TRANSA, transposed(p.trans_b));
  plan.set(CUBLASLT_MATMUL_DESC_TRANSB, transposed(p.trans_a));
  if (p.biased) {
    plan.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    plan.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, p.result);
  }
  plan.aim(at);
  plan.first = p.trans_b ? layout_of(p.type_b, p.n, p.k, p.ldb) : layout_of(p.type_b, p.k, p.n, p.ldb);
  plan.second = p.trans_a ? layout_of(p.type_a, p.k, p.m, p.lda) : layout_of(p.type_a, p.m, p.k, p.lda);
  plan.out = layout_of(p.result, p.m, p.n, p.ldc);
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                       sizeof workspace_bytes);
  // As the handle of the other products is set: no sums in 16 bits.
  constexpr std::uint32_t kSchemes = CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &kSchemes,
                                       sizeof kSchemes);
  cublasLtMatmulHeuristicResult_t result{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, plan.product, plan.first, plan.second, plan.out,
                                                               plan.out, preference, 1, &result, &count);
  cublasLtMatmulPreferenceDestroy(preference);
  plan.found = status == CUBLAS_STATUS_SUCCESS && count > 0 && result.state == CUBLAS_STATUS_SUCCESS;
  plan.algorithm = result.algo;
  return plan;
}

bool LtProducts::run(const LtProduct& p, const Operands& at, std::byte* workspace, std::size_t bytes,
                     cudaStream_t stream) {
  Plan& plan = plan_of(p, at, bytes);
  if (!plan.found) return false;
  plan.aim(at);
  const float one = 1, start = at.accumulate ? 1 : 0;
  check(cublasLtMatmul(handle_, plan.product, &one, at.b, plan.first, at.a, plan.second, &start, at.c, plan.out, at.c,
                       plan.out, &plan.algorithm, workspace, bytes, stream),
        "cublasLtMatmul");
  return true;
}

}  // namespace shardscope::cuda
