#include "simulator/cost/kernel_models.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/program/program.h"
#include "simulator/cost/interpolate_threads.h"

namespace shardscope {

namespace {

FitSample matmul_sample(double m, double n, double k) {
  FitSample sample;
  sample.log2_sizes = {std::log2(m), std::log2(n), std::log2(k), 0};
  sample.terms = {1, m * n * k, m * n, m * k, k * n, 0};
  return sample;
}

std::map<int, FittedModel> fit_by_threads(const std::map<int, std::vector<FitSample>>& samples) {
  std::map<int, FittedModel> models;
  for (const auto& [threads, list] : samples) models.emplace(threads, FittedModel(list));
  return models;
}

}  // namespace

MatMulModel::MatMulModel(std::span<const MatMulPoint> points) {
  std::map<Key, std::map<int, std::vector<FitSample>>> samples;
  for (const MatMulPoint& p : points) {
    FitSample sample = matmul_sample(p.m, p.n, p.k);
    sample.seconds = p.seconds;
    samples[{p.trans_a, p.trans_b, p.accumulate}][p.threads].push_back(sample);
  }
  for (const auto& [key, by_threads] : samples) models_.emplace(key, fit_by_threads(by_threads));
}

// What was measured of this transposition; else of the same without accumulation; else of plain products.
const std::map<int, FittedModel>& MatMulModel::models_for(const MatMul& op) const {
  for (const Key key :
       {Key{op.trans_a, op.trans_b, op.accumulate}, Key{op.trans_a, op.trans_b, false}, Key{false, false, false}}) {
    if (const auto found = models_.find(key); found != models_.end()) return found->second;
  }
  SS_CHECK(!models_.empty());
  return models_.begin()->second;
}

Seconds MatMulModel::time(const MatMul& op, int threads) const {
  const FitSample where =
      matmul_sample(std::max<double>(op.m, 1), std::max<double>(op.n, 1), std::max<double>(op.k, 1));
  const auto& models = models_for(op);
  return Seconds(interpolate_threads(thread_counts(models), threads,
                                     [&](int t) { return models.at(t).at(where.log2_sizes, where.terms); }));
}

AttentionModel::AttentionModel(std::span<const AttentionPoint> points) {
  std::map<int, std::vector<FitSample>> forward, backward;
  for (const AttentionPoint& p : points) {
    FitSample s = sample({p.batch, p.seq, p.heads, p.kv_heads, p.head_dim, p.seq * p.seq});
    s.seconds = p.seconds / std::ceil(p.batch * p.kv_heads / p.threads);
    (p.backward ? backward : forward)[p.threads].push_back(s);
  }
  forward_ = fit_by_threads(forward);
  backward_ = fit_by_threads(backward);
}

FitSample AttentionModel::sample(const Shape& s) {
  const double group = s.heads / s.kv_heads;
  FitSample sample;
  sample.log2_sizes = {std::log2(s.square) / 2, std::log2(s.head_dim), std::log2(group), 0};
  sample.terms = {1, s.seq * group, s.seq * s.head_dim * group, s.square * group, s.square * s.head_dim * group, 0};
  return sample;
}

Seconds AttentionModel::time(const Shape& shape, bool backward, int threads) const {
  const auto& models = backward ? backward_ : forward_;
  SS_CHECK(!models.empty());
  const FitSample where = sample(shape);
  // The unit's seconds hardly depend on threads, so a number that was not measured takes the nearest that was.
  auto nearest = models.lower_bound(threads);
  if (nearest == models.end()) nearest = std::prev(models.end());
  const double units = std::ceil(shape.batch * shape.kv_heads / threads);
  return Seconds(nearest->second.at(where.log2_sizes, where.terms) * units);
}

template <class Op>
AttentionModel::Shape AttentionModel::shape_of(const Op& op) {
  const auto seq = static_cast<double>(op.seq);
  const double square = std::max(1.0, 2 * visible_pairs(op.span, op.seq) - seq);
  return {double(op.batch), seq, double(op.heads), double(op.kv_heads), double(op.head_dim), square};
}

Seconds AttentionModel::time(const Attention& op, int threads) const { return time(shape_of(op), false, threads); }

Seconds AttentionModel::time(const AttentionBackward& op, int threads) const {
  return time(shape_of(op), true, threads);
}

}  // namespace shardscope
