#pragma once
// Every op a program can hold: plain structs in a closed variant. No base class and no `default:`, so a new op does not
// build until the backends and the cost model each say what it means to them.
//
// Each op lists its operands once, in fields(): the text form, the parser, the race check, byte counts and equality are
// all derived from that list. Legend of shapes: R rows (= batch * sequence), H hidden, V vocabulary, S sequence,
// n heads, g key/value heads, d head size. Matrices are row-major. Regions are flat; an empty region is "not there".
//
// To add an op: the struct here, its line in `Op`, kernels (kernels/cpu and cuda), a cost (simulator/cost), one
// conformance case.

#include <cstdint>
#include <tuple>
#include <variant>

#include "core/program/types.h"

namespace shardscope {

// ---------------------------------------------------------------- memory

/// Takes memory for `buffer`. Happens in program order, costs no lane time.
struct Alloc {
  static constexpr const char* kName = "alloc";
  BufferId buffer;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.buffer("buffer", s.buffer);
  }
};

/// Gives the memory of `buffer` back. Happens in program order, costs no lane time.
struct Free {
  static constexpr const char* kName = "free";
  BufferId buffer;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.buffer("buffer", s.buffer);
  }
};

/// Keeps `data` alive, and makes this lane wait for the last op that touched it. No work. (A stream waiting for an
/// event.)
struct Hold {
  static constexpr const char* kName = "hold";
  Region data;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("data", s.data);
  }
};

/// dst = value, everywhere.
struct Fill {
  static constexpr const char* kName = "fill";
  Region dst;
  double value = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.write("dst", s.dst), v.attr("value", s.value);
  }
};

/// dst = src, converted to dst's dtype; the buffers may live in different spaces. Same count.
struct Copy {
  static constexpr const char* kName = "copy";
  Region src, dst;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("src", s.src), v.write("dst", s.dst);
  }
};

/// dst = src, bytes as they are: same dtype and count. `src` lies on the NVMe drive and takes whole blocks of it.
struct NvmeRead {
  static constexpr const char* kName = "nvme_read";
  Region src, dst;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("src", s.src), v.write("dst", s.dst);
  }
};

/// dst = src, as NvmeRead, with `dst` on the NVMe drive. These two are the only ops that touch the nvme space.
struct NvmeWrite {
  static constexpr const char* kName = "nvme_write";
  Region src, dst;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("src", s.src), v.write("dst", s.dst);
  }
};

/// A matrix of `rows` x `cols` moved between strides: dst[r * dst_stride + c] = src[r * src_stride + c], and 0 where
/// that lies beyond the end of src. `blocks` such matrices, src_block and dst_block elements apart. No conversion; rows
/// of dst do not overlap. (Interleaving shards for one reduce-scatter; heads for an all-to-all.)
struct CopyRows {
  static constexpr const char* kName = "copy_rows";
  Region src, dst;
  std::int64_t rows = 0, cols = 0, src_stride = 0, dst_stride = 0, blocks = 1, src_block = 0, dst_block = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("src", s.src), v.write("dst", s.dst), v.attr("rows", s.rows), v.attr("cols", s.cols);
    v.attr("src_stride", s.src_stride), v.attr("dst_stride", s.dst_stride), v.attr("blocks", s.blocks);
    v.attr("src_block", s.src_block), v.attr("dst_block", s.dst_block);
  }
};

/// dst += src. Same count; sums in fp32.
struct Accumulate {
  static constexpr const char* kName = "accumulate";
  Region src, dst;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("src", s.src), v.update("dst", s.dst);
  }
};

/// data *= factor.
struct Scale {
  static constexpr const char* kName = "scale";
  Region data;
  double factor = 1;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("data", s.data), v.attr("factor", s.factor);
  }
};

/// out = a + b. out may be a or b.
struct Add {
  static constexpr const char* kName = "add";
  Region a, b, out;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("a", s.a), v.read("b", s.b), v.write("out", s.out);
  }
};

/// Symmetric quantisation (ZeRO++). src is cut into slices of `slice` elements, each slice into groups of `group` (the
/// last one shorter); a group's scale [f32] is its largest magnitude over 127 (8 bits) or 7 (4 bits), and q holds the
/// elements over the scale, rounded to nearest even: bytes, or with 4 bits two to a byte, the first one low. `slice` is
/// even with 4 bits.
struct Quantize {
  static constexpr const char* kName = "quantize";
  Region src, q, scales;
  std::int64_t slice = 0, group = 0, bits = 8;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("src", s.src), v.write("q", s.q), v.write("scales", s.scales);
    v.attr("slice", s.slice), v.attr("group", s.group), v.attr("bits", s.bits);
  }
};

