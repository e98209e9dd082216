#pragma once
// From the clock's nanoseconds to a Prediction: what simulate() and predict() share.

#include <vector>

#include "simulator/clock/virtual_clock.h"
#include "simulator/cost/cost_model.h"
#include "simulator/simulate.h"

namespace shardscope {

/// `ranks` with rank, count and peak, in the order of `clock`'s; `dtype`: of the model, which MFU is counted against.
Prediction make_prediction(std::vector<RankPrediction> ranks, const ClockResult& clock, const CostModel& costs,
                           std::int64_t tokens_per_step, DType dtype, const SimulateOptions& options);

/// Of the operands of the products that most FLOPs are of; kF32 where there are none.
DType model_dtype(const Program& program);

}  // namespace shardscope
