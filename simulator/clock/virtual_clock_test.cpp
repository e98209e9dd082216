#include "simulator/clock/virtual_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>

#include "core/error.h"
#include "simulator/clock/clock_fixture_for_test.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

constexpr Lane kC = Lane::kCompute, kG = Lane::kGather, kR = Lane::kReduce;

std::int64_t step_ns(const Prediction& p) { return to_ns(Seconds(p.step_time_s)); }

TEST(VirtualClock, OpsOfALaneFollowEachOther) {
  ProgramMaker m;
  m.fill(kC, 10), m.fill(kC, 20), m.fill(kC, 30);
  const std::vector<Program> ranks{m.program};
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(1))), 60);  // 10 + 20 + 30
}

TEST(VirtualClock, LanesOverlapAndWaitForEachOther) {
  ProgramMaker m;
  const OpId a = m.fill(kC, 10);
  const OpId g = m.fill(kG, 25, {a});  // 10 .. 35
  const OpId b = m.fill(kC, 5);        // 10 .. 15
  const OpId c = m.fill(kC, 7, {g});   // 35 .. 42
  KeptTrace trace;
  const std::vector<Program> ranks{m.program};
  const Prediction p = simulate(ranks, WrittenCosts(2), {.sink = &trace});
  EXPECT_EQ(step_ns(p), 42);
  EXPECT_EQ(trace.ranks[0].of(g).start_ns, 10);
  EXPECT_EQ(trace.ranks[0].of(b).start_ns, 10);
  EXPECT_EQ(trace.ranks[0].of(c).start_ns, 35);
  // compute 10 + 5 + 7, the gather alone from 15 to 35
  EXPECT_NEAR(p.breakdown.compute_s, 22e-9, 1e-15);
  EXPECT_NEAR(p.breakdown.exposed_communication_s, 20e-9, 1e-15);
  EXPECT_NEAR(p.breakdown.total_s(), p.step_time_s, 1e-15);
}

TEST(VirtualClock, ALaneThatWaitedTakesAMomentToWake) {
  ProgramMaker m;
  const OpId a = m.fill(kC, 10);
  m.fill(kG, 25, {a});  // woken at 10 + 3, ends at 38
  const std::vector<Program> ranks{m.program};
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(2, 1e9, /*wake_ns=*/3))), 38);
}

TEST(VirtualClock, ALaneThatIsLateAnywayDoesNotWait) {
  ProgramMaker m;
  const OpId a = m.fill(kC, 10);
  m.fill(kG, 30);       // 0 .. 30
  m.fill(kG, 25, {a});  // a ended long ago: 30 .. 55, no waking
  const std::vector<Program> ranks{m.program};
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(2, 1e9, 3))), 55);
}

TEST(VirtualClock, StepsRepeatAfterTheirOverhead) {
  ProgramMaker m;
  m.fill(kC, 10);
  KeptTrace trace;
  const std::vector<Program> ranks{m.program};
  const Prediction p = simulate(ranks, WrittenCosts(1, 1e9, 0, /*step_ns=*/5), {.sink = &trace, .steps = 3});
  ASSERT_EQ(trace.ranks[0].steps.size(), 3U);
  EXPECT_EQ(trace.ranks[0].steps[2].start_ns, 30);
  EXPECT_EQ(trace.ranks[0].steps[2].duration_ns, 15);
  EXPECT_EQ(trace.ranks[0].of(OpId{0}, 2).start_ns, 35);
  EXPECT_EQ(step_ns(p), 15);
  EXPECT_NEAR(p.breakdown.bubble_s, 5e-9, 1e-15);
  EXPECT_EQ(p.ops, 3);
}

TEST(VirtualClock, ACollectiveStartsWhenTheLastRankArrives) {
  ProgramMaker early(0, 2), late(1, 2);
  early.fill(kC, 10), late.fill(kC, 50);
  const OpId a = early.all_reduce(kC, 20);
  const OpId b = late.all_reduce(kC, 20);
  KeptTrace trace;
  const std::vector<Program> ranks{early.program, late.program};
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(2), {.sink = &trace})), 70);  // 50 + 20 for both
  EXPECT_EQ(trace.ranks[0].of(a).start_ns, 10);
  EXPECT_EQ(trace.ranks[0].of(a).duration_ns, 60);
  EXPECT_EQ(trace.ranks[0].of(a).wait_ns, 40);
  EXPECT_EQ(trace.ranks[1].of(b).duration_ns, 20);
  EXPECT_EQ(trace.ranks[1].of(b).wait_ns, 0);
}