/// out = the sum of `parts` quantised vectors of out's length that follow each other in q, added in order; with one
/// part, what Quantize took in, but for rounding.
struct Dequantize {
  static constexpr const char* kName = "dequantize";
  Region q, scales, out;
  std::int64_t slice = 0, group = 0, bits = 8, parts = 1;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("q", s.q), v.read("scales", s.scales), v.write("out", s.out);
    v.attr("slice", s.slice), v.attr("group", s.group), v.attr("bits", s.bits), v.attr("parts", s.parts);
  }
};

// ---------------------------------------------------------------- model

/// Which tokens of a sequence an op has, when ranks share the sequence: row i of `rows` stands at position start + i,
/// and from the middle on (2 i >= rows) `jump` further. So each rank of a ring can hold an early and a late stretch.
struct SequencePart {
  std::int64_t start = 0, jump = 0;
  constexpr std::int64_t position(std::int64_t row, std::int64_t rows) const {
    return start + row + (2 * row >= rows ? jump : 0);
  }
  constexpr std::int64_t end(std::int64_t rows) const { return start + rows + jump; }  ///< past the last position
  friend constexpr bool operator==(const SequencePart&, const SequencePart&) = default;
};

/// Reads the rank's micro-batch number `micro_batch` of this step: tokens and targets i32 [batch * seq],
/// targets[t] = the token after tokens[t]. The executor's BatchSource fills them. Of each sequence it takes the `seq`
/// tokens of `part`.
struct LoadBatch {
  static constexpr const char* kName = "load_batch";
  Region tokens, targets;
  std::int64_t micro_batch = 0, batch = 0, seq = 0;
  SequencePart part;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.write("tokens", s.tokens), v.write("targets", s.targets);
    v.attr("micro_batch", s.micro_batch), v.attr("batch", s.batch), v.attr("seq", s.seq);
    v.attr("start", s.part.start), v.attr("jump", s.part.jump);
  }
};

/// Reads what each sequence goes on with (inference): tokens i32 [batch * seq], of each sequence's seq the first
/// counts[b] and then padding; starts[b] tokens of it are in the cache already. counts, starts i32 [batch]. The
/// executor's TokenSource fills them.
struct LoadTokens {
  static constexpr const char* kName = "load_tokens";
  Region tokens, starts, counts;
  std::int64_t batch = 0, seq = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.write("tokens", s.tokens), v.write("starts", s.starts), v.write("counts", s.counts);
    v.attr("batch", s.batch), v.attr("seq", s.seq);
  }
};

/// out[r,:] = table[tokens[r] - first,:] + positions[p(r % seq),:], p = the row's position as `part` says.  table
/// [V,H], positions [>=S,H] or empty, out [R,H]. A table that is part of one with `total` rows (vocabulary-parallel; 0:
/// it is whole) gives zeros for tokens of others.
struct Embedding {
  static constexpr const char* kName = "embedding";
  Region tokens, table, positions, out;
  std::int64_t rows = 0, hidden = 0, seq = 0, vocab = 0, first = 0, total = 0;
  SequencePart part;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("tokens", s.tokens), v.read("table", s.table), v.read("positions", s.positions), v.write("out", s.out);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("seq", s.seq), v.attr("vocab", s.vocab);
    v.attr("first", s.first), v.attr("total", s.total);
    v.attr("start", s.part.start), v.attr("jump", s.part.jump);
  }
};

/// d_table[tokens[r] - first,:] += d_out[r,:]; d_positions[p(r % seq),:] += d_out[r,:]. Adds in row order:
/// deterministic. `first` and `total` as in Embedding: tokens of other parts of the table add nothing to it.
struct EmbeddingBackward {
  static constexpr const char* kName = "embedding_backward";
  Region tokens, d_out, d_table, d_positions;
  std::int64_t rows = 0, hidden = 0, seq = 0, vocab = 0, first = 0, total = 0;
  SequencePart part;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("tokens", s.tokens), v.read("d_out", s.d_out);
    v.update("d_table", s.d_table), v.update("d_positions", s.d_positions);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("seq", s.seq), v.attr("vocab", s.vocab);
    v.attr("first", s.first), v.attr("total", s.total);
    v.attr("start", s.part.start), v.attr("jump", s.part.jump);
  }
};

/// out = (x - mean) * rstd * weight + bias by row.  x, out [R,H]; weight, bias [H]; mean, rstd f32 [R].
struct LayerNorm {
  static constexpr const char* kName = "layer_norm";
  Region x, weight, bias, out, mean, rstd;
  std::int64_t rows = 0, hidden = 0;
  double eps = 1e-5;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("x", s.x), v.read("weight", s.weight), v.read("bias", s.bias);
    v.write("out", s.out), v.write("mean", s.mean), v.write("rstd", s.rstd);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("eps", s.eps);
  }
};

