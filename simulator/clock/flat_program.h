#pragma once
// The programs of all ranks, flattened into arrays that the virtual clock walks without looking at an Op again:
// durations, dependencies, lane queues, which collectives belong together, what each draws on.
//
// A queue is one lane of one rank; ops of a queue start in order. A meeting is one collective of all its ranks (or one
// send with its receive): it starts when the last rank has arrived and ends for all at once.

#include <cstdint>
#include <span>
#include <vector>

#include "core/program/program.h"
#include "simulator/clock/cost_table.h"

namespace shardscope {

/// What an op's time counts as, in order of claim; see StepBreakdown.
enum class TimeClass : std::uint8_t { kOptimizer, kCompute, kCommunication, kOffload };
inline constexpr int kTimeClasses = 4;

enum class FlatKind : std::uint8_t { kWork, kMeeting, kInstant, kMemory };
FlatKind kind_of(const Op& op);
TimeClass time_class_of(const Instruction& instruction);

struct FlatOp {
  std::int64_t duration_ns = 0;
  std::int64_t crowded_ns = 0;  ///< more if what it draws on is used up when it starts
  std::int32_t queue = 0;
  std::int32_t instruction = 0;  ///< index in the rank's program
  std::int32_t meeting = -1;     ///< kMeeting only
  std::int32_t draws = 0;        ///< into FlatProgram::draws; 0: none
  std::int32_t pending = 0;      ///< ops of other lanes it waits for
  std::uint32_t first_successor = 0, successor_count = 0;
  std::int32_t rank = 0;
  FlatKind kind = FlatKind::kWork;
  TimeClass time_class = TimeClass::kCompute;
  bool waits_idle = false;  ///< time before the other ranks arrive is bubble, not communication (pipeline lanes)
};

struct FlatQueue {
  std::int32_t first = 0, end = 0;  ///< into FlatProgram::order
  std::int32_t rank = 0;
  Lane lane = Lane::kCompute;
};

struct FlatMeeting {
  std::int64_t duration_ns = 0, crowded_ns = 0;
  std::int32_t draws = 0;
  std::int32_t first_member = 0, members = 0;  ///< into FlatProgram::members
};

/// Live bytes of one category after an Alloc or Free, for traces.
struct MemoryChange {
  Space space = Space::kDevice;
  Category category = Category::kWorkspace;
  std::int64_t live_bytes = 0;
};

struct FlatProgram {
  std::vector<FlatOp> ops;               ///< rank by rank, in program order
  std::vector<std::int32_t> first_op;    ///< by rank, and the end
  std::vector<std::int32_t> successors;  ///< op indices
  std::vector<std::int32_t> order;       ///< op indices, queue by queue
  std::vector<FlatQueue> queues;
  std::vector<std::int32_t> first_queue;  ///< by rank, and the end
  std::vector<FlatMeeting> meetings;
  std::vector<std::int32_t> members;  ///< op indices
  std::vector<double> capacity;       ///< by resource: the cost model's, for each set of ranks that shares one
  std::vector<Draws> draws;
  std::vector<MemoryChange> memory;  ///< by op, filled only if asked for
  std::int64_t wake_ns = 0, step_overhead_ns = 0;

  int ranks() const { return static_cast<int>(first_op.size()) - 1; }
};

struct RankPartition;

/// Costs each distinct op once. Resources that all lanes together cannot use up are left out: nothing shares them.
/// With `classes` (simulator/fold/rank_classes.h) there is one program per class, in their order, and a meeting is one
/// of the classes that its ranks are of. Throws Error{kConfig} if collectives of different ranks do not match.
FlatProgram flatten(std::span<const Program> ranks, const CostModel& costs, bool with_memory,
                    const RankPartition* classes = nullptr);

}  // namespace shardscope
