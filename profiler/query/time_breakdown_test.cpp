#include "profiler/query/time_breakdown.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <numeric>

#include "core/error.h"
#include "profiler/import/test_import.h"
#include "profiler/query/kernel_times.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/trace_for_test.h"
#include "profiler/query/work_fixture_for_test.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::HostCall;
using testing::Kernel;
using testing::RealTrace;
using testing::work_of;

PartTimes parts_of(const RankWork& work, TimeWindow window, std::vector<TimeWindow> missing = {}) {
  return divide_time({0, 0, window}, work, missing).ns;
}

TEST(TimeBreakdown, EveryInstantHasTheFirstClaim) {
  // compute 0-100, gather 50-200 waiting until 120, copy 150-260, optimizer 300-400, nothing 260-300.
  const auto work = work_of({{"mm", Activity::kCompute, {0, 100}},
                             {"gather", Activity::kCommunication, {50, 200}, 70},
                             {"copy", Activity::kOffload, {150, 260}},
                             {"adam", Activity::kOptimizer, {300, 400}}});
  const StepTime step = divide_time({0, 3, {0, 400}}, work.work, {});
  EXPECT_EQ(step.part(TimePart::kCompute), 100);
  EXPECT_EQ(step.part(TimePart::kWaiting), 20);
  EXPECT_EQ(step.part(TimePart::kCommunication), 80);
  EXPECT_EQ(step.part(TimePart::kCopies), 60);
  EXPECT_EQ(step.part(TimePart::kOptimizer), 100);
  EXPECT_EQ(step.part(TimePart::kIdleUnknown), 40);
  EXPECT_EQ(step.communication_ns, 150);
  EXPECT_EQ(step.copies_ns, 110);
  EXPECT_EQ(step.busy_ns, 360);
}

TEST(TimeBreakdown, CommunicationMovesWhereOneOfSeveralDoes) {
  const auto work =
      work_of({{"a", Activity::kCommunication, {0, 100}, 100}, {"b", Activity::kCommunication, {40, 60}, 0}});
  const PartTimes parts = parts_of(work.work, {0, 100});
  EXPECT_EQ(parts[TimePart::kWaiting], 80);
  EXPECT_EQ(parts[TimePart::kCommunication], 20);
}