/// Gradients of LayerNorm. d_x is added to what is there (the residual branch); d_weight and d_bias are overwritten,
/// or added to when `accumulate`.
struct LayerNormBackward {
  static constexpr const char* kName = "layer_norm_backward";
  Region d_out, x, weight, mean, rstd, d_x, d_weight, d_bias;
  std::int64_t rows = 0, hidden = 0;
  bool accumulate = false;     ///< d_weight, d_bias
  bool accumulate_d_x = true;  ///< d_x
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("d_out", s.d_out), v.read("x", s.x), v.read("weight", s.weight), v.read("mean", s.mean);
    v.read("rstd", s.rstd), v.write_or_update("d_x", s.d_x, s.accumulate_d_x);
    v.write_or_update("d_weight", s.d_weight, s.accumulate), v.write_or_update("d_bias", s.d_bias, s.accumulate);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("accumulate", s.accumulate);
    v.attr("accumulate_d_x", s.accumulate_d_x);
  }
};

/// out = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps) by row.  rstd f32 [R].
struct RmsNorm {
  static constexpr const char* kName = "rms_norm";
  Region x, weight, out, rstd;
  std::int64_t rows = 0, hidden = 0;
  double eps = 1e-5;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("x", s.x), v.read("weight", s.weight), v.write("out", s.out), v.write("rstd", s.rstd);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("eps", s.eps);
  }
};

/// Gradients of RmsNorm; d_x and d_weight as in LayerNormBackward.
struct RmsNormBackward {
  static constexpr const char* kName = "rms_norm_backward";
  Region d_out, x, weight, rstd, d_x, d_weight;
  std::int64_t rows = 0, hidden = 0;
  bool accumulate = false;
  bool accumulate_d_x = true;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("d_out", s.d_out), v.read("x", s.x), v.read("weight", s.weight), v.read("rstd", s.rstd);
    v.write_or_update("d_x", s.d_x, s.accumulate_d_x), v.write_or_update("d_weight", s.d_weight, s.accumulate);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("accumulate", s.accumulate);
    v.attr("accumulate_d_x", s.accumulate_d_x);
  }
};

/// c [m,n] = op(a) [m,k] * op(b) [k,n] + bias [n]; with `accumulate` added to c (then no bias).
/// a is stored [m,k], or [k,m] with trans_a; b is stored [k,n], or [n,k] with trans_b. 2mnk FLOP.
///
/// In fp8 (cast_a and cast_b): an operand's elements times s = largest / max(|largest element|, 2^-100), in fp32, are
/// rounded to the nearest number of its format, ties to even, of which `largest` is 448 (e4m3) or 57344 (e5m2). These
/// are multiplied, summed in fp32, and the sum is divided by both s. An operand that is not finite makes all of c NaN.
/// m, n and k are then multiples of kFp8Multiple, and not both operands e5m2, as tensor cores want it.
struct MatMul {
  static constexpr const char* kName = "matmul";
  Region a, b, bias, c;
  std::int64_t m = 0, n = 0, k = 0;
  bool trans_a = false, trans_b = false, accumulate = false;
  Fp8 cast_a = Fp8::kNone, cast_b = Fp8::kNone;  ///< both or none
  bool in_fp8() const { return cast_a != Fp8::kNone; }
  bool suits_fp8() const;  ///< by its sizes
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("a", s.a), v.read("b", s.b), v.read("bias", s.bias), v.write_or_update("c", s.c, s.accumulate);
    v.attr("m", s.m), v.attr("n", s.n), v.attr("k", s.k);
    v.attr("trans_a", s.trans_a), v.attr("trans_b", s.trans_b), v.attr("accumulate", s.accumulate);
    v.attr("cast_a", s.cast_a), v.attr("cast_b", s.cast_b);
  }
};
inline constexpr std::int64_t kFp8Multiple = 16;
inline bool MatMul::suits_fp8() const {
  return m % kFp8Multiple == 0 && n % kFp8Multiple == 0 && k % kFp8Multiple == 0;
}
/// The largest number of a format, and the smallest magnitude that counts as an operand's largest element.
constexpr float largest_of(Fp8 format) { return format == Fp8::kE5M2 ? 57344.0f : 448.0f; }
inline constexpr float kFp8LeastPeak = 0x1p-100f;

/// MatMul with b in int8: op(b)'s column j counts times scales[j] (f32 [n], one per output channel). b is i8, stored
/// [k,n], or [n,k] with trans_b.
struct MatMulInt8 {
  static constexpr const char* kName = "matmul_int8";
  Region a, b, scales, bias, c;
  std::int64_t m = 0, n = 0, k = 0;
  bool trans_b = false;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("a", s.a), v.read("b", s.b), v.read("scales", s.scales), v.read("bias", s.bias), v.write("c", s.c);
    v.attr("m", s.m), v.attr("n", s.n), v.attr("k", s.k), v.attr("trans_b", s.trans_b);
  }
};

