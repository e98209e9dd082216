#include "simulator/analytic/engine_time.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

TEST(EngineTime, CollectivesSlowWhatTheyHideBehind) {
  EXPECT_DOUBLE_EQ(added(1, 4, 0.25), 0.25);  // kernels end at 4.25
  EXPECT_DOUBLE_EQ(added(8, 4, 0.25), 4);     // they end first
  EXPECT_DOUBLE_EQ(added(0, 4, 0.25), 0);
}

Reductions of_one_bucket() {
  return {.forward = 2, .backward = 4, .first = 3, .last = 3, .buckets = {.last = {1, 1}, .count = 1}, .overlap = true};
}

TEST(EngineTime, TheOnlyBucketHasNothingLeftToHideBehind) { EXPECT_DOUBLE_EQ(shown_reductions(of_one_bucket(), 8), 3); }

TEST(EngineTime, ZeroTwoHidesAMicroBatchsBehindTheNext) {
  Reductions r = of_one_bucket();
  r.each = true;
  EXPECT_DOUBLE_EQ(shown_reductions(r, 8), 3);  // 3 behind 6, but the last
  r.last = 7;
  EXPECT_DOUBLE_EQ(shown_reductions(r, 8), 7 * 1 + 7);
  r.overlap = false;
  EXPECT_DOUBLE_EQ(shown_reductions(r, 8), 8 * 7);
}

TEST(EngineTime, BucketsAreBoundByTheLastOrByAllSinceTheFirst) {
  Reductions r{.backward = 4, .first = 1, .between = 1, .last = 1, .overlap = true};
  r.buckets = {{1, 0.25}, {1, 0.25}, {1, 0.25}, 4};
  EXPECT_DOUBLE_EQ(shown_reductions(r, 1), 1);  // 4 in the 3 that are left after the first, + the last
  r.first = r.between = r.last = 2;
  EXPECT_DOUBLE_EQ(shown_reductions(r, 1), 8 - 3);
}

TEST(EngineTime, PartsAreGatheredBesideTheOneBefore) {
  const ShardedPart ends{.forward = 1, .backward = 1, .gather = 1, .reduce = 1, .regather = 1},
      block{.forward = 2, .backward = 4, .gather = 1, .reduce = 1, .regather = 1};
  const ShardLanes lanes{.overlap = true};
  const AddedSeconds hidden = shown_shards(ends, block, 4, ends, lanes);
  EXPECT_DOUBLE_EQ(hidden.forward, 0);
  EXPECT_DOUBLE_EQ(hidden.backward, 0);
  ShardedPart large = block;
  large.gather = large.regather = large.reduce =
      3;  // forward: 2 shown beside the embedding, 1 beside each of three blocks
  const AddedSeconds shown = shown_shards(ends, large, 4, ends, lanes);
  EXPECT_DOUBLE_EQ(shown.forward, 2 + 3 * 1);
  EXPECT_DOUBLE_EQ(shown.backward, 1 + 0 + 2 * 2 + 0 + 2);  // head; head's and a gather; both; the last; embedding
}

// Half of each pass is collectives on the links that the gather wants too: a second of it costs them half a second.
TEST(EngineTime, GathersTakeLinksFromThePartsOwnCollectives) {
  const ShardedPart ends{.forward = 1, .backward = 1},
      block{.forward = 8, .backward = 8, .gather = 2, .regather = 2, .crowding = 0.5, .crowding_back = 0.25};
  const ShardLanes lanes{.overlap = true};
  const AddedSeconds t = shown_shards(ends, block, 4, ends, lanes);
  EXPECT_DOUBLE_EQ(t.forward, 1 + 3 * 0.5 * 2);      // beside the embedding 1 of 2 shows
  EXPECT_DOUBLE_EQ(t.backward, 0 + 3 * (0.25 * 2));  // beside the head nothing: 2 of its passes are one
  ShardedPart large = block;
  large.gather = 10;  // longer than the block, whose collectives take 4 from it
  EXPECT_DOUBLE_EQ(shown_shards(ends, large, 4, ends, lanes).forward, 9 + 3 * (10 - 8 + 0.5 * 8));
}

