// How long does a prediction of 16,384 GPUs take, end to end from the job, and how long suggestions of what would fit
// where it does not? Prints what was lowered for it; with --check it then compares with whole programs, for two
// replicas instead of 32 (half a minute).

#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "core/check.h"
#include "core/engine/arena.h"
#include "core/engine/suggest_fit.h"
#include "simulator/fold/device_peak.h"
#include "simulator/predict.h"
#include "tests/huge_job.h"

namespace shardscope {
namespace {

// DGX H100's figures, as many nodes as it takes.
ClusterSpec cluster_of(int ranks) {
  ClusterSpec cluster;
  cluster.name = "H100";
  cluster.devices_per_node = 8;
  cluster.nodes = ranks / 8;
  cluster.device.name = "H100 SXM";
  cluster.device.peak_flops[static_cast<std::size_t>(DType::kBF16)] = FlopPerSecond(989e12);
  cluster.device.peak_flops[static_cast<std::size_t>(DType::kF32)] = FlopPerSecond(67e12);
  cluster.device.memory = Bytes(80.0 * (1 << 30));
  cluster.device.memory_bandwidth = BytesPerSecond(3.35e12);
  cluster.intra_node = {BytesPerSecond(450e9), microseconds(2)};
  cluster.nic = {BytesPerSecond(50e9), microseconds(6)};
  cluster.pcie = {BytesPerSecond(64e9), microseconds(5)};
  cluster.host_memory = Bytes(2e12);
  cluster.host_memory_bandwidth = BytesPerSecond(600e9);
  return cluster;
}

double time_prediction(const Job& job, const ClusterSpec& cluster, const PredictOptions& options, Prediction& result) {
  PredictStatistics work;
  const auto start = std::chrono::steady_clock::now();
  result = predict(job, cluster, options, &work);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print(
      "{:8.3f} s  {} ranks in {} classes; {} programs lowered ({} whole), {} instructions for {}; {} times slowed{}; "
      "step {:.9f} s\n",
      elapsed.count(), job.parallel.ranks(), result.ranks.size(), work.lowered, work.whole, work.lowered_instructions,
      result.ops, work.slowed, work.again ? ", run again" : "", result.step_time_s);
  return elapsed.count();
}

void time_suggestions(const Job& job, std::int64_t limit) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<FitSuggestion> found = suggest_fit(job, limit, folded_device_peak);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{:8.3f} s  in {}: {}\n", elapsed.count(), format_bytes(limit), describe(found));
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  using namespace shardscope;
  const Job job = gpt3_job(32);
  const ClusterSpec cluster = cluster_of(job.parallel.ranks());
  Prediction folded;
  for (int i = 0; i < 3; ++i) time_prediction(job, cluster, {}, folded);
  for (const int gib : {24, 20, 16, 8, 1}) time_suggestions(job, std::int64_t{gib} << 30);
  if (argc < 2 || std::strcmp(argv[1], "--check") != 0) return 0;
  const Job small = gpt3_job(2);
  Prediction whole;
  time_prediction(small, cluster, {}, folded);
  time_prediction(small, cluster, {.fold_schedule = false}, whole);
  SS_CHECK(folded.step_time_s == whole.step_time_s, folded.step_time_s, whole.step_time_s);
  SS_CHECK(folded.ranks.size() == whole.ranks.size(), folded.ranks.size());
  for (std::size_t r = 0; r < whole.ranks.size(); ++r) {
    SS_CHECK(folded.ranks[r].peak.at_peak == whole.ranks[r].peak.at_peak, r);
    SS_CHECK(folded.ranks[r].breakdown.bubble_s == whole.ranks[r].breakdown.bubble_s, r);
    SS_CHECK(folded.ranks[r].breakdown.exposed_communication_s == whole.ranks[r].breakdown.exposed_communication_s, r);
  }
  fmt::print("equal to whole programs, to the nanosecond and the byte\n");
}