/// d_bias [cols] = column sums of d_out [rows, cols], or added with `accumulate`.
struct BiasGradient {
  static constexpr const char* kName = "bias_gradient";
  Region d_out, d_bias;
  std::int64_t rows = 0, cols = 0;
  bool accumulate = false;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("d_out", s.d_out), v.write_or_update("d_bias", s.d_bias, s.accumulate);
    v.attr("rows", s.rows), v.attr("cols", s.cols), v.attr("accumulate", s.accumulate);
  }
};

/// out = f(x), element by element.
struct Activation {
  static constexpr const char* kName = "activation";
  Region x, out;
  ActivationKind kind = ActivationKind::kGeluTanh;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("x", s.x), v.write("out", s.out), v.attr("kind", s.kind);
  }
};

/// d_x = d_out * f'(x). d_x may be d_out.
struct ActivationBackward {
  static constexpr const char* kName = "activation_backward";
  Region x, d_out, d_x;
  ActivationKind kind = ActivationKind::kGeluTanh;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("x", s.x), v.read("d_out", s.d_out), v.write("d_x", s.d_x), v.attr("kind", s.kind);
  }
};

/// out = silu(gate) * up.
struct SwiGlu {
  static constexpr const char* kName = "swiglu";
  Region gate, up, out;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("gate", s.gate), v.read("up", s.up), v.write("out", s.out);
  }
};

/// Gradients of SwiGlu. d_gate and d_up are overwritten; neither may be d_out.
struct SwiGluBackward {
  static constexpr const char* kName = "swiglu_backward";
  Region gate, up, d_out, d_gate, d_up;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("gate", s.gate), v.read("up", s.up), v.read("d_out", s.d_out);
    v.write("d_gate", s.d_gate), v.write("d_up", s.d_up);
  }
};

/// Rotary position embedding, in place, on x [R, heads * d]; the position of row r % seq is as `part` says. Half-split
/// pairing (i, i + d/2) as in Llama. `inverse` rotates back, which is also the gradient.
struct Rope {
  static constexpr const char* kName = "rope";
  Region x;
  std::int64_t rows = 0, heads = 0, head_dim = 0, seq = 0;
  double theta = 10000;
  bool inverse = false;
  SequencePart part;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("x", s.x), v.attr("rows", s.rows), v.attr("heads", s.heads), v.attr("head_dim", s.head_dim);
    v.attr("seq", s.seq), v.attr("theta", s.theta), v.attr("inverse", s.inverse);
    v.attr("start", s.part.start), v.attr("jump", s.part.jump);
  }
};

/// Which keys the queries of an attention op see: those at their own position and before. Both may be parts of their
/// sequences (kv_seq keys; 0: as many as queries); by default both are whole, which is causal attention.
struct AttentionSpan {
  SequencePart q, kv;
  std::int64_t kv_seq = 0;
  constexpr std::int64_t keys(std::int64_t seq) const { return kv_seq > 0 ? kv_seq : seq; }
  template <class S, class V>
  static void fields(S& s, V& v) {
    v.attr("start", s.q.start), v.attr("jump", s.q.jump), v.attr("kv_seq", s.kv_seq);
    v.attr("kv_start", s.kv.start), v.attr("kv_jump", s.kv.jump);
  }
};

/// Attention, flash style: scores are never stored. Head j of row r starts at q[r * q_stride + j * d]; k and v likewise
/// with kv_stride and head j * g / n. out [R, n*d]; lse f32 [batch, n, S] = log-sum-exp of the scaled scores, -infinity
/// (and out 0) where a query sees no key. Scores are scaled by 1 / sqrt(d). 4 d FLOP per visible pair and head. With
/// `merge`, out and lse hold attention over other keys, and become that over both.
struct Attention {
  static constexpr const char* kName = "attention";
  Region q, k, v, out, lse;
  std::int64_t batch = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0, q_stride = 0, kv_stride = 0;
  AttentionSpan span;
  bool merge = false;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("q", s.q), v.read("k", s.k), v.read("v", s.v);
    v.write_or_update("out", s.out, s.merge), v.write_or_update("lse", s.lse, s.merge);
    v.attr("batch", s.batch), v.attr("seq", s.seq), v.attr("heads", s.heads), v.attr("kv_heads", s.kv_heads);
    v.attr("head_dim", s.head_dim), v.attr("q_stride", s.q_stride), v.attr("kv_stride", s.kv_stride);
    AttentionSpan::fields(s.span, v), v.attr("merge", s.merge);
  }
};

