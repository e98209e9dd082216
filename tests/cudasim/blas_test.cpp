// cuBLAS and cublasLt against double precision: orders, types, batches, scales of float8, biases; and what they refuse.

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <gmock/gmock.h>

#include <cmath>

#include "tests/cudasim/device_memory.h"

namespace cudasim_test {
namespace {

class Blas : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "not on the emulated device";
    forget();
    ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtCreate(&lt), CUBLAS_STATUS_SUCCESS);
  }
  void TearDown() override {
    if (!emulated()) return;
    cublasDestroy(handle);
    cublasLtDestroy(lt);
    forget();
  }
  cublasHandle_t handle = nullptr;
  cublasLtHandle_t lt = nullptr;
};

/// Element (i, j) of op(A) stored by columns.
double at(const std::vector<float>& a, int ld, bool transposed, int i, int j) {
  return a[static_cast<size_t>(transposed ? j + i * ld : i + j * ld)];
}

TEST_F(Blas, EveryOrderOfItsOperands) {
  const int m = 13, n = 7, k = 19;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const int lda = (ta ? k : m) + 2, ldb = (tb ? n : k) + 1, ldc = m + 3;
      const auto a = random_floats(static_cast<size_t>(lda * (ta ? m : k)), 1),
                 b = random_floats(static_cast<size_t>(ldb * (tb ? k : n)), 2);
      const auto c = random_floats(static_cast<size_t>(ldc * n), 3);
      DeviceArray<float> da(a), db(b), dc(c);
      const float alpha = 1.5f, beta = -.5f;
      ASSERT_EQ(cublasGemmEx(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha,
                             da.data(), CUDA_R_32F, lda, db.data(), CUDA_R_32F, ldb, &beta, dc.data(), CUDA_R_32F, ldc,
                             CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                CUBLAS_STATUS_SUCCESS);
      const auto got = dc.get();
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          double sum = 0;
          for (int p = 0; p < k; ++p) sum += at(a, lda, ta, i, p) * at(b, ldb, tb, p, j);
          EXPECT_NEAR(got[static_cast<size_t>(i + j * ldc)], 1.5 * sum - .5 * c[static_cast<size_t>(i + j * ldc)],
                      1e-5);
        }
      }
      EXPECT_EQ(got[static_cast<size_t>(m)], c[static_cast<size_t>(m)]);  // between the columns nothing changes
    }
  }
}

