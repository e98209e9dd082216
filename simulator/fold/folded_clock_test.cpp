// What run_folded() does with the optimizer's step apart; that it equals whole programs is tests/fold_test.cpp's.

#include "simulator/fold/folded_clock.h"

#include <gtest/gtest.h>

#include "simulator/clock/clock_fixture_for_test.h"

namespace shardscope {
namespace {

/// One rank that gathers for 100 ns beside a kernel of 10; the optimizer's step, of 50, waits for the kernel, and for
/// the gather if `waits`.
Program gathering_program(bool waits) {
  ProgramMaker maker;
  const OpId gather = maker.fill(Lane::kGather, 100);
  std::vector<OpId> before{maker.fill(Lane::kCompute, 10)};
  if (waits) before.push_back(gather);
  maker.fill(Lane::kCompute, 50, before, Phase::kOptimizer);
  return maker.program;
}

ClockResult run_apart(const Program& program, const CostModel& costs, FoldedWork& work) {
  SegmentStore store(costs);
  const std::vector<int> segments = store.split(program).segments;
  EXPECT_EQ(segments.size(), 2U);
  const RankPartition one{{0}, {0}, {1}, {{{sharing_group(1), 0, 0, {0}, 1}}}};
  return run_folded(store, costs.resources(), {{&one, {{{segments[0]}, -1, 0}}}, {&one, {{segments, 0, 1}}}}, 0, &work);
}

TEST(FoldedClock, AStepThatMeetsWhatWasBeforeItIsRunWithIt) {
  const WrittenCosts one_core(1);
  for (const bool waits : {false, true}) {
    const Program program = gathering_program(waits);
    FoldedWork work;
    const ClockResult folded = run_apart(program, one_core, work);
    const ClockResult whole = run_clock(flatten(std::span(&program, 1), one_core, false), {});
    EXPECT_EQ(work.again, !waits);
    EXPECT_GT(work.slowed, 0);  // the first kernel, beside the gather
    EXPECT_EQ(folded.end_ns, whole.end_ns);
    EXPECT_EQ(folded.ranks[0].busy_ns, whole.ranks[0].busy_ns);
    EXPECT_EQ(folded.end_ns, 160);  // all on one core
  }
}

TEST(FoldedClock, WithRoomForAllNobodyWaitsForEvents) {
  FoldedWork work;
  EXPECT_EQ(run_apart(gathering_program(false), WrittenCosts(2), work).end_ns, 100);
  EXPECT_EQ(work.slowed, 0);
  EXPECT_FALSE(work.again);
}

}  // namespace
}  // namespace shardscope