/// Gradients of Attention, recomputing the scores from lse. d_q, d_k, d_v have the strides of q, k, v; overwritten, or
/// d_q added to with `accumulate`. Where keys are spread over several ops, out and lse are the merged ones of all, and
/// each op gives its share.
struct AttentionBackward {
  static constexpr const char* kName = "attention_backward";
  Region d_out, q, k, v, out, lse, d_q, d_k, d_v;
  std::int64_t batch = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0, q_stride = 0, kv_stride = 0;
  AttentionSpan span;
  bool accumulate = false;  ///< d_q
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("d_out", s.d_out), v.read("q", s.q), v.read("k", s.k), v.read("v", s.v), v.read("out", s.out);
    v.read("lse", s.lse), v.write_or_update("d_q", s.d_q, s.accumulate), v.write("d_k", s.d_k), v.write("d_v", s.d_v);
    v.attr("batch", s.batch), v.attr("seq", s.seq), v.attr("heads", s.heads), v.attr("kv_heads", s.kv_heads);
    v.attr("head_dim", s.head_dim), v.attr("q_stride", s.q_stride), v.attr("kv_stride", s.kv_stride);
    AttentionSpan::fields(s.span, v), v.attr("accumulate", s.accumulate);
  }
};

/// loss [1] f32 += scale * sum over rows of -log softmax(logits[r])[targets[r]]; logits [R,V] become their own
/// gradient, scale * (softmax - onehot), times the run's loss scale (StepScalars; the loss itself is not scaled). One
/// pass over the logits instead of three.
struct CrossEntropy {
  static constexpr const char* kName = "cross_entropy";
  Region logits, targets, loss;
  std::int64_t rows = 0, vocab = 0;
  double scale = 1;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("logits", s.logits), v.read("targets", s.targets), v.update("loss", s.loss);
    v.attr("rows", s.rows), v.attr("vocab", s.vocab), v.attr("scale", s.scale);
  }
};

// The same loss over a vocabulary that is split among ranks takes three ops, with an all-reduce after each of the first
// two. A rank has logits [R, V], of which the first `real` columns are its part of the vocabulary, from token `first`
// on; the others are padding.

/// top [R] f32 = the largest real logit of each row, -infinity if there is none.
struct RowMax {
  static constexpr const char* kName = "row_max";
  Region logits, top;
  std::int64_t rows = 0, vocab = 0, real = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("logits", s.logits), v.write("top", s.top);
    v.attr("rows", s.rows), v.attr("vocab", s.vocab), v.attr("real", s.real);
  }
};

/// logits = e^(logits - top), 0 in the padding. sums f32 [2R]: each row's sum of them, then logit - top of each row's
/// target, 0 where the target is another rank's. Targets are below `total`, the whole vocabulary.
struct ShiftedExp {
  static constexpr const char* kName = "shifted_exp";
  Region logits, top, targets, sums;
  std::int64_t rows = 0, vocab = 0, real = 0, first = 0, total = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("logits", s.logits), v.read("top", s.top), v.read("targets", s.targets), v.write("sums", s.sums);
    v.attr("rows", s.rows), v.attr("vocab", s.vocab), v.attr("real", s.real);
    v.attr("first", s.first), v.attr("total", s.total);
  }
};

/// With sums over all ranks: loss [1] f32 += scale * sum over rows of log(sum) - target's logit; the exponentials in
/// logits become the gradient, scale * (softmax - onehot) times the run's loss scale.
struct ShardedCrossEntropy {
  static constexpr const char* kName = "sharded_cross_entropy";
  Region logits, sums, targets, loss;
  std::int64_t rows = 0, vocab = 0, real = 0, first = 0;
  double scale = 1;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("logits", s.logits), v.read("sums", s.sums), v.read("targets", s.targets), v.update("loss", s.loss);
    v.attr("rows", s.rows), v.attr("vocab", s.vocab), v.attr("real", s.real), v.attr("first", s.first);
    v.attr("scale", s.scale);
  }
};

// ---------------------------------------------------------------- inference

/// Rope on rows whose positions are known only when the step runs: that of row r is positions[r].  positions i32 [R].
struct RopeAt {
  static constexpr const char* kName = "rope_at";
  Region x, positions;
  std::int64_t rows = 0, heads = 0, head_dim = 0;
  double theta = 10000;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("x", s.x), v.read("positions", s.positions), v.attr("rows", s.rows), v.attr("heads", s.heads);
    v.attr("head_dim", s.head_dim), v.attr("theta", s.theta);
  }
};

