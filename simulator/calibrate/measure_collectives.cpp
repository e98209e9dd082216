#include "simulator/calibrate/measure_collectives.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "core/engine/thread_communicator.h"
#include "simulator/calibrate/probe_ops.h"
#include "simulator/network/thread_collectives.h"

namespace shardscope {

namespace {

constexpr double kBatchSeconds = 2e-3;
constexpr int kBatches = 5;
constexpr std::array<std::int64_t, 8> kSizes{1 << 8, 1 << 12, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26};

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// One rank's call: `bytes` as collective_bytes() counts them; `send` and `recv` hold that many.
using Call = std::function<void(Communicator&, float* send, float* recv, std::int64_t bytes)>;

struct Probe {
  std::string op;
  Call call;
};

// Sums of 16-bit numbers: only they cost more per byte than those of fp32.
void add_sums(std::vector<Probe>& probes, DType dtype) {
  const std::string suffix = ":" + std::string(to_string(dtype));
  probes.push_back({"all_reduce" + suffix,
                    [=](auto& c, float* a, float*, auto bytes) { c.all_reduce(a, bytes / 2, dtype, ReduceOp::kSum); }});
  probes.push_back({"reduce_scatter" + suffix, [=](auto& c, float* a, float* b, auto bytes) {
                      c.reduce_scatter(a, b, std::max<std::int64_t>(1, bytes / 2 / c.size()), dtype);
                    }});
}

std::vector<Probe> probes() {
  const auto share = [](Communicator& c, std::int64_t bytes) {
    return std::max<std::int64_t>(1, bytes / 4 / c.size());
  };
  std::vector<Probe> all = {
      {"all_reduce",
       [](auto& c, float* a, float*, auto bytes) { c.all_reduce(a, bytes / 4, DType::kF32, ReduceOp::kSum); }},
      {"reduce_scatter",
       [=](auto& c, float* a, float* b, auto bytes) { c.reduce_scatter(a, b, share(c, bytes), DType::kF32); }},
      {"all_gather",
       [=](auto& c, float* a, float* b, auto bytes) { c.all_gather(a, b, share(c, bytes), DType::kF32); }},
      {"broadcast", [](auto& c, float* a, float*, auto bytes) { c.broadcast(a, bytes / 4, DType::kF32, 0); }},
      {"all_to_all",
       [=](auto& c, float* a, float* b, auto bytes) { c.all_to_all(a, b, share(c, bytes), DType::kF32); }},
      {"ring_shift", [](auto& c, float* a, float* b, auto bytes) { c.ring_shift(a, b, bytes / 4, DType::kF32); }}};
  for (const DType dtype : {DType::kBF16, DType::kF16}) add_sums(all, dtype);
  return all;
}

using Ends = std::vector<std::unique_ptr<Communicator>>;

Ends connect_all(ThreadHub& hub, int ranks) {
  Group group{"calibrate", {}, 0};
  for (int r = 0; r < ranks; ++r) group.ranks.push_back(r);
  Ends ends;
  for (int r = 0; r < ranks; ++r) {
    group.self = r;
    ends.push_back(hub.connect(group, Lane::kReduce, r));
  }
  return ends;
}

// Seconds of rank 0's work(), on a thread per rank from a common start.
template <class Work>
double timed_on_all(int ranks, const Work& work) {
  std::barrier start(ranks);
  double seconds = 0;
  const auto run = [&](int rank) {
    start.arrive_and_wait();
    const double begin = now_s();
    work(rank);
    if (rank == 0) seconds = now_s() - begin;
  };
  std::vector<std::jthread> threads;
  for (int r = 1; r < ranks; ++r) threads.emplace_back(run, r);
  run(0);
  threads.clear();
  return seconds;
}

/// Each rank's memory, touched before it is timed.
struct RankMemory {
  explicit RankMemory(std::int64_t bytes)
      : send(static_cast<std::size_t>(bytes / 4 + 16), 0.0F), recv(send.size(), 0.0F) {}
  std::vector<float> send, recv;
};

double measure(const Probe& probe, const Ends& ends, std::vector<RankMemory>& memory, std::int64_t bytes) {
  const auto batch = [&](std::int64_t calls) {
    const double seconds = timed_on_all(static_cast<int>(ends.size()), [&](int rank) {
      const auto r = static_cast<std::size_t>(rank);
      for (std::int64_t i = 0; i < calls; ++i) {
        probe.call(*ends[r], memory[r].send.data(), memory[r].recv.data(), bytes);
      }
    });
    return seconds / static_cast<double>(calls);
  };
  const double once = batch(2);
  const std::int64_t calls = std::clamp<std::int64_t>(static_cast<std::int64_t>(kBatchSeconds / once), 2, 2000);
  std::vector<double> batches;
  for (int b = 0; b < kBatches; ++b) batches.push_back(batch(calls));
  std::sort(batches.begin(), batches.end());
  return batches[kBatches / 4];
}

/// A backend with one product to repeat.
class Computing {
 public:
  Computing(const BackendFactory& make_backend, int rank) : backend_(make_backend(rank, 1)) {
    product_ = make_matmul(probe_, {1, 208, 480, 480, false, false, false, 0});
    memory_.program = &probe_.program();
    memory_.bases[static_cast<int>(Space::kDevice)] = backend_->allocate(Space::kDevice, probe_.size_bytes());
    probe_.fill_memory(base());
  }
  ~Computing() { backend_->release(Space::kDevice, base(), probe_.size_bytes()); }
  Computing(const Computing&) = delete;
  Computing& operator=(const Computing&) = delete;

