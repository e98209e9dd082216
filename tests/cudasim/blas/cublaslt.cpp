// cublasLt's matmul: descriptors, layouts and preferences as plain bags of attributes; one algorithm, ours.

#include <cublasLt.h>
#include <cublas_v2.h>

#include <cstring>
#include <map>

#include "tests/cudasim/blas/gemm.h"
#include "tests/cudasim/runtime/call.h"

namespace cudasim {

namespace {

using Attributes = std::map<int, std::vector<u8>>;

struct Layout {
  cudaDataType type;
  u64 rows, columns;
  s64 ld;
  Attributes attributes;
};
struct Description {
  cublasComputeType_t compute;
  cudaDataType scale_type;
  Attributes attributes;
};

template <class T>
T get(const Attributes& attributes, int which, T otherwise) {
  const auto found = attributes.find(which);
  if (found == attributes.end() || found->second.size() != sizeof(T)) return otherwise;
  T out;
  std::memcpy(&out, found->second.data(), sizeof(T));
  return out;
}

cublasStatus_t put(Attributes& attributes, int which, const void* value, size_t bytes) {
  const u8* at = static_cast<const u8*>(value);
  attributes[which].assign(at, at + bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t read_back(const Attributes& attributes, int which, void* value, size_t bytes, size_t* written) {
  const auto found = attributes.find(which);
  if (found == attributes.end() || found->second.size() > bytes) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(value, found->second.data(), found->second.size());
  if (written != nullptr) *written = found->second.size();
  return CUBLAS_STATUS_SUCCESS;
}

const Layout& of(cublasLtMatrixLayout_t layout) { return *reinterpret_cast<const Layout*>(layout); }
const Description& of(cublasLtMatmulDesc_t description) { return *reinterpret_cast<const Description*>(description); }

Matrix matrix(const void* at, const Layout& layout) {
  return {reinterpret_cast<u64>(at), get(layout.attributes, CUBLASLT_MATRIX_LAYOUT_TYPE, layout.type),
          get<s64>(layout.attributes, CUBLASLT_MATRIX_LAYOUT_LD, layout.ld),
          get<s64>(layout.attributes, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 0)};
}

/// The attributes that this emulation acts on; any other makes a matmul unsupported.
bool known(const Description& d) {
  for (const auto& [which, value] : d.attributes) {
    switch (which) {
      case CUBLASLT_MATMUL_DESC_TRANSA:
      case CUBLASLT_MATMUL_DESC_TRANSB:
      case CUBLASLT_MATMUL_DESC_EPILOGUE:
      case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
      case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
      case CUBLASLT_MATMUL_DESC_C_SCALE_POINTER:
      case CUBLASLT_MATMUL_DESC_D_SCALE_POINTER:
      case CUBLASLT_MATMUL_DESC_AMAX_D_POINTER:
      case CUBLASLT_MATMUL_DESC_FAST_ACCUM:
        break;
      default:
        machine().reports.add("cublasLtMatmul: descriptor attribute " + std::to_string(which) + " is not implemented");
        return false;
    }
  }
  return true;
}

bool has_bias(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
}
bool is_f8(cudaDataType type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }

/// What cublasLt asks of float8 on Hopper: A transposed, B not, sizes in 16 bytes, not both E5M2, and C, D and a bias
/// of types that go together.
bool valid_f8(const Gemm& g, const Description& d) {
  const auto whole = [](s64 count, cudaDataType type) { return count * bytes_of(type) % 16 == 0; };
  const bool wide = g.d.type == CUDA_R_16BF || g.d.type == CUDA_R_16F || g.d.type == CUDA_R_32F;
  const cudaDataType bias = g.d.type == CUDA_R_16F ? CUDA_R_16F : CUDA_R_16BF;
  return machine().settings.compute >= 89 && g.transpose_a && !g.transpose_b && is_f8(g.b.type) && g.m % 16 == 0 &&
         whole(g.k, g.a.type) && whole(g.a.ld, g.a.type) && whole(g.b.ld, g.b.type) && whole(g.c.ld, g.c.type) &&
         whole(g.d.ld, g.d.type) && !(g.a.type == CUDA_R_8F_E5M2 && g.b.type == CUDA_R_8F_E5M2) &&
         (wide ? g.c.type == g.d.type : is_f8(g.d.type)) && (!has_bias(g.epilogue) || g.bias_type == bias) &&
         d.compute == CUBLAS_COMPUTE_32F && d.scale_type == CUDA_R_32F;
}

/// Its kernels read vectors of 16 bytes.
bool begin_at_vectors(const Gemm& g) {
  const auto fits = [](u64 address) { return address % 16 == 0; };
  return fits(g.a.address) && fits(g.b.address) && fits(g.c.address) && fits(g.d.address) && fits(g.bias);
}

cublasStatus_t read(const Description& d, const Layout& la, const Layout& lb, const Layout& lc, const Layout& ld,
                    Gemm& g) {
  const auto pointer = [&](int which) { return get<u64>(d.attributes, which, 0); };
  g.transpose_a = get<s32>(d.attributes, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N) != CUBLAS_OP_N;
  g.transpose_b = get<s32>(d.attributes, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N) != CUBLAS_OP_N;
  g.epilogue = get(d.attributes, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);
  g.m = static_cast<s64>(ld.rows);
  g.n = static_cast<s64>(ld.columns);
  g.k = static_cast<s64>(g.transpose_a ? la.rows : la.columns);
  g.batch = get<s32>(ld.attributes, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 1);
  g.a = matrix(nullptr, la);
  g.b = matrix(nullptr, lb);
  g.c = matrix(nullptr, lc);
  g.d = matrix(nullptr, ld);
  g.tf32 = d.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && g.a.type == CUDA_R_32F;
  if (!known(d)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool activation = g.epilogue == CUBLASLT_EPILOGUE_RELU || g.epilogue == CUBLASLT_EPILOGUE_GELU;
  if (g.epilogue != CUBLASLT_EPILOGUE_DEFAULT && !activation && !has_bias(g.epilogue))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_bias(g.epilogue)) g.bias = pointer(CUBLASLT_MATMUL_DESC_BIAS_POINTER);
  const cudaDataType bias_default =
      is_f8(g.d.type) || (is_f8(g.a.type) && g.d.type == CUDA_R_32F) ? CUDA_R_16BF : g.d.type;
  g.bias_type = get(d.attributes, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_default);
  g.scale_a = pointer(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER);
  g.scale_b = pointer(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER);
  g.scale_c = pointer(CUBLASLT_MATMUL_DESC_C_SCALE_POINTER);
  g.scale_d = pointer(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER);
  g.amax_d = pointer(CUBLASLT_MATMUL_DESC_AMAX_D_POINTER);
  const s64 rows_b = static_cast<s64>(g.transpose_b ? lb.columns : lb.rows),
            columns_b = static_cast<s64>(g.transpose_b ? lb.rows : lb.columns);
  if (rows_b != g.k || columns_b != g.n || static_cast<s64>(g.transpose_a ? la.columns : la.rows) != g.m)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (is_f8(g.a.type) ? !valid_f8(g, d) : g.a.type != g.b.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_bias(g.epilogue) && !is_f8(g.a.type) && g.bias_type != g.d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (machine().settings.unavailable() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = reinterpret_cast<cublasLtHandle_t>(new int(current_device()));
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

CUDASIM_API cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t compute,
                                                    cudaDataType_t scale) {
  *out = reinterpret_cast<cublasLtMatmulDesc_t>(new Description{compute, scale, {}});
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete &of(description);
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                                          cublasLtMatmulDescAttributes_t which, const void* value,
                                                          size_t bytes) {
  return put(reinterpret_cast<Description*>(description)->attributes, which, value, bytes);
}
CUDASIM_API cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t description,
                                                          cublasLtMatmulDescAttributes_t which, void* value,
                                                          size_t bytes, size_t* written) {
  return read_back(of(description).attributes, which, value, bytes, written);
}
CUDASIM_API cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType type, u64 rows,
                                                      u64 columns, s64 ld) {
  *out = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, ld, {}});
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &of(layout);
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                            cublasLtMatrixLayoutAttribute_t which, const void* value,
                                                            size_t bytes) {
  return put(reinterpret_cast<Layout*>(layout)->attributes, which, value, bytes);
}
CUDASIM_API cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                            cublasLtMatrixLayoutAttribute_t which, void* value,
                                                            size_t bytes, size_t* written) {
  return read_back(of(layout).attributes, which, value, bytes, written);
}
CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
  *out = reinterpret_cast<cublasLtMatmulPreference_t>(new Attributes);
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete reinterpret_cast<Attributes*>(preference);
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                                cublasLtMatmulPreferenceAttributes_t which,
                                                                const void* value, size_t bytes) {
  return put(*reinterpret_cast<Attributes*>(preference), which, value, bytes);
}
CUDASIM_API cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                                          cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                          cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                          cublasLtMatmulPreference_t, int wanted,
                                                          cublasLtMatmulHeuristicResult_t results[], int* found) {
  Gemm g;
  *found = 0;
  const cublasStatus_t status = read(of(description), of(a), of(b), of(c), of(d), g);
  if (status != CUBLAS_STATUS_SUCCESS || wanted < 1) return status;
  results[0] = {};
  results[0].state = CUBLAS_STATUS_SUCCESS;
  results[0].wavesCount = 1;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,
                                          const void* a, cublasLtMatrixLayout_t la, const void* b,
                                          cublasLtMatrixLayout_t lb, const void* beta, const void* c,
                                          cublasLtMatrixLayout_t lc, void* d, cublasLtMatrixLayout_t ld,
                                          const cublasLtMatmulAlgo_t*, void*, size_t, cudaStream_t stream) {
  Gemm g;
  if (const int injected = machine().injected("cublasLtMatmul")) return static_cast<cublasStatus_t>(injected);
  const cublasStatus_t status = read(of(description), of(la), of(lb), of(lc), of(ld), g);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const bool wide = of(description).scale_type == CUDA_R_64F;
  g.alpha = wide ? *static_cast<const double*>(alpha) : static_cast<double>(*static_cast<const float*>(alpha));
  g.beta = wide ? *static_cast<const double*>(beta) : static_cast<double>(*static_cast<const float*>(beta));
  g.a.address = reinterpret_cast<u64>(a);
  g.b.address = reinterpret_cast<u64>(b);
  g.c.address = reinterpret_cast<u64>(c);
  g.d.address = reinterpret_cast<u64>(d);
  if (is_f8(g.a.type) && !begin_at_vectors(g)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Stream* const to = machine().stream(stream, *reinterpret_cast<int*>(handle));
  return to == nullptr ? CUBLAS_STATUS_INVALID_VALUE : enqueue_gemm(g, to);
}
CUDASIM_API const char* cublasLtGetStatusName(cublasStatus_t status) { return cublasGetStatusName(status); }
CUDASIM_API const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }
