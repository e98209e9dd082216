// Speed of the thread communicator against memcpy by the same threads, in this one run. Median and fastest of some
// repetitions, all ranks starting together. Nothing passes or fails by time.
//
//   collectives_bench [ranks...]      (default: 2)
//
// algbw is bytes / time; a memcpy of the same size reads and writes as much memory as an all-reduce between two ranks.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/executor.h"
#include "core/engine/thread_communicator.h"

namespace shardscope {
namespace {

struct Times {
  double median_us = 0, best_us = 0;
};

/// One rank's thread: runs `work` some times between barriers, and times it.
Times time_together(ThreadHub& hub, std::int64_t bytes, const std::function<void()>& work) {
  const int repetitions = bytes <= (1 << 16) ? 1000 : bytes <= (8 << 20) ? 60 : 9;
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    hub.barrier();
    const std::int64_t start = steady_now_ns();
    work();
    times.push_back(static_cast<double>(steady_now_ns() - start) * 1e-3);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

void print_row(const char* name, int ranks, std::int64_t bytes, const Times& t, double memcpy_us) {
  std::printf("%-14s %5d %10lld  %11.1f  %11.1f  %8.2f  %8.2f\n", name, ranks, static_cast<long long>(bytes),
              t.median_us, t.best_us, static_cast<double>(bytes) / t.best_us * 1e-3, memcpy_us / t.best_us);
}

/// All sizes on one rank. `bytes` is the size of the whole: what every rank has after a gather or before a scatter.
void run_rank(ThreadHub& hub, int ranks, int rank) {
  Group group{.name = "dp", .ranks = {}, .self = rank};
  for (int r = 0; r < ranks; ++r) group.ranks.push_back(r);
  const auto comm = hub.connect(group, Lane::kReduce, rank);
  for (const std::int64_t bytes : {std::int64_t{1} << 10, std::int64_t{1} << 14, std::int64_t{1} << 18,
                                   std::int64_t{1} << 22, std::int64_t{1} << 26}) {
    const std::int64_t count = bytes / 4, slice = count / ranks;
    std::vector<float> data(static_cast<std::size_t>(count), 0.0F), other(data.size(), 1.0F);
    float* const own = data.data() + rank * slice;
    const Times copy = time_together(hub, bytes, [&] {
      std::memcpy(data.data(), other.data(), static_cast<std::size_t>(bytes));
      asm volatile("" : : "r"(data.data()) : "memory");  // the compiler may not leave the copy out
    });
    std::fill(data.begin(), data.end(), 0.0F);
    const Times reduce =
        time_together(hub, bytes, [&] { comm->all_reduce(data.data(), count, DType::kF32, ReduceOp::kSum); });
    const Times scatter =
        time_together(hub, bytes, [&] { comm->reduce_scatter(data.data(), own, slice, DType::kF32); });
    const Times gather = time_together(hub, bytes, [&] { comm->all_gather(own, data.data(), slice, DType::kF32); });
    if (rank != 0) continue;
    print_row("memcpy", ranks, bytes, copy, copy.best_us);
    print_row("all_reduce", ranks, bytes, reduce, copy.best_us);
    print_row("reduce_scatter", ranks, bytes, scatter, copy.best_us);
    print_row("all_gather", ranks, bytes, gather, copy.best_us);
  }
}

void bench(int ranks) {
  ThreadHub hub(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) threads.emplace_back([&, rank] { run_rank(hub, ranks, rank); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  std::printf("%-14s %5s %10s  %11s  %11s  %8s  %8s\n", "collective", "ranks", "bytes", "median us", "best us", "GB/s",
              "memcpy=1");
  if (argc < 2) shardscope::bench(2);
  for (int i = 1; i < argc; ++i) shardscope::bench(std::max(1, std::atoi(argv[i])));
  return 0;
}