TEST(VirtualClock, FourRanksOnTwoCoresRunAtHalfSpeed) {
  std::vector<Program> ranks;
  for (int r = 0; r < 4; ++r) {
    ProgramMaker m(r, 4);
    m.fill(kC, 100);
    ranks.push_back(m.program);
  }
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(2))), 200);  // 4 * 100 core-ns on 2 cores
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(4))), 100);
}

TEST(VirtualClock, WhoeverIsLeftSpeedsUp) {
  ProgramMaker a(0, 2), b(1, 2);
  a.fill(kC, 30), b.fill(kC, 100);
  const std::vector<Program> ranks{a.program, b.program};
  KeptTrace trace;
  // One core: both at 1/2 until a has done 30 (at 60); b has 70 left, alone: 60 + 70 = 130.
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(1), {.sink = &trace})), 130);
  EXPECT_EQ(trace.ranks[0].of(OpId{0}).duration_ns, 60);
}

TEST(VirtualClock, CommunicationAndComputeOfARankCompeteForCores) {
  ProgramMaker m;
  m.fill(kC, 40), m.fill(kG, 40);
  const std::vector<Program> ranks{m.program};
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(1))), 80);
}

TEST(VirtualClock, ACollectiveDrawsTheCoresOfAllItsRanks) {
  std::vector<Program> ranks;
  for (int r = 0; r < 4; ++r) {
    ProgramMaker m(r, 4);
    m.all_reduce(kR, 50);
    ranks.push_back(m.program);
  }
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(2))), 100);  // wants 4 of 2 cores: speed 1/2
}

TEST(VirtualClock, ACollectiveThatFindsNoCoreWaitsForTheScheduler) {
  std::vector<Program> ranks;
  for (int r = 0; r < 2; ++r) {
    ProgramMaker m(r, 2);
    m.fill(kC, 100);
    m.all_reduce(kR, 20);
    ranks.push_back(m.program);
  }
  WrittenCosts costs(2);
  costs.crowded_ns = 30;
  KeptTrace trace;
  // Both cores compute when the collective comes: it waits 30 ns and slows nobody, then four want two cores. It ends at
  // 30 + 20 * 2 = 70, when 30 + 20 of the 100 are computed; the rest takes 50 more: 120.
  EXPECT_EQ(step_ns(simulate(ranks, costs, {.sink = &trace})), 120);
  EXPECT_EQ(trace.ranks[0].of(OpId{1}).duration_ns, 70);
  EXPECT_EQ(step_ns(simulate(ranks,
                             [] {
                               WrittenCosts roomy(4);
                               roomy.crowded_ns = 30;
                               return roomy;
                             }())),
            100);
}

TEST(VirtualClock, WaitingForTheSchedulerEndsWhenThereIsRoom) {
  std::vector<Program> ranks;
  for (int r = 0; r < 2; ++r) {
    ProgramMaker m(r, 2);
    m.fill(kC, 50);
    m.all_reduce(kR, 20);
    ranks.push_back(m.program);
  }
  WrittenCosts costs(2);
  costs.crowded_ns = 1000;
  // Would wait 1000 ns among busy cores; they fall idle at 50: 50 + 20.
  EXPECT_EQ(step_ns(simulate(ranks, costs)), 70);
}

TEST(VirtualClock, ASecondResourceSlowsOnlyThoseWhoDrawOnIt) {
  std::vector<Program> ranks;
  for (int r = 0; r < 2; ++r) {
    ProgramMaker m(r, 2);
    m.fill(kC, 100), m.fill(kG, 100);
    ranks.push_back(m.program);
  }
  // Bandwidth 0.5 for two gathers that want 0.5 each: gathers at 1/2 (200 ns), compute untouched on its 4 cores.
  KeptTrace trace;
  EXPECT_EQ(step_ns(simulate(ranks, WrittenCosts(4, 0.5), {.sink = &trace})), 200);
  EXPECT_EQ(trace.ranks[0].of(OpId{0}).duration_ns, 100);
}

