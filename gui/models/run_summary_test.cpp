// Summaries of real profiles, written by the store's own writer.

#include "gui/models/run_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/error.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

using shardscope::testing::record_tiny_profile;
using shardscope::testing::TempFolder;

TEST(LoadSummaries, GathersWhatTheProfileSays) {
  const TempFolder folder;
  record_tiny_profile(folder.file("run.db"), "zero-2");
  const std::vector<RunSummary> runs = load_summaries({folder.file("run.db")});
  ASSERT_EQ(runs.size(), 1U);
  const RunSummary& run = runs[0];
  EXPECT_EQ(run.run.name, "zero-2");
  EXPECT_DOUBLE_EQ(run.step_time_s, 2e-3);  // of rank 1, the slower
  EXPECT_DOUBLE_EQ(run.last_loss, 2.0);     // 5 - step, of four steps
  EXPECT_DOUBLE_EQ(run.parts.total_s, 1.5e-3);
  EXPECT_EQ(run.peak_bytes, 12288);
  std::int64_t sum = 0;
  for (const MemoryRow& row : run.memory) sum += row.at_peak_bytes;
  EXPECT_EQ(sum, run.peak_bytes);
}

TEST(LoadSummaries, JoinsFilesAndPairsWithinEach) {
  const TempFolder folder;
  for (const char* file : {"a.db", "b.db"}) {
    record_tiny_profile(folder.file(file), "zero-2");
    record_tiny_profile(folder.file(file), "zero-3");
    record_tiny_profile(folder.file(file), "zero-2", 4, /*predicted=*/true);
  }
  std::vector<std::string> names;
  for (const RunSummary& run : load_summaries({folder.file("a.db"), folder.file("b.db")})) {
    names.push_back(run.run.name + (run.run.predicted ? " predicted" : ""));
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre("zero-2", "zero-2 predicted", "zero-3", "zero-2", "zero-2 predicted", "zero-3"));
}

TEST(LoadSummaries, RefusesWhatIsNoProfile) {
  const TempFolder folder;
  std::ofstream(folder.file("text.db")) << "no rows here";
  for (const char* file : {"text.db", "missing.db"}) {
    try {
      load_summaries({folder.file(file)});
      FAIL() << file;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(file));
    }
  }
}

TEST(LoadSummaries, StopsWhenAsked) {
  const TempFolder folder;
  record_tiny_profile(folder.file("run.db"), "zero-2");
  const std::atomic<bool> stop = true;
  EXPECT_TRUE(load_summaries({folder.file("run.db")}, &stop).empty());
}

}  // namespace
}  // namespace shardscope::gui
