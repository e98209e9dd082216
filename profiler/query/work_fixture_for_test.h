#pragma once
// RankWork by hand, for tests of what is made from it.
//
//   auto made = work_of({{"mm", Activity::kCompute, {0, 100}, 0, 1}}, {{HostKind::kLaunch, {-10, -5}, 1}});
//   divide_time({0, 0, {0, 100}}, made.work, {});

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "profiler/query/rank_work.h"

namespace shardscope::testing {

struct Kernel {
  std::string name;
  Activity activity = Activity::kCompute;
  TimeWindow time;
  std::int64_t wait_ns = 0;
  int correlation = 0;
  int track = 0;
};

struct HostCall {
  HostKind kind = HostKind::kLaunch;
  TimeWindow time;
  int correlation = 0;
  int thread = 0;
};

/// Keeps the ops that the work refers to.
struct MadeWork {
  std::vector<WorkOp> ops;
  RankWork work;
  MadeWork() = default;
  MadeWork(const MadeWork&) = delete;
  MadeWork& operator=(const MadeWork&) = delete;
  MadeWork(MadeWork&& other) noexcept : ops(std::move(other.ops)), work(std::move(other.work)) { work.ops = &ops; }
};

/// One op for each kernel and call; kernels of length 0 or of Activity::kNone are left out.
inline MadeWork work_of(const std::vector<Kernel>& kernels, const std::vector<HostCall>& calls = {}, int rank = 0) {
  MadeWork made;
  made.work.rank = rank;
  int tracks = 1;
  std::vector<std::pair<HostSlice, int>> host;
  for (const Kernel& k : kernels) tracks = std::max(tracks, k.track + 1);
  for (int t = 0; t < tracks; ++t) made.work.tracks.push_back("stream " + std::to_string(t));
  for (const HostCall& call : calls) {
    const auto op = static_cast<std::int32_t>(kernels.size() + host.size());
    host.push_back({{op, tracks + call.thread, call.kind, call.time}, call.correlation});
  }
  std::stable_sort(host.begin(), host.end(),
                   [](const auto& a, const auto& b) { return a.first.time.begin_ns < b.first.time.begin_ns; });
  for (const Kernel& k : kernels) {
    WorkOp op;
    op.kind = k.activity == Activity::kCommunication ? "all_gather"
              : k.activity == Activity::kOffload     ? "copy"
                                                     : "kernel";
    op.name = k.name, op.activity = k.activity, op.on_device = k.activity != Activity::kNone;
    made.ops.push_back(op);
    if (k.time.length() <= 0 || !op.on_device) continue;
    DeviceSlice slice{
        static_cast<std::int32_t>(made.ops.size()) - 1, 0, k.track, k.activity, k.time, 0, -1, std::nullopt};
    slice.wait_ns = std::min(k.wait_ns, k.time.length());
    for (std::size_t i = 0; i < host.size(); ++i)
      if (k.correlation != 0 && host[i].second == k.correlation) slice.launch = static_cast<std::int32_t>(i);
    made.work.device.push_back(slice);
  }
  for (const auto& [slice, correlation] : host) {
    WorkOp op;
    op.kind = "runtime", op.name = "call", op.host = slice.kind;
    made.ops.push_back(op);
    made.work.host.push_back(slice);
  }
  std::stable_sort(made.work.device.begin(), made.work.device.end(),
                   [](const DeviceSlice& a, const DeviceSlice& b) { return a.time.begin_ns < b.time.begin_ns; });
  made.work.ops = &made.ops;
  return made;
}

}  // namespace shardscope::testing
