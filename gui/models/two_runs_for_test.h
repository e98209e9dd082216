#pragma once
// A profile of two runs that differ, with the prediction of the first: "before" of two ranks, whose second step is
// slower than the others, and "after", whose products are faster and whose gathers wait.

#include "profiler/query/list_runs.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui::testing {

/// One step of a rank. `unit` is the length of a unit in ns, of which a step has about a thousand.
inline void trace_changed_step(RankTrace& trace, int step, std::int64_t t0, std::int64_t unit, std::int64_t product,
                               std::int64_t waits) {
  using namespace shardscope::testing;
  std::int64_t at = t0;
  const auto slice = [&](OpId op, Lane lane, std::int64_t begin, std::int64_t length, std::int64_t wait = 0) {
    trace.slice({op, step, lane, begin, length * unit, wait * unit});
    return begin + length * unit;
  };
  at = slice(kLoadOp, Lane::kCompute, at, 60);
  const std::int64_t product_ends = slice(kMatMulOp, Lane::kCompute, at, product);
  at = std::max(product_ends, slice(kGatherOp, Lane::kGather, at + 100 * unit, 150 + waits, waits));
  at = slice(kCopyOp, Lane::kH2D, at, 80);
  slice(kReduceOp, Lane::kReduce, at + 20 * unit, 120, 10);
  at = slice(kAdamOp, Lane::kCompute, at + 30 * unit, 200);
  trace.step({step, t0, at - t0, 4.0, 1.0, 1e-3});
}

inline void record_changed_run(const std::string& path, const std::string& name, bool predicted, std::int64_t product,
                               std::int64_t waits, int slow_step) {
  ProfileWriter writer(path, shardscope::testing::tiny_run(name, predicted));
  for (int rank = 0; rank < 2; ++rank) {
    RankTrace* trace = writer.open_rank(rank, shardscope::testing::tiny_program(rank, 2));
    for (int step = 0; step < 5; ++step) {
      const std::int64_t slower = step == slow_step ? 150 : 0;
      trace_changed_step(*trace, step, step * 1'200'000, 1000, product + slower, waits);
    }
    MemoryPeak peak;
    peak.peak_bytes[0] = 12288;
    peak.at_peak.bytes[0][static_cast<int>(Category::kParameter)] = predicted ? 6000 : 4096;
    peak.at_peak.bytes[0][static_cast<int>(Category::kActivation)] = predicted ? 6288 : 8192;
    peak.peak_by_category = peak.at_peak;
    trace->finish(peak, 0);
  }
  writer.finish();
  ASSERT_EQ(writer.problem(), "");
}

/// Run 1: before, 2: its prediction, 3: after.
inline void record_two_runs(const std::string& path) {
  record_changed_run(path, "before", false, 420, 40, 1);
  record_changed_run(path, "before", true, 380, 0, -1);
  record_changed_run(path, "after", false, 330, 220, -1);
}

}  // namespace shardscope::gui::testing
