#pragma once
// Divides a step of one rank into its parts (profiler/query/step_breakdown.h says what they mean). Interval arithmetic
// that SQL does badly, done once when the step is recorded.
//
//   DividedStep step = divide_step(slices, start_ns, duration_ns, [](int op, std::int64_t ns) { ... });

#include <array>
#include <cstdint>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// What an op keeps busy. The order is the order of claims on an instant of time.
enum class Activity : std::uint8_t { kOptimizer, kLoad, kCompute, kCommunication, kOffload, kNone };
inline constexpr int kActivities = 5;  ///< kNone is not counted

/// kNone for ops that do no work (alloc, free, hold).
Activity activity_of(const Instruction& instruction);

struct ActiveSlice {
  std::int32_t op = 0;
  Activity activity = Activity::kNone;
  std::int64_t start_ns = 0, end_ns = 0;
};

struct DividedStep {
  std::array<std::int64_t, kActivities> part_ns{};  ///< by Activity; communication: the exposed part
  std::int64_t idle_ns = 0;
  std::int64_t communication_ns = 0;  ///< hidden and exposed: the union over all communication
};

/// Slices are cut to the step's window; they may come in any order. `exposed` is called with (op, ns) for each stretch
/// of exposed communication; of several collectives under way the one that started first has it.
template <class F>
DividedStep divide_step(const std::vector<ActiveSlice>& slices, std::int64_t start_ns, std::int64_t duration_ns,
                        F&& exposed);

// ---------------------------------------------------------------- implementation

/// The sweep's state: what is under way between two edges.
class StepSweep {
 public:
  StepSweep(const std::vector<ActiveSlice>& slices, std::int64_t start_ns, std::int64_t end_ns);
  bool next();  ///< moves to the next stretch between two edges; false at the end of the window
  std::int64_t length_ns() const { return to_ - from_; }
  Activity claim() const;  ///< who has the stretch; kNone: nobody
  bool communicates() const { return !communicating_.empty(); }
  std::int32_t first_communication() const { return slices_[communicating_.front()].op; }

 private:
  struct Edge {
    std::int64_t time_ns;
    std::uint32_t slice;
    bool begin;
  };
  void apply(const Edge& edge);

  const std::vector<ActiveSlice>& slices_;
  std::vector<Edge> edges_;
  std::vector<std::uint32_t> communicating_;  ///< indices of slices, in order of start
  std::array<int, kActivities> active_{};
  std::size_t at_ = 0;
  std::int64_t from_, to_, end_;
};

template <class F>
DividedStep divide_step(const std::vector<ActiveSlice>& slices, std::int64_t start_ns, std::int64_t duration_ns,
                        F&& exposed) {
  DividedStep step;
  for (StepSweep sweep(slices, start_ns, start_ns + duration_ns); sweep.next();) {
    const std::int64_t ns = sweep.length_ns();
    const Activity claim = sweep.claim();
    if (sweep.communicates()) step.communication_ns += ns;
    if (claim == Activity::kCommunication) exposed(sweep.first_communication(), ns);
    (claim == Activity::kNone ? step.idle_ns : step.part_ns[static_cast<std::size_t>(claim)]) += ns;
  }
  return step;
}

}  // namespace shardscope
