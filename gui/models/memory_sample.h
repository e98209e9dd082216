#pragma once
// A small profile with memory, for tests: three ranks on two steps, device and host, a limit that ranks 1 and 2 pass,
// and a prediction in the same file.

#include "profiler/query/memory_timeline.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {

inline constexpr std::int64_t kSampleMiB = 1 << 20, kSampleStep = 10'000'000;  // ns
inline constexpr std::int64_t kSampleLimit = 40 * kSampleMiB;

inline Program sample_memory_program() {
  Program p;
  const auto buffer = [&p](const char* name, Category category, std::int64_t mib, Space space, bool stays) {
    Buffer b{name, DType::kI8, mib * kSampleMiB, category, space};
    b.persistent = stays;
    return p.add_buffer(b);
  };
  buffer("weights", Category::kParameter, 8, Space::kDevice, true);
  buffer("moments", Category::kOptimizer, 32, Space::kHost, true);
  const BufferId a0 = buffer("h.0.act", Category::kActivation, 9, Space::kDevice, false),
                 a1 = buffer("h.1.act", Category::kActivation, 9, Space::kDevice, false),
                 grad = buffer("grad.1", Category::kGradient, 12, Space::kDevice, false);
  const auto add = [&p](const Op& op, Phase phase, int layer) {
    p.instructions.push_back({op, Lane::kCompute, {phase, layer, 0, p.intern("h." + std::to_string(layer))}, {}});
  };
  add(Alloc{a0}, Phase::kForward, 0);
  add(Alloc{a1}, Phase::kForward, 1);
  add(Alloc{grad}, Phase::kBackward, 1);
  add(Free{a1}, Phase::kBackward, 1);
  add(Free{a0}, Phase::kBackward, 0);
  add(Free{grad}, Phase::kOptimizer, -1);
  return p;
}

/// `extra`: MiB that the second activation of a rank is larger than planned.
inline void record_sample_rank(ProfileWriter& writer, int rank, int extra, int steps) {
  RankTrace* trace = writer.open_rank(rank, sample_memory_program());
  constexpr auto kAct = Category::kActivation, kGrad = Category::kGradient;
  MemoryPeak peak = compute_memory_peak(sample_memory_program());
  for (std::int64_t* bytes : {&peak.peak_bytes[0], &peak.at_peak.bytes[0][static_cast<std::size_t>(kAct)],
                              &peak.peak_by_category.bytes[0][static_cast<std::size_t>(kAct)]})
    *bytes += extra * kSampleMiB;
  for (int step = 0; step < steps; ++step) {
    const std::int64_t t = step * kSampleStep;
    const auto live = [&](int op, std::int64_t at, Category category, int mib) {
      trace->memory({OpId{op}, step, t + at, Space::kDevice, category, mib * kSampleMiB});
    };
    live(0, 1'000'000, kAct, 9);
    live(1, 3'000'000, kAct, 18 + extra);
    live(2, 5'000'000, kGrad, 12);
    live(3, 6'000'000, kAct, 9);
    live(4, 8'000'000, kAct, 0);
    live(5, 9'500'000, kGrad, 0);
    trace->step({step, t, kSampleStep, 1, 1, 1e-3});
  }
  trace->finish(peak, 0);
}

/// Runs 1 (measured) and 2 (its prediction).
inline void record_sample_memory(const std::string& path, int ranks = 3) {
  for (const bool predicted : {false, true}) {
    RunInfo info = shardscope::testing::tiny_run("sample", predicted);
    info.world = ranks;
    info.device_memory_limit = kSampleLimit;
    ProfileWriter writer(path, info);
    for (int rank = 0; rank < ranks; ++rank)
      record_sample_rank(writer, rank, predicted ? 0 : 3 * (rank % 3), predicted ? 1 : 2);
    writer.finish();
    ASSERT_EQ(writer.problem(), "");
  }
}

}  // namespace shardscope::gui
