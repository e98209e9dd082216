#include "simulator/analytic/engine_buckets.h"

#include <gtest/gtest.h>

#include "core/spec/model_catalog.h"

namespace shardscope {
namespace {

TEST(Buckets, TensorsAreWholeInOne) {
  const Buckets b = buckets_of({4, 3, 3, 2, 6, 1}, 0, 7);  // 4+3 | 3+2 | 6+1
  EXPECT_EQ(b.count, 3);
  EXPECT_EQ(b.first.parameters, 7);
  EXPECT_EQ(b.between.parameters, 5);
  EXPECT_EQ(b.last.parameters, 7);
  EXPECT_EQ(b.all(), 19);
  EXPECT_DOUBLE_EQ(b.first.work, 7.0 / 19);
}

TEST(Buckets, ATensorLargerThanABucketIsAlone) {
  const Buckets b = buckets_of({1, 9, 1}, 0, 4);
  EXPECT_EQ(b.count, 3);
  EXPECT_EQ(b.between.parameters, 9);
}

TEST(Buckets, EmbeddingsComeOutOfBackwardWithoutWork) {
  const Buckets b = buckets_of({5, 5, 8}, 8, 8);  // 5 | 5 | 8
  EXPECT_EQ(b.count, 3);
  EXPECT_EQ(b.last.work, 0);
  EXPECT_DOUBLE_EQ(b.first.work + b.between.work, 1);
}

TEST(Buckets, AStageHasItsOwnTensors) {
  const ModelSpec m = find_model("llama-3-8b");
  BucketMaker maker(m, 1'000'000'000'000);
  const Buckets whole = maker.of({.dense = 32, .first = true, .last = true}, 1, 1);
  EXPECT_EQ(whole.count, 1);
  EXPECT_EQ(whole.all(), static_cast<double>(parameter_count(m)));
  const double first = maker.of({.dense = 16, .first = true}, 1, 1).all(),
               last = maker.of({.dense = 16, .last = true}, 1, 1).all();
  EXPECT_EQ(first + last, whole.all());
}

}  // namespace
}  // namespace shardscope
