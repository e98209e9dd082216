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
    samples[{p.dtype, p.trans_a, p.trans_b, p.accumulate}][p.threads].push_back(sample);
  }
  for (const auto& [key, by_threads] : samples) models_.emplace(key, fit_by_threads(by_threads));
}

// What was measured of this transposition; else of the same without accumulation; else of plain products. fp16 is taken
// for bf16 where it was not measured, and that for fp32.
const std::map<int, FittedModel>& MatMulModel::models_for(const MatMul& op, DType dtype) const {
  for (const DType known : {dtype, dtype == DType::kF16 ? DType::kBF16 : dtype, DType::kF32}) {
    for (const Key key : {Key{known, op.trans_a, op.trans_b, op.accumulate}, Key{known, op.trans_a, op.trans_b, false},
                          Key{known, false, false, false}}) {
      if (const auto found = models_.find(key); found != models_.end()) return found->second;
    }
  }
  SS_CHECK(!models_.empty());
  return models_.begin()->second;
}

Seconds MatMulModel::time(const MatMul& op, DType dtype, int threads) const {
  const FitSample where =
      matmul_sample(std::max<double>(op.m, 1), std::max<double>(op.n, 1), std::max<double>(op.k, 1));
  const auto& models = models_for(op, dtype);
  return Seconds(interpolate_threads(thread_counts(models), threads,
                                     [&](int t) { return models.at(t).at(where.log2_sizes, where.terms); }));
}

AttentionModel::AttentionModel(std::span<const AttentionPoint> points) {
  std::map<std::pair<DType, bool>, std::map<int, std::vector<FitSample>>> samples;
  for (const AttentionPoint& p : points) {
    FitSample s = sample({p.batch, p.seq, p.heads, p.kv_heads, p.head_dim, p.seq * p.seq});
    s.seconds = p.seconds / std::ceil(p.batch * p.kv_heads / p.threads);
    samples[{p.dtype, p.backward}][p.threads].push_back(s);
  }
  for (const auto& [key, by_threads] : samples) models_.emplace(key, fit_by_threads(by_threads));
}

FitSample AttentionModel::sample(const Shape& s) {
  const double group = s.heads / s.kv_heads;
  FitSample sample;
  sample.log2_sizes = {std::log2(s.square) / 2, std::log2(s.head_dim), std::log2(group), 0};
  sample.terms = {1, s.seq * group, s.seq * s.head_dim * group, s.square * group, s.square * s.head_dim * group, 0};
  return sample;
}

Seconds AttentionModel::time(const Shape& shape, bool backward, DType dtype, int threads) const {
  auto found = models_.find({dtype, backward});
  if (found == models_.end() && dtype == DType::kF16) found = models_.find({DType::kBF16, backward});
  if (found == models_.end()) found = models_.find({DType::kF32, backward});
  SS_CHECK(found != models_.end(), backward);
  const auto& models = found->second;
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

Seconds AttentionModel::time(const Attention& op, DType dtype, int threads) const {
  return time(shape_of(op), false, dtype, threads);
}

Seconds AttentionModel::time(const AttentionBackward& op, DType dtype, int threads) const {
  return time(shape_of(op), true, dtype, threads);
}

}  // namespace shardscope
