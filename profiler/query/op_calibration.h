#pragma once
// How near does each op's predicted time come to the measured one?
//
//   for (const CalibrationPoint& p : op_calibration(profile, measured.id, profile, predicted.id)) dot(p.measured_s,
//   p.predicted_s);

#include <vector>

#include "profiler/query/op_differences.h"

namespace shardscope {

/// One op of the program: of a layer and micro-batch. Both times are means over the steps and the ranks that run it,
/// without the waiting for other ranks. Means, not medians: where ranks share cores, an op that is let run takes half
/// of its mean, and the next one twice as long.
struct CalibrationPoint {
  OpLabel label;
  int layer = -1, micro_batch = -1;
  WorkClass work = WorkClass::kForward;
  double measured_s = 0, predicted_s = 0;  ///< both > 0
  double ratio() const { return predicted_s / measured_s; }
};

/// In order of the op. Ops that took no time in one of the runs are left out. Throws Error{kConfig} if no op is left:
/// the runs are not of the same job.
std::vector<CalibrationPoint> op_calibration(const Profile& measured, std::int64_t measured_run,
                                             const Profile& predicted, std::int64_t predicted_run);

/// Of all points: the median of |predicted / measured - 1|, and how many are within a factor of two.
struct CalibrationScore {
  double median_error = 0;
  std::size_t within_two = 0;
};
CalibrationScore score_of(const std::vector<CalibrationPoint>& points);

}  // namespace shardscope
