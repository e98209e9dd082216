// Ops of inference: rotation at given positions, the cache, attention over it, choosing tokens.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/engine/random.h"
#include "kernels/conformance/conformance.h"
#include "kernels/conformance/reference.h"

namespace shardscope {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::string shaped(const char* op, std::initializer_list<std::int64_t> shape) {
  std::string name = op;
  for (const std::int64_t n : shape) name += " " + std::to_string(n);
  return name;
}

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Each row as the last of a sequence that is long enough.
void add_rope_at(std::vector<ConformanceCase>& cases, DType dtype, const Doubles& positions, std::int64_t heads,
                 std::int64_t d) {
  const auto rows = static_cast<std::int64_t>(positions.size());
  CaseBuilder b(shaped("rope_at", {rows, heads, d}), dtype);
  const Doubles x = b.random(rows * heads * d);
  Doubles want;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto seq = static_cast<std::int64_t>(positions[at(r)]) + 1;
    Doubles sequence(at(seq * heads * d));
    std::copy_n(x.begin() + r * heads * d, heads * d, sequence.end() - heads * d);
    const Doubles rotated = reference::rope(Rope{{}, seq, heads, d, seq, 500}, sequence);
    want.insert(want.end(), rotated.end() - heads * d, rotated.end());
  }
  RopeAt op{b.in(x), b.in(positions, DType::kI32), rows, heads, d, 500};
  b.expect(op.x, want, {2e-6, 2e-6});
  const ConformanceCase test = b.build(op);
  cases.push_back(test);
  if (d % 16 == 0) cases.push_back(aligned(test));
}

/// Keys and values side by side with queries in fused rows; old places keep what they held.
void add_append(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t seq, std::int64_t kv_heads,
                std::int64_t d, const Doubles& starts, std::int64_t capacity) {
  const auto batch = static_cast<std::int64_t>(starts.size());
  const std::int64_t width = kv_heads * d, stride = 3 * width, rows = batch * seq;
  CaseBuilder b(shaped("append_cache", {batch, seq, kv_heads, d, capacity}), dtype);
  const Doubles fused = b.random(rows * stride);
  Doubles caches[2] = {b.random(batch * width * capacity), b.random(batch * width * capacity)};
  const Region all = b.in(fused), k_cache = b.in(caches[0]), v_cache = b.in(caches[1]);
  for (std::int64_t i = 0; i < rows * width; ++i) {
    const std::int64_t row = i / width, head = i % width / d, sequence = row / seq;
    const std::int64_t place = static_cast<std::int64_t>(starts[at(sequence)]) + row % seq;
    for (std::int64_t which : {0, 1}) {
      caches[which][at(((sequence * kv_heads + head) * capacity + place) * d + i % d)] =
          fused[at(row * stride + (which + 1) * width + i % width)];
    }
  }
  const std::int64_t span = (rows - 1) * stride + width;
  AppendCache op{all.part(width, span),
                 all.part(2 * width, span),
                 {},
                 k_cache,
                 v_cache,
                 batch,
                 seq,
                 kv_heads,
                 d,
                 stride,
                 capacity};
  if (std::any_of(starts.begin(), starts.end(), [](double s) { return s > 0; })) op.starts = b.in(starts, DType::kI32);
  b.expect(k_cache, caches[0]);
  b.expect(v_cache, caches[1]);
  const ConformanceCase test = b.build(op);
  cases.push_back(test);
  if (d % 16 == 0) cases.push_back(aligned(test));
}

struct CachedCase {
  std::int64_t seq, heads, kv_heads, d, capacity;
  Doubles starts;
};

