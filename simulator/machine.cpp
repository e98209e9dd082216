#include "simulator/machine.h"

#include <algorithm>
#include <thread>

#include "simulator/cost/op_family.h"
#include "simulator/network/thread_collectives.h"

namespace shardscope {

namespace {

// Guess: a recent x86 server core on fp32 with 256-bit vectors, and its share of a socket's memory.
constexpr double kGuessCorePeak = 60e9;  // FLOP/s
constexpr double kGuessMatMulEfficiency = 0.75, kGuessAttentionEfficiency = 0.25;
constexpr double kGuessCopy = 12e9;          // bytes/s of one core through its caches, read and write counted
constexpr double kGuessMemoryPerCore = 8e9;  // bytes/s past the caches
constexpr double kGuessCache = 4e6;          // bytes

// Guess: an NVMe drive of a server, PCIe 3.0 x4.
constexpr double kGuessDriveRead = 3e9, kGuessDriveWrite = 2e9;  // bytes/s
constexpr double kGuessDriveLatency = 1e-4, kGuessDriveCores = 0.3;

Drive guess_drive() {
  const auto curve = [](double rate) {
    std::vector<CurvePoint> points;
    for (double bytes = 4096; bytes <= 1e9; bytes *= 8) points.push_back({bytes, kGuessDriveLatency + bytes / rate});
    return Curve(points);
  };
  return {curve(kGuessDriveRead), curve(kGuessDriveWrite), 1, kGuessDriveCores};
}

std::vector<int> guessed_thread_counts(int cores) {
  return cores == 1 ? std::vector<int>{1} : std::vector<int>{1, cores};
}

void guess_families(Machine& machine, int threads) {
  for (const std::string& family : all_families()) {
    std::vector<CurvePoint> points;
    for (double work = 256; work <= 1e9; work *= 4) {
      const double in_cache = guess_slowness(family) * work / (kGuessCopy * threads);
      const double past = std::max(0.0, work - kGuessCache) / (kGuessMemoryPerCore * threads);
      points.push_back({work, std::max(in_cache, past) + 2e-7});
    }
    machine.families.push_back({family, threads, Curve(points)});
  }
}

void guess_matmuls(Machine& machine, int threads) {
  const double rate = kGuessCorePeak * kGuessMatMulEfficiency * threads;
  for (double m = 32; m <= 4096; m *= 8) {
    for (double n = 32; n <= 4096; n *= 8) {
      for (double k = 32; k <= 4096; k *= 8) {
        const double traffic = 4 * (m * n + m * k + k * n) / (kGuessCopy * threads);
        machine.matmuls.push_back({threads, m, n, k, false, false, false, 2 * m * n * k / rate + traffic});
      }
    }
  }
}

void guess_attentions(Machine& machine, int threads) {
  const double rate = kGuessCorePeak * kGuessAttentionEfficiency;
  for (bool backward : {false, true}) {
    for (double seq : {64.0, 256.0, 1024.0}) {
      for (double head_dim : {32.0, 128.0}) {
        const double flop = (backward ? 10 : 4) * head_dim * seq * (seq + 1) / 2;
        machine.attentions.push_back({threads, backward, double(threads), seq, 1, 1, head_dim, flop / rate});
      }
    }
  }
}

}  // namespace

int Machine::threads_per_rank(int ranks) const { return std::max(1, cores / std::max(1, ranks)); }

double Machine::capacity(int ranks) const {
  if (ranks <= cores || core_capacity.empty()) return cores;
  return core_capacity.at(std::min<double>(ranks, core_capacity.points().back().x));
}

FlopPerSecond Machine::peak_per_rank(int ranks) const { return machine_peak / std::max(1, ranks); }

Machine default_machine(int cores) {
  Machine machine;
  machine.cores = cores > 0 ? cores : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  machine.name = "uncalibrated machine of " + std::to_string(machine.cores) + " cores";
  machine.source = "Guess: from the number of cores alone; `shardscope calibrate -o machine.json` measures";
  machine.core_capacity = Curve({{static_cast<double>(machine.cores), static_cast<double>(machine.cores)}});
  machine.crowded_meeting = Curve({{2, 3e-4}});
  machine.core_peak = FlopPerSecond(kGuessCorePeak);
  machine.machine_peak = FlopPerSecond(kGuessCorePeak * machine.cores);
  machine.memory_bandwidth = BytesPerSecond(kGuessMemoryPerCore * machine.cores);
  machine.cache = Bytes(kGuessCache);
  machine.op_overhead = microseconds(1);
  machine.wake_latency = microseconds(5);
  machine.step_overhead = microseconds(100);
  machine.drive = guess_drive();
  for (int threads : guessed_thread_counts(machine.cores)) {
    guess_families(machine, threads);
    guess_matmuls(machine, threads);
    guess_attentions(machine, threads);
  }
  for (const char* op :
       {"all_reduce", "reduce_scatter", "all_gather", "broadcast", "all_to_all", "ring_shift", "send", "recv"}) {
    for (int ranks : {2, 4, 8}) {
      machine.collectives.push_back(guess_collective(op, ranks, machine.cores, BytesPerSecond(kGuessCopy)));
    }
  }
  return machine;
}

}  // namespace shardscope
