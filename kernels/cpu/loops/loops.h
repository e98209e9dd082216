#pragma once
// The hot loops of the CPU backend, as tables of functions: one table per file of this folder and instruction set.
// Ranges [begin, end) are what one thread does. Results do not depend on how the whole is cut into ranges.
// Legend: H hidden, V vocabulary. Pointers need no alignment; null means "not there" where it says so.

#include <cstdint>

namespace shardscope {

enum class Element : std::uint8_t { kF32, kBF16, kF16, kI8 };
/// Elements of one of those types; null data: not there.
struct Elements {
  void* data;
  Element type;
};

struct ElementwiseLoops {
  void (*fill)(float* dst, float value, std::int64_t n);
  void (*accumulate)(const float* src, float* dst, std::int64_t n);
  void (*scale)(float* data, float factor, std::int64_t n);
  void (*add)(const float* a, const float* b, float* out, std::int64_t n);  ///< out may be a or b
  void (*add_scaled)(const float* src, float factor, float* dst, std::int64_t n);
};

/// Conversions round to nearest even; too large a number becomes infinity, NaN stays NaN.
struct ConvertLoops {
  void (*f32_to_bf16)(const float* src, std::uint16_t* dst, std::int64_t n);
  void (*bf16_to_f32)(const std::uint16_t* src, float* dst, std::int64_t n);
  void (*f32_to_f16)(const float* src, std::uint16_t* dst, std::int64_t n);
  void (*f16_to_f32)(const std::uint16_t* src, float* dst, std::int64_t n);
};

/// A binary floating-point format of 8 bits: the exponent of its smallest normal number, and bits of mantissa.
struct Fp8Format {
  std::int32_t lowest_exponent, mantissa;
};

/// One group of values with one scale; see Quantize. Two to a byte with 4 bits, where n is even. And casts to fp8 and
/// back, of a product's operand: see MatMul.
struct QuantizeLoops {
  float (*largest)(const float* x, std::int64_t n);  ///< magnitude; NaN does not count
  void (*to_8)(const float* x, float inverse_scale, std::int8_t* q, std::int64_t n);
  void (*to_4)(const float* x, float inverse_scale, std::int8_t* q, std::int64_t n);
  void (*from_8)(const std::int8_t* q, float scale, float* out, std::int64_t n, bool add);
  void (*from_4)(const std::int8_t* q, float scale, float* out, std::int64_t n, bool add);
  float (*peak)(const float* x, std::int64_t n);  ///< largest magnitude; NaN if there is one
  /// x becomes what is left of it: x * up to the format's nearest number, * down. None is beyond its largest.
  void (*through_fp8)(float* x, const Fp8Format& format, float up, float down, std::int64_t n);
};

/// Arrays are indexed by ActivationKind.
struct ActivationLoops {
  void (*forward[4])(const float* x, float* out, std::int64_t n);
  void (*backward[4])(const float* x, const float* d_out, float* d_x, std::int64_t n);  ///< d_x may be d_out
  void (*swiglu)(const float* gate, const float* up, float* out, std::int64_t n);
  void (*swiglu_backward)(const float* gate, const float* up, const float* d_out, float* d_gate, float* d_up,
                          std::int64_t n);
  /// Rotates the pairs (i, i + half) of one head: cos, sin [half]; `sign` -1 rotates back.
  void (*rotate)(float* head, const float* cos, const float* sin, float sign, std::int64_t half);
};

struct NormRows {
  const float *x, *weight, *bias;  ///< bias may be null
  float *out, *mean, *rstd;        ///< mean is null in RmsNorm
  std::int64_t hidden;
  float eps;
};
struct NormBackwardRows {
  const float *d_out, *x, *weight, *mean, *rstd;  ///< mean is null in RmsNorm
  float* d_x;
  std::int64_t hidden;
  bool accumulate_d_x;
};
struct NormLoops {
  void (*layer_norm)(const NormRows& a, std::int64_t begin, std::int64_t end);
  void (*rms_norm)(const NormRows& a, std::int64_t begin, std::int64_t end);
  /// Also adds the rows' share to d_weight [H] and d_bias [H].
  void (*layer_norm_backward)(const NormBackwardRows& a, float* d_weight, float* d_bias, std::int64_t begin,
                              std::int64_t end);
  void (*rms_norm_backward)(const NormBackwardRows& a, float* d_weight, std::int64_t begin, std::int64_t end);
};

/// Rows 0, 1, ... of a stretch stand at positions start, start + 1, ...; those from the middle on `jump` further.
struct AttentionRows {
  std::int64_t count, start, jump;
};
/// A query sees the keys at its position and before. `group` query heads share a key/value head.
struct AttentionShape {
  AttentionRows queries, keys;
  std::int64_t group, head_dim, q_stride, kv_stride, out_stride;
  Element type;  ///< of all but lse
  bool add;      ///< forward: merge with what out and lse hold; backward: add to d_q
};
/// One key/value head of one sequence, and its `group` query heads, which follow each other by head_dim in q and out
/// and by queries.count in lse.
struct AttentionHead {
  const void *q, *k, *v;
  void* out;
  float* lse;
};
struct AttentionBackwardHead {
  const void *d_out, *q, *k, *v, *out;
  const float* lse;
  void *d_q, *d_k, *d_v;
};
struct AttentionLoops {
  std::int64_t (*scratch_floats)(const AttentionShape& shape);  ///< enough for either direction
  void (*forward)(const AttentionShape& shape, const AttentionHead& head, float* scratch);
  void (*backward)(const AttentionShape& shape, const AttentionBackwardHead& head, float* scratch);
};

/// `rows` new tokens of one sequence and one key/value head of its cache, k and v [first + rows, head_dim]: row r sees
/// places 0 to first + r. Its `group` query heads follow each other by head_dim in q and out.
struct CachedAttentionHead {
  const void *q, *k, *v;
  void* out;
  std::int64_t rows, first, group, head_dim, q_stride, out_stride;
  Element type;  ///< of all
};
struct CacheLoops {
  std::int64_t (*scratch_floats)(const CachedAttentionHead& head);
  void (*forward)(const CachedAttentionHead& head, float* scratch);
};

struct ReduceLoops {
  double (*sum_squares)(const float* x, std::int64_t n);
  /// sums [cols] += column sums of rows [rows, cols].
  void (*add_rows)(const float* rows, std::int64_t count, std::int64_t cols, float* sums);
  /// A row of logits [V] becomes scale * (softmax - onehot(target)); returns -log softmax[target].
  double (*cross_entropy)(float* logits, std::int64_t vocab, std::int32_t target, float scale);
  float (*row_max)(const float* x, std::int64_t n);  ///< n >= 1
  /// x becomes e^(x - top); returns the sum.
  double (*exponentials)(float* x, float top, std::int64_t n);
  double (*dot)(const float* a, const float* b, std::int64_t n);
};

/// C [m, n] = op(A) op(B) + bias, or added to C; stored as MatMul says, rows `ld` elements apart.
struct Gemm {
  Elements a, b, bias, c;
  std::int64_t m, n, k, lda, ldb, ldc;
  bool trans_a, trans_b, accumulate;
  const float* scales = nullptr;  ///< [n] or null: op(B)'s column j times scales[j]. Then B may be kI8
};
struct GemmLoops {
  std::int64_t (*scratch_floats)(const Gemm& g);
  void (*gemm)(const Gemm& g, float* scratch);
};
/// The same for a few rows of A, not transposed: B is read once, where it lies.
struct ThinLoops {
  std::int64_t (*scratch_floats)(const Gemm& g);
  void (*product)(const Gemm& g, float* scratch);
};

/// Adam with all that is the same for every element worked out: see kernels/adam_factors.h.
struct AdamFactors {
  float coefficient;                      ///< of the gradient (clipping)
  float l2;                               ///< added weight decay: gradient += l2 * param
  float keep;                             ///< decoupled weight decay: param *= keep
  float beta1, rest1, beta2, rest2;       ///< rest = 1 - beta
  float step_size, root_correction, eps;  ///< param -= step_size * m / (sqrt(v) * root_correction + eps)
};
struct AdamLoops {
  void (*adam)(const AdamFactors& f, const float* grad, float* param, float* exp_avg, float* exp_avg_sq,
               std::int64_t n);
};

/// All of one instruction set.
struct Loops {
  const ElementwiseLoops& elementwise;
  const ConvertLoops& convert;
  const ActivationLoops& activation;
  const NormLoops& norm;
  const AttentionLoops& attention;
  const CacheLoops& cache;
  const GemmLoops& gemm;
  const ThinLoops& thin;
  const ReduceLoops& reduce;
  const AdamLoops& adam;
  const QuantizeLoops& quantize;
};

}  // namespace shardscope