/// Attention of a whole sequence in which only the last `seq` queries count. What the cache holds beyond is NaN.
void add_cached_attention(std::vector<ConformanceCase>& cases, DType dtype, const CachedCase& c) {
  const auto batch = static_cast<std::int64_t>(c.starts.size());
  CaseBuilder b(shaped("cached_attention", {batch, c.seq, c.heads, c.kv_heads, c.d, c.capacity}) + " from " +
                    std::to_string(static_cast<int>(c.starts[0])),
                dtype);
  const std::int64_t width = c.heads * c.d, kv_width = c.kv_heads * c.d;
  Doubles q = b.random(batch * c.seq * width, 2), k_cache(at(batch * kv_width * c.capacity), kNaN), v_cache = k_cache;
  Doubles want;
  for (std::int64_t s = 0; s < batch; ++s) {
    const std::int64_t start = static_cast<std::int64_t>(c.starts[at(s)]), seq = start + c.seq;
    const Doubles k = b.random(seq * kv_width, 2), v = b.random(seq * kv_width);
    for (std::int64_t i = 0; i < seq * kv_width; ++i) {
      const std::int64_t head = i % kv_width / c.d;
      const std::size_t to = at(((s * c.kv_heads + head) * c.capacity + i / kv_width) * c.d + i % c.d);
      k_cache[to] = k[at(i)], v_cache[to] = v[at(i)];
    }
    Doubles all(at(seq * width));
    std::copy_n(q.begin() + s * c.seq * width, c.seq * width, all.end() - c.seq * width);
    const Attention whole{{}, {}, {}, {}, {}, 1, seq, c.heads, c.kv_heads, c.d, width, kv_width};
    const Doubles out = reference::attention(whole, all, k, v).out;
    want.insert(want.end(), out.end() - c.seq * width, out.end());
  }
  CachedAttention op{b.in(q),
                     b.in(c.starts, DType::kI32),
                     b.in(k_cache),
                     b.in(v_cache),
                     b.out(batch * c.seq * width),
                     batch,
                     c.seq,
                     c.heads,
                     c.kv_heads,
                     c.d,
                     width,
                     c.capacity};
  b.expect(op.out, want, {1e-5, 1e-5});
  const ConformanceCase test = b.build(op);
  cases.push_back(test);
  if (c.d % 64 == 0) cases.push_back(on_tensor_cores(test));
}

void add_last_rows(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t seq, std::int64_t hidden,
                   const Doubles& counts) {
  const auto batch = static_cast<std::int64_t>(counts.size());
  CaseBuilder b(shaped("last_rows", {batch, seq, hidden}), dtype);
  const Doubles x = b.random(batch * seq * hidden);
  Doubles want;
  for (std::int64_t s = 0; s < batch; ++s) {
    const auto row = x.begin() + (s * seq + static_cast<std::int64_t>(counts[at(s)]) - 1) * hidden;
    want.insert(want.end(), row, row + hidden);
  }
  LastRows op{b.in(x), b.in(counts, DType::kI32), b.out(batch * hidden), batch, seq, hidden};
  b.expect(op.out, want);
  cases.push_back(b.build(op));
}

/// c = a (b scales) in double; sums of k terms of size 127 * scale.
void add_matmul_int8(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t m, std::int64_t n, std::int64_t k,
                     bool trans_b, bool bias) {
  CaseBuilder b(shaped("matmul_int8", {m, n, k}) + (trans_b ? " tb" : "") + (bias ? " bias" : ""), dtype);
  const Doubles x = b.random(m * k), shift = b.random(n);
  Doubles y = b.random_indices(k * n, 255), scales = b.random_indices(n, 50);
  for (double& v : y) v -= 127;
  for (double& v : scales) v = rounded(DType::kF32, (v + 1) * 1e-3);
  const MatMul plain{{}, {}, {}, {}, m, n, k, false, trans_b};
  Doubles want = reference::matmul(plain, x, y);
  for (std::size_t i = 0; i < want.size(); ++i) {
    want[i] = want[i] * scales[i % at(n)] + (bias ? shift[i % at(n)] : 0);
  }
  MatMulInt8 op{b.in(x), b.in(y, DType::kI8), b.in(scales, DType::kF32), {}, b.out(m * n), m, n, k, trans_b};
  if (bias) op.bias = b.in(shift);
  const double size = 127 * 0.05;
  b.expect(op.c, want, {2e-6, size * (1e-6 * std::sqrt(static_cast<double>(k)) + 1e-6)});
  const ConformanceCase test = b.build(op);
  cases.push_back(test);
  cases.push_back(aligned(test));
}

/// The tokens that may be drawn, most probable first, with their probabilities.
struct Choices {
  std::vector<std::int64_t> tokens;
  Doubles probabilities;
};

Choices choices_of(const Sample& op, const Doubles& logits) {
  Choices c;
  c.tokens.resize(logits.size());
  std::iota(c.tokens.begin(), c.tokens.end(), 0);
  std::stable_sort(c.tokens.begin(), c.tokens.end(), [&](auto a, auto b) { return logits[at(a)] > logits[at(b)]; });
  if (op.top_k > 0) c.tokens.resize(std::min(c.tokens.size(), at(op.top_k)));
  double total = 0;
  for (const std::int64_t t : c.tokens) {
    c.probabilities.push_back(std::exp((logits[at(t)] - logits[at(c.tokens[0])]) / op.temperature));
    total += c.probabilities.back();
  }
  double kept = 0;
  std::size_t count = 0;
  while (count < c.tokens.size() && (count == 0 || kept < op.top_p * total)) kept += c.probabilities[count++];
  c.tokens.resize(count);
  c.probabilities.resize(count);
  for (double& p : c.probabilities) p /= kept;
  return c;
}

double log_probability(const Doubles& logits, std::int64_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double v : logits) sum += std::exp(v - top);
  return logits[at(token)] - top - std::log(sum);
}

