#include "profiler/query/op_device_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"

namespace shardscope {
namespace {

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

WorkOnDevice all_work(const Profile& profile, std::int64_t run) {
  Rows rows = profile.rows(
      "SELECT count(*), ifnull(sum(dur_ns), 0) FROM slice WHERE run = ? AND correlation <> 0 AND "
      "lane GLOB '*gpu* stream *'",
      {Value(run)});
  rows.next();
  return {rows.integer(0), 1e-9 * rows.real(1)};
}

void add(WorkOnDevice& sum, const WorkOnDevice& work) {
  sum.count += work.count;
  sum.total_s += work.total_s;
}

/// Nothing stays nothing.
void add(std::optional<double>& sum, const std::optional<double>& value) {
  if (value) sum = sum.value_or(0) + *value;
}

}  // namespace

DeviceWork op_device_work(const Profile& profile, std::int64_t run) {
  DeviceWork work;
  Rows rows = profile.rows(
      "SELECT program_rank, program_op, program_kind, program_name, count(*), sum(dur_ns) FROM op_device_work WHERE "
      "run = ? GROUP BY program_rank, program_op, program_kind, program_name, range_start_ns ORDER BY 1, 2, 3, 4",
      {Value(run)});
  std::vector<double> executions;
  const auto finish = [&] {
    if (!executions.empty()) work.ops.back().device_s = median(executions);
    executions.clear();
  };
  while (rows.next()) {
    OpDeviceWork op{.rank = rows.small(0), .op = rows.integer(1), .kind = rows.text(2), .name = rows.text(3)};
    const bool same = !work.ops.empty() && std::tie(work.ops.back().rank, work.ops.back().op, work.ops.back().kind,
                                                    work.ops.back().name) == std::tie(op.rank, op.op, op.kind, op.name);
    if (!same) {
      finish();
      work.ops.push_back(std::move(op));
    }
    const WorkOnDevice one{rows.integer(4), 1e-9 * rows.real(5)};
    add(work.ops.back().work, one);
    ++work.ops.back().executions;
    executions.push_back(one.total_s);
  }
  finish();
  if (work.ops.empty()) {
    throw Error(
        ErrorKind::kConfig,
        fmt::format("{}: nothing on a device in run {} was launched for an op of a program; record a run of our "
                    "CUDA backend with calls and ranges: shardscope record -o FILE -- shardscope train ... "
                    "--backend cuda",
                    profile.path(), run));
  }
  work.all = work.of_no_op = all_work(profile, run);
  for (const OpDeviceWork& op : work.ops) {
    work.of_no_op.count -= op.work.count;
    work.of_no_op.total_s -= op.work.total_s;
  }
  return work;
}

void set_beside(DeviceWork& work, const Profile& other, std::int64_t run, std::optional<double> OpDeviceWork::*time) {
  struct Known {
    std::string kind, name;
    double mean_s;
  };
  std::map<std::pair<int, std::int64_t>, Known> known;
  Rows rows = other.rows(
      "SELECT t.rank, t.op, o.kind, o.name, t.total_ns * 1e-9 / t.count FROM op_time t JOIN rank k ON k.run = t.run "
      "AND k.rank = t.rank JOIN op o ON o.program = k.program AND o.op = t.op WHERE t.run = ? AND t.count > 0",
      {Value(run)});
  while (rows.next()) known[{rows.small(0), rows.integer(1)}] = {rows.text(2), rows.text(3), rows.real(4)};
  for (OpDeviceWork& op : work.ops) {
    const auto found = known.find({op.rank, op.op});
    if (found == known.end()) continue;
    if (found->second.kind != op.kind || found->second.name != op.name) {
      throw Error(
          ErrorKind::kConfig,
          fmt::format("{}: run {} is of another program: op {} of rank {} is {} {} there, and {} {} in what was "
                      "recorded; give the profile of the job that was recorded",
                      other.path(), run, op.op, op.rank, found->second.kind, found->second.name, op.kind, op.name));
    }
    op.*time = found->second.mean_s;
  }
}

std::vector<KindDeviceWork> by_kind(const DeviceWork& work) {
  std::map<std::string, KindDeviceWork> kinds;
  for (const OpDeviceWork& op : work.ops) {
    KindDeviceWork& kind = kinds[op.kind];
    kind.kind = op.kind;
    ++kind.ops;
    add(kind.work, op.work);
    kind.device_s += op.device_s;
    add(kind.predicted_s, op.predicted_s);
    add(kind.measured_s, op.measured_s);
  }
  std::vector<KindDeviceWork> list;
  for (auto& [name, kind] : kinds) list.push_back(std::move(kind));
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.device_s > b.device_s; });
  return list;
}

}  // namespace shardscope
