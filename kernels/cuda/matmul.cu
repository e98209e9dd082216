// Matrix products by cuBLAS, which is column-major: our row-major c = a b is its c' = b' a'. Sums are in fp32, and fp32
// operands are not rounded to TF32. cuBLAS wants a and b of one dtype and c of that or fp32: others pass through
// scratch.
#include <limits>

#include "core/check.h"
#include "kernels/cuda/access.cuh"
#include "kernels/cuda/convert.h"

namespace shardscope::cuda {
namespace {

cudaDataType_t data_type(DType dtype) {
  if (dtype == DType::kBF16) return CUDA_R_16BF;
  return dtype == DType::kF16 ? CUDA_R_16F : CUDA_R_32F;
}

struct Matrix {
  std::byte* data;
  DType dtype;
};

/// c [m,n] = op(a) op(b), or added to c.
struct Product {
  Matrix a, b, c;
  std::int64_t m, n, k;
  bool trans_a, trans_b, accumulate;
};

void multiply(Kernel& kernel, const Product& p) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  SS_CHECK(p.m <= kMost && p.n <= kMost && p.k <= kMost, p.m, p.n, p.k);
  const auto m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
  const float one = 1, start = p.accumulate ? 1 : 0;
  const auto transposed = [](bool is) { return is ? CUBLAS_OP_T : CUBLAS_OP_N; };
  check(cublasGemmEx(kernel.lane.blas(), transposed(p.trans_b), transposed(p.trans_a), n, m, k, &one, p.b.data,
                     data_type(p.b.dtype), p.trans_b ? k : n, p.a.data, data_type(p.a.dtype), p.trans_a ? m : k, &start,
                     p.c.data, data_type(p.c.dtype), n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

/// Rows of threads for a matrix [m, n]: f(row, col) for each of its elements.
struct Shape {
  std::int64_t m, n;
};
template <class F>
__device__ void for_each_element(const Shape& s, F&& f) {
  for (std::int64_t row = blockIdx.y; row < s.m; row += gridDim.y) {
    for (std::int64_t col = first_index(); col < s.n; col += index_stride()) f(row, col);
  }
}
dim3 blocks_of(const Kernel& kernel, const Shape& s) {
  const int across = blocks_for(kernel, s.n);
  const int down = blocks_for(kernel, s.m * across, 1) / across;
  return dim3(static_cast<unsigned>(across), static_cast<unsigned>(down > 0 ? down : 1));
}

/// Writes the bytes of c per element.
__global__ void spread_bias(FloatView bias, FloatView c, Shape shape) {
  for_each_element(shape, [&](std::int64_t row, std::int64_t col) { c.store(row * shape.n + col, bias.load(col)); });
}

/// c = sums * scales + bias, scales and bias by column. Reads 4 bytes, writes those of c per element.
__global__ void scale_columns(const float* sums, const float* scales, FloatView bias, FloatView c, Shape shape) {
  for_each_element(shape, [&](std::int64_t row, std::int64_t col) {
    const float v = sums[row * shape.n + col] * scales[col];
    c.store(row * shape.n + col, bias ? v + bias.load(col) : v);
  });
}

/// Scratch dealt out piece by piece.
class Pieces {
 public:
  explicit Pieces(Kernel& kernel, std::int64_t bytes) : next_(bytes > 0 ? kernel.scratch<std::byte>(bytes) : nullptr) {}
  static std::int64_t size(std::int64_t bytes) { return (bytes + 255) / 256 * 256; }
  std::byte* take(std::int64_t bytes) {
    std::byte* piece = next_;
    next_ += size(bytes);
    return piece;
  }

 private:
  std::byte* next_;
};

Matrix matrix_of(const Kernel& kernel, const Region& region) {
  return {kernel.data<std::byte>(region), kernel.dtype(region)};
}

/// The matrix itself, or in `dtype` in scratch.
Matrix in_dtype(const Kernel& kernel, const Matrix& x, DType dtype, std::int64_t count, Pieces& pieces) {
  if (x.dtype == dtype) return x;
  const Matrix converted{pieces.take(count * size_of(dtype)), dtype};
  convert_elements(kernel, x.dtype, x.data, dtype, converted.data, count);
  return converted;
}

std::int64_t piece_size(const Matrix& x, DType dtype, std::int64_t count) {
  return x.dtype == dtype ? 0 : Pieces::size(count * size_of(dtype));
}

}  // namespace

void run(const MatMul& op, Kernel& kernel) {
  const Matrix a = matrix_of(kernel, op.a), b = matrix_of(kernel, op.b), c = matrix_of(kernel, op.c);
  const DType dtype = a.dtype == b.dtype ? a.dtype : DType::kF32;
  const DType result = c.dtype == dtype ? dtype : DType::kF32;
  const std::int64_t a_count = op.m * op.k, b_count = op.k * op.n, c_count = op.m * op.n;
  Pieces pieces(kernel, piece_size(a, dtype, a_count) + piece_size(b, dtype, b_count) + piece_size(c, result, c_count));
  Product p{in_dtype(kernel, a, dtype, a_count, pieces),
            in_dtype(kernel, b, dtype, b_count, pieces),
            c,
            op.m,
            op.n,
            op.k,
            op.trans_a,
            op.trans_b,
            op.accumulate || !op.bias.empty()};
  if (c.dtype != result) {
    p.c = {pieces.take(c_count * size_of(result)), result};
    if (op.accumulate) convert_elements(kernel, c.dtype, c.data, result, p.c.data, c_count);
  }
  if (!op.bias.empty()) {
    const Shape shape{op.m, op.n};
    spread_bias<<<blocks_of(kernel, shape), kThreads, 0, kernel.stream()>>>(view(kernel, op.bias),
                                                                            FloatView{p.c.data, result}, shape);
    check_launch("matmul");
  }
  multiply(kernel, p);
  if (c.dtype != result) convert_elements(kernel, result, p.c.data, c.dtype, c.data, c_count);
}

/// Whole numbers up to 128 are exact in every floating dtype, so b becomes a's, and scales count afterwards.
void run(const MatMulInt8& op, Kernel& kernel) {
  const Matrix a = matrix_of(kernel, op.a), b = matrix_of(kernel, op.b);
  const std::int64_t b_count = op.k * op.n, sums_bytes = op.m * op.n * size_of(DType::kF32);
  Pieces pieces(kernel, piece_size(b, a.dtype, b_count) + Pieces::size(sums_bytes));
  const Matrix weights = in_dtype(kernel, b, a.dtype, b_count, pieces);
  const Matrix sums{pieces.take(sums_bytes), DType::kF32};
  multiply(kernel, {a, weights, sums, op.m, op.n, op.k, false, op.trans_b, false});
  const Shape shape{op.m, op.n};
  scale_columns<<<blocks_of(kernel, shape), kThreads, 0, kernel.stream()>>>(
      reinterpret_cast<const float*>(sums.data), kernel.data(op.scales), view(kernel, op.bias), view(kernel, op.c),
      shape);
  check_launch("matmul_int8");
}

}  // namespace shardscope::cuda