TEST_F(Blas, BatchesOfBfloat16) {
  const int m = 8, n = 8, k = 8, batch = 3;
  std::vector<__nv_bfloat16> a;
  for (int i = 0; i < m * k * batch; ++i) a.push_back(__float2bfloat16(static_cast<float>(i % 7)));
  DeviceArray<__nv_bfloat16> da(a);
  DeviceArray<float> c(m * n * batch);
  const float one = 1, zero = 0;
  ASSERT_EQ(cublasGemmStridedBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, da.data(), CUDA_R_16BF, m,
                                       m * k, da.data(), CUDA_R_16BF, k, n * k, &zero, c.data(), CUDA_R_32F, m, m * n,
                                       batch, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  const auto got = c.get();
  for (int q = 0; q < batch; ++q) {
    double sum = 0;
    for (int p = 0; p < k; ++p) sum += (q * 64 + 2 + p * 8) % 7 * ((q * 64 + p + 3 * 8) % 7);
    EXPECT_EQ(got[static_cast<size_t>(q * 64 + 2 + 3 * 8)], sum);
  }
  EXPECT_EQ(reports(), "");
}

struct LtProblem {
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  template <class T>
  void set(cublasLtMatmulDescAttributes_t which, T value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(description, which, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
  }
  ~LtProblem() {
    cublasLtMatmulDescDestroy(description);
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(d);
  }
};

TEST_F(Blas, Float8WithScalesAndABias) {
  const int m = 32, n = 16, k = 64;
  std::vector<__nv_fp8_e4m3> a, b;
  std::vector<__nv_bfloat16> bias;
  for (const float x : random_floats(m * k, 1)) a.emplace_back(x);
  for (const float x : random_floats(n * k, 2)) b.emplace_back(x);
  for (int i = 0; i < m; ++i) bias.push_back(__float2bfloat16(static_cast<float>(i)));
  DeviceArray<__nv_fp8_e4m3> da(a), db(b);
  DeviceArray<__nv_bfloat16> dbias(bias), d(m * n);
  DeviceArray<float> scale_a(std::vector<float>{.5f}), scale_b(std::vector<float>{4.f});
  LtProblem p;
  cublasLtMatmulDescCreate(&p.description, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  p.set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(CUBLAS_OP_T));
  p.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scale_a.data());
  p.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scale_b.data());
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  p.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, dbias.data());
  cublasLtMatrixLayoutCreate(&p.a, CUDA_R_8F_E4M3, k, m, k);
  cublasLtMatrixLayoutCreate(&p.b, CUDA_R_8F_E4M3, k, n, k);
  cublasLtMatrixLayoutCreate(&p.d, CUDA_R_16BF, m, n, m);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulPreferenceCreate(&preference);
  ASSERT_EQ(cublasLtMatmulAlgoGetHeuristic(lt, p.description, p.a, p.b, p.d, p.d, preference, 1, &found, &count),
            CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(count, 1);
  const float one = 1, zero = 0;
  ASSERT_EQ(cublasLtMatmul(lt, p.description, &one, da.data(), p.a, db.data(), p.b, &zero, d.data(), p.d, d.data(), p.d,
                           &found.algo, nullptr, 0, nullptr),
            CUBLAS_STATUS_SUCCESS);
  const auto got = d.get();
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int q = 0; q < k; ++q)
        sum += static_cast<double>(static_cast<float>(a[static_cast<size_t>(i * k + q)])) *
               static_cast<float>(b[static_cast<size_t>(j * k + q)]);
      const double wanted = 2 * sum + i;
      EXPECT_NEAR(__bfloat162float(got[static_cast<size_t>(i + j * m)]), wanted, std::fabs(wanted) / 256 + 1e-3);
    }
  }
  cublasLtMatmulPreferenceDestroy(preference);
  EXPECT_EQ(cublasLtMatmul(lt, p.description, &one, da.data() + 1, p.a, db.data(), p.b, &zero, d.data(), p.d, d.data(),
                           p.d, &found.algo, nullptr, 0, nullptr),
            CUBLAS_STATUS_NOT_SUPPORTED);  // its kernels read vectors
  p.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_32F);
  EXPECT_EQ(cublasLtMatmulAlgoGetHeuristic(lt, p.description, p.a, p.b, p.d, p.d, nullptr, 1, &found, &count),
            CUBLAS_STATUS_NOT_SUPPORTED);
  p.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
  p.set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(CUBLAS_OP_N));  // which Hopper does not do in float8
  EXPECT_NE(cublasLtMatmul(lt, p.description, &one, da.data(), p.a, db.data(), p.b, &zero, d.data(), p.d, d.data(), p.d,
                           nullptr, nullptr, 0, nullptr),
            CUBLAS_STATUS_SUCCESS);
}

TEST_F(Blas, ABiasIsOfTheResultsType) {
  LtProblem p;
  cublasLtMatmulDescCreate(&p.description, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  cublasLtMatrixLayoutCreate(&p.a, CUDA_R_16BF, 8, 8, 8);
  cublasLtMatrixLayoutCreate(&p.b, CUDA_R_16BF, 8, 8, 8);
  cublasLtMatrixLayoutCreate(&p.d, CUDA_R_16BF, 8, 8, 8);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const auto ask = [&](cudaDataType bias) {
    p.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias);
    return cublasLtMatmulAlgoGetHeuristic(lt, p.description, p.a, p.b, p.d, p.d, nullptr, 1, &found, &count);
  };
  EXPECT_EQ(ask(CUDA_R_16BF), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(ask(CUDA_R_32F), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(count, 0);
}

TEST_F(Blas, WhatIsWrongWithACall) {
  DeviceArray<float> a(std::vector<float>(64, 1.f)), c(64);
  const float one = 1, zero = 0;
  const auto call = [&](int lda, cudaDataType type, const void* data) {
    return cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, data, type, lda, a.data(), CUDA_R_32F, 8,
                        &zero, c.data(), CUDA_R_32F, 8, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(call(7, CUDA_R_32F, a.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(call(8, CUDA_R_16F, a.data()), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(call(9, CUDA_R_32F, a.data()), CUBLAS_STATUS_SUCCESS);  // its last column is outside
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_THAT(reports(), testing::HasSubstr("past the end of allocation"));
}

}  // namespace
}  // namespace cudasim_test
