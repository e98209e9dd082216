// Attention, the loss, and the optimizer's step.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "kernels/conformance/conformance.h"
#include "kernels/conformance/reference.h"

namespace shardscope {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// batch, seq, heads, kv_heads, head_dim. Around the kernel's blocks (48 queries, 256 keys) and vectors.
using AttentionSize = std::array<std::int64_t, 5>;
constexpr AttentionSize kAttentionSizes[] = {
    {1, 1, 1, 1, 1},   {1, 2, 1, 1, 3},   {2, 5, 3, 1, 8},   {1, 17, 2, 2, 16},  {1, 47, 1, 1, 20}, {2, 48, 2, 1, 64},
    {1, 49, 1, 1, 33}, {1, 97, 4, 2, 10}, {1, 255, 1, 1, 7}, {1, 257, 2, 2, 16}, {1, 313, 3, 1, 5}, {1, 560, 1, 1, 80}};

/// q, k and v in matrices of their own, and the op that goes over them.
struct AttentionOperands {
  Attention op;
  Doubles q, k, v;
};

AttentionOperands attention_operands(CaseBuilder& b, const AttentionSize& size, const AttentionSpan& span = {}) {
  const auto& [batch, seq, heads, kv_heads, head_dim] = size;
  const std::int64_t keys = batch * span.keys(seq) * kv_heads * head_dim;
  AttentionOperands a;
  a.op = Attention{{}, {}, {}, {}, {}, batch, seq, heads, kv_heads, head_dim, heads * head_dim, kv_heads * head_dim};
  a.op.span = span;
  a.q = b.random(batch * seq * heads * head_dim, 2);  // scores of some size, so that the softmax is not flat
  a.k = b.random(keys, 2);
  a.v = b.random(keys);
  return a;
}

AttentionBackward backward_of(const Attention& f) {
  AttentionBackward op;
  op.batch = f.batch, op.seq = f.seq, op.heads = f.heads, op.kv_heads = f.kv_heads, op.head_dim = f.head_dim;
  op.q_stride = f.q_stride, op.kv_stride = f.kv_stride, op.span = f.span;
  return op;
}

std::string attention_name(const char* op, const AttentionSize& size) {
  std::string name = op;
  for (const std::int64_t n : size) name += " " + std::to_string(n);
  return name;
}

void add_attention(std::vector<ConformanceCase>& cases, DType dtype, const AttentionSize& size) {
  CaseBuilder b(attention_name("attention", size), dtype);
  AttentionOperands a = attention_operands(b, size);
  const auto want = reference::attention(a.op, a.q, a.k, a.v);
  a.op.q = b.in(a.q), a.op.k = b.in(a.k), a.op.v = b.in(a.v);
  a.op.out = b.out(static_cast<std::int64_t>(want.out.size())),
  a.op.lse = b.out(static_cast<std::int64_t>(want.lse.size()), DType::kF32);
  b.expect(a.op.out, want.out, {1e-5, 1e-5});
  b.expect(a.op.lse, want.lse, {2e-6, 2e-6});
  cases.push_back(b.build(a.op));
}

void add_attention_backward(std::vector<ConformanceCase>& cases, DType dtype, const AttentionSize& size) {
  CaseBuilder b(attention_name("attention_backward", size), dtype);
  const AttentionOperands a = attention_operands(b, size);
  const Attention& f = a.op;
  auto forward = reference::attention(f, a.q, a.k, a.v);
  for (double& x : forward.out) x = rounded(dtype, x);
  const Doubles d_out = b.random(static_cast<std::int64_t>(forward.out.size()));
  const auto want = reference::attention_backward(f, forward, d_out, a.q, a.k, a.v);
  AttentionBackward op = backward_of(f);
  op.d_out = b.in(d_out), op.q = b.in(a.q), op.k = b.in(a.k), op.v = b.in(a.v);
  op.out = b.in(forward.out), op.lse = b.in(forward.lse, DType::kF32);
  op.d_q = b.out(static_cast<std::int64_t>(a.q.size()));
  op.d_k = b.out(static_cast<std::int64_t>(a.k.size())), op.d_v = b.out(static_cast<std::int64_t>(a.v.size()));
  b.expect(op.d_q, want.d_q, {1e-4, 5e-5});
  b.expect(op.d_k, want.d_k, {1e-4, 5e-5});
  b.expect(op.d_v, want.d_v, {1e-4, 2e-5});
  cases.push_back(b.build(op));
}

/// Some of the queries against some of the keys; with `merge` over what other keys gave, else alone.
void add_attention_part(std::vector<ConformanceCase>& cases, DType dtype, const AttentionSize& size,
                        const AttentionSpan& span, bool merge) {
  const std::string name = fmt::format(" of {} keys, {} {} sees {} {}{}", span.keys(size[1]), span.q.start, span.q.jump,
                                       span.kv.start, span.kv.jump, merge ? ", merging" : "");
  CaseBuilder b(attention_name("attention", size) + name, dtype);
  AttentionOperands a = attention_operands(b, size, span);
  auto want = reference::attention(a.op, a.q, a.k, a.v);
  const auto count = [](const Doubles& x) { return static_cast<std::int64_t>(x.size()); };
  const reference::AttentionForward before{b.random(count(want.out)), b.random(count(want.lse), 4)};
  if (merge) want = reference::merged(a.op, before, want);
  a.op.q = b.in(a.q), a.op.k = b.in(a.k), a.op.v = b.in(a.v), a.op.merge = merge;
  a.op.out = merge ? b.in(before.out) : b.out(count(want.out));
  a.op.lse = merge ? b.in(before.lse, DType::kF32) : b.out(count(want.lse), DType::kF32);
  b.expect(a.op.out, want.out, {1e-5, 1e-5});
  b.expect(a.op.lse, want.lse, {2e-6, 2e-6});
  cases.push_back(b.build(a.op));

  CaseBuilder back(attention_name("attention_backward", size) + name, dtype);
  for (double& x : want.out) x = rounded(dtype, x);
  const Doubles d_out = back.random(count(want.out)), old = back.random(count(a.q));
  auto gradients = reference::attention_backward(a.op, want, d_out, a.q, a.k, a.v);
  AttentionBackward op = backward_of(a.op);
  op.d_out = back.in(d_out), op.q = back.in(a.q), op.k = back.in(a.k), op.v = back.in(a.v);
  op.out = back.in(want.out), op.lse = back.in(want.lse, DType::kF32), op.accumulate = merge;
  op.d_q = merge ? back.in(old) : back.out(count(old)), op.d_k = back.out(count(a.k)), op.d_v = back.out(count(a.v));
  for (std::size_t i = 0; merge && i < old.size(); ++i) gradients.d_q[i] += old[i];
  back.expect(op.d_q, gradients.d_q, {1e-4, 5e-5});
  back.expect(op.d_k, gradients.d_k, {1e-4, 5e-5});
  back.expect(op.d_v, gradients.d_v, {1e-4, 2e-5});
  cases.push_back(back.build(op));
}

/// Two ranks of a ring against each other, a cache against its last tokens, keys that are all seen or none, and spans
/// that cut each other anywhere.
void add_attention_parts(std::vector<ConformanceCase>& cases, DType dtype) {
  const std::pair<AttentionSize, AttentionSpan> parts[] = {
      {{2, 40, 2, 1, 8}, {{20, 0}, {0, 40}}},       {{2, 40, 2, 2, 8}, {{0, 40}, {20, 0}}},
      {{1, 300, 1, 1, 16}, {{150, 0}, {0, 300}}},   {{1, 300, 1, 1, 20}, {{0, 300}, {150, 0}}},
      {{1, 48, 4, 2, 10}, {{0, 48}, {0, 48}}},      {{2, 1, 4, 2, 16}, {{299, 0}, {}, 300}},
      {{1, 3, 2, 2, 7}, {{67, 0}, {}, 70}},         {{1, 50, 1, 1, 33}, {{5, 0}, {}, 300}},
      {{2, 60, 2, 1, 5}, {{10, 7}, {3, 20}, 70}},   {{1, 100, 1, 1, 64}, {{100, 0}, {0, 0}}},
      {{1, 100, 1, 1, 64}, {{0, 0}, {100, 0}, 50}}, {{1, 97, 1, 1, 3}, {{0, 0}, {49, 0}, 49}},
      {{1, 6, 1, 1, 1}, {{0, 8}, {3, 5}, 6}}};
  for (const auto& [size, span] : parts) {
    for (const bool merge : {false, true}) add_attention_part(cases, dtype, size, span, merge);
  }
}

/// GPT-2's fused projection: q, k and v are columns of one matrix, and so are their gradients.
void add_fused_attention(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t seq, std::int64_t heads,
                         std::int64_t d) {
  const std::int64_t hidden = heads * d, stride = 3 * hidden, batch = 2, rows = batch * seq;
  CaseBuilder b(attention_name("attention fused", {batch, seq, heads, heads, d}), dtype);
  CaseBuilder back(attention_name("attention_backward fused", {batch, seq, heads, heads, d}), dtype);
  const Doubles qkv = b.random(rows * stride), d_out = b.random(rows * hidden);
  Attention op{{}, {}, {}, {}, {}, batch, seq, heads, heads, d, stride, stride};
  const auto column = [&](std::int64_t first) { return Doubles(qkv.begin() + first, qkv.end()); };
  const Doubles q = column(0), k = column(hidden), v = column(2 * hidden);
  const auto forward = reference::attention(op, q, k, v);
  auto left = forward;
  for (double& x : left.out) x = rounded(dtype, x);
  const auto want = reference::attention_backward(op, left, d_out, q, k, v);
  Doubles d_qkv = want.d_q;
  for (std::size_t i = 0; i < want.d_k.size(); ++i) d_qkv[i + static_cast<std::size_t>(hidden)] += want.d_k[i];
  for (std::size_t i = 0; i < want.d_v.size(); ++i) d_qkv[i + static_cast<std::size_t>(2 * hidden)] += want.d_v[i];
  const auto part = [&](const Region& all, std::int64_t i) { return all.part(i * hidden, all.count - i * hidden); };
  const Region all = b.in(qkv);
  op.q = part(all, 0), op.k = part(all, 1), op.v = part(all, 2), op.out = b.out(rows * hidden),
  op.lse = b.out(rows * heads, DType::kF32);
  b.expect(op.out, forward.out, {1e-5, 1e-5});
  b.expect(op.lse, forward.lse, {2e-6, 2e-6});
  cases.push_back(b.build(op));
  const Region all_back = back.in(qkv), d_all = back.out(rows * stride);
  const AttentionBackward backward{back.in(d_out),
                                   part(all_back, 0),
                                   part(all_back, 1),
                                   part(all_back, 2),
                                   back.in(left.out),
                                   back.in(forward.lse, DType::kF32),
                                   part(d_all, 0),
                                   part(d_all, 1),
                                   part(d_all, 2),
                                   batch,
                                   seq,
                                   heads,
                                   heads,
                                   d,
                                   stride,
                                   stride};
  back.expect(d_all, d_qkv, {1e-4, 2e-5});
  cases.push_back(back.build(backward));
}

/// Around tiles of 32, 64 and 128 rows.
void add_tensor_core_attention(std::vector<ConformanceCase>& cases, DType dtype) {
  const std::size_t first = cases.size();
  constexpr AttentionSize kSizes[] = {{1, 1, 1, 1, 64},   {2, 65, 4, 2, 64}, {1, 129, 1, 1, 128},
                                      {1, 300, 2, 1, 64}, {1, 65, 1, 1, 64}, {1, 257, 2, 1, 128}};
  for (const AttentionSize& size : kSizes) {
    add_attention(cases, dtype, size);
    add_attention_backward(cases, dtype, size);
  }
  const std::pair<AttentionSize, AttentionSpan> parts[] = {{{2, 40, 2, 1, 64}, {{20, 0}, {0, 40}}},
                                                           {{1, 300, 1, 1, 64}, {{0, 300}, {150, 0}}},
                                                           {{1, 50, 2, 1, 128}, {{5, 0}, {}, 300}},
                                                           {{1, 97, 1, 1, 64}, {{0, 0}, {49, 0}, 49}},
                                                           {{1, 48, 2, 1, 128}, {{0, 48}, {0, 48}}}};
  for (const auto& [size, span] : parts) {
    for (const bool merge : {false, true}) add_attention_part(cases, dtype, size, span, merge);
  }
  add_fused_attention(cases, dtype, 130, 2, 64);
  for (std::size_t i = first; i < cases.size(); ++i) cases[i] = on_tensor_cores(std::move(cases[i]));
}

}  // namespace

