#include "tests/cudasim/blas/gemm.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "tests/cudasim/core/numbers.h"

namespace cudasim {

namespace {

double read(const u8* at, cudaDataType type, s64 index) {
  const auto value = [&]<class T>(T) {
    T out;
    std::memcpy(&out, at + index * static_cast<s64>(sizeof(T)), sizeof(T));
    return out;
  };
  switch (type) {
    case CUDA_R_64F:
      return value(double{});
    case CUDA_R_32F:
      return value(float{});
    case CUDA_R_16BF:
      return from_bf16(value(u16{}));
    case CUDA_R_16F:
      return from_f16(value(u16{}));
    case CUDA_R_8F_E4M3:
      return from_f8(value(u8{}), Float8::kE4M3);
    default:
      return from_f8(value(u8{}), Float8::kE5M2);
  }
}

void write(u8* at, cudaDataType type, s64 index, double value) {
  const auto put = [&]<class T>(T bits) { std::memcpy(at + index * static_cast<s64>(sizeof(T)), &bits, sizeof(T)); };
  const float narrow = static_cast<float>(value);
  switch (type) {
    case CUDA_R_64F:
      return put(value);
    case CUDA_R_32F:
      return put(narrow);
    case CUDA_R_16BF:
      return put(to_bf16(narrow));
    case CUDA_R_16F:
      return put(to_f16(narrow));
    case CUDA_R_8F_E4M3:
      return put(to_f8(narrow, Float8::kE4M3));
    default:
      return put(to_f8(narrow, Float8::kE5M2));
  }
}

/// Checks every column of a matrix of the batch; where its first element is kept.
u8* open(Operation& op, const Matrix& matrix, int index, s64 rows, s64 columns, bool writes) {
  const u64 bytes = static_cast<u64>(bytes_of(matrix.type));
  const u64 first = matrix.address + static_cast<u64>(index * matrix.stride) * bytes;
  u8* out = nullptr;
  for (s64 column = 0; column < columns; ++column) {
    const u64 at = first + static_cast<u64>(column * matrix.ld) * bytes;
    u8* data = machine().memory.access({at, static_cast<u64>(rows) * bytes, writes, op.device, "cuBLAS " + op.name},
                                       &op.accesses);
    if (column == 0) out = data;
  }
  return out;
}

float device_float(Operation& op, u64 address, float otherwise) {
  if (address == 0) return otherwise;
  float out;
  std::memcpy(&out, machine().memory.access({address, 4, false, op.device, "cuBLAS scale"}, &op.accesses), 4);
  return out;
}

/// The operand as sums want it: element (i, p) of op(A) at p * rows + i.
template <class T>
std::vector<T> unpack(const u8* data, const Matrix& matrix, s64 rows, s64 depth, bool transposed, bool tf32) {
  std::vector<T> out(static_cast<size_t>(rows * depth));
  for (s64 p = 0; p < depth; ++p) {
    for (s64 i = 0; i < rows; ++i) {
      const double value = read(data, matrix.type, transposed ? p + i * matrix.ld : i + p * matrix.ld);
      out[static_cast<size_t>(p * rows + i)] = static_cast<T>(tf32 ? to_tf32(static_cast<float>(value)) : value);
    }
  }
  return out;
}

double activate(double x, cublasLtEpilogue_t epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      return std::max(x, 0.0);
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    default:
      return x;
  }
}

template <class T>
void multiply(const Gemm& g, Operation& op, int index, const u8* bias) {
  const u8* a = open(op, g.a, index, g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k, false);
  const u8* b = open(op, g.b, index, g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n, false);
  const u8* c = g.beta != 0 ? open(op, g.c, index, g.m, g.n, false) : nullptr;
  u8* d = open(op, g.d, index, g.m, g.n, true);
  const std::vector<T> left = unpack<T>(a, g.a, g.m, g.k, g.transpose_a, g.tf32);
  const std::vector<T> right = unpack<T>(b, g.b, g.n, g.k, !g.transpose_b, g.tf32);
  const double alpha = g.alpha * device_float(op, g.scale_a, 1) * device_float(op, g.scale_b, 1);
  const double beta = g.beta * device_float(op, g.scale_c, 1), scale_d = device_float(op, g.scale_d, 1);
  double largest = 0;
  std::vector<T> sums(static_cast<size_t>(g.m));
  for (s64 j = 0; j < g.n; ++j) {
    std::fill(sums.begin(), sums.end(), T{0});
    for (s64 p = 0; p < g.k; ++p) {
      const T factor = right[static_cast<size_t>(p * g.n + j)];
      const T* column = &left[static_cast<size_t>(p * g.m)];
      for (s64 i = 0; i < g.m; ++i) sums[static_cast<size_t>(i)] += column[i] * factor;
    }
    for (s64 i = 0; i < g.m; ++i) {
      double value = alpha * static_cast<double>(sums[static_cast<size_t>(i)]);
      if (c != nullptr) value += beta * read(c, g.c.type, i + j * g.c.ld);
      if (bias != nullptr) value += read(bias, g.bias_type, i);
      value = activate(value, g.epilogue);
      largest = std::max(largest, std::fabs(value));
      write(d, g.d.type, i + j * g.d.ld, value * scale_d);
    }
  }
  if (g.amax_d != 0) {
    const float amax = static_cast<float>(largest);
    std::memcpy(machine().memory.access({g.amax_d, 4, true, op.device, "cuBLAS amax"}, &op.accesses), &amax, 4);
  }
}

void run(const Gemm& g, Operation& op) {
  const u8* bias = nullptr;
  if (g.bias != 0) {
    bias = machine().memory.access(
        {g.bias, static_cast<u64>(g.m * bytes_of(g.bias_type)), false, op.device, "cuBLAS bias"}, &op.accesses);
  }
  for (int index = 0; index < g.batch; ++index) {
    if (g.a.type == CUDA_R_64F) {
      multiply<double>(g, op, index, bias);
    } else {
      multiply<float>(g, op, index, bias);
    }
  }
}

const char* type_name(cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return "f64";
    case CUDA_R_32F:
      return "f32";
    case CUDA_R_16BF:
      return "bf16";
    case CUDA_R_16F:
      return "f16";
    default:
      return "f8";
  }
}

}  // namespace

