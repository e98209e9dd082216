// Matrix products by cuBLAS, which is column-major: our row-major c = a b is its c' = b' a'. Sums are in fp32, and fp32
// operands are not rounded to TF32 unless the backend was told to. cuBLAS wants a and b of one dtype and c of that or
// fp32: others pass through scratch. So do operands in fp8 (fp8.cu), which cublasLt multiplies.
#include <algorithm>
#include <limits>
#include <utility>

#include "core/check.h"
#include "kernels/cuda/access.cuh"
#include "kernels/cuda/convert.h"
#include "kernels/cuda/fp8.h"
#include "kernels/cuda/thin_matmul.h"

namespace shardscope::cuda {
namespace {

cudaDataType_t data_type(DType dtype) {
  if (dtype == DType::kBF16) return CUDA_R_16BF;
  return dtype == DType::kF16 ? CUDA_R_16F : CUDA_R_32F;
}

/// A row-major matrix whose rows are `ld` elements apart.
struct Matrix {
  std::byte* data;
  DType dtype;
  std::int64_t rows, cols, ld;
  std::int64_t count() const { return rows * cols; }
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
  const auto whole = [](std::int64_t n) { return static_cast<int>(n); };
  const auto transposed = [](bool is) { return is ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const float one = 1, start = p.accumulate ? 1 : 0;
  check(
      cublasGemmEx(kernel.lane.blas(), transposed(p.trans_b), transposed(p.trans_a), whole(p.n), whole(p.m), whole(p.k),
                   &one, p.b.data, data_type(p.b.dtype), whole(p.b.ld), p.a.data, data_type(p.a.dtype), whole(p.a.ld),
                   &start, p.c.data, data_type(p.c.dtype), whole(p.c.ld), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "cublasGemmEx");
}

bool begins_at_vectors(const Matrix& x) { return is_aligned(x.data, 16) && x.ld * size_of(x.dtype) % 16 == 0; }

/// False: not done.
bool multiply_biased(const Kernel& kernel, const Product& p, const Region& bias) {
  const auto* shift = kernel.data<const std::byte>(bias);
  if (kernel.dtype(bias) != p.c.dtype || !is_aligned(shift, 16)) return false;
  if (!begins_at_vectors(p.a) || !begins_at_vectors(p.b) || !begins_at_vectors(p.c)) return false;
  return kernel.lane.run_lt(
      {p.m, p.n, p.k, p.a.ld, p.b.ld, p.c.ld, p.trans_a, p.trans_b, kernel.lane.uses_tf32() && p.a.dtype == DType::kF32,
       true, data_type(p.a.dtype), data_type(p.b.dtype), data_type(p.c.dtype)},
      {p.a.data, p.b.data, shift, p.c.data});
}

/// Rows of threads for a matrix [m, n]: f(row, col) for each of its elements.
struct Shape {
  std::int64_t m, n, ld;
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
  for_each_element(shape, [&](std::int64_t row, std::int64_t col) { c.store(row * shape.ld + col, bias.load(col)); });
}

/// c = sums * scales + bias, scales and bias by column. Reads 4 bytes, writes those of c per element.
__global__ void scale_columns(const float* sums, const float* scales, FloatView bias, FloatView c, Shape shape) {
  for_each_element(shape, [&](std::int64_t row, std::int64_t col) {
    const float v = sums[row * shape.n + col] * scales[col];
    c.store(row * shape.n + col, bias ? v + bias.load(col) : v);
  });
}

void fill_with_bias(const Kernel& kernel, const Region& bias, const Matrix& c) {
  const Shape shape{c.rows, c.cols, c.ld};
  spread_bias<<<blocks_of(kernel, shape), kThreads, 0, kernel.stream()>>>(view(kernel, bias),
                                                                          FloatView{c.data, c.dtype}, shape);
  check_launch("matmul");
}

/// Rows of 16-bit matrices that do not begin at vectors (GPT-2's vocabulary is odd) shut out the tensor cores' fast
/// loads: several times slower than such a matrix is copied, unless it is used for little work.
constexpr std::int64_t kLeastForCopy = 128;
bool is_worth_copying(const Matrix& x, std::int64_t m, std::int64_t n, std::int64_t k) {
  return size_of(x.dtype) == 2 && !begins_at_vectors(x) && m >= kLeastForCopy && n >= kLeastForCopy &&
         k >= kLeastForCopy;
}

/// Where an operand is during the product: in place, or in scratch in the dtype and layout that cuBLAS wants.
struct Placed {
  Matrix given, used;
  bool is_moved = false;
  std::int64_t bytes() const { return is_moved ? (used.rows * used.ld * size_of(used.dtype) + 255) / 256 * 256 : 0; }
};

Placed place(const Matrix& x, DType dtype, std::int64_t m, std::int64_t n, std::int64_t k) {
  Placed placed{x, x, x.dtype != dtype || is_worth_copying(x, m, n, k)};
  placed.used.dtype = dtype;
  if (placed.is_moved && x.dtype == dtype) placed.used.ld = (x.cols + 7) / 8 * 8;
  return placed;
}

void copy(const Kernel& kernel, const Matrix& from, const Matrix& to) {
  if (from.dtype != to.dtype) {
    return convert_elements(kernel, from.dtype, from.data, to.dtype, to.data, from.count());
  }
  move_matrix(kernel, {from.data, from.ld, to.data, to.ld, from.rows, from.cols, size_of(from.dtype)});
}

/// Scratch for all that have moved.
void take_scratch(Kernel& kernel, std::initializer_list<Placed*> all) {
  std::int64_t bytes = 0;
  for (const Placed* p : all) bytes += p->bytes();
  if (bytes == 0) return;
  auto* next = kernel.scratch<std::byte>(bytes);
  for (Placed* p : all) {
    if (p->is_moved) p->used.data = next;
    next += p->bytes();
  }
}

Matrix matrix_of(const Kernel& kernel, const Region& region, std::int64_t rows, std::int64_t cols, bool transposed) {
  if (transposed) std::swap(rows, cols);
  return {kernel.data<std::byte>(region), kernel.dtype(region), rows, cols, cols};
}

Matrix part(const Matrix& x, std::int64_t first, std::int64_t count) {
  return {x.data + first * x.ld * size_of(x.dtype), x.dtype, count, x.cols, x.ld};
}
Matrix columns(const Matrix& x, std::int64_t first, std::int64_t count) {
  return {x.data + first * size_of(x.dtype), x.dtype, x.rows, count, x.ld};
}

/// How many rows of c a product makes at a time: all, or so many that copies of a and c stay small. Operands of other
/// dtypes are converted as a whole.
std::int64_t rows_at_a_time(const Kernel& kernel, const Placed& a, const Placed& c) {
  const std::int64_t m = c.given.rows, moved = a.bytes() + c.bytes(), most = kernel.lane.most_moved();
  const bool converts = a.given.dtype != a.used.dtype || c.given.dtype != c.used.dtype;
  if (converts || moved <= most) return m;
  return std::clamp(most / (moved / m + 1) / kLeastForCopy * kLeastForCopy, kLeastForCopy, m);
}

/// c += or = a b, or a b + bias, of `m` rows.
void run_placed(const MatMul& op, Kernel& kernel, const Placed& a, const Placed& b, const Placed& c, std::int64_t m) {
  if (a.is_moved) copy(kernel, a.given, a.used);
  if (c.is_moved && op.accumulate) copy(kernel, c.given, c.used);
  Product product{a.used, b.used, c.used, m, op.n, op.k, op.trans_a, op.trans_b, op.accumulate};
  const bool done = !op.bias.empty() && multiply_biased(kernel, product, op.bias);
  if (!op.bias.empty() && !done) {
    fill_with_bias(kernel, op.bias, c.used);
    product.accumulate = true;
  }
  if (!done) multiply(kernel, product);
  if (c.is_moved) copy(kernel, c.used, c.given);
}

std::int64_t in_lines(std::int64_t bytes) { return (bytes + 255) / 256 * 256; }

cudaDataType_t data_type(Fp8 format) { return format == Fp8::kE5M2 ? CUDA_R_8F_E5M2 : CUDA_R_8F_E4M3; }

/// Both operands cast, in scratch; and c, if it does not begin at a vector.
struct Fp8Scratch {
  Fp8Matrix a, b;
  Placed c;
};

Fp8Scratch take_fp8_scratch(const MatMul& op, Kernel& kernel) {
  const Matrix c = matrix_of(kernel, op.c, op.m, op.n, false);
  Fp8Scratch s{{}, {}, {c, c, !begins_at_vectors(c)}};
  const std::int64_t peaks = in_lines(fp8_peaks(kernel) * static_cast<std::int64_t>(sizeof(unsigned))), line = 256;
  const std::int64_t beside = peaks + line, a = in_lines(op.a.count), b = in_lines(op.b.count);
  auto* next = kernel.scratch<std::byte>(a + b + 2 * beside + s.c.bytes());
  const auto take = [&](Fp8Matrix& x, std::int64_t bytes) {
    x.data = reinterpret_cast<std::uint8_t*>(next);
    x.scale = reinterpret_cast<float*>(next + bytes);
    x.peaks = reinterpret_cast<unsigned*>(next + bytes + line);
    next += bytes + beside;
  };
  take(s.a, a), take(s.b, b);
  if (s.c.is_moved) s.c.used.data = next;
  return s;
}

/// cublasLt wants both operands with rows along k.
void run_in_fp8(const MatMul& op, Kernel& kernel) {
  const Fp8Scratch s = take_fp8_scratch(op, kernel);
  const auto cast = [&](const Region& region, std::int64_t rows, bool turned, Fp8 format, const Fp8Matrix& to) {
    cast_to_fp8(kernel, {region, turned ? op.k : rows, turned ? rows : op.k, turned, format}, to);
  };
  cast(op.a, op.m, op.trans_a, op.cast_a, s.a);
  cast(op.b, op.n, !op.trans_b, op.cast_b, s.b);
  if (s.c.is_moved && op.accumulate) copy(kernel, s.c.given, s.c.used);
  const auto* bias = op.bias.empty() ? nullptr : kernel.data<const std::byte>(op.bias);
  const bool fused = bias != nullptr && kernel.dtype(op.bias) == s.c.used.dtype && s.c.used.dtype != DType::kF32 &&
                     is_aligned(bias, 16);
  if (bias != nullptr && !fused) fill_with_bias(kernel, op.bias, s.c.used);
  const LtProduct product{.m = op.m,
                          .n = op.n,
                          .k = op.k,
                          .lda = op.k,
                          .ldb = op.k,
                          .ldc = op.n,
                          .trans_b = true,
                          .biased = fused,
                          .type_a = data_type(op.cast_a),
                          .type_b = data_type(op.cast_b),
                          .result = data_type(s.c.used.dtype)};
  if (!kernel.lane.run_lt(product, {s.a.data, s.b.data, fused ? bias : nullptr, s.c.used.data,
                                    op.accumulate || (bias != nullptr && !fused), s.a.scale, s.b.scale})) {
    throw Error(ErrorKind::kUnsupported, "cublasLt has no product in fp8 of these sizes for " + kernel.device().name);
  }
  if (s.c.is_moved) copy(kernel, s.c.used, s.c.given);
}

}  // namespace

void run(const MatMul& op, Kernel& kernel) {
  if (op.in_fp8()) return run_in_fp8(op, kernel);
  const Matrix a = matrix_of(kernel, op.a, op.m, op.k, op.trans_a);
  const Matrix b = matrix_of(kernel, op.b, op.k, op.n, op.trans_b);
  const Matrix c = matrix_of(kernel, op.c, op.m, op.n, false);
  const DType dtype = a.dtype == b.dtype ? a.dtype : DType::kF32;
  const DType result = c.dtype == dtype ? dtype : DType::kF32;
  Placed second = place(b, dtype, op.m, op.n, op.k);
  const std::int64_t rows =
      rows_at_a_time(kernel, place(a, dtype, op.m, op.n, op.k), place(c, result, op.m, op.n, op.k));
  for (std::int64_t first = 0; first < op.m; first += rows) {
    const std::int64_t m = std::min(rows, op.m - first);
    Placed x = place(op.trans_a ? columns(a, first, m) : part(a, first, m), dtype, op.m, op.n, op.k);
    Placed z = place(part(c, first, m), result, op.m, op.n, op.k);
    take_scratch(kernel, {&second, &x, &z});  // the same each time: b stays there
    if (second.is_moved && first == 0) copy(kernel, second.given, second.used);
    run_placed(op, kernel, x, second, z, m);
  }
}

/// Whole numbers up to 128 are exact in every floating dtype, so b becomes a's, and scales count afterwards.
void run(const MatMulInt8& op, Kernel& kernel) {
  if (fits_thin(op)) return run_thin(op, kernel);
  const Matrix a = matrix_of(kernel, op.a, op.m, op.k, false);
  const Matrix weights = matrix_of(kernel, op.b, op.k, op.n, op.trans_b);
  Placed b{weights, weights, true};
  b.used.dtype = a.dtype;
  Placed sums{{nullptr, DType::kF32, op.m, op.n, op.n}, {nullptr, DType::kF32, op.m, op.n, op.n}, true};
  take_scratch(kernel, {&b, &sums});
  copy(kernel, b.given, b.used);
  multiply(kernel, {a, b.used, sums.used, op.m, op.n, op.k, false, op.trans_b, false});
  const Shape shape{op.m, op.n, op.n};
  scale_columns<<<blocks_of(kernel, shape), kThreads, 0, kernel.stream()>>>(
      reinterpret_cast<const float*>(sums.used.data), kernel.data(op.scales), view(kernel, op.bias), view(kernel, op.c),
      shape);
  check_launch("matmul_int8");
}

}  // namespace shardscope::cuda