TEST(VirtualClock, SameOpsAreCostedOnce) {
  ProgramMaker m;
  for (int i = 0; i < 100; ++i) m.fill(kC, i % 2 == 0 ? 10 : 20);
  const WrittenCosts costs(1);
  const std::vector<Program> ranks{m.program};
  EXPECT_EQ(step_ns(simulate(ranks, costs)), 1500);
  EXPECT_EQ(costs.costed, 2);
}

TEST(VirtualClock, OptimizerAndOffloadAndIdleHaveTheirOwnShare) {
  ProgramMaker m;
  const OpId a = m.fill(kC, 10);
  const OpId b = m.fill(Lane::kD2H, 20, {a});
  m.fill(kC, 30, {b}, Phase::kOptimizer);
  const std::vector<Program> ranks{m.program};
  const Prediction p = simulate(ranks, WrittenCosts(4, 1e9, 0, 4));
  EXPECT_NEAR(p.breakdown.compute_s, 10e-9, 1e-15);
  EXPECT_NEAR(p.breakdown.offload_s, 20e-9, 1e-15);
  EXPECT_NEAR(p.breakdown.optimizer_s, 30e-9, 1e-15);
  EXPECT_NEAR(p.breakdown.bubble_s, 4e-9, 1e-15);
}

TEST(VirtualClock, PipelineWaitsAreBubble) {
  ProgramMaker first(0, 2), second(1, 2);
  first.fill(kC, 100);
  first.add(Send{GroupId{0}, first.buffer(10), 1}, Lane::kSendNext, {OpId{0}}, Phase::kForward);
  second.add(Recv{GroupId{0}, second.buffer(10), 0}, Lane::kRecvPrevious, {}, Phase::kForward);
  second.fill(kC, 50, {OpId{0}});
  const std::vector<Program> ranks{first.program, second.program};
  const Prediction p = simulate(ranks, WrittenCosts(8));
  EXPECT_EQ(step_ns(p), 160);  // 100, 10 to send, 50
  EXPECT_NEAR(p.ranks[1].breakdown.bubble_s, 100e-9, 1e-15);
  EXPECT_NEAR(p.ranks[1].breakdown.exposed_communication_s, 10e-9, 1e-15);
}

TEST(VirtualClock, RefusesCollectivesThatDoNotMatch) {
  ProgramMaker a(0, 2), b(1, 2);
  a.all_reduce(kR, 10), a.all_reduce(kR, 10);
  b.all_reduce(kR, 10);
  const std::vector<Program> ranks{a.program, b.program};
  EXPECT_THROW(simulate(ranks, WrittenCosts(2)), Error);
}

TEST(VirtualClock, RefusesProgramsThatHang) {
  // Each rank waits on one lane for what the other issues only afterwards on the other lane.
  ProgramMaker a(0, 2), b(1, 2);
  const OpId a1 = a.all_reduce(kR, 10);
  a.all_reduce(kG, 10, {a1});
  const OpId b1 = b.all_reduce(kG, 10);
  b.all_reduce(kR, 10, {b1});
  const std::vector<Program> ranks{a.program, b.program};
  try {
    simulate(ranks, WrittenCosts(2));
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("rank 0 waits for ever at op 0 of lane reduce"), std::string::npos)
        << error.what();
  }
}

TEST(VirtualClock, MemoryRowsComeInProgramOrder) {
  ProgramMaker m;
  const BufferId b = m.program.add_buffer({.name = "x", .elements = 16, .category = Category::kActivation});
  m.fill(kC, 10);
  m.add(Alloc{b}, kC, {}, Phase::kForward);
  m.add(Fill{m.program.whole(b), 20}, kC, {}, Phase::kForward);
  m.add(Free{b}, kC, {}, Phase::kForward);
  KeptTrace trace;
  const std::vector<Program> ranks{m.program};
  simulate(ranks, WrittenCosts(1), {.sink = &trace});
  const auto& rows = trace.ranks[0].memories;
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].time_ns, 10);
  EXPECT_EQ(rows[0].live_bytes, 64);
  EXPECT_EQ(rows[0].category, Category::kActivation);
  EXPECT_EQ(rows[1].time_ns, 30);
  EXPECT_EQ(rows[1].live_bytes, 0);
  EXPECT_TRUE(trace.ranks[0].finished);
}

// ---------------------------------------------------------------- properties over random programs

