#include "simulator/analytic/engine_schedule.h"

#include <algorithm>

namespace shardscope {
namespace {

std::int32_t slot(const PipelineShape& shape, bool forward, int stage, int micro_batch) {
  return (2 * stage + (forward ? 1 : 0)) * shape.micro_batches + micro_batch;
}

/// The stage whose result an action of `stage` takes in; -1: none.
int source_of(const PipelineShape& shape, ActionKind kind, int stage) {
  if (kind == ActionKind::kWeight) return -1;
  const int source = kind == ActionKind::kForward ? stage - 1 : stage + 1;
  return source < shape.stages() ? source : -1;
}

}  // namespace

ScheduleWalk::Table ScheduleWalk::make_table(const PipelineShape& shape) {
  Table table;
  std::vector<std::vector<Action>> lists;
  for (int rank = 0; rank < shape.ranks; ++rank) lists.push_back(make_schedule(shape, rank));
  std::vector<std::size_t> next(lists.size());
  std::vector<bool> done(2 * static_cast<std::size_t>(shape.stages()) * static_cast<std::size_t>(shape.micro_batches));
  for (bool moves = true; moves;) {
    moves = false;
    for (std::size_t rank = 0; rank < lists.size(); ++rank) {
      for (; next[rank] < lists[rank].size(); ++next[rank], moves = true) {
        const Action& a = lists[rank][next[rank]];
        const bool forward = a.kind == ActionKind::kForward;
        const int stage = stage_at(shape, static_cast<int>(rank), a.chunk), source = source_of(shape, a.kind, stage);
        Step step{static_cast<std::int32_t>(rank), stage, a.kind};
        step.completes = !forward && a.kind != ActionKind::kInput && a.micro_batch == shape.micro_batches - 1;
        if (source >= 0) {
          step.source = slot(shape, forward, source, a.micro_batch);
          step.receives = owner_of(shape, source).rank != static_cast<int>(rank);
          if (!done[static_cast<std::size_t>(step.source)]) break;
        }
        if (a.kind != ActionKind::kWeight) {
          step.end = slot(shape, forward, stage, a.micro_batch);
          done[static_cast<std::size_t>(step.end)] = true;
        }
        table.steps.push_back(step);
      }
    }
  }
  // Interleaved backwards of the last p have no forwards beside them any more.
  const int p = shape.ranks, drained = shape.schedule == PipelineSchedule::kInterleaved ? 2 * p : p,
            last = shape.micro_batches - drained;
  if (last >= p) table.first_period = slot(shape, false, 0, last - p), table.last_period = slot(shape, false, 0, last);
  return table;
}

const ScheduleWalk::Table& ScheduleWalk::table_of(const PipelineShape& shape) {
  const auto found = tables_.find(shape);
  return found != tables_.end() ? found->second : tables_.emplace(shape, make_table(shape)).first->second;
}

double ScheduleWalk::length(const PipelineShape& all, const std::vector<WalkedStage>& stages,
                            const Messages& messages) {
  const PipelineShape shape = shortened(all);
  const Table& table = table_of(shape);
  turns_.assign(static_cast<std::size_t>(shape.ranks), {});
  ends_.resize(2 * static_cast<std::size_t>(shape.stages()) * static_cast<std::size_t>(shape.micro_batches));
  for (const Step& step : table.steps) {
    Turn& turn = turns_[static_cast<std::size_t>(step.rank)];
    const WalkedStage& stage = stages[static_cast<std::size_t>(step.stage)];
    const bool forward = step.kind == ActionKind::kForward;
    double start = turn.end;
    if (step.receives) {
      const double room = forward ? turn.backward : messages.gradients_wait ? turn.end : turn.before;
      const double arrived = std::max(ends_[static_cast<std::size_t>(step.source)], room) + messages.send;
      start = std::max(start, arrived - (forward ? 0 : stage.early));
    }
    const double seconds = forward                              ? stage.forward
                           : step.kind == ActionKind::kBackward ? stage.backward
                           : step.kind == ActionKind::kInput    ? stage.backward - stage.weight
                                                                : stage.weight;
    turn.before = turn.end;
    turn.end = start + seconds + (step.completes ? stage.tail : 0);
    if (step.completes) turn.after = stage.after;
    if (!forward && step.kind != ActionKind::kWeight) turn.backward = turn.end;
    if (step.end >= 0) ends_[static_cast<std::size_t>(step.end)] = turn.end;
  }
  double end = 0;
  for (const Turn& turn : turns_) end = std::max(end, turn.end + turn.after);
  const double more = all.micro_batches - shape.micro_batches;
  if (more <= 0) return end;
  if (shape.schedule == PipelineSchedule::kGpipe) {
    double forward = 0, backward = 0;
    for (const WalkedStage& stage : stages) {
      forward = std::max(forward, stage.forward), backward = std::max(backward, stage.backward);
    }
    return end + more * (forward + backward);
  }
  const double period =
      ends_[static_cast<std::size_t>(table.last_period)] - ends_[static_cast<std::size_t>(table.first_period)];
  return end + more * period / shape.ranks;
}

}  // namespace shardscope
