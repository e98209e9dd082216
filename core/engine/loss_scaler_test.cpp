// Each table is worked out by hand from the rules in docs/ds_config.md: the scale that a step ran with, whether it
// overflowed.
#include "core/engine/loss_scaler.h"

#include <gtest/gtest.h>

#include <vector>

namespace shardscope {
namespace {

struct Step {
  double scale;
  bool overflow;
};

PrecisionSpec fp16() {
  PrecisionSpec spec;
  spec.kind = Precision::kFp16;
  spec.initial_scale_power = 4;
  spec.loss_scale_window = 3;
  spec.hysteresis = 1;
  return spec;
}

void expect_scales(const PrecisionSpec& spec, const std::vector<Step>& steps) {
  LossScaler scaler(spec);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(scaler.scale(), steps[i].scale) << "step " << i;
    EXPECT_TRUE(scaler.update(steps[i].overflow)) << "step " << i;
  }
}

TEST(LossScaler, DoublesAfterEveryWindowWithoutOverflow) {
  expect_scales(fp16(), {{16, false}, {16, false}, {16, false}, {32, false}, {32, false}, {32, false}, {64, false}});
}

TEST(LossScaler, HalvesAtAnOverflowAndCountsTheWindowFromThere) {
  expect_scales(fp16(),
                {{16, false}, {16, true}, {8, false}, {8, false}, {8, false}, {16, true}, {8, true}, {4, false}});
}

TEST(LossScaler, HysteresisLetsOverflowsPassUntilTheNextGrowth) {
  PrecisionSpec spec = fp16();
  spec.hysteresis = 2;
  expect_scales(spec, {{16, true},
                       {16, false},
                       {16, true},  // the second overflow, though not in a row
                       {8, true},
                       {4, false},
                       {4, false},
                       {4, false},
                       {8, true},  // refilled when it grew
                       {8, true},
                       {4, false}});
}

TEST(LossScaler, ConsecutiveHysteresisIsRefilledByEveryGoodStep) {
  PrecisionSpec spec = fp16();
  spec.hysteresis = 2;
  spec.consecutive_hysteresis = true;
  expect_scales(spec, {{16, true}, {16, false}, {16, true}, {16, true}, {8, true}, {4, false}, {4, true}, {4, false}});
}

TEST(LossScaler, StopsWhereItCannotBeLowered) {
  PrecisionSpec spec = fp16();
  spec.initial_scale_power = 2;
  spec.min_loss_scale = 3;
  LossScaler scaler(spec);
  EXPECT_TRUE(scaler.update(true));
  EXPECT_EQ(scaler.scale(), 3);  // not below the minimum
  EXPECT_TRUE(scaler.update(false));
  EXPECT_FALSE(scaler.update(true));
  EXPECT_EQ(scaler.scale(), 3);
}

TEST(LossScaler, AStaticScaleNeverChanges) {
  PrecisionSpec spec = fp16();
  spec.loss_scale = 128;
  expect_scales(spec, {{128, false}, {128, true}, {128, true}, {128, false}, {128, false}, {128, false}});
}

TEST(LossScaler, IsOneOutsideFp16) {
  PrecisionSpec spec = fp16();
  spec.kind = Precision::kBf16;
  expect_scales(spec, {{1, false}, {1, true}, {1, false}, {1, false}, {1, false}});
}

TEST(LossScaler, GoesOnFromItsState) {
  LossScaler first(fp16()), second(fp16());
  for (const bool overflow : {false, true, false, false}) first.update(overflow);
  std::map<std::string, double> scalars;
  first.save(scalars);
  second.restore(scalars);
  for (const bool overflow : {false, false, true}) {
    first.update(overflow);
    second.update(overflow);
    EXPECT_EQ(first.state(), second.state());
  }
}

}  // namespace
}  // namespace shardscope