/// Writes keys and values of new tokens behind those of earlier ones: row b * seq + t goes to place starts[b] + t of
/// sequence b. k and v as in Attention; caches [batch, g, capacity, d]; starts i32 [batch] or empty: all 0.
struct AppendCache {
  static constexpr const char* kName = "append_cache";
  Region k, v, starts, k_cache, v_cache;
  std::int64_t batch = 0, seq = 0, kv_heads = 0, head_dim = 0, kv_stride = 0, capacity = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("k", s.k), v.read("v", s.v), v.read("starts", s.starts);
    v.update("k_cache", s.k_cache), v.update("v_cache", s.v_cache);
    v.attr("batch", s.batch), v.attr("seq", s.seq), v.attr("kv_heads", s.kv_heads), v.attr("head_dim", s.head_dim);
    v.attr("kv_stride", s.kv_stride), v.attr("capacity", s.capacity);
  }
};

/// Attention of new tokens over the cache, which holds their own keys and values already: row b * seq + t sees places 0
/// to starts[b] + t of sequence b. q as in Attention, caches and starts as in AppendCache, out [R, n*d]. `context`:
/// places that a row is expected to see, for costs only; 4 * R * n * context * d FLOP.
struct CachedAttention {
  static constexpr const char* kName = "cached_attention";
  Region q, starts, k_cache, v_cache, out;
  std::int64_t batch = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0, q_stride = 0, capacity = 0, context = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("q", s.q), v.read("starts", s.starts), v.read("k_cache", s.k_cache), v.read("v_cache", s.v_cache);
    v.write("out", s.out), v.attr("batch", s.batch), v.attr("seq", s.seq), v.attr("heads", s.heads);
    v.attr("kv_heads", s.kv_heads), v.attr("head_dim", s.head_dim), v.attr("q_stride", s.q_stride);
    v.attr("capacity", s.capacity), v.attr("context", s.context);
  }
};

/// out[b,:] = x[b * seq + counts[b] - 1,:]: the last row of each sequence that is not padding.  x [R,H], out [batch,H],
/// counts i32 [batch].
struct LastRows {
  static constexpr const char* kName = "last_rows";
  Region x, counts, out;
  std::int64_t batch = 0, seq = 0, hidden = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("x", s.x), v.read("counts", s.counts), v.write("out", s.out);
    v.attr("batch", s.batch), v.attr("seq", s.seq), v.attr("hidden", s.hidden);
  }
};

/// Chooses each sequence's next token. tokens i32 [batch]; logprobs f32 [batch] = log softmax(logits)[token]. The most
/// probable (the lowest number of several) if `temperature` is 0; else drawn from softmax(logits / temperature), cut to
/// the top_k most probable (0: all) and of these to as few as have top_p of the probability. The draw depends on the
/// run's seed (StepScalars), on b and on the token's place in its sequence, starts[b] + counts[b], alone. logits
/// [parts, batch, ceil(V / parts)]: slices of the vocabulary one after the other; what reaches beyond V is ignored.
struct Sample {
  static constexpr const char* kName = "sample";
  Region logits, starts, counts, tokens, logprobs;
  std::int64_t batch = 0, vocab = 0, parts = 1;
  double temperature = 0;
  std::int64_t top_k = 0;
  double top_p = 1;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("logits", s.logits), v.read("starts", s.starts), v.read("counts", s.counts), v.write("tokens", s.tokens);
    v.write("logprobs", s.logprobs), v.attr("batch", s.batch), v.attr("vocab", s.vocab), v.attr("parts", s.parts);
    v.attr("temperature", s.temperature), v.attr("top_k", s.top_k), v.attr("top_p", s.top_p);
  }
};

// ---------------------------------------------------------------- mixture of experts
// R rows (tokens), each sent to k of E experts. An expert has `capacity` slots for the rows of one rank, S = E *
// capacity in all; slots that no row takes hold zeros. They lie as `parts` ranks exchange them, each rank having L = E
// / parts experts: slot p of expert e is number ((e % L) * parts + e / L) * capacity + p. Indices are i32.

/// probabilities [R,E] = softmax(logits); chosen [R,k] = the k most probable experts, most probable first, ties to the
/// lower number; weights [R,k] = their probabilities, divided by their sum. counts [E] = rows that chose each expert.
/// slots [R,k]: each row's slot, given out in the order of rows, -1 where the expert had none left (the row is
/// dropped); source [S]: the place in slots of the row that has the slot, or -1. probabilities and weights are f32, as
/// everywhere below.
struct Route {
  static constexpr const char* kName = "route";
  Region logits, probabilities, weights, chosen, counts, slots, source;
  std::int64_t rows = 0, experts = 0, top_k = 0, capacity = 0, parts = 1;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("logits", s.logits), v.write("probabilities", s.probabilities), v.write("weights", s.weights);
    v.write("chosen", s.chosen), v.write("counts", s.counts), v.write("slots", s.slots), v.write("source", s.source);
    v.attr("rows", s.rows), v.attr("experts", s.experts), v.attr("top_k", s.top_k);
    v.attr("capacity", s.capacity), v.attr("parts", s.parts);
  }
};

