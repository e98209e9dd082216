// Mixture of experts: which rows go to which expert, and moving them there and back.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/float_rows.h"

namespace shardscope {
namespace {

std::int64_t row_grain(std::int64_t width) { return 1 + kElementGrain / 4 / width; }

/// One row: softmax over E, the k most probable, their weights.
void choose(const Route& op, const Kernel& kernel, std::int64_t row) {
  float* p = kernel.data(op.probabilities) + row * op.experts;
  float* weights = kernel.data(op.weights) + row * op.top_k;
  auto* chosen = kernel.data<std::int32_t>(op.chosen) + row * op.top_k;
  widen(kernel, elements_of(kernel, op.logits), row * op.experts, op.experts, p);
  const double sum = kernel.loops.reduce.exponentials(p, kernel.loops.reduce.row_max(p, op.experts), op.experts);
  kernel.loops.elementwise.scale(p, static_cast<float>(1 / sum), op.experts);
  double kept = 0;
  for (std::int64_t j = 0; j < op.top_k; ++j) {
    std::int64_t best = -1;
    for (std::int64_t e = 0; e < op.experts; ++e) {
      const bool taken = std::find(chosen, chosen + j, e) != chosen + j;
      if (!taken && (best < 0 || p[e] > p[best])) best = e;
    }
    chosen[j] = static_cast<std::int32_t>(best);
    kept += static_cast<double>(p[best]);
  }
  for (std::int64_t j = 0; j < op.top_k; ++j) weights[j] = static_cast<float>(static_cast<double>(p[chosen[j]]) / kept);
}

/// Slots in the order of rows: on one thread, since who comes first decides who is dropped.
void give_slots(const Route& op, const Kernel& kernel) {
  const auto* chosen = kernel.data<std::int32_t>(op.chosen);
  auto *counts = kernel.data<std::int32_t>(op.counts), *slots = kernel.data<std::int32_t>(op.slots),
       *source = kernel.data<std::int32_t>(op.source);
  std::fill_n(counts, op.experts, 0);
  std::fill_n(source, op.source.count, -1);
  const std::int64_t local = op.experts / op.parts;
  for (std::int64_t i = 0; i < op.rows * op.top_k; ++i) {
    const std::int64_t e = chosen[i], place = counts[e]++;
    slots[i] = -1;
    if (place >= op.capacity) continue;
    const std::int64_t slot = (e % local * op.parts + e / local) * op.capacity + place;
    slots[i] = static_cast<std::int32_t>(slot);
    source[slot] = static_cast<std::int32_t>(i);
  }
}

}  // namespace

void run(const Route& op, Kernel& kernel) {
  parallel_for(kernel, op.rows, row_grain(op.experts), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) choose(op, kernel, r);
  });
  give_slots(op, kernel);
}

void run(const LoadBalance& op, Kernel& kernel) {
  const float* p = kernel.data(op.probabilities);
  const auto* counts = kernel.data<std::int32_t>(op.counts);
  double total = 0;
  for (std::int64_t i = 0; i < op.rows * op.experts; ++i) total += static_cast<double>(p[i]) * counts[i % op.experts];
  const auto tokens = static_cast<double>(op.tokens);
  *kernel.data(op.loss) += static_cast<float>(op.scale * static_cast<double>(op.experts) * total / (tokens * tokens));
}

