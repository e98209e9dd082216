#include "profiler/query/op_calibration.h"

#include <cmath>
#include <map>
#include <tuple>

#include "core/error.h"
#include "profiler/query/op_seconds.h"
#include "profiler/query/step_times.h"

namespace shardscope {
namespace {

/// Several ops of one name in a layer and micro-batch are told apart by their order.
using Key = std::tuple<OpLabel, int, int, int>;

struct Times {
  std::size_t order = 0;  ///< in which ops were met
  WorkClass work = WorkClass::kForward;
  double sum_s = 0;
  int ranks = 0;
};

struct NamedOp {
  Key key;
  WorkClass work;
};

std::vector<NamedOp> load_ops(const Profile& profile, std::int64_t run, int rank) {
  std::vector<NamedOp> ops;
  std::map<Key, int> seen;
  Rows rows = profile.rows(
      "SELECT o.kind, o.phase, o.name, o.layer, o.micro_batch, o.lane, o.communication, k.program FROM rank k JOIN op "
      "o "
      "ON o.program = k.program WHERE k.run = ? AND k.rank = ? ORDER BY o.op",
      {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) {
    Key key{{rows.text(0), rows.text(1), rows.text(2)}, rows.small(3), rows.small(4), 0};
    std::get<3>(key) = seen[key]++;
    ops.push_back({std::move(key), work_class(rows.text(5), rows.text(1), rows.integer(6) != 0)});
  }
  return ops;
}

std::map<Key, Times> times_of(const Profile& profile, std::int64_t run) {
  std::map<Key, Times> times;
  std::map<std::int64_t, std::vector<NamedOp>> programs;  // by hash: ranks share them
  std::size_t met = 0;
  for (const RankSeconds& rank : op_seconds(profile, run)) {
    const auto [ops, is_new] = programs.try_emplace(rank.program_hash);
    if (is_new) ops->second = load_ops(profile, run, rank.rank);
    for (std::size_t op = 0; op < std::min(ops->second.size(), rank.seconds.size()); ++op) {
      if (!(rank.seconds[op] > 0)) continue;
      const NamedOp& named = ops->second[op];
      Times& sum = times.try_emplace(named.key, Times{met, named.work}).first->second;
      ++met;
      sum.sum_s += rank.seconds[op];
      ++sum.ranks;
    }
  }
  return times;
}

}  // namespace

std::vector<CalibrationPoint> op_calibration(const Profile& measured, std::int64_t measured_run,
                                             const Profile& predicted, std::int64_t predicted_run) {
  const std::map<Key, Times> in_a = times_of(measured, measured_run), in_b = times_of(predicted, predicted_run);
  std::map<std::size_t, CalibrationPoint> points;  // by order
  for (const auto& [key, a] : in_a) {
    const auto b = in_b.find(key);
    if (b == in_b.end()) continue;
    points[a.order] = {std::get<0>(key), std::get<1>(key),  std::get<2>(key),
                       a.work,           a.sum_s / a.ranks, b->second.sum_s / b->second.ranks};
  }
  if (points.empty()) {
    throw Error(ErrorKind::kConfig, "run " + std::to_string(measured_run) + " of " + measured.path() + " and run " +
                                        std::to_string(predicted_run) + " of " + predicted.path() +
                                        " have no op in common: they are not of the same job");
  }
  std::vector<CalibrationPoint> ordered;
  for (auto& [order, point] : points) ordered.push_back(std::move(point));
  return ordered;
}

CalibrationScore score_of(const std::vector<CalibrationPoint>& points) {
  CalibrationScore score;
  std::vector<double> errors;
  for (const CalibrationPoint& p : points) {
    errors.push_back(std::abs(p.ratio() - 1));
    if (p.ratio() >= 0.5 && p.ratio() <= 2) ++score.within_two;
  }
  score.median_error = quantile(std::move(errors), 0.5);
  return score;
}

}  // namespace shardscope
