// What an area holds op by op, what a search finds, and what is known of one op, on test_profile.h's run.

#include <gtest/gtest.h>

#include <memory>

#include "core/error.h"
#include "profiler/query/area_flame.h"
#include "profiler/query/area_memory.h"
#include "profiler/query/area_ops.h"
#include "profiler/query/op_details.h"
#include "profiler/query/timeline_search.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::kGatherOp;
using testing::kMatMulOp;

const auto kNever = [] { return false; };

class TimelineQuestions : public ::testing::Test {
 protected:
  TimelineQuestions() {
    testing::record_tiny_profile(folder_.file("run.db"), "run", 10);
    testing::record_tiny_profile(folder_.file("run.db"), "run", 4, /*predicted=*/true);
    profile_ = std::make_unique<Profile>(folder_.file("run.db"));
    timeline_ = std::make_unique<Timeline>(*profile_, 1);
  }
  testing::TempFolder folder_;
  std::unique_ptr<Profile> profile_;
  std::unique_ptr<Timeline> timeline_;
};

TEST_F(TimelineQuestions, AnAreaIsCutAtItsEdgesAndLengthsAreWhole) {
  // Rank 0's step is 1 ms: matmul from 100 to 400 us. The area begins in the middle of the second one.
  const std::vector<AreaOp> ops = area_ops(*timeline_, {1'250'000, 3'000'000}, {0, 0}, kNever);
  const auto matmul = std::find_if(ops.begin(), ops.end(), [](const AreaOp& op) { return op.kind == "matmul"; });
  ASSERT_NE(matmul, ops.end());
  EXPECT_EQ(matmul->count, 2);
  EXPECT_EQ(matmul->inside_ns, 450'000);
  EXPECT_DOUBLE_EQ(matmul->mean_ns, 300'000);
  EXPECT_EQ(matmul->max_ns, 300'000);
  EXPECT_FALSE(matmul->communication);
  for (std::size_t i = 1; i < ops.size(); ++i) EXPECT_GE(ops[i - 1].inside_ns, ops[i].inside_ns);
  const std::vector<AreaOp> both = area_ops(*timeline_, timeline_->extent(), {0, 1}, kNever);
  const auto gather = std::find_if(both.begin(), both.end(), [](const AreaOp& op) { return op.kind == "all_gather"; });
  ASSERT_NE(gather, both.end());
  EXPECT_EQ(gather->count, 20);
  EXPECT_TRUE(gather->communication);
  EXPECT_EQ(gather->p99_ns, 400'000) << "of the slower rank";
}

TEST_F(TimelineQuestions, SearchLooksAtTheWholeRun) {
  const SearchHits hits = search(*timeline_, "MatMul forward", 20, kNever);
  EXPECT_EQ(hits.total, 20);
  EXPECT_EQ(hits.by_rank.at(1), 10);
  EXPECT_EQ(hits.first.size(), 20U);
  EXPECT_EQ(hits.first.front().span.begin_ns, 100'000);
  EXPECT_EQ(hits.columns.front(), 2) << "steps 0 of both ranks; the run is 20 ms";
  EXPECT_EQ(search(*timeline_, "matmul rank:1", 20, kNever).total, 10);
  EXPECT_EQ(search(*timeline_, "step:3", 20, kNever).by_rank.at(0), 6);
  EXPECT_EQ(search(*timeline_, "matmul backward", 20, kNever).total, 0);
  EXPECT_EQ(search(*timeline_, "  ", 20, kNever).total, 0);
  EXPECT_FALSE(search(*timeline_, "matmul", 20, [] { return true; }).complete);
}

TEST_F(TimelineQuestions, NeighboursFollowOnTheSameLane) {
  const std::vector<Span> spans = timeline_->spans(timeline_->tracks()[0], timeline_->extent());
  ASSERT_GT(spans.size(), 3U);
  EXPECT_EQ(neighbour(*timeline_, 0, spans[1], true), spans[2]);
  EXPECT_EQ(neighbour(*timeline_, 0, spans[1], false), spans[0]);
  EXPECT_EQ(neighbour(*timeline_, 0, spans[0], false), std::nullopt);
  EXPECT_EQ(neighbour(*timeline_, 0, spans.back(), true), std::nullopt);
}

TEST_F(TimelineQuestions, AnOpIsKnownWithItsTimesInBothRuns) {
  const OpDetails d = op_details(*profile_, 1, 1, kMatMulOp.index);
  EXPECT_EQ(d.kind, "matmul");
  EXPECT_EQ(d.name, "h.0.mlp");
  EXPECT_EQ(d.flops, 2.0 * 32 * 32 * 32);
  EXPECT_EQ(d.peak_flops, 1e9);
  EXPECT_EQ(d.times.count, 10);
  EXPECT_DOUBLE_EQ(d.times.mean_ns, 600'000);
  const auto predicted = op_times(*profile_, 2, 1, kMatMulOp.index, d.program_hash);
  ASSERT_TRUE(predicted);
  EXPECT_EQ(predicted->count, 4);
  EXPECT_FALSE(op_times(*profile_, 2, 1, kMatMulOp.index, d.program_hash + 1)) << "another program";
  EXPECT_EQ(op_details(*profile_, 1, 0, kGatherOp.index).group_size, 2);
  EXPECT_THROW(op_details(*profile_, 1, 0, 99), Error);
}

TEST_F(TimelineQuestions, AFlameAddsUpFromTheWholeToItsOps) {
  const TimeWindow time{1'250'000, 3'000'000};
  const std::vector<FlameNode> flame = area_flame(*timeline_, time, {0, 0}, kNever);
  ASSERT_FALSE(flame.empty());
  std::int64_t ops = 0;
  for (const AreaOp& op : area_ops(*timeline_, time, {0, 0}, kNever)) ops += op.inside_ns;
  EXPECT_EQ(flame[0].total_ns, ops);
  std::int64_t self = 0;
  for (std::size_t i = 0; i < flame.size(); ++i) {
    self += flame[i].self_ns;
    std::int64_t children = 0;
    for (int child : flame[i].children) children += flame[static_cast<std::size_t>(child)].total_ns;
    EXPECT_LE(children, flame[i].total_ns) << flame[i].name;
  }
  EXPECT_EQ(self, ops);
  const auto matmul = std::find_if(flame.begin(), flame.end(), [](const FlameNode& n) { return n.name == "matmul"; });
  ASSERT_NE(matmul, flame.end());
  EXPECT_EQ(path_of(flame, static_cast<int>(matmul - flame.begin())), "all; forward; h; *; mlp; matmul");
  EXPECT_EQ(matmul->total_ns, 450'000);
  EXPECT_EQ(matmul->work, WorkClass::kForward);
}

TEST_F(TimelineQuestions, AnAreasMemoryIsWhatIsLiveInIt) {
  const auto facts = load_memory_facts(*profile_, 1);
  const MemoryTimeline memory(*profile_, facts);
  // Rank 0: 4096 + 8192 from a step's start, at 900 us the 8192 become 6000.
  const std::vector<AreaMemory> rows = area_memory(memory, {1'100'000, 1'950'000}, {0, 0}, kNever);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].rank, 0);
  EXPECT_EQ(rows[0].at_end, 4096 + 6000);
  EXPECT_EQ(rows[0].lowest, 4096 + 6000);
  EXPECT_GE(rows[0].highest, rows[0].at_begin);
  EXPECT_EQ(area_memory(memory, {0, 3'000'000}, {0, 1}, kNever).size(), 2U);
  EXPECT_TRUE(area_memory(memory, {0, 3'000'000}, {5, 9}, kNever).empty());
}

}  // namespace
}  // namespace shardscope
