#pragma once
// Where does the time of each step go, to the last nanosecond, and what made the device idle? Of our own runs and of
// those of other programs.
//
//   TimeBreakdown b = time_breakdown(profile, run.id);
//   for (const StepTime& s : b.steps) use(s.rank, s.step, s.part(TimePart::kWaiting), s.time.length());
//
// Every instant belongs to the first of these that is under way: optimizer, data and compute; work whose contents were
// not recorded; communication (waiting, if all that communicates waits for another rank); copies. Else the device is
// idle, and idle_cause.h says why. Stretches of which the profile says that events are missing are not known. So the
// parts add up to the step exactly.

#include <array>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "profiler/query/idle_cause.h"
#include "profiler/query/launched_in.h"
#include "profiler/query/run_steps.h"

namespace shardscope {

enum class TimePart : std::uint8_t {
  kCompute,        ///< forward, backward, recomputation; of other programs all kernels
  kOptimizer,      ///< where the phase is known
  kLoad,           ///< the compute lane reads a batch
  kCommunication,  ///< exposed, and moving
  kWaiting,        ///< exposed, waiting for the last rank to arrive
  kCopies,         ///< exposed: between device and host, NVMe, host compute
  kIdleLaunch,     ///< these as in IdleCause
  kIdleSync,
  kIdleData,
  kIdleAllocation,
  kIdleQueued,
  kIdleUnknown,
  kNotKnown  ///< busy with a CUDA graph recorded as a whole, or events are missing
};
inline constexpr int kTimeParts = 13;
std::string_view to_string(TimePart part);  ///< "exposed communication"
std::string_view key_of(TimePart part);     ///< "communication": a word for JSON
TimePart part_of(IdleCause cause);

/// Time of each part, ns.
struct PartTimes : std::array<std::int64_t, kTimeParts> {
  using array::operator[];
  std::int64_t& operator[](TimePart part) { return (*this)[static_cast<std::size_t>(part)]; }
  std::int64_t operator[](TimePart part) const { return (*this)[static_cast<std::size_t>(part)]; }
};

struct StepTime {
  int rank = 0;
  std::int64_t step = 0;
  TimeWindow time;
  PartTimes ns{};                     ///< adds up to time.length()
  std::int64_t communication_ns = 0;  ///< any under way, hidden or not
  std::int64_t copies_ns = 0;         ///< the same of copies
  std::int64_t busy_ns = 0;           ///< anything at all under way on the device
  std::int64_t part(TimePart p) const { return ns[p]; }
  std::int64_t exposed_ns() const { return part(TimePart::kCommunication) + part(TimePart::kWaiting); }
};

/// A stretch in which the device of a rank was idle.
struct IdleGap {
  int rank = 0;
  std::int64_t step = 0;
  TimePart cause = TimePart::kIdleUnknown;  ///< of its longest piece
  TimeWindow time;
  std::string before, after;  ///< names of what ran; empty at the ends of the recording
};

struct TimeBreakdown {
  std::vector<StepTime> steps;     ///< by rank, then step
  std::vector<IdleGap> gaps;       ///< of counted steps, longest first; at most kMostGaps
  std::vector<LaunchedIn> ranges;  ///< of counted steps, longest first; empty where the host has none
  StepSource source = StepSource::kRecorded;
  bool has_device = false;           ///< work of any device was recorded: else nothing of a step is known
  std::vector<std::string> remarks;  ///< what the figures leave out
  static constexpr std::size_t kMostGaps = 50;
};

struct BreakdownOf {
  int rank = -1;           ///< below 0: all
  std::int64_t step = -1;  ///< below 0: all
};

/// Without steps where nothing that a device did was recorded. Throws Error{kConfig} if there is no such rank or step.
TimeBreakdown time_breakdown(const Profile& profile, std::int64_t run, const BreakdownOf& what = {});

/// Sums over the steps: of `rank` (below 0: of all), without the first of each rank where there are three or more.
struct PartSums {
  PartTimes ns{};
  std::int64_t communication_ns = 0, copies_ns = 0, total_ns = 0, steps = 0;
  double mean_s(std::int64_t sum_ns) const { return steps == 0 ? 0 : 1e-9 * double(sum_ns) / double(steps); }
  double share(std::int64_t sum_ns) const { return total_ns == 0 ? 0 : double(sum_ns) / double(total_ns); }
};
PartSums sum_of(const TimeBreakdown& breakdown, int rank = -1);

/// One step of the work that it is in; `waits` of its collectives are in the slices. Used by the above.
StepTime divide_time(const RunStep& step, const RankWork& work, const std::vector<TimeWindow>& missing,
                     std::vector<IdleGap>* gaps = nullptr);

/// Parts of collectives in which other ranks had not come. Our own runs have them in their slices; of other programs'
/// runs they come from matching the collectives of the ranks.
class KnownWaits {
 public:
  KnownWaits(const Profile& profile, std::int64_t run);
  void put_into(RankWork& work) const;

 private:
  std::vector<std::vector<std::array<std::int64_t, 3>>> by_rank_;  ///< start, end, wait
};

}  // namespace shardscope