  Backend& backend() { return *backend_; }
  void compute(int products) {
    for (int i = 0; i < products; ++i) backend_->run(product_, memory_, scalars_, Lane::kCompute);
  }

 private:
  std::byte* base() const { return memory_.bases[static_cast<int>(Space::kDevice)]; }

  std::unique_ptr<Backend> backend_;
  ProbeProgram probe_;
  Op product_;
  Memory memory_;
  StepScalars scalars_;
};

// Seconds of a round: products of some tens of milliseconds on each rank's compute lane, then a meeting.
double round_seconds(const BackendFactory& make_backend, int ranks) {
  constexpr int kProducts = 60, kRounds = 5;
  ThreadHub hub(ranks);
  const Ends ends = connect_all(hub, ranks);
  const double seconds = timed_on_all(ranks, [&](int rank) {
    Computing computing(make_backend, rank);
    Communicator& end = *ends[static_cast<std::size_t>(rank)];
    float value = 0;
    for (int round = 0; round < kRounds; ++round) {
      computing.compute(kProducts);
      computing.backend().call(Lane::kCompute, [&] { end.all_reduce(&value, 1, DType::kF32, ReduceOp::kSum); });
    }
    computing.backend().synchronize();
  });
  return seconds / kRounds;
}

constexpr std::int64_t kCrowdedBytes = 1 << 14;

// Seconds of an all-gather while all ranks compute. The products outlast the collectives.
double crowded_seconds(const BackendFactory& make_backend, int ranks) {
  constexpr int kProducts = 400, kGathers = 30;
  ThreadHub hub(ranks);
  const Ends ends = connect_all(hub, ranks);
  std::atomic<double> seconds = 0;
  timed_on_all(ranks, [&](int rank) {
    Computing computing(make_backend, rank);
    Communicator& end = *ends[static_cast<std::size_t>(rank)];
    std::vector<float> in(kCrowdedBytes / 4), out(in.size());
    computing.compute(kProducts);
    computing.backend().call(Lane::kGather, [&] {
      const auto count = static_cast<std::int64_t>(in.size()) / ranks;
      const double begin = now_s();
      for (int i = 0; i < kGathers; ++i) end.all_gather(in.data(), out.data(), count, DType::kF32);
      if (rank == 0) seconds = (now_s() - begin) / kGathers;
    });
    computing.backend().synchronize();
  });
  return seconds;
}

double middle_round_seconds(const BackendFactory& make_backend, int ranks) {
  std::vector<double> rounds;
  for (int i = 0; i < kBatches; ++i) rounds.push_back(round_seconds(make_backend, ranks));
  std::sort(rounds.begin(), rounds.end());
  return rounds[kBatches / 2];
}

}  // namespace

Curve measure_core_capacity(const BackendFactory& make_backend, int cores, const std::vector<int>& rank_counts) {
  const double uncrowded = middle_round_seconds(make_backend, cores);
  std::vector<CurvePoint> points{{static_cast<double>(cores), static_cast<double>(cores)}};
  for (int ranks : rank_counts) {
    const double work = ranks * uncrowded / middle_round_seconds(make_backend, ranks);
    points.push_back({static_cast<double>(ranks), std::min<double>(work, cores)});
  }
  return Curve(points);
}

Curve measure_crowded_meetings(const BackendFactory& make_backend, const Machine& machine,
                               const std::vector<int>& rank_counts) {
  const ThreadCollectives collectives(machine);
  std::vector<CurvePoint> points;
  for (int ranks : rank_counts) {
    std::vector<double> runs;
    for (int i = 0; i < kBatches; ++i) runs.push_back(crowded_seconds(make_backend, ranks));
    std::sort(runs.begin(), runs.end());
    const double fair_share = machine.capacity(ranks) / (2.0 * ranks);  // a lane that computes, one that meets
    const double fair = collectives.time("all_gather", DType::kF32, ranks, Bytes(kCrowdedBytes)).value / fair_share;
    points.push_back({static_cast<double>(ranks), std::max(runs[kBatches / 4] - fair, 1e-9)});
  }
  return Curve(points);
}

std::vector<CollectiveCurve> measure_collectives(int ranks) {
  ThreadHub hub(ranks);
  const Ends ends = connect_all(hub, ranks);
  std::vector<RankMemory> memory(static_cast<std::size_t>(ranks), RankMemory(kSizes.back()));
  std::vector<CollectiveCurve> curves;
  for (const Probe& probe : probes()) {
    std::vector<CurvePoint> points;
    for (std::int64_t bytes : kSizes) {
      points.push_back({static_cast<double>(bytes), measure(probe, ends, memory, bytes)});
    }
    curves.push_back({probe.op, ranks, Curve(points)});
  }
  return curves;
}

}  // namespace shardscope
