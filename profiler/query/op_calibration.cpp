#include "profiler/query/op_calibration.h"

#include <cmath>
#include <map>
#include <tuple>

#include "core/error.h"
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
  WorkClass work = WorkClass::kForward;
};

std::vector<NamedOp> load_ops(const Profile& profile, std::int64_t program) {
  std::vector<NamedOp> ops;
  std::map<Key, int> seen;
  Rows rows = profile.rows(
      "SELECT kind, phase, name, layer, micro_batch, lane, communication FROM op WHERE program = ? ORDER BY op",
      {Value(program)});
  while (rows.next()) {
    Key key{{rows.text(0), rows.text(1), rows.text(2)}, rows.small(3), rows.small(4), 0};
    std::get<3>(key) = seen[key]++;
    ops.push_back({std::move(key), work_class(rows.text(5), rows.text(1), rows.integer(6) != 0)});
  }
  return ops;
}

std::map<Key, Times> times_of(const Profile& profile, std::int64_t run) {
  std::map<Key, Times> times;
  std::map<std::int64_t, std::vector<NamedOp>> programs;
  std::size_t met = 0;
  Rows rows = profile.rows(
      "SELECT k.program, t.op, (t.total_ns - t.wait_ns) * 1e-9 / t.count FROM rank k JOIN op_time t ON t.run = k.run "
      "AND "
      "t.rank = k.rank WHERE k.run = ? AND t.count > 0 ORDER BY k.rank, t.op",
      {Value(run)});
  while (rows.next()) {
    const auto [ops, is_new] = programs.try_emplace(rows.integer(0));
    if (is_new) ops->second = load_ops(profile, rows.integer(0));
    const std::int64_t op = rows.integer(1);
    if (op < 0 || static_cast<std::size_t>(op) >= ops->second.size() || !(rows.real(2) > 0)) continue;
    const NamedOp& named = ops->second[static_cast<std::size_t>(op)];
    Times& sum = times.try_emplace(named.key, Times{met++, named.work}).first->second;
    sum.sum_s += rows.real(2);
    ++sum.ranks;
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
  if (in_a.empty() || in_b.empty()) {
    const auto& [profile, run] = in_a.empty() ? std::tie(measured, measured_run) : std::tie(predicted, predicted_run);
    throw Error(ErrorKind::kConfig,
                "run " + std::to_string(run) + " of " + profile.path() + ": no execution of any op was recorded");
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
