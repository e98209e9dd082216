// Chooses next tokens. All in double, sequence by sequence: the same on every rank that has the same logits.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <vector>

#include "core/engine/random.h"
#include "core/error.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {
namespace {

struct Candidate {
  float logit;
  std::int32_t token;
  /// Whether this one is the more probable, or as probable with the lower number.
  bool operator>(const Candidate& other) const {
    return logit != other.logit ? logit > other.logit : token < other.token;
  }
};
using Candidates = std::vector<Candidate>;

Candidates candidates_of(const Sample& op, const float* logits, std::int64_t sequence) {
  const std::int64_t part = (op.vocab + op.parts - 1) / op.parts;
  Candidates all;
  all.reserve(static_cast<std::size_t>(op.vocab));
  for (std::int64_t token = 0; token < op.vocab; ++token) {
    const float logit = logits[(token / part * op.batch + sequence) * part + token % part];
    all.push_back({logit, static_cast<std::int32_t>(token)});
  }
  return all;
}

bool are_numbers(const Candidates& all) {
  return std::none_of(all.begin(), all.end(), [](const Candidate& c) { return std::isnan(c.logit); });
}

/// Keeps the `count` most probable, in that order.
void keep_most_probable(Candidates& all, std::int64_t count) {
  std::partial_sort(all.begin(), all.begin() + count, all.end(), std::greater<>());
  all.resize(static_cast<std::size_t>(count));
}

/// Keeps the fewest of the most probable whose weights reach `share`.
template <class Weight>
void keep_share(Candidates& all, double share, const Weight& weight) {
  std::make_heap(all.begin(), all.end(), [](const auto& a, const auto& b) { return b > a; });
  auto end = all.end();
  double sum = 0;
  do {
    std::pop_heap(all.begin(), end--, [](const auto& a, const auto& b) { return b > a; });
    sum += weight(*end);
  } while (sum < share && end != all.begin());
  all.erase(all.begin(), end);
}

/// `uniform` in [0, 1).
Candidate draw(const Sample& op, Candidates& all, float top, double uniform) {
  const double inverse = 1 / op.temperature;
  const auto weight = [&](const Candidate& c) { return std::exp((double{c.logit} - double{top}) * inverse); };
  const auto total = [&] {
    double sum = 0;
    for (const Candidate& c : all) sum += weight(c);
    return sum;
  };
  if (op.top_k > 0 && op.top_k < op.vocab) keep_most_probable(all, op.top_k);
  if (op.top_p < 1) keep_share(all, op.top_p * total(), weight);
  double left = uniform * total();
  for (const Candidate& c : all) {
    left -= weight(c);
    if (left < 0) return c;
  }
  return all.back();  // rounding left a little over
}

}  // namespace

void run(const Sample& op, Kernel& kernel) {
  const float* logits = kernel.data(op.logits);
  const auto *starts = kernel.data<std::int32_t>(op.starts), *counts = kernel.data<std::int32_t>(op.counts);
  auto* tokens = kernel.data<std::int32_t>(op.tokens);
  float* logprobs = kernel.data(op.logprobs);
  std::atomic<bool> numbers = true;
  parallel_for(kernel, op.batch, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t b = begin; b < end; ++b) {
      Candidates all = candidates_of(op, logits, b);
      if (!are_numbers(all)) {
        numbers = false;
        return;
      }
      const Candidate top = *std::min_element(all.begin(), all.end(), std::greater<>());
      double total = 0;
      for (const Candidate& c : all) total += std::exp(double{c.logit} - double{top.logit});
      Candidate chosen = top;
      if (op.temperature > 0) {
        chosen = draw(op, all, top.logit, sampling_uniform(kernel.scalars.seed, b, starts[b] + counts[b]));
      }
      tokens[b] = chosen.token;
      logprobs[b] = static_cast<float>(double{chosen.logit} - double{top.logit} - std::log(total));
    }
  });
  if (!numbers) throw Error(ErrorKind::kDevice, "sample: logits are not numbers (NaN)");
}

}  // namespace shardscope
