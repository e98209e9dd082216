// Mixture of experts in double precision.
#include <algorithm>
#include <cmath>

#include "kernels/conformance/reference.h"

namespace shardscope::reference {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

Doubles softmax(const Doubles& logits, std::int64_t row, std::int64_t n) {
  Doubles p(logits.begin() + row * n, logits.begin() + (row + 1) * n);
  const double top = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& v : p) sum += v = std::exp(v - top);
  for (double& v : p) v /= sum;
  return p;
}

}  // namespace

Routing route(const Route& op, const Doubles& logits) {
  Routing r{{}, {}, {}, Doubles(at(op.experts)), {}, Doubles(at(op.experts * op.capacity), -1)};
  for (std::int64_t row = 0; row < op.rows; ++row) {
    const Doubles p = softmax(logits, row, op.experts);
    r.probabilities.insert(r.probabilities.end(), p.begin(), p.end());
    std::vector<std::int64_t> order(p.size());
    for (std::int64_t e = 0; e < op.experts; ++e) order[at(e)] = e;
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return p[at(a)] > p[at(b)]; });
    double kept = 0;
    for (std::int64_t j = 0; j < op.top_k; ++j) kept += p[at(order[at(j)])];
    for (std::int64_t j = 0; j < op.top_k; ++j) {
      const std::int64_t e = order[at(j)], local = op.experts / op.parts, owner = e / local;
      const auto place = static_cast<std::int64_t>(r.counts[at(e)]++);
      const std::int64_t slot = ((e - owner * local) * op.parts + owner) * op.capacity + place;
      r.weights.push_back(p[at(e)] / kept);
      r.chosen.push_back(static_cast<double>(e));
      r.slots.push_back(place < op.capacity ? static_cast<double>(slot) : -1);
      if (place < op.capacity) r.source[at(slot)] = static_cast<double>(row * op.top_k + j);
    }
  }
  return r;
}

double load_balance(const LoadBalance& op, const Doubles& probabilities, const Doubles& counts) {
  double total = 0;
  for (std::int64_t e = 0; e < op.experts; ++e) {
    double mean = 0;
    for (std::int64_t r = 0; r < op.rows; ++r) mean += probabilities[at(r * op.experts + e)];
    total += counts[at(e)] / static_cast<double>(op.tokens) * (mean / static_cast<double>(op.tokens));
  }
  return op.scale * static_cast<double>(op.experts) * total;
}

/// Through the probabilities: weights are quotients of them, and the softmax's own gradient comes last.
Doubles route_backward(const RouteBackward& op, const Routing& routing, const Doubles& d_weights) {
  Doubles d_logits;
  for (std::int64_t r = 0; r < op.rows; ++r) {
    const double* p = routing.probabilities.data() + r * op.experts;
    Doubles d_p;
    for (std::int64_t e = 0; e < op.experts; ++e) {
      const double share = routing.counts[at(e)] / static_cast<double>(op.tokens);
      d_p.push_back(op.scale * static_cast<double>(op.experts) * share / static_cast<double>(op.tokens));
    }
    double kept = 0, mean = 0;
    for (std::int64_t i = r * op.top_k; i < (r + 1) * op.top_k; ++i) {
      kept += p[at(static_cast<std::int64_t>(routing.chosen[at(i)]))];
      mean += routing.weights[at(i)] * d_weights[at(i)];
    }
    for (std::int64_t i = r * op.top_k; i < (r + 1) * op.top_k; ++i) {
      d_p[at(static_cast<std::int64_t>(routing.chosen[at(i)]))] += (d_weights[at(i)] - mean) / kept;
    }
    double sum = 0;
    for (std::int64_t e = 0; e < op.experts; ++e) sum += p[e] * d_p[at(e)];
    for (std::int64_t e = 0; e < op.experts; ++e) d_logits.push_back(p[e] * (d_p[at(e)] - sum));
  }
  return d_logits;
}

Doubles dispatch(const Dispatch& op, const Doubles& x, const Doubles& source, const Doubles& weights) {
  Doubles out;
  for (const double from : source) {
    const auto place = static_cast<std::int64_t>(from);
    const double weight = place < 0 ? 0 : (weights.empty() ? 1 : weights[at(place)]);
    for (std::int64_t h = 0; h < op.hidden; ++h) {
      out.push_back(place < 0 ? 0 : weight * x[at(place / op.top_k * op.hidden + h)]);
    }
  }
  return out;
}

Doubles combine(const Combine& op, const Doubles& y, const Doubles& slots, const Doubles& weights) {
  Doubles out(at(op.rows * op.hidden));
  for (std::int64_t i = 0; i < op.rows * op.top_k; ++i) {
    const auto slot = static_cast<std::int64_t>(slots[at(i)]);
    if (slot < 0) continue;
    for (std::int64_t h = 0; h < op.hidden; ++h) {
      out[at(i / op.top_k * op.hidden + h)] += (weights.empty() ? 1 : weights[at(i)]) * y[at(slot * op.hidden + h)];
    }
  }
  return out;
}

}  // namespace shardscope::reference