/// The most probable token; or, since in what order the candidates are walked is a backend's own business, a sampling
/// that leaves one candidate. What is drawn from several is a matter of statistics: kernels/cpu/sample_test.cpp.
void add_sample(std::vector<ConformanceCase>& cases, Sample op, const char* how) {
  const std::int64_t part = (op.vocab + op.parts - 1) / op.parts;
  CaseBuilder b(shaped("sample", {op.batch, op.vocab, op.parts}) + " " + how);
  Doubles slices(at(op.parts * op.batch * part), 1e30), tokens, logprobs;  // padding would win
  Doubles starts = b.random_indices(op.batch, 50), counts = b.random_indices(op.batch, 5);
  for (std::int64_t s = 0; s < op.batch; ++s) {
    Doubles logits = b.random(op.vocab, 3);
    if (op.vocab > 3) {
      logits[0] = 0, logits[1] = -0.0;  // no larger than other small numbers
      const std::int64_t top = std::min(s == 0 ? 2 : s == 1 ? 20 : op.vocab, op.vocab - 2);
      logits[at(top)] = logits[at(top + 1)] = 20;  // of two equals the first, in either half of a warp
    }
    for (std::int64_t t = 0; t < op.vocab; ++t) slices[at((t / part * op.batch + s) * part + t % part)] = logits[at(t)];
    Sample greedy = op;
    greedy.temperature = 1;
    tokens.push_back(static_cast<double>(choices_of(greedy, logits).tokens[0]));
    logprobs.push_back(log_probability(logits, static_cast<std::int64_t>(tokens.back())));
  }
  op.logits = b.in(slices), op.starts = b.in(starts, DType::kI32), op.counts = b.in(counts, DType::kI32);
  op.tokens = b.out(op.batch, DType::kI32), op.logprobs = b.out(op.batch);
  b.scalars().seed = 7;
  b.expect(op.tokens, tokens);
  b.expect(op.logprobs, logprobs, {2e-6, 1e-6});
  cases.push_back(b.build(op));
}

}  // namespace

void add_inference_cases(std::vector<ConformanceCase>& cases) {
  const CachedCase cached[] = {{1, 1, 1, 1, 1, {0}},           {1, 2, 2, 16, 4, {3}},
                               {1, 4, 1, 8, 20, {0, 19, 7}},   {1, 8, 1, 64, 300, {255, 127, 128}},
                               {1, 6, 2, 20, 520, {513, 12}},  {1, 14, 2, 5, 140, {130}},
                               {3, 2, 1, 7, 12, {4, 0, 9}},    {5, 4, 2, 32, 270, {130, 251}},
                               {130, 1, 1, 16, 280, {0, 150}}, {1, 3, 3, 80, 1030, {1024}},
                               {2, 4, 2, 128, 70, {67, 3}},    {40, 2, 1, 64, 150, {100, 0}}};
  for (const DType dtype : kFloats) {
    add_rope_at(cases, dtype, {0}, 1, 2);
    add_rope_at(cases, dtype, {5, 0, 63, 5}, 3, 10);
    add_rope_at(cases, dtype, {1000, 17}, 2, 64);
    add_append(cases, dtype, 1, 1, 1, {0}, 1);
    add_append(cases, dtype, 1, 2, 16, {3, 0, 6}, 7);
    add_append(cases, dtype, 5, 3, 7, {2, 0}, 9);
    add_append(cases, dtype, 4, 1, 33, {0, 0}, 6);
    for (const CachedCase& c : cached) add_cached_attention(cases, dtype, c);
    add_last_rows(cases, dtype, 1, 1, {1});
    add_last_rows(cases, dtype, 4, 17, {4, 1, 3});
    add_last_rows(cases, dtype, 2, 64, {2, 1});
    for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{1, 1, 1},
                                  {1, 64, 48},
                                  {2, 17, 31},
                                  {7, 101, 103},
                                  {16, 40, 515},
                                  {17, 33, 65},
                                  {97, 130, 70}}) {
      for (const bool trans_b : {false, true}) {
        add_matmul_int8(cases, dtype, m, n, k, trans_b, false);
        add_matmul_int8(cases, dtype, m, n, k, trans_b, true);
      }
    }
  }
  for (const std::int64_t vocab : {1, 7, 64, 1031}) {
    for (const std::int64_t parts : {1, 2, 3}) {
      const Sample op{{}, {}, {}, {}, {}, 3, vocab, parts};
      add_sample(cases, op, "most probable");
      Sample one = op;
      one.temperature = 0.7, one.top_k = 1;
      add_sample(cases, one, "top_k 1");
      one.top_k = 0, one.top_p = 1e-9;
      add_sample(cases, one, "top_p 0");
    }
  }
}

}  // namespace shardscope
