#include "profiler/query/run_steps.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>

#include "profiler/import/test_import.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::RealTrace;

/// Ops one after another, each 10 ns; a negative one is a pause of that many ns.
std::vector<QueuedWork> queue_of(const std::vector<int>& ops) {
  std::vector<QueuedWork> queue;
  std::int64_t now = 0;
  for (int op : ops) {
    if (op < 0) {
      now -= op;
      continue;
    }
    queue.push_back({op, {now, now + 10}});
    now += 10;
  }
  return queue;
}

std::vector<int> repeated(const std::vector<int>& ops, int times) {
  std::vector<int> all;
  for (int i = 0; i < times; ++i) all.insert(all.end(), ops.begin(), ops.end());
  return all;
}

TEST(RunSteps, AStepBeginsAfterTheLongestPause) {
  const std::vector<int> step = {-50, 1, 2, 3, 2, 3, 2, 3, 4, 5, 6, 7};  // 110 ns of work, then 50 of nothing
  const std::vector<TimeWindow> found = find_repeats(queue_of(repeated(step, 4)));
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0], (TimeWindow{50, 210}));
  EXPECT_EQ(found[1], (TimeWindow{210, 370}));
  EXPECT_EQ(found[3], (TimeWindow{530, 640}));
}

TEST(RunSteps, LayersAndMicroBatchesAreNoSteps) {
  std::vector<int> layer = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, micro_batch = repeated(layer, 12), step;
  for (int op : {20, 21, 22, 23, 24, 25, 26, 27, 28, 29}) micro_batch.push_back(op);
  step = repeated(micro_batch, 4);
  for (int op : {40, 41, 42}) step.push_back(op);  // the optimizer
  step.push_back(-100);
  const std::vector<TimeWindow> found = find_repeats(queue_of(repeated(step, 3)));
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[1].length(), 10 * (4 * 130 + 3) + 100);
}

TEST(RunSteps, StepsThatDifferALittleAndACutEndAreFound) {
  std::vector<int> all;
  for (int i = 0; i < 5; ++i) {
    const auto step = repeated({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 1);
    all.push_back(-30);
    all.push_back(50);
    all.insert(all.end(), step.begin(), step.end());
    if (i == 1 || i == 2) all.push_back(99);
  }
  all.insert(all.end(), {-30, 50, 1, 2});  // cut
  EXPECT_EQ(find_repeats(queue_of(all)).size(), 5U);
}

TEST(RunSteps, WorkThatDoesNotRepeatHasNone) {
  EXPECT_TRUE(find_repeats({}).empty());
  EXPECT_TRUE(find_repeats(queue_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1})).empty());
  EXPECT_TRUE(find_repeats(queue_of(repeated({1}, 100))).empty());
  std::vector<int> two_parts = repeated({1, 2, 3, 4, 5, 6, 7, 8}, 3);  // warming up; then something else for long
  for (int op = 100; op < 200; ++op) two_parts.push_back(op);
  EXPECT_TRUE(find_repeats(queue_of(two_parts)).empty());
}

TEST(RunSteps, PeriodsOfAnyLengthAreFound) {
  EXPECT_TRUE(rc::check("the number of repetitions", [] {
    const int length = *rc::gen::inRange(10, 60), times = *rc::gen::inRange(3, 12);
    std::vector<int> step = {-40, 1000};
    for (int i = 1; i < length; ++i) step.push_back(*rc::gen::inRange(0, 40));
    RC_ASSERT(find_repeats(queue_of(repeated(step, times))).size() == static_cast<std::size_t>(times));
  }));
}

TEST(RunSteps, RecordedOnesAreBelieved) {
  const testing::TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny", 4);
  const RunSteps steps = run_steps(Profile(folder.file("run.db")), 1);
  EXPECT_EQ(steps.source, StepSource::kRecorded);
  EXPECT_EQ(steps.steps.size(), 8U);
  EXPECT_EQ(counted_steps(steps).size(), 6U);
}

/// The A100 trace marks its three steps; without the marks they must be found where they are.
TEST_F(RealTrace, StepsAreFoundWithoutTheirMarks) {
  const RunSteps marked = run_steps(Profile(path()), 1);
  ASSERT_EQ(marked.steps.size(), 3U);
  { Connection(path(), Connection::Mode::kReadWrite).execute("DELETE FROM step"); }
  const RunSteps found = run_steps(Profile(path()), 1);
  EXPECT_EQ(found.source, StepSource::kRepeats);
  ASSERT_EQ(found.steps.size(), 3U);
  // The device lags its host; but step for step they take as long.
  const auto length = [](const RunStep& s) { return static_cast<double>(s.time.length()); };
  EXPECT_NEAR(length(found.steps[1]) / length(marked.steps[1]), 1, 0.1);
}

}  // namespace
}  // namespace shardscope
