#include "profiler/query/op_differences.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

/// The labels of both runs' ops, each once.
class Labels {
 public:
  std::size_t index(const OpLabel& label, WorkClass work) {
    const auto [known, is_new] = known_.try_emplace(label, ops_.size());
    if (is_new) ops_.push_back({.label = label, .work = work});
    return known->second;
  }
  std::vector<OpDifference> take() { return std::move(ops_); }
  OpDifference& operator[](std::size_t i) { return ops_[i]; }

 private:
  std::map<OpLabel, std::size_t> known_;
  std::vector<OpDifference> ops_;
};

using Programs = std::map<std::int64_t, std::vector<std::size_t>>;  ///< by program: of each op its label

Programs load_labels(const Profile& profile, std::int64_t run, Labels& labels) {
  Programs programs;
  Rows rows = profile.rows(
      "SELECT o.program, o.op, o.kind, o.phase, o.name, o.lane, o.communication FROM op o WHERE o.program IN (SELECT "
      "program FROM rank WHERE run = ?) ORDER BY o.program, o.op",
      {Value(run)});
  while (rows.next()) {
    std::vector<std::size_t>& ops = programs[rows.integer(0)];
    if (rows.integer(1) != static_cast<std::int64_t>(ops.size()))
      throw Error(ErrorKind::kParse, profile.path() + ": damaged (ops of a program have gaps)");
    ops.push_back(labels.index({rows.text(2), rows.text(3), rows.text(4)},
                               work_class(rows.text(5), rows.text(3), rows.integer(6) != 0)));
  }
  return programs;
}

/// What sums over all ranks and steps are divided by.
double ranks_and_steps(const Profile& profile, std::int64_t run) {
  Rows rows = profile.rows("SELECT count(*) FROM step WHERE run = ?", {Value(run)});
  return rows.next() ? std::max<double>(1, static_cast<double>(rows.integer(0))) : 1;
}

bool is_running(const Profile& profile, std::int64_t run) {
  Rows rows = profile.rows("SELECT status FROM run WHERE id = ?", {Value(run)});
  return rows.next() && rows.text(0) == "running";
}

void add_times(const Profile& profile, std::int64_t run, Labels& labels, double OpDifference::*seconds,
               double OpDifference::*count) {
  const Programs programs = load_labels(profile, run, labels);
  const double each = 1 / ranks_and_steps(profile, run);
  const std::string sql = "SELECT k.program, t.op, t.count, t.total_ns FROM rank k JOIN " +
                          std::string(is_running(profile, run) ? "op_time" : "op_total") +
                          " t ON t.run = k.run AND t.rank = k.rank WHERE k.run = ?";
  Rows rows = profile.rows(sql, {Value(run)});
  const std::vector<std::size_t>* ops = nullptr;
  std::int64_t program = -1;
  while (rows.next()) {
    if (ops == nullptr || rows.integer(0) != program) {
      program = rows.integer(0);
      const auto found = programs.find(program);
      if (found == programs.end()) continue;
      ops = &found->second;
    }
    const std::int64_t op = rows.integer(1);
    if (op < 0 || static_cast<std::size_t>(op) >= ops->size()) continue;
    OpDifference& sum = labels[(*ops)[static_cast<std::size_t>(op)]];
    sum.*count += static_cast<double>(rows.integer(2)) * each;
    sum.*seconds += static_cast<double>(rows.integer(3)) * 1e-9 * each;
  }
}

std::set<std::pair<std::int64_t, std::int64_t>> ops_called(const Profile& profile, std::int64_t run,
                                                           const OpLabel& label, std::set<std::string>& lanes) {
  std::set<std::pair<std::int64_t, std::int64_t>> ops;
  Rows rows = profile.rows(
      "SELECT program, op, lane FROM op WHERE program IN (SELECT program FROM rank WHERE run = ?) AND kind = ? AND "
      "phase "
      "= ? AND name = ?",
      {Value(run), Value(label.kind), Value(label.phase), Value(label.name)});
  while (rows.next()) {
    ops.insert({rows.integer(0), rows.integer(1)});
    lanes.insert(rows.text(2));
  }
  return ops;
}

}  // namespace

std::string to_string(const OpLabel& label) {
  return label.kind + (label.name.empty() ? "" : " " + label.name) +
         (label.phase.empty() ? "" : " (" + label.phase + ")");
}

std::vector<OpDifference> op_differences(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                                         std::int64_t run_b) {
  Labels labels;
  add_times(profile_a, run_a, labels, &OpDifference::a_s, &OpDifference::a_count);
  add_times(profile_b, run_b, labels, &OpDifference::b_s, &OpDifference::b_count);
  std::vector<OpDifference> ops = labels.take();
  std::erase_if(ops, [](const OpDifference& op) { return op.a_count == 0 && op.b_count == 0; });
  const auto in_both = [](const OpDifference& op) { return op.a_count > 0 && op.b_count > 0; };
  if (ops.empty()) {
    throw Error(ErrorKind::kConfig, "no execution of any op was recorded, neither in run " + std::to_string(run_a) +
                                        " of " + profile_a.path() + " nor in run " + std::to_string(run_b) + " of " +
                                        profile_b.path());
  }
  if (std::none_of(ops.begin(), ops.end(), in_both)) {
    throw Error(ErrorKind::kConfig, "run " + std::to_string(run_a) + " of " + profile_a.path() + " and run " +
                                        std::to_string(run_b) + " of " + profile_b.path() +
                                        " have no op of the same kind and name in common");
  }
  double all = 0;
  for (const OpDifference& op : ops) all += std::abs(op.delta_s());
  for (OpDifference& op : ops) op.share = all > 0 ? std::abs(op.delta_s()) / all : 0;
  std::stable_sort(ops.begin(), ops.end(),
                   [](const OpDifference& x, const OpDifference& y) { return x.share > y.share; });
  return ops;
}

std::vector<double> op_durations(const Profile& profile, std::int64_t run, const OpLabel& label) {
  std::set<std::string> lanes;
  const auto ops = ops_called(profile, run, label, lanes);
  std::vector<double> seconds;
  Rows rows = profile.rows(
      "SELECT k.program, t.lane, c.start_ns, c.data FROM track t JOIN rank k ON k.run = t.run AND k.rank = t.rank JOIN "
      "slice_chunk c ON c.track = t.id WHERE t.run = ?",
      {Value(run)});
  while (rows.next()) {
    if (lanes.count(rows.text(1)) == 0) continue;
    const std::int64_t program = rows.integer(0);
    const bool whole = decode_slices(rows.bytes(3), rows.integer(2), [&](const SliceEvent& e) {
      if (ops.count({program, e.op.index}) != 0) seconds.push_back(static_cast<double>(e.duration_ns) * 1e-9);
    });
    if (!whole) throw Error(ErrorKind::kParse, profile.path() + ": damaged (slice_chunk.data)");
  }
  return seconds;
}

}  // namespace shardscope
