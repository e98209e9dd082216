#pragma once
// How far predictions of step time were off on published runs, as factors: what a prediction's P10-P90 interval is made
// of. data/calibration/intervals.csv, written by `shardscope validate`; the most special row that matches counts.
//
//   const IntervalRow& row = find_interval(default_intervals(), "megatron", 512);
//   step_time_s * row.from() ... step_time_s * row.to(); most took about step_time_s * row.median

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

struct IntervalRow {
  std::string framework;                 ///< family, "megatron"; "any"
  int min_gpus = 1, max_gpus = 0;        ///< runs of this size; max 0: no end
  double low = 1, median = 1, high = 1;  ///< P10, P50 and P90 of published over predicted step time
  int rows = 0;                          ///< runs it rests on; 0: a guess
  std::string source;

  /// The interval around a prediction, which it always holds: where nearly all runs were slower than predicted (or
  /// faster), so that P10 is above the prediction itself (or P90 below), it begins (or ends) there.
  double from() const { return std::min(low, 1.0); }
  double to() const { return std::max(high, 1.0); }
};

std::vector<IntervalRow> parse_intervals(std::string_view csv, const std::string& file_name);
const std::vector<IntervalRow>& default_intervals();
/// The framework's own row before one of any, then the narrower range of sizes.
const IntervalRow& find_interval(const std::vector<IntervalRow>&, std::string_view framework, int gpus);

}  // namespace shardscope