/// loss [1] f32 += scale * E * sum over experts of (counts[e] / tokens) * (sum over rows of probabilities[r,e] /
/// tokens): k where rows spread evenly, up to E where they crowd. counts may be those of `tokens` >= R rows, ours among
/// them.
struct LoadBalance {
  static constexpr const char* kName = "load_balance";
  Region probabilities, counts, loss;
  std::int64_t rows = 0, experts = 0, tokens = 0;
  double scale = 1;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("probabilities", s.probabilities), v.read("counts", s.counts), v.update("loss", s.loss);
    v.attr("rows", s.rows), v.attr("experts", s.experts), v.attr("tokens", s.tokens), v.attr("scale", s.scale);
  }
};

/// d_logits [R,E] from d_weights [R,k] (f32), plus the gradient of LoadBalance with that scale, times the run's loss
/// scale (StepScalars); counts are constants to it, and so is the choice. Overwritten.
struct RouteBackward {
  static constexpr const char* kName = "route_backward";
  Region d_weights, weights, probabilities, chosen, counts, d_logits;
  std::int64_t rows = 0, experts = 0, top_k = 0, tokens = 0;
  double scale = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("d_weights", s.d_weights), v.read("weights", s.weights), v.read("probabilities", s.probabilities);
    v.read("chosen", s.chosen), v.read("counts", s.counts), v.write("d_logits", s.d_logits);
    v.attr("rows", s.rows), v.attr("experts", s.experts), v.attr("top_k", s.top_k);
    v.attr("tokens", s.tokens), v.attr("scale", s.scale);
  }
};

/// out [S,H]: the row of x [R,H] that has the slot, times its weight if there are weights [R,k]; zeros in free slots.
/// Also the gradient of a Combine with weights, x being that of its output.
struct Dispatch {
  static constexpr const char* kName = "dispatch";
  Region x, source, weights, out;
  std::int64_t rows = 0, hidden = 0, top_k = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("x", s.x), v.read("source", s.source), v.read("weights", s.weights), v.write("out", s.out);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("top_k", s.top_k);
  }
};

/// out [R,H] = the sum of each row's slots of y [S,H], times their weights if there are weights [R,k]; dropped rows add
/// nothing. Also the gradient of a Dispatch without weights.
struct Combine {
  static constexpr const char* kName = "combine";
  Region y, slots, weights, out;
  std::int64_t rows = 0, hidden = 0, top_k = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("y", s.y), v.read("slots", s.slots), v.read("weights", s.weights), v.write("out", s.out);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("top_k", s.top_k);
  }
};

/// d_weights [R,k] of a Combine: the product of d_out[r,:] with the row's slot of y, 0 where it was dropped.
struct CombineBackward {
  static constexpr const char* kName = "combine_backward";
  Region d_out, y, slots, d_weights;
  std::int64_t rows = 0, hidden = 0, top_k = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("d_out", s.d_out), v.read("y", s.y), v.read("slots", s.slots), v.write("d_weights", s.d_weights);
    v.attr("rows", s.rows), v.attr("hidden", s.hidden), v.attr("top_k", s.top_k);
  }
};

// ---------------------------------------------------------------- optimizer

/// sum [1] f64 += sum of x^2, in double; a NaN or infinity in x makes it so (the finite test rides along).
struct SumSquares {
  static constexpr const char* kName = "sum_squares";
  Region x, sum;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("x", s.x), v.update("sum", s.sum);
  }
};

/// With s the run's loss scale (StepScalars; 1 without scaling), by which gradients are too large:
/// norm [1] f32 = sqrt(sum) / s; coefficient [1] f32 = min(1, max_norm / (norm + 1e-6)) / s, 1 / s if max_norm is 0;
/// overflow [1] i32 (or empty) = 1 if the sum is not finite: a gradient overflowed and Adam must not use any of them.
struct ClipCoefficient {
  static constexpr const char* kName = "clip_coefficient";
  Region sum, norm, coefficient;
  double max_norm = 0;
  Region overflow;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.read("sum", s.sum), v.write("norm", s.norm), v.write("coefficient", s.coefficient);
    v.write("overflow", s.overflow), v.attr("max_norm", s.max_norm);
  }
};

/// Adam on one region: g = grad * coefficient; m, v moments; param -= lr * mhat / (sqrt(vhat) + eps). `decoupled` is
/// AdamW (param *= 1 - lr * weight_decay first), else weight decay is added to g. lr and the step count come with the
/// run (StepScalars). copy (or empty) = param afterwards, rounded to its dtype. Where overflow [1] i32 (or empty) is
/// not 0, param and moments stay as they are. param and moments are f32. One pass: reads 16 bytes, writes 12 per
/// element in fp32, 2 more for a bf16 copy.
struct Adam {
  static constexpr const char* kName = "adam";
  Region param, grad, exp_avg, exp_avg_sq, coefficient;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = true, bias_correction = true;
  Region overflow, copy;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.update("param", s.param), v.read("grad", s.grad), v.update("exp_avg", s.exp_avg);
    v.update("exp_avg_sq", s.exp_avg_sq), v.read("coefficient", s.coefficient), v.read("overflow", s.overflow);
    v.write("copy", s.copy);
    v.attr("beta1", s.beta1), v.attr("beta2", s.beta2), v.attr("eps", s.eps);
    v.attr("weight_decay", s.weight_decay), v.attr("decoupled", s.decoupled);
    v.attr("bias_correction", s.bias_correction);
  }
};

