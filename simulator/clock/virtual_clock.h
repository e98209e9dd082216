#pragma once
// Runs a FlatProgram on a virtual clock of integer nanoseconds. Events at the same time are handled in the order in
// which they were scheduled, so the same programs give the same times, always.
//
//   ClockResult result = run_clock(flat, {.steps = 3, .traces = traces});

#include <array>
#include <span>
#include <vector>

#include "core/trace.h"
#include "simulator/clock/flat_program.h"

namespace shardscope {

struct ClockOptions {
  int steps = 1;
  std::span<RankTrace* const> traces;  ///< by rank; empty or null: no rows
};

/// All steps together. The parts of a rank sum to end_ns.
struct RankTimes {
  std::array<std::int64_t, kTimeClasses> busy_ns{};  ///< by class
  std::int64_t idle_ns = 0;  ///< nothing of these, waiting for other ranks to end their step too
};

struct ClockResult {
  std::vector<RankTimes> ranks;
  std::int64_t end_ns = 0;  ///< when the slowest rank ended the last step
  std::int64_t ops = 0;     ///< handled, all ranks and steps
};

/// Throws Error{kConfig} naming the first stuck op of each rank if the programs cannot end.
ClockResult run_clock(const FlatProgram& program, const ClockOptions& options);

}  // namespace shardscope
