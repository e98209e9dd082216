#pragma once
// How far predictions were off, by framework and number of GPUs: the table that prediction intervals are read from
// (simulator/planner/intervals.h).
//
//   intervals_csv(residual_intervals(rows, "AB"))      // data/calibration/intervals.csv

#include <string>
#include <string_view>
#include <vector>

#include "simulator/planner/intervals.h"
#include "simulator/validate/validation.h"

namespace shardscope {

/// P10, median and P90 of published over predicted step time for each framework and size that have enough runs, for
/// each framework, each size, and all. Every source weighs the same within a row of the table.
std::vector<IntervalRow> residual_intervals(const std::vector<ValidatedRow>& rows, std::string_view qualities,
                                            const std::string& source);

std::string intervals_csv(const std::vector<IntervalRow>&);

}  // namespace shardscope
