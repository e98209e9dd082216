#include "simulator/calibrate/measure_collectives.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "core/engine/thread_communicator.h"

namespace shardscope {

namespace {

constexpr double kBatchSeconds = 2e-3;
constexpr int kBatches = 5;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// One rank's call: `bytes` as collective_bytes() counts them; `send` and `recv` hold that many.
using Call = std::function<void(Communicator&, float* send, float* recv, std::int64_t bytes)>;

struct Probe {
  std::string op;
  Call call;
};

std::vector<Probe> probes() {
  const auto share = [](Communicator& c, std::int64_t bytes) {
    return std::max<std::int64_t>(1, bytes / 4 / c.size());
  };
  return {{"all_reduce",
           [](auto& c, float* a, float*, auto bytes) { c.all_reduce(a, bytes / 4, DType::kF32, ReduceOp::kSum); }},
          {"reduce_scatter",
           [=](auto& c, float* a, float* b, auto bytes) { c.reduce_scatter(a, b, share(c, bytes), DType::kF32); }},
          {"all_gather",
           [=](auto& c, float* a, float* b, auto bytes) { c.all_gather(a, b, share(c, bytes), DType::kF32); }},
          {"broadcast", [](auto& c, float* a, float*, auto bytes) { c.broadcast(a, bytes / 4, DType::kF32, 0); }},
          {"all_to_all",
           [=](auto& c, float* a, float* b, auto bytes) { c.all_to_all(a, b, share(c, bytes), DType::kF32); }}};
}

// One batch of `calls` on every rank; rank 0's seconds per call.
double batch_seconds(const Probe& probe, std::vector<std::unique_ptr<Communicator>>& ends, std::int64_t bytes,
                     std::int64_t calls) {
  const auto floats = static_cast<std::size_t>(bytes / 4 + 16);
  std::barrier start(static_cast<std::ptrdiff_t>(ends.size()));
  double seconds = 0;
  const auto work = [&](std::size_t rank) {
    std::vector<float> send(floats, 0.0F), recv(floats, 0.0F);
    probe.call(*ends[rank], send.data(), recv.data(), bytes);  // touches the pages
    start.arrive_and_wait();
    const double begin = now_s();
    for (std::int64_t i = 0; i < calls; ++i) probe.call(*ends[rank], send.data(), recv.data(), bytes);
    if (rank == 0) seconds = (now_s() - begin) / static_cast<double>(calls);
  };
  std::vector<std::jthread> threads;
  for (std::size_t r = 1; r < ends.size(); ++r) threads.emplace_back(work, r);
  work(0);
  threads.clear();
  return seconds;
}

double measure(const Probe& probe, std::vector<std::unique_ptr<Communicator>>& ends, std::int64_t bytes) {
  const double once = batch_seconds(probe, ends, bytes, 2);
  const std::int64_t calls = std::clamp<std::int64_t>(static_cast<std::int64_t>(kBatchSeconds / once), 2, 2000);
  std::vector<double> batches;
  for (int b = 0; b < kBatches; ++b) batches.push_back(batch_seconds(probe, ends, bytes, calls));
  std::sort(batches.begin(), batches.end());
  return batches[kBatches / 4];
}

}  // namespace

std::vector<CollectiveCurve> measure_collectives(int ranks) {
  ThreadHub hub(ranks);
  Group group{"calibrate", {}, 0};
  for (int r = 0; r < ranks; ++r) group.ranks.push_back(r);
  std::vector<std::unique_ptr<Communicator>> ends;
  for (int r = 0; r < ranks; ++r) {
    group.self = r;
    ends.push_back(hub.connect(group, Lane::kReduce, r));
  }
  std::vector<CollectiveCurve> curves;
  for (const Probe& probe : probes()) {
    std::vector<CurvePoint> points;
    for (std::int64_t bytes : {1 << 8, 1 << 12, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26}) {
      points.push_back({static_cast<double>(bytes), measure(probe, ends, bytes)});
    }
    curves.push_back({probe.op, ranks, Curve(points)});
  }
  return curves;
}

}  // namespace shardscope
