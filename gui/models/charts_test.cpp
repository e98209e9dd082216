#include "gui/models/charts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gui/models/sample_runs.h"

namespace shardscope::gui {
namespace {

std::vector<std::string> series_names(const BarChart& chart) {
  std::vector<std::string> names;
  for (const BarSeries& series : chart.series) names.push_back(series.name);
  return names;
}

TEST(Charts, StepPartsAddUpToTheMeanStep) {
  const BarChart chart = step_chart(sample_runs());
  ASSERT_EQ(chart.bars.size(), 3U);
  EXPECT_DOUBLE_EQ(chart.bars[0].total(), 0.240);
  EXPECT_EQ(chart.unit, BarUnit::kSeconds);
  EXPECT_FALSE(chart.bars[0].predicted);
  EXPECT_TRUE(chart.bars[1].predicted);
}

TEST(Charts, NameOnlyWhatIsInThePicture) {
  EXPECT_THAT(series_names(step_chart(sample_runs())),
              testing::ElementsAre("compute", "optimizer", "exposed communication", "idle"));
  EXPECT_THAT(series_names(memory_chart(sample_runs())), testing::ElementsAre("parameters", "activations"));
}

TEST(Charts, AColourMeansTheSameWhateverElseIsShown) {
  std::vector<RunSummary> runs = sample_runs();
  const Rgb before = step_chart(runs).series.back().colour;
  for (RunSummary& run : runs) run.parts.optimizer_s = 0;
  EXPECT_EQ(step_chart(runs).series.back().name, "idle");
  EXPECT_EQ(step_chart(runs).series.back().colour, before);
}

TEST(Charts, MemoryAddsUpToThePeak) {
  const BarChart chart = memory_chart(sample_runs());
  ASSERT_EQ(chart.bars.size(), 3U);
  EXPECT_DOUBLE_EQ(chart.bars[0].total(), 100 << 20);
  EXPECT_EQ(chart.bars[0].note, "rank 3");
}

TEST(Charts, RunsWithoutStepsOrMemoryAreLeftOut) {
  RunSummary empty;
  empty.run.name = "killed early";
  EXPECT_TRUE(step_chart({empty}).bars.empty());
  EXPECT_TRUE(memory_chart({empty}).bars.empty());
  EXPECT_FALSE(step_chart({empty}).empty_text.empty());
}

TEST(PairPredictions, PutsEachBehindItsMeasuredRun) {
  const auto order = [](std::vector<RunSummary> runs) {
    std::vector<std::int64_t> ids;
    for (const RunSummary& run : pair_predictions(std::move(runs))) ids.push_back(run.run.id);
    return ids;
  };
  using testing::ElementsAre;
  EXPECT_THAT(order({sample_run(1, "a", true), sample_run(2, "b", false), sample_run(3, "a", false)}),
              ElementsAre(2, 3, 1));
  // Two runs of one name: each takes one prediction. A prediction that nobody asked for stays where it is.
  EXPECT_THAT(order({sample_run(1, "a", false), sample_run(2, "a", false), sample_run(3, "a", true),
                     sample_run(4, "c", true), sample_run(5, "a", true)}),
              ElementsAre(1, 3, 2, 5, 4));
  EXPECT_THAT(order({}), ElementsAre());
}

}  // namespace
}  // namespace shardscope::gui
