#pragma once
// Profiles of many slices for the benches of the timeline and the window: ranks with four lanes each, steps of a
// hundred ops, each rank a little late.
//
//   record_big_profile("big.db", {.ranks = 64, .slices = 10'000'000});

#include <cstdint>
#include <string>

#include "core/check.h"
#include "profiler/store/profile_writer.h"

namespace shardscope {

struct BigProfile {
  int ranks = 64;
  std::int64_t slices = 1'000'000;  ///< about as many
};

inline constexpr int kBigLanes = 4, kBigOpsPerStep = 100;
inline constexpr std::int64_t kBigOpNs = 10'000;

inline Program big_program(int ranks) {
  Program p;
  p.world = ranks;
  p.groups.push_back({"dp", {}, 0});
  for (int r = 0; r < ranks; ++r) p.groups[0].ranks.push_back(r);
  const Region a = p.whole(p.add_buffer({"a", DType::kF32, 1024, Category::kParameter}));
  const Region full = p.whole(p.add_buffer({"full", DType::kF32, std::int64_t{1024} * ranks, Category::kBucket}));
  const auto add = [&p](const Op& op, Lane lane, Phase phase) {
    p.instructions.push_back({op, lane, {phase, 0, 0, p.intern("h.0")}, {}});
  };
  add(MatMul{a, a, {}, a, 32, 32, 32}, Lane::kCompute, Phase::kForward);
  add(MatMul{a, a, {}, a, 32, 32, 32}, Lane::kCompute, Phase::kBackward);
  add(AllGather{GroupId{0}, a, full}, Lane::kGather, Phase::kForward);
  add(ReduceScatter{GroupId{0}, full, a}, Lane::kReduce, Phase::kBackward);
  add(Copy{a, a}, Lane::kH2D, Phase::kForward);
  return p;
}

inline void trace_big_step(RankTrace& trace, int rank, int step) {
  const std::int64_t t0 = std::int64_t{step} * kBigOpsPerStep * kBigOpNs;
  for (int i = 0; i < kBigOpsPerStep; ++i) {
    const std::int64_t at = t0 + i * kBigOpNs + (rank * 37 + i * 11 + step * 7) % 1000;
    const bool back = i * 2 > kBigOpsPerStep;
    trace.slice({OpId{back ? 1 : 0}, step, Lane::kCompute, at, 6'000 + (i * 131 + rank * 17) % 3000, 0});
    trace.slice({OpId{2}, step, Lane::kGather, at + 2'000, 3'000, 500});
    trace.slice({OpId{3}, step, Lane::kReduce, at + 4'000, 4'000, 1'000});
    trace.slice({OpId{4}, step, Lane::kH2D, at, 1'000, 0});
  }
  trace.step({step, t0, kBigOpsPerStep * kBigOpNs, 0, 0, 0});
}

/// Returns the number of slices.
inline std::int64_t record_big_profile(const std::string& path, BigProfile size) {
  RunInfo info;
  info.name = "bench";
  info.predicted = true;  // such a writer waits for the disk rather than drop
  info.world = size.ranks;
  info.job_json = "{}";
  const std::int64_t per_step = std::int64_t{size.ranks} * kBigLanes * kBigOpsPerStep;
  const auto steps = static_cast<int>((size.slices + per_step - 1) / per_step);
  ProfileWriter writer(path, info);
  for (int rank = 0; rank < size.ranks; ++rank) {
    RankTrace* trace = writer.open_rank(rank, big_program(size.ranks));
    for (int step = 0; step < steps; ++step) trace_big_step(*trace, rank, step);
    trace->finish({}, 0);
  }
  writer.finish();
  SS_CHECK(writer.problem().empty(), writer.problem());
  return per_step * steps;
}

}  // namespace shardscope