void add_attention_cases(std::vector<ConformanceCase>& cases) {
  for (const DType dtype : kFloats) {
    for (const AttentionSize& size : kAttentionSizes) {
      add_attention(cases, dtype, size);
      add_attention_backward(cases, dtype, size);
    }
    add_attention_parts(cases, dtype);
    add_fused_attention(cases, dtype, 9, 3, 5);
    add_fused_attention(cases, dtype, 130, 2, 16);
    if (dtype != DType::kF32) add_tensor_core_attention(cases, dtype);
  }
}

namespace {

void add_loss(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t rows, std::int64_t vocab,
              double loss_scale) {
  CaseBuilder b(
      "cross_entropy " + std::to_string(rows) + " " + std::to_string(vocab) + (loss_scale == 1 ? "" : " loss scale"),
      dtype);
  const Doubles logits = b.random(rows * vocab, 5), targets = b.random_indices(rows, vocab);
  const auto want = reference::cross_entropy(logits, targets, static_cast<std::size_t>(vocab), 0.25);
  Doubles gradient = want.d_logits;
  for (double& g : gradient) g *= loss_scale;
  b.scalars().loss_scale = loss_scale;
  const CrossEntropy op{b.in(logits), b.in(targets, DType::kI32), b.in({1.5}, DType::kF32), rows, vocab, 0.25};
  b.expect(op.logits, gradient, {3e-6, 2e-7 * loss_scale});
  b.expect(op.loss, {1.5 + want.loss}, {2e-6, 1e-6});
  cases.push_back(b.build(op));
}

}  // namespace

