// Speed of collectives between threads, and between processes over shared memory and over TCP on this machine, against
// memcpy by the same ranks, in this one run. Median and fastest of some repetitions, all ranks starting together.
// Nothing passes or fails by time.
//
//   collectives_bench [ranks...]      (default: 2)
//
// algbw is bytes / time; a memcpy of the same size reads and writes as much memory as an all-reduce between two ranks.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/executor.h"
#include "core/engine/process/process_hub.h"
#include "core/engine/thread_communicator.h"

namespace shardscope {
namespace {

struct Times {
  double median_us = 0, best_us = 0;
};

/// One rank: runs `work` some times between barriers, and times it.
Times time_together(Hub& hub, std::int64_t bytes, const std::function<void()>& work) {
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

void print_row(const char* between, const char* name, int ranks, std::int64_t bytes, const Times& t, double memcpy_us) {
  std::printf("%-8s %-14s %5d %10lld  %11.1f  %11.1f  %8.2f  %8.2f\n", between, name, ranks,
              static_cast<long long>(bytes), t.median_us, t.best_us, static_cast<double>(bytes) / t.best_us * 1e-3,
              memcpy_us / t.best_us);
}

/// All sizes on one rank. `bytes` is the size of the whole: what every rank has after a gather or before a scatter.
void run_rank(const char* between, Hub& hub, int ranks, int rank) {
  const auto comm = hub.connect(world_group(ranks, rank), Lane::kReduce, rank);
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
    print_row(between, "memcpy", ranks, bytes, copy, copy.best_us);
    print_row(between, "all_reduce", ranks, bytes, reduce, copy.best_us);
    print_row(between, "reduce_scatter", ranks, bytes, scatter, copy.best_us);
    print_row(between, "all_gather", ranks, bytes, gather, copy.best_us);
  }
}

void bench_threads(int ranks) {
  ThreadHub hub(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) threads.emplace_back([&, rank] { run_rank("threads", hub, ranks, rank); });
  for (std::thread& thread : threads) thread.join();
}

/// Forks: no thread of ours may be running.
void bench_processes(const char* between, Transport transport, int ranks) {
  std::fflush(stdout);
  Listener first = Listener::open("127.0.0.1", 0);
  const int port = first.port();
  for (int rank = 0; rank < ranks; ++rank) {
    if (::fork() != 0) continue;
    ProcessHubOptions options;
    options.join = {.rank = rank, .world = ranks, .hosts = {"127.0.0.1"}, .port = port};
    if (rank == 0) options.join.listener = std::move(first);
    options.transport = transport;
    {
      ProcessHub hub(std::move(options));
      run_rank(between, hub, ranks, rank);
      hub.barrier();
    }
    std::fflush(stdout);
    ::_exit(0);
  }
  while (::wait(nullptr) > 0) {
  }
}

void bench(int ranks) {
  bench_threads(ranks);
  if (ranks < 2) return;
  bench_processes("shared", Transport::kShared, ranks);
  bench_processes("tcp", Transport::kTcp, ranks);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  std::printf("%-8s %-14s %5s %10s  %11s  %11s  %8s  %8s\n", "between", "collective", "ranks", "bytes", "median us",
              "best us", "GB/s", "memcpy=1");
  if (argc < 2) shardscope::bench(2);
  for (int i = 1; i < argc; ++i) shardscope::bench(std::max(1, std::atoi(argv[i])));
  return 0;
}
