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

double sum_squares(const float* x, std::int64_t n) {
  constexpr int kChains = 8;
  D chains[kChains] = {};
  std::int64_t i = 0;
  for (; i + kChains * kDoubles <= n; i += kChains * kDoubles) {
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

/// Three passes over a row that fits the second-level cache, one over memory.
double cross_entropy(float* logits, std::int64_t vocab, std::int32_t target, float scale) {
  const float top = row_max(logits, vocab), chosen = logits[target];
  F sums = splat(0);
  std::int64_t i = 0;
  for (; i + kWidth <= vocab; i += kWidth) {
    const F e = exp(load(logits + i) - top);
    store(logits + i, e);
    sums += e;
  }
  float rest = 0;
  if (i < vocab) {
    const Tail tail{i, static_cast<int>(vocab - i)};
    store(logits, tail, exp(load(logits, tail) - top));
    for (std::int64_t j = i; j < vocab; ++j) rest += logits[j];
  }
  const float total = sum(sums) + rest, factor = scale / total;
  for_each_vector(vocab, [&](auto c) { store(logits, c, load(logits, c) * factor); });
  logits[target] -= scale;
  return __builtin_log(static_cast<double>(total)) + static_cast<double>(top) - static_cast<double>(chosen);
}

}  // namespace

extern const ReduceLoops reduce_loops;
const ReduceLoops reduce_loops = {sum_squares, add_rows, cross_entropy};

}  // namespace shardscope::SS_ISA
