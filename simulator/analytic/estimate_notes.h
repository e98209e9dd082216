#pragma once
// What an estimate was computed from, for those who want to know (explain.h): asked for, it is noted on the way.
//
//   EstimateNotes notes;
//   Estimate e = estimator.estimate(plan, &notes);

#include <string_view>
#include <vector>

#include "simulator/analytic/memory_model.h"

namespace shardscope {

/// Something that moves bytes in a step, whether it hides behind compute or not.
struct Move {
  TimeTerm term = TimeTerm::kData;
  std::string_view what;  ///< "reduce-scatter"
  double bytes = 0;       ///< of the whole message
  double ranks = 1;       ///< 1: not a collective
  double seconds = 0;     ///< of one
  double times = 1;       ///< in a step
};

struct EstimateNotes {
  ModelCosts costs;
  Stage slowest, fullest;      ///< of time, of memory
  StageParameters parameters;  ///< of the fullest
  double stage_s = 0;          ///< one micro-batch in the slowest stage ...
  double others_s = 0;         ///< ... and in all others together
  double kernels = 0;          ///< of a step that the host of the slowest stage launches ...
  double launch_s = 0;         ///< ... its time for them and for collectives, hidden or not
  std::vector<Move> moves;
};

}  // namespace shardscope
