#pragma once
// A step of our own engine under any schedule (core/program/schedule.h), action by action, through stages that differ.
// 1F1B without chunks has a quicker walk of its own (engine_pipeline.h), with the same rules for messages and memory.
//
//   ScheduleWalk walk;                                                  // keeps its tables and its memory
//   double seconds = walk.length(shape, stages, {.send = s});           // stages in the order of the model
//
// Of long schedules as many micro-batches are walked as show how they go on.

#include <cstdint>
#include <map>
#include <vector>

#include "core/program/schedule.h"
#include "simulator/analytic/engine_held.h"
#include "simulator/analytic/engine_pipeline.h"

namespace shardscope {

class ScheduleWalk {
 public:
  /// Seconds from the first forward to the last backward, of all micro-batches of the shape. Allocates when a schedule
  /// is first met.
  double length(const PipelineShape& shape, const std::vector<WalkedStage>& stages, const Messages& messages);

 private:
  struct Step {
    std::int32_t rank = 0, stage = 0;
    ActionKind kind = ActionKind::kForward;
    std::int32_t end = -1;     ///< where its end is noted: nobody waits for halves of weights
    std::int32_t source = -1;  ///< whose end it waits for; -1: nobody's
    bool receives = false;     ///< from another rank
    bool completes = false;    ///< the gradients of its stage
  };
  struct Table {
    std::vector<Step> steps;                           ///< each behind what it waits for
    std::int32_t first_period = -1, last_period = -1;  ///< two ends a period of `ranks` micro-batches apart
  };
  struct Turn {
    double end = 0, before = 0,
           backward = 0;  ///< of the last action, of the one before, of the last backward or its half
    double after = 0;     ///< that stage's reductions
  };

  const Table& table_of(const PipelineShape& shape);
  static Table make_table(const PipelineShape& shape);

  std::map<PipelineShape, Table> tables_;
  std::vector<Turn> turns_;
  std::vector<double> ends_;
};

}  // namespace shardscope