// The same random schedule of lanes on every rank, with times that differ, and collectives all ranks take part in.
std::vector<Program> random_ranks(std::uint32_t seed) {
  std::mt19937 random(seed);
  const int world = 1 + static_cast<int>(random() % 4), ops = 5 + static_cast<int>(random() % 60);
  std::vector<ProgramMaker> makers;
  for (int r = 0; r < world; ++r) makers.emplace_back(r, world);
  for (int i = 0; i < ops; ++i) {
    const Lane lane = std::array{kC, kC, kG, kR}[random() % 4];
    const bool meets = lane != kC && random() % 2 == 0;
    const auto before =
        i > 0 && random() % 3 == 0 ? std::vector<OpId>{OpId{static_cast<int>(random() % i)}} : std::vector<OpId>{};
    const auto ns = static_cast<std::int64_t>(1 + random() % 100);
    for (ProgramMaker& m : makers) {
      meets ? m.all_reduce(lane, ns, before) : m.fill(lane, static_cast<std::int64_t>(1 + random() % 100), before);
    }
  }
  std::vector<Program> ranks;
  for (ProgramMaker& m : makers) ranks.push_back(std::move(m.program));
  return ranks;
}

std::int64_t longest_lane(const std::vector<Program>& ranks, const KeptTrace& ample) {
  std::int64_t longest = 0;
  for (const auto& [rank, trace] : ample.ranks) {
    std::array<std::int64_t, kLanes> sums{};
    for (const SliceEvent& e : trace.slices) sums[static_cast<std::size_t>(e.lane)] += e.duration_ns - e.wait_ns;
    longest = std::max(longest, *std::max_element(sums.begin(), sums.end()));
  }
  return ranks.empty() ? 0 : longest;
}

void expect_same_rows(KeptTrace& a, KeptTrace& b) {
  for (auto& [rank, rows] : a.ranks) {
    const auto& others = b.ranks[rank].slices;
    ASSERT_EQ(rows.slices.size(), others.size());
    for (std::size_t i = 0; i < others.size(); ++i) {
      EXPECT_EQ(rows.slices[i].op, others[i].op);
      EXPECT_EQ(rows.slices[i].start_ns, others[i].start_ns);
      EXPECT_EQ(rows.slices[i].duration_ns, others[i].duration_ns);
    }
  }
}

TEST(VirtualClockProperty, BoundsOrderAndDeterminismHoldForRandomPrograms) {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    const std::vector<Program> ranks = random_ranks(seed);
    KeptTrace ample, scarce, again;
    const std::int64_t free_ns = step_ns(simulate(ranks, WrittenCosts(1000), {.sink = &ample}));
    const double cores = 1 + seed % 3;
    const Prediction tight = simulate(ranks, WrittenCosts(cores, 1), {.sink = &scarce, .steps = 2});
    simulate(ranks, WrittenCosts(cores, 1), {.sink = &again, .steps = 2});
    // Nothing ends before the busiest lane is done; sharing only slows down; cores bound the rate of work.
    EXPECT_GE(free_ns, longest_lane(ranks, ample)) << seed;
    EXPECT_GE(step_ns(tight) + 1, free_ns) << seed;
    double core_ns = 0;
    for (const auto& [rank, trace] : ample.ranks) {
      for (const SliceEvent& e : trace.slices) core_ns += static_cast<double>(e.duration_ns - e.wait_ns);
    }
    EXPECT_GE(static_cast<double>(step_ns(tight)) + 1, core_ns / cores) << seed;
    for (const RankPrediction& rank : tight.ranks) {
      EXPECT_NEAR(rank.breakdown.total_s(), tight.step_time_s, 1e-15 + 1e-9 * tight.step_time_s) << seed;
    }
    expect_same_rows(scarce, again);
    // Every op of every rank ran, after what it waits for.
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      auto& trace = scarce.ranks[static_cast<int>(r)];
      ASSERT_EQ(trace.slices.size(), 2 * ranks[r].instructions.size()) << seed;
      for (std::size_t i = 0; i < ranks[r].instructions.size(); ++i) {
        const SliceEvent& e = trace.of(OpId{static_cast<std::int32_t>(i)});
        for (OpId before : ranks[r].instructions[i].after) {
          const SliceEvent& b = trace.of(before);
          EXPECT_GE(e.start_ns, b.start_ns + b.duration_ns) << seed;
        }
      }
    }
  }
}

}  // namespace
}  // namespace shardscope