/// The weights are the softmax over the chosen logits alone, so their gradient needs no other logit.
void run(const RouteBackward& op, Kernel& kernel) {
  const float *d_weights = kernel.data(op.d_weights), *weights = kernel.data(op.weights),
              *probabilities = kernel.data(op.probabilities);
  const auto *chosen = kernel.data<std::int32_t>(op.chosen), *counts = kernel.data<std::int32_t>(op.counts);
  const FloatRows d_logits(kernel, op.experts, {{op.d_logits, Access::kWrite}});
  const auto tokens = static_cast<double>(op.tokens);
  const double factor = kernel.scalars.loss_scale * op.scale * static_cast<double>(op.experts) / (tokens * tokens);
  d_logits.for_all(op.rows, row_grain(op.experts), [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t r = first; r < first + count; ++r) {
      float* d = at[0] + (r - first) * op.experts;
      const float* p = probabilities + r * op.experts;
      double balance = 0, mean = 0;
      for (std::int64_t e = 0; e < op.experts; ++e) balance += static_cast<double>(p[e]) * counts[e];
      for (std::int64_t e = 0; e < op.experts; ++e) {
        d[e] = static_cast<float>(factor * static_cast<double>(p[e]) * (counts[e] - balance));
      }
      for (std::int64_t i = r * op.top_k; i < (r + 1) * op.top_k; ++i) {
        mean += static_cast<double>(weights[i]) * static_cast<double>(d_weights[i]);
      }
      for (std::int64_t i = r * op.top_k; i < (r + 1) * op.top_k; ++i) {
        d[chosen[i]] +=
            static_cast<float>(static_cast<double>(weights[i]) * (static_cast<double>(d_weights[i]) - mean));
      }
    }
  });
}

void run(const Dispatch& op, Kernel& kernel) {
  const Elements x = elements_of(kernel, op.x);
  const float* weights = kernel.data(op.weights);
  const auto* source = kernel.data<std::int32_t>(op.source);
  const FloatRows out(kernel, op.hidden, {{op.out, Access::kWrite}});
  const std::int64_t grain = 1 + kElementGrain / op.hidden;
  out.for_all(op.source.count, grain, [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t s = first; s < first + count; ++s) {
      float* to = at[0] + (s - first) * op.hidden;
      if (source[s] < 0) {
        std::fill_n(to, op.hidden, 0.0f);
      } else {
        widen(kernel, x, source[s] / op.top_k * op.hidden, op.hidden, to);
        if (weights != nullptr) kernel.loops.elementwise.scale(to, weights[source[s]], op.hidden);
      }
    }
  });
}

void run(const Combine& op, Kernel& kernel) {
  const Elements y = elements_of(kernel, op.y);
  const float* weights = kernel.data(op.weights);
  const auto* slots = kernel.data<std::int32_t>(op.slots);
  const FloatRows out(kernel, op.hidden, {{op.out, Access::kWrite}});
  float* buffers = kernel.lane.scratch.take<float>(op.hidden * kernel.threads);
  parallel_for(kernel, op.rows, 1 + kElementGrain / op.hidden, [&](std::int64_t begin, std::int64_t end, int thread) {
    out.for_each_block(begin, end, thread, [&](std::int64_t first, std::int64_t count, float* const* at) {
      std::fill_n(at[0], count * op.hidden, 0.0f);
      for (std::int64_t i = first * op.top_k; i < (first + count) * op.top_k; ++i) {
        if (slots[i] < 0) continue;
        const float weight = weights == nullptr ? 1.0f : weights[i];
        const float* answer = floats_at(kernel, y, slots[i] * op.hidden, op.hidden, buffers + thread * op.hidden);
        kernel.loops.elementwise.add_scaled(answer, weight, at[0] + (i / op.top_k - first) * op.hidden, op.hidden);
      }
    });
  });
}

void run(const CombineBackward& op, Kernel& kernel) {
  const Elements y = elements_of(kernel, op.y);
  const auto* slots = kernel.data<std::int32_t>(op.slots);
  const FloatRows d_out(kernel, op.hidden, {{op.d_out, Access::kRead}});
  float *d_weights = kernel.data(op.d_weights), *buffers = kernel.lane.scratch.take<float>(op.hidden * kernel.threads);
  parallel_for(kernel, op.rows, 1 + kElementGrain / op.hidden, [&](std::int64_t begin, std::int64_t end, int thread) {
    d_out.for_each_block(begin, end, thread, [&](std::int64_t first, std::int64_t count, float* const* at) {
      for (std::int64_t i = first * op.top_k; i < (first + count) * op.top_k; ++i) {
        d_weights[i] = 0;
        if (slots[i] < 0) continue;
        const float* answer = floats_at(kernel, y, slots[i] * op.hidden, op.hidden, buffers + thread * op.hidden);
        const float* row = at[0] + (i / op.top_k - first) * op.hidden;
        d_weights[i] = static_cast<float>(kernel.loops.reduce.dot(row, answer, op.hidden));
      }
    });
  });
}

}  // namespace shardscope