int bytes_of(cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return 8;
    case CUDA_R_32F:
      return 4;
    case CUDA_R_16BF:
    case CUDA_R_16F:
      return 2;
    case CUDA_R_8F_E4M3:
    case CUDA_R_8F_E5M2:
      return 1;
    default:
      return 0;
  }
}

cublasStatus_t enqueue_gemm(const Gemm& g, Stream* stream) {
  const s64 rows_a = g.transpose_a ? g.k : g.m, rows_b = g.transpose_b ? g.n : g.k;
  for (const auto& [matrix, rows] : {std::pair{&g.a, rows_a}, {&g.b, rows_b}, {&g.c, g.m}, {&g.d, g.m}}) {
    if (bytes_of(matrix->type) == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (matrix->ld < std::max<s64>(1, rows)) {
      machine().reports.add(
          fmt::format("cuBLAS: a leading dimension of {} is less than its {} rows", matrix->ld, rows));
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  if (g.m < 0 || g.n < 0 || g.k < 0 || g.batch < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (g.m == 0 || g.n == 0 || g.batch == 0) return CUBLAS_STATUS_SUCCESS;
  if (machine().sticky(stream->device) != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  const auto work = [g](Operation& op) {
    run(g, op);
    return true;
  };
  const auto describe = [&](Operation& op) {
    op.kernel.grid = dim3(static_cast<unsigned>((g.m + 127) / 128), static_cast<unsigned>((g.n + 127) / 128),
                          static_cast<unsigned>(g.batch));
    op.kernel.block = dim3(256);
  };
  try {
    machine().launch(stream, OperationKind::kKernel,
                     fmt::format("cudasim_gemm_{}_{}x{}x{}", type_name(g.a.type), g.m, g.n, g.k), work, describe);
  } catch (const Refused&) {
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace cudasim
