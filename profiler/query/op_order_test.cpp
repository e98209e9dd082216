#include "profiler/query/op_order.h"

#include <gmock/gmock.h>

#include "core/error.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const auto kAll = [](std::int32_t) { return true; };

class OpOrderTest : public ::testing::Test {
 protected:
  /// tiny_program with a chain over its lanes, and what a pipeline of three ranks sends to and fro.
  Program program(int rank) const {
    Program p = testing::tiny_program(rank, 3);
    p.instructions[4].after = {testing::kMatMulOp};  // the reduce-scatter after the product
    p.instructions[5].after = {testing::kReduceOp};  // the copy after it
    p.instructions[6].after = {testing::kCopyOp, testing::kGatherOp};
    const Region a = p.whole(BufferId{1});
    const Label label{Phase::kForward, 0, 0, p.intern("stage")};
    p.instructions.push_back({Send{GroupId{0}, a, (rank + 1) % 3}, Lane::kSendNext, label, {}});
    p.instructions.push_back({Recv{GroupId{0}, a, (rank + 2) % 3}, Lane::kRecvPrevious, label, {}});
    p.instructions.push_back({Send{GroupId{0}, a, (rank + 2) % 3}, Lane::kSendPrevious, label, {}});
    return p;
  }
  void SetUp() override {
    RunInfo info = testing::tiny_run("ordered");
    info.world = 3;
    ProfileWriter writer(path_, info);
    for (int rank = 0; rank < 3; ++rank) {
      RankTrace* trace = writer.open_rank(rank, program(rank));
      testing::trace_step(*trace, 0);
      trace->finish({}, 0);
    }
    writer.finish();
  }
  OpOrder order(int rank, const std::function<bool(std::int32_t)>& takes_time = kAll) const {
    return read_op_order(Profile(path_), 1, rank, takes_time);
  }
  const testing::TempFolder folder_;
  const std::string path_ = folder_.file("run.db");
};

TEST_F(OpOrderTest, IsWhatTheProgramSays) {
  const OpOrder all = order(0);
  ASSERT_EQ(all.after.size(), 10U);
  EXPECT_THAT(all.after[2], IsEmpty()) << "its own lane's order goes without saying";
  EXPECT_THAT(all.after[4], ElementsAre(2));
  EXPECT_THAT(all.after[5], ElementsAre(4));
  EXPECT_THAT(all.after[6], ElementsAre(3, 5));
}

TEST_F(OpOrderTest, OpsWithoutTimeAreLookedThrough) {
  const OpOrder most = order(0, [](std::int32_t op) { return op != 5 && op != 4; });
  EXPECT_THAT(most.after[6], ElementsAre(3)) << "copy and reduce-scatter lead to the product, which is of its own lane";
  const OpOrder no_product = order(0, [](std::int32_t op) { return op != 2; });
  EXPECT_THAT(no_product.after[4], ElementsAre(1)) << "what came before it on its lane";
}

TEST_F(OpOrderTest, TransfersGoToTheNextAndThePreviousRankOfTheGroup) {
  for (int rank = 0; rank < 3; ++rank) {
    const std::map<std::int32_t, Transfer> found = order(rank).transfers;
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found.at(7).peer, (rank + 1) % 3);
    EXPECT_TRUE(found.at(7).sends);
    EXPECT_FALSE(found.at(7).back);
    EXPECT_EQ(found.at(8).peer, (rank + 2) % 3);
    EXPECT_FALSE(found.at(8).sends);
    EXPECT_FALSE(found.at(8).back);
    EXPECT_EQ(found.at(9).peer, (rank + 2) % 3);
    EXPECT_TRUE(found.at(9).back);
  }
}

TEST_F(OpOrderTest, RowsThatContradictTheProgramAreLeftOut) {
  Connection file(path_, Connection::Mode::kReadWrite);
  file.execute("UPDATE op_after SET after = 400 WHERE op = 6 AND after = 3");
  file.execute("INSERT INTO op_after VALUES (1, 99999, 3), (1, 2, -7), (1, 1, 1)");
  file.execute("UPDATE rank_group SET ranks = 'nonsense'");
  const OpOrder all = order(0);
  ASSERT_EQ(all.after.size(), 10U);
  EXPECT_THAT(all.after[6], ElementsAre(5));
  EXPECT_THAT(all.after[2], IsEmpty());
  EXPECT_THAT(all.after[4], ElementsAre(2));
  EXPECT_THAT(all.transfers, IsEmpty());
}

TEST_F(OpOrderTest, OlderProfilesSayNothing) {
  testing::make_older(path_, 4);
  EXPECT_THAT(order(0).after, IsEmpty());
  EXPECT_THAT(order(0).transfers, IsEmpty());
  EXPECT_THAT(order(17).after, IsEmpty()) << "nor is there such a rank";
}

}  // namespace
}  // namespace shardscope