void add_loss_cases(std::vector<ConformanceCase>& cases) {
  for (const DType dtype : kFloats) {
    for (const auto& [rows, vocab] :
         {std::pair{1, 1}, {1, 2}, {3, 7}, {5, 16}, {33, 17}, {2, 64}, {7, 1031}, {3, 50257}}) {
      add_loss(cases, dtype, rows, vocab, 1);
    }
    add_loss(cases, dtype, 5, 33, 1024);
  }
}

namespace {

void add_sum_squares(std::vector<ConformanceCase>& cases, const std::string& name, const Doubles& x,
                     DType dtype = DType::kF32) {
  CaseBuilder b("sum_squares " + name, dtype);
  double want = 2.5;
  for (const double v : x) want += v * v;
  const SumSquares op{b.in(x), b.in({2.5}, DType::kF64)};
  b.expect(op.sum, {want}, {1e-12});
  cases.push_back(b.build(op));
}

struct ClipCase {
  double sum, max_norm, norm, coefficient;
  double loss_scale = 1, overflow = 0;
};

void add_clip(std::vector<ConformanceCase>& cases, const ClipCase& c) {
  for (const bool flagged : {false, true}) {
    CaseBuilder b("clip_coefficient " + std::to_string(c.sum) + " " + std::to_string(c.max_norm) + " " +
                  std::to_string(c.loss_scale) + (flagged ? " flagged" : ""));
    b.scalars().loss_scale = c.loss_scale;
    ClipCoefficient op{b.in({c.sum}, DType::kF64), b.out(1), b.out(1), c.max_norm};
    if (flagged) op.overflow = b.out(1, DType::kI32);
    b.expect(op.norm, {c.norm}, {1e-7});
    b.expect(op.coefficient, {c.coefficient}, {1e-7});
    if (flagged) b.expect(op.overflow, {c.overflow});
    cases.push_back(b.build(op));
  }
}

/// Weight decay inside or outside, bias correction or not, clipped or not; what the flag says, if there is one.
struct AdamMode {
  bool decoupled = true, correct = true, clip = false;
  std::optional<int> overflow;
};

/// Parameters and moments are fp32; `types.model` is that of the copy, which fp32 goes without.
void add_adam(std::vector<ConformanceCase>& cases, std::int64_t n, const AdamMode& mode, const CaseTypes& types) {
  CaseBuilder b("adam " + std::to_string(n) + (mode.decoupled ? " decoupled" : "") +
                (mode.correct ? " corrected" : "") + (mode.clip ? " clipped" : "") +
                (mode.overflow ? " flag " + std::to_string(*mode.overflow) : "") + " copy " +
                std::string(to_string(types.model)) + " gradient " + std::string(to_string(types.gradient)));
  Doubles p = b.random(n), m = b.random(n, 0.1), v = b.random(n, 0.1), grad = b.random(n);
  for (double& x : v) x = std::abs(x);
  for (double& x : grad) x = rounded(types.gradient, x);
  b.scalars() = {7, 0.01};
  Adam op{b.in(p), b.in(grad, types.gradient), b.in(m), b.in(v), mode.clip ? b.in({0.5}) : Region{}};
  op.beta1 = 0.9, op.beta2 = 0.95, op.eps = 1e-6, op.weight_decay = 0.1;
  op.decoupled = mode.decoupled, op.bias_correction = mode.correct;
  if (mode.overflow) op.overflow = b.in({static_cast<double>(*mode.overflow)}, DType::kI32);
  const double c1 = mode.correct ? 1 - std::pow(0.9, 7) : 1, c2 = mode.correct ? 1 - std::pow(0.95, 7) : 1;
  for (std::size_t i = 0; i < p.size() && mode.overflow.value_or(0) == 0; ++i) {
    const double g = grad[i] * (mode.clip ? 0.5 : 1) + (mode.decoupled ? 0 : 0.1 * p[i]);
    m[i] = 0.9 * m[i] + 0.1 * g;
    v[i] = 0.95 * v[i] + 0.05 * g * g;
    p[i] = p[i] * (mode.decoupled ? 1 - 0.01 * 0.1 : 1) - 0.01 * (m[i] / c1) / (std::sqrt(v[i] / c2) + 1e-6);
  }
  b.expect(op.param, p, {1e-6, 1e-6});
  b.expect(op.exp_avg, m, {1e-6, 1e-7});
  b.expect(op.exp_avg_sq, v, {1e-6, 1e-7});
  if (types.model != DType::kF32) {
    op.copy = b.out(n, types.model);
    b.expect(op.copy, p, {1e-6, 1e-6});
  }
  cases.push_back(b.build(op));
}

}  // namespace