TEST(TimeBreakdown, AHostThatLaunchesLateIsTheCause) {
  // The device ends at 100 us; the next kernel is launched at 150 and begins at 156.
  const auto work =
      work_of({{"a", Activity::kCompute, {0, 100'000}, 0, 1}, {"b", Activity::kCompute, {156'000, 200'000}, 0, 2}},
              {{HostKind::kLaunch, {-10'000, -5'000}, 1}, {HostKind::kLaunch, {150'000, 155'000}, 2}});
  const PartTimes parts = parts_of(work.work, {0, 200'000});
  EXPECT_EQ(parts[TimePart::kIdleLaunch], 56'000);
}

TEST(TimeBreakdown, AfterASynchronizationNothingIsQueued) {
  const auto work =
      work_of({{"a", Activity::kCompute, {0, 100'000}, 0, 1}, {"b", Activity::kCompute, {156'000, 200'000}, 0, 2}},
              {{HostKind::kLaunch, {-10'000, -5'000}, 1},
               {HostKind::kSync, {20'000, 103'000}, 0},
               {HostKind::kLaunch, {150'000, 155'000}, 2}});
  EXPECT_EQ(parts_of(work.work, {0, 200'000})[TimePart::kIdleSync], 56'000);
}

TEST(TimeBreakdown, DataAndAllocationHaveTheirOwnPart) {
  const auto work =
      work_of({{"a", Activity::kCompute, {0, 100'000}, 0, 1}, {"b", Activity::kCompute, {306'000, 400'000}, 0, 2}},
              {{HostKind::kLaunch, {-10'000, -5'000}, 1},
               {HostKind::kData, {50'000, 200'000}, 0},
               {HostKind::kAllocation, {210'000, 240'000}, 0},
               {HostKind::kLaunch, {300'000, 305'000}, 2}});
  const PartTimes parts = parts_of(work.work, {0, 400'000});
  EXPECT_EQ(parts[TimePart::kIdleData], 100'000);
  EXPECT_EQ(parts[TimePart::kIdleAllocation], 30'000);
  EXPECT_EQ(parts[TimePart::kIdleLaunch], 10'000 + 60'000 + 6'000);
}

TEST(TimeBreakdown, WhatWasLaunchedBeforeWaitsOnTheDevice) {
  const auto work =
      work_of({{"a", Activity::kCompute, {0, 100'000}, 0, 1}, {"b", Activity::kCompute, {150'000, 200'000}, 0, 2}},
              {{HostKind::kLaunch, {-10'000, -5'000}, 1}, {HostKind::kLaunch, {10'000, 15'000}, 2}});
  EXPECT_EQ(parts_of(work.work, {0, 200'000})[TimePart::kIdleQueued], 50'000);
}

TEST(TimeBreakdown, ALaunchOnItsWayIsNoDependency) {
  const auto work =
      work_of({{"a", Activity::kCompute, {0, 100'000}, 0, 1}, {"b", Activity::kCompute, {104'000, 200'000}, 0, 2}},
              {{HostKind::kLaunch, {-10'000, -5'000}, 1}, {HostKind::kLaunch, {97'000, 99'000}, 2}});
  EXPECT_EQ(parts_of(work.work, {0, 200'000})[TimePart::kIdleLaunch], 4'000);
}

TEST(TimeBreakdown, MissingEventsAndGraphsAreNotKnown) {
  auto work = work_of({{"a", Activity::kCompute, {0, 100}}, {"g", Activity::kCompute, {300, 400}}});
  work.ops[1].opaque = true;
  const PartTimes parts = parts_of(work.work, {0, 500}, {{150, 250}, {380, 450}});
  EXPECT_EQ(parts[TimePart::kNotKnown], 100 + 100 + 50);
  EXPECT_EQ(parts[TimePart::kIdleUnknown], 50 + 50 + 50);
}

TEST(TimeBreakdown, GapsNameWhatRanBeforeAndAfter) {
  const auto work = work_of({{"a", Activity::kCompute, {0, 100}}, {"b", Activity::kCompute, {300, 400}}});
  std::vector<IdleGap> gaps;
  divide_time({2, 5, {0, 400}}, work.work, {}, &gaps);
  ASSERT_EQ(gaps.size(), 1U);
  EXPECT_EQ(gaps[0].before, "a");
  EXPECT_EQ(gaps[0].after, "b");
  EXPECT_EQ(gaps[0].time, (TimeWindow{100, 300}));
  EXPECT_EQ(gaps[0].rank, 2);
}

/// Whatever a device and its host did, no nanosecond is lost or counted twice.
TEST(TimeBreakdown, PartsAlwaysAddUpToTheStep) {
  EXPECT_TRUE(rc::check("parts add up", [] {
    const auto number = [](int low, int high) { return *rc::gen::inRange(low, high); };
    std::vector<Kernel> kernels;
    std::vector<HostCall> calls;
    const int n = number(0, 30);
    for (int i = 0; i < n; ++i) {
      const std::int64_t begin = number(-500, 3000) * 100, length = number(0, 400) * 100;
      kernels.push_back(
          {"k", static_cast<Activity>(number(0, 5)), {begin, begin + length}, number(0, 300) * 100, i + 1});
      const std::int64_t launched = begin - number(0, 900) * 100;
      if (number(0, 3) > 0) calls.push_back({HostKind::kLaunch, {launched, launched + number(1, 90) * 100}, i + 1});
      const std::int64_t other = number(-500, 3000) * 100;
      calls.push_back({static_cast<HostKind>(number(1, 4)), {other, other + number(1, 500) * 100}, 0});
    }
    std::vector<TimeWindow> missing;
    for (int i = number(0, 3), from = 0; i > 0; --i) {
      from += number(0, 90'000);
      missing.push_back({from, from + number(0, 30'000)});
    }
    const auto work = work_of(kernels, calls);
    const TimeWindow window{number(-200, 100) * 100, number(100, 3000) * 100};
    const StepTime step = divide_time({0, 0, window}, work.work, missing);
    RC_ASSERT(std::accumulate(step.ns.begin(), step.ns.end(), std::int64_t{0}) == window.length());
    for (std::int64_t ns : step.ns) RC_ASSERT(ns >= 0);
    RC_ASSERT(step.exposed_ns() <= step.communication_ns);
    RC_ASSERT(step.part(TimePart::kCopies) <= step.copies_ns);
  }));
}

TEST(TimeBreakdown, OurOwnRunsAreDividedAsTheirStepsSay) {
  const testing::TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "tiny", 4);
  const Profile profile(path);
  const TimeBreakdown b = time_breakdown(profile, 1);
  ASSERT_EQ(b.steps.size(), 8U);
  EXPECT_EQ(b.source, StepSource::kRecorded);
  // compute 300, optimizer 200, load 100, gather 300-500 of which 400-500 exposed (waiting ended at 350), copy 100
  EXPECT_EQ(b.steps[1].part(TimePart::kCompute), 300'000);
  EXPECT_EQ(b.steps[1].part(TimePart::kOptimizer), 200'000);
  EXPECT_EQ(b.steps[1].part(TimePart::kLoad), 100'000);
  EXPECT_EQ(b.steps[1].part(TimePart::kCommunication), 100'000);
  EXPECT_EQ(b.steps[1].part(TimePart::kCopies), 100'000);
  EXPECT_EQ(b.steps[1].part(TimePart::kIdleUnknown), 200'000);
  const auto recorded = step_breakdown_by_step(profile, 1);
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    EXPECT_NEAR(recorded[i].parts.exposed_communication_s, 1e-9 * double(b.steps[i].exposed_ns()), 1e-12);
    EXPECT_NEAR(recorded[i].parts.compute_s, 1e-9 * double(b.steps[i].part(TimePart::kCompute)), 1e-12);
    EXPECT_NEAR(recorded[i].parts.communication_s, 1e-9 * double(b.steps[i].communication_ns), 1e-12);
  }
  const PartSums all = sum_of(b), first = sum_of(b, 0);
  EXPECT_EQ(all.steps, 6);
  EXPECT_EQ(first.total_ns, 3'000'000);
  EXPECT_EQ(std::accumulate(all.ns.begin(), all.ns.end(), std::int64_t{0}), all.total_ns);
  EXPECT_EQ(time_breakdown(profile, 1, {.rank = 1, .step = 2}).steps.size(), 1U);
  EXPECT_THROW(time_breakdown(profile, 1, {.rank = 9}), Error);
}

/// Two ranks; the second comes 100 us late to the all-reduce of each step.
ImportResult import_two_ranks(const testing::TempFolder& folder) {
  std::vector<std::string> texts;
  for (int rank = 0; rank < 2; ++rank) {
    testing::TraceText trace(rank, 2);
    for (int step = 0; step < 3; ++step) {
      const double t0 = 1000 * step, late = rank == 0 ? 0 : 100;
      trace.step(step, t0, 1000);
      trace.range("enumerate(DataLoader)#_next", t0 + 20, 80);
      trace.kernel("gemm", t0 + 130, 270 + late, t0 + 100);
      trace.collective("allreduce", t0 + 400 + late, 300 - late, 250'000, t0 + 200);
      trace.copy("Memcpy HtoD (Pinned -> Device)", t0 + 650, 100, 1'000'000, t0 + 210);
      trace.range("Optimizer.step#Adam.step", t0 + 700, 200);
      trace.kernel("multi_tensor_apply_kernel", t0 + 800, 100, t0 + 790);
    }
    texts.push_back(trace.text());
  }
  return testing::import_texts(folder, "rank.json", texts);
}

TEST(TimeBreakdown, OfAnImportedRunKnowsWaitingPhasesAndCauses) {
  const testing::TempFolder folder;
  import_two_ranks(folder);
  const Profile profile(folder.file("run.db"));
  const TimeBreakdown b = time_breakdown(profile, 1);
  ASSERT_EQ(b.steps.size(), 6U);
  EXPECT_TRUE(b.remarks.empty());
  const StepTime &first = b.steps[1], &second = b.steps[4];
  EXPECT_EQ(first.part(TimePart::kCompute), 270'000);
  EXPECT_EQ(first.part(TimePart::kWaiting), 100'000);
  EXPECT_EQ(first.part(TimePart::kCommunication), 200'000);
  EXPECT_EQ(first.part(TimePart::kCopies), 50'000);
  EXPECT_EQ(first.part(TimePart::kOptimizer), 100'000);
  EXPECT_EQ(second.part(TimePart::kCompute), 370'000);
  EXPECT_EQ(second.part(TimePart::kWaiting), 0);
  EXPECT_EQ(second.part(TimePart::kCommunication), 200'000);
  // 0-130: the loader runs from 20 to 100, the launch comes at 100; 750-800; 900-1000 is before the next step's kernel.
  EXPECT_EQ(first.part(TimePart::kIdleData), 80'000);
  EXPECT_EQ(first.part(TimePart::kIdleLaunch), 20'000 + 12'000 + 50'000 + 100'000);
  EXPECT_EQ(first.part(TimePart::kIdleQueued), 18'000);
  const PartSums all = sum_of(b);
  EXPECT_EQ(all.steps, 4);
  EXPECT_EQ(std::accumulate(all.ns.begin(), all.ns.end(), std::int64_t{0}), all.total_ns);
}

TEST(KernelTimes, AddUpByName) {
  const testing::TempFolder folder;
  import_two_ranks(folder);
  const Profile profile(folder.file("run.db"));
  const std::vector<KernelTime> kernels = kernel_times(profile, 1, {});
  ASSERT_EQ(kernels.size(), 4U);
  EXPECT_EQ(kernels[0].name, "gemm");
  EXPECT_EQ(kernels[0].count, 6);
  EXPECT_NEAR(kernels[0].total_s, 3 * (270e-6 + 370e-6), 1e-12);
  double share = 0;
  for (const KernelTime& k : kernels) share += k.share;
  EXPECT_NEAR(share, 1, 1e-12);
  EXPECT_EQ(kernel_times(profile, 1, {}, 1, 2).size(), 2U);
  const std::vector<CopyTraffic> copies = copy_traffic(profile, 1);
  ASSERT_EQ(copies.size(), 1U);
  EXPECT_EQ(copies[0].lane, "h2d");
  EXPECT_EQ(copies[0].bytes, 6'000'000);
  EXPECT_NEAR(copies[0].bytes_per_s(), 1e10, 1);
}

TEST(KernelTimes, TheLowerRoofIsTheBound) {
  const testing::TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny", 4);
  const Profile profile(folder.file("run.db"));
  const DeviceRoof roof = device_roof(profile, 1);
  EXPECT_EQ(roof.flops_per_s, 1e9);
  EXPECT_EQ(roof.bytes_per_s, 0);
  const auto matmul = [&](const DeviceRoof& r) {
    for (const KernelTime& k : kernel_times(profile, 1, r))
      if (k.kind == "matmul") return k;
    return KernelTime{};
  };
  const KernelTime alone = matmul(roof);
  EXPECT_TRUE(alone.bound.empty());
  ASSERT_TRUE(alone.intensity && alone.flops_per_s);
  EXPECT_NEAR(*alone.of_roof, *alone.flops_per_s / 1e9, 1e-12);
  EXPECT_EQ(matmul({1e9, 2e9 / *alone.intensity, ""}).bound, "compute");
  EXPECT_EQ(matmul({1e9, 0.5e9 / *alone.intensity, ""}).bound, "memory");
}

TEST(TimeBreakdown, SaysWhatLaunchedIt) {
  testing::TraceText trace(0, 1);
  for (int step = 0; step < 2; ++step) {
    const double at = 2000.0 * step;
    trace.step(step, at, 2000);
    trace.range("forward", at + 10, 300);
    trace.range("attention", at + 100, 100);
    trace.kernel("softmax", at + 400, 50, at + 120);  // runs after its range has ended
    trace.kernel("gemm", at + 500, 200, at + 20);
    trace.kernel("gemm", at + 700, 200, at + 250);
  }
  const testing::TempFolder folder;
  testing::import_texts(folder, "rank0.json", {trace.text()});
  const TimeBreakdown b = time_breakdown(Profile(folder.file("run.db")), 1);
  ASSERT_EQ(b.ranges.size(), 2U);
  EXPECT_EQ(b.ranges[0].name, "forward");
  EXPECT_EQ(b.ranges[0].count, 4);
  EXPECT_EQ(b.ranges[0].total_ns, 800'000);
  EXPECT_EQ(b.ranges[1].name, "attention");
  EXPECT_EQ(b.ranges[1].kind, "annotation");
  EXPECT_EQ(b.ranges[1].total_ns, 100'000);
}

TEST_F(RealTrace, BreakdownAddsUp) {
  const Profile profile(path());
  const TimeBreakdown b = time_breakdown(profile, 1);
  const auto recorded = step_breakdown_by_step(profile, 1);
  ASSERT_EQ(b.steps.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const StepTime& s = b.steps[i];
    EXPECT_EQ(std::accumulate(s.ns.begin(), s.ns.end(), std::int64_t{0}), s.time.length());
    EXPECT_NEAR(recorded[i].parts.exposed_communication_s, 1e-9 * double(s.exposed_ns()), 1e-9);
    EXPECT_NEAR(recorded[i].parts.compute_s, 1e-9 * double(s.part(TimePart::kCompute) + s.part(TimePart::kOptimizer)),
                1e-9);
    EXPECT_GT(s.part(TimePart::kIdleLaunch), s.time.length() / 2);  // eager ResNet, launch-bound
    EXPECT_GT(s.part(TimePart::kOptimizer), 0);
  }
  const auto convolution = std::find_if(b.ranges.begin(), b.ranges.end(),
                                        [](const LaunchedIn& r) { return r.name == "aten::convolution_backward"; });
  ASSERT_NE(convolution, b.ranges.end());
  EXPECT_EQ(convolution->kind, "cpu_op");
  for (const LaunchedIn& r : b.ranges) EXPECT_FALSE(r.kind.empty()) << r.count;  // all of it has its operator
}

}  // namespace
}  // namespace shardscope