// Two blocks may not live at once: a gather begins when the block behind is through, beside its reduction.
TEST(EngineTime, BlocksTooLargeToPrefetchWaitForTheirPlace) {
  const ShardedPart ends{.forward = 1, .backward = 1, .gather = 1, .reduce = 1, .regather = 1},
      block{.forward = 9, .backward = 9, .gather = 3, .reduce = 2, .regather = 3};
  ShardLanes lanes{.overlap = true, .waits = true, .apart = true};
  const double end = 1;  // of the last reduction, behind the embedding's backward
  EXPECT_DOUBLE_EQ(shown_shards(ends, block, 4, ends, lanes).backward, 3 + (3 + 1) + 2 * (3 + 2) + end);
  ShardedPart packed = block;
  packed.unpack = 0.5;  // all that waits
  EXPECT_DOUBLE_EQ(shown_shards(ends, packed, 4, ends, lanes).backward, 0.5 + 1 + 2 * 1 + end);
  // Else when the block behind has ended: in forward all but the second, in backward all but the first, which the head
  // hides but for a second of it, each beside a reduction of two seconds and a product of one.
  lanes.apart = false, lanes.first_product = 1;
  const AddedSeconds t = shown_shards(ends, block, 4, ends, lanes);
  EXPECT_DOUBLE_EQ(t.forward, 3 * 3 + 1);
  EXPECT_DOUBLE_EQ(t.backward, 1 + 3 * (3 + 2 - 1) + end);
}

TEST(EngineTime, WithoutOverlapReductionsAreWaitedFor) {
  const ShardedPart ends{.forward = 1, .backward = 1, .gather = 1, .reduce = 1, .regather = 1},
      block{.forward = 9, .backward = 9, .gather = 2, .reduce = 2, .regather = 2};
  const ShardLanes lanes{.runs_ahead = false, .tail = 0.5, .share = 0.5};
  const AddedSeconds t = shown_shards(ends, block, 2, ends, lanes);
  EXPECT_DOUBLE_EQ(t.forward, 1 + 2 * 1.5 + 1);
  // A gather, one beside the head's reduction, half of the way between one beside a reduction and after it, the ends'.
  EXPECT_DOUBLE_EQ(t.backward, 2 + 2 + 0.5 * (2 + 4) + 2 + 1);
}

// In int4, of the first micro-batch of two: packed, gradients are waited for no longer.
TEST(EngineTime, WithoutOverlapPackedReductionsAreNotWaitedFor) {
  ShardedPart ends{.forward = 1, .backward = 1, .reduce = 2, .pack = 0.5},
      block{.forward = 9, .backward = 9, .reduce = 4, .pack = 1};
  ShardLanes lanes{.runs_ahead = false, .leaves = 0.5, .share = 0.5};
  const double head = 0.5 * 2 + 0.5 * 0.5, inside = 0.5 * 4 + 0.5 * 1;
  EXPECT_DOUBLE_EQ(shown_shards(ends, block, 3, ends, lanes).backward, head + 2 * inside + 4 + 2);
  lanes.leaves = 0;
  EXPECT_DOUBLE_EQ(shown_shards(ends, block, 3, ends, lanes).backward, 2 + 2 * 4 + 4 + 2);
}

// Experts that are dealt out: in int8 and int4 only what ends a gather and begins a reduction shows.
TEST(EngineTime, WithoutOverlapMessagesOfExpertsHideOncePacked) {
  ShardedPart part{.forward = 9, .backward = 9, .gather = 4, .reduce = 3, .regather = 4};
  ShardLanes lanes{.leaves = 1, .share = 0};
  part.pack = 3;  // all of it is waited for
  AddedSeconds t = shown_experts(part, part, false, lanes);
  EXPECT_DOUBLE_EQ(t.forward, 4 + 4);
  EXPECT_DOUBLE_EQ(t.backward, 4 + 4);  // beside the reductions
  part.unpack = 0.5, part.pack = 1;
  t = shown_experts(part, part, false, lanes);
  EXPECT_DOUBLE_EQ(t.forward, 0.5 + 0.5);
  EXPECT_DOUBLE_EQ(t.backward, 1 + 1);
  part.backward = 18;  // half of it forward again
  EXPECT_DOUBLE_EQ(shown_experts(part, part, true, lanes).backward, 1 + 0.5 + 0.5 + 1);
}

}  // namespace
}  // namespace shardscope