void add_optimizer_cases(std::vector<ConformanceCase>& cases) {
  for (const std::int64_t n : {1, 3, 16, 65, 127, 1031, 70001, 200003}) {
    for (const DType dtype : kFloats) {
      CaseBuilder values("sum_squares values " + std::to_string(n), dtype);
      add_sum_squares(cases, std::to_string(n), values.random(n, 3), dtype);
    }
  }
  add_sum_squares(cases, "tiny", Doubles(100, rounded(DType::kF32, 1e-30)));  // squares that fp32 does not have
  add_sum_squares(cases, "nan", {1, 2, kNaN, 4});
  add_sum_squares(cases, "infinite", {1, -kInfinity});
  add_sum_squares(cases, "infinite", {1, -kInfinity}, DType::kF16);
  add_clip(cases, {4, 1, 2, 1 / (2 + 1e-6)});
  add_clip(cases, {4, 5, 2, 1});
  add_clip(cases, {4, 0, 2, 1});
  add_clip(cases, {0, 1, 0, 1});
  add_clip(cases, {kNaN, 1, kNaN, kNaN, 1, 1});
  add_clip(cases, {kInfinity, 1, kInfinity, 0, 1, 1});
  add_clip(cases, {64, 1, 2, 1 / (2 + 1e-6) / 4, 4});  // gradients are 4 times too large
  add_clip(cases, {64, 0, 2, 0.25, 4});
  for (const std::int64_t n : {1, 5, 16, 33, 1031, 40009}) {
    for (int mode = 0; mode < 8; ++mode) {
      add_adam(cases, n, {(mode & 1) != 0, (mode & 2) != 0, (mode & 4) != 0, {}}, kCaseTypes[0]);
    }
    for (const CaseTypes& types : kCaseTypes) {
      for (const int overflow : {0, 1}) add_adam(cases, n, {true, true, true, overflow}, types);
    }
  }
}

}  // namespace shardscope
