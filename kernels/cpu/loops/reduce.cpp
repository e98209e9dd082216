#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/vector_math.h"

namespace shardscope::SS_ISA {
namespace {

using HalfF = float __attribute__((vector_size(SS_WIDTH * 2)));
using D = double __attribute__((vector_size(SS_WIDTH * 4)));
constexpr int kDoubles = SS_WIDTH / 2;

SS_INLINE D load_double(const float* p) {
  HalfF v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, D);
}

/// Eight chains of additions, to keep both units busy; prefetched, since the hardware alone reaches only 90 % of the
/// memory's read bandwidth here.
double sum_squares(const float* x, std::int64_t n) {
  constexpr int kChains = 8;
  constexpr std::int64_t kAhead = 1024;  // floats; a prefetch beyond the end does nothing
  D chains[kChains] = {};
  std::int64_t i = 0;
  for (; i + kChains * kDoubles <= n; i += kChains * kDoubles) {
    for (int line = 0; line < kChains * kDoubles; line += 16) __builtin_prefetch(x + i + kAhead + line);
#pragma GCC unroll 8
    for (int j = 0; j < kChains; ++j) {
      const D v = load_double(x + i + j * kDoubles);
      chains[j] += v * v;
    }
  }
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (const D& chain : chains) {
    for (int j = 0; j < kDoubles; ++j) total += chain[j];
  }
  return total;
}

/// Four chains of additions in double.
double dot(const float* a, const float* b, std::int64_t n) {
  constexpr int kChains = 4;
  D chains[kChains] = {};
  std::int64_t i = 0;
  for (; i + kChains * kDoubles <= n; i += kChains * kDoubles) {
#pragma GCC unroll 4
    for (int j = 0; j < kChains; ++j)
      chains[j] += load_double(a + i + j * kDoubles) * load_double(b + i + j * kDoubles);
  }
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (const D& chain : chains) {
    for (int j = 0; j < kDoubles; ++j) total += chain[j];
  }
  return total;
}

void add_rows(const float* rows, std::int64_t count, std::int64_t cols, float* sums) {
  std::int64_t r = 0;
  for (; r + 4 <= count; r += 4) {
    const float *a = rows + r * cols, *b = a + cols, *c = b + cols, *d = c + cols;
    for_each_vector(cols, [&](auto at) {
      store(sums, at, load(sums, at) + ((load(a, at) + load(b, at)) + (load(c, at) + load(d, at))));
    });
  }
  for (; r < count; ++r) {
    for_each_vector(cols, [&](auto at) { store(sums, at, load(sums, at) + load(rows + r * cols, at)); });
  }
}

float row_max(const float* x, std::int64_t n) {
  F best[4];
  for (F& b : best) b = splat(x[0]);
  std::int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) best[j] = max(load(x + i + j * kWidth), best[j]);
  }
  float top = max_lane(max(max(best[0], best[1]), max(best[2], best[3])));
  for (; i < n; ++i) top = x[i] > top ? x[i] : top;
  return top;
}

/// x becomes e^(x - top); returns the sum. Short sums in fp32, the sum of those in double: a vocabulary is long.
double exponentials(float* x, float top, std::int64_t n) {
  constexpr std::int64_t kShort = 32 * kWidth;
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += kShort) {
    F sums = splat(0);
    for_each_vector(n - begin < kShort ? n - begin : kShort, [&](auto c) {
      store(x + begin, c, exp(load(x + begin, c) - top));
      sums += load(x + begin, c);  // again from memory: beyond the end it reads as zeros
    });
    total += static_cast<double>(sum(sums));
  }
  return total;
}

/// Three passes over a row that fits the second-level cache, one over memory.
double cross_entropy(float* logits, std::int64_t vocab, std::int32_t target, float scale) {
  const float top = row_max(logits, vocab), chosen = logits[target];
  const double total = exponentials(logits, top, vocab);
  const auto factor = static_cast<float>(static_cast<double>(scale) / total);
  for_each_vector(vocab, [&](auto c) { store(logits, c, load(logits, c) * factor); });
  logits[target] -= scale;
  return __builtin_log(total) + static_cast<double>(top) - static_cast<double>(chosen);
}

}  // namespace

extern const ReduceLoops reduce_loops;
const ReduceLoops reduce_loops = {sum_squares, add_rows, cross_entropy, row_max, exponentials, dot};

}  // namespace shardscope::SS_ISA