// ---------------------------------------------------------------- communication (N = ranks of the group)

/// data = the group's sum (or maximum) of data, on every rank. Summed in rank order: same bits on every rank and for
/// every bucket size.
struct AllReduce {
  static constexpr const char* kName = "all_reduce";
  GroupId group;
  Region data;
  ReduceOp reduce = ReduceOp::kSum;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.update("data", s.data), v.attr("reduce", s.reduce);
  }
};

/// out = slice r of the group's sum of in, r this rank's place in the group. in [N * count(out)]; out may be that slice
/// of in itself (in place; the other slices are then undefined).
struct ReduceScatter {
  static constexpr const char* kName = "reduce_scatter";
  GroupId group;
  Region in, out;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.read("in", s.in), v.write("out", s.out);
  }
};

/// out = every rank's `in`, in rank order. out [N * count(in)]; in may be its own slice of out (in place).
struct AllGather {
  static constexpr const char* kName = "all_gather";
  GroupId group;
  Region in, out;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.read("in", s.in), v.write("out", s.out);
  }
};

/// data of the group's rank `root`, on every rank.
struct Broadcast {
  static constexpr const char* kName = "broadcast";
  GroupId group;
  Region data;
  std::int64_t root = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.update("data", s.data), v.attr("root", s.root);
  }
};

/// Slice j of `in` goes to rank j; slice i of `out` comes from rank i. in and out have N equal slices, no overlap.
struct AllToAll {
  static constexpr const char* kName = "all_to_all";
  GroupId group;
  Region in, out;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.read("in", s.in), v.write("out", s.out);
  }
};

/// out = `in` of the rank one place before in the group, the last place before the first: all ranks of a ring pass what
/// they have on. Same count, no overlap.
struct RingShift {
  static constexpr const char* kName = "ring_shift";
  GroupId group;
  Region in, out;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.read("in", s.in), v.write("out", s.out);
  }
};

/// Sends data to place `peer` of the group; matched with that rank's Recv from us, in order.
struct Send {
  static constexpr const char* kName = "send";
  GroupId group;
  Region data;
  std::int64_t peer = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.read("data", s.data), v.attr("peer", s.peer);
  }
};

/// Receives data from place `peer` of the group.
struct Recv {
  static constexpr const char* kName = "recv";
  GroupId group;
  Region data;
  std::int64_t peer = 0;
  template <class S, class V>
  static void fields(S& s, V&& v) {
    v.group("group", s.group), v.write("data", s.data), v.attr("peer", s.peer);
  }
};

using Op = std::variant<Alloc, Free, Hold, Fill, Copy, NvmeRead, NvmeWrite, CopyRows, Accumulate, Scale, Add, Quantize,
                        Dequantize, LoadBatch, Embedding, EmbeddingBackward, LayerNorm, LayerNormBackward, RmsNorm,
                        RmsNormBackward, MatMul, MatMulInt8, BiasGradient, Activation, ActivationBackward, SwiGlu,
                        SwiGluBackward, Rope, Attention, AttentionBackward, CrossEntropy, RowMax, ShiftedExp,
                        ShardedCrossEntropy, Route, LoadBalance, RouteBackward, Dispatch, Combine, CombineBackward,
                        LoadTokens, RopeAt, AppendCache, CachedAttention, LastRows, Sample, SumSquares, ClipCoefficient,
                        Adam, AllReduce, ReduceScatter, AllGather, Broadcast, AllToAll, RingShift, Send, Recv>;

/// Overload set for std::visit: std::visit(Overloaded{[](const MatMul&) {...}, [](const auto&) {...}}, op).
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

template <class T>
inline constexpr bool is_nvme = std::is_same_v<T, NvmeRead> || std::is_same_v<T, NvmeWrite>;
template <class T>
inline constexpr bool is_collective =
    std::is_same_v<T, AllReduce> || std::is_same_v<T, ReduceScatter> || std::is_same_v<T, AllGather> ||
    std::is_same_v<T, Broadcast> || std::is_same_v<T, AllToAll> || std::is_same_v<T, RingShift> ||
    std::is_same_v<T, Send> || std::is_same_v<T, Recv>;

}  // namespace shardscope
