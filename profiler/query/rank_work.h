#pragma once
// What one rank did in a stretch of time, as analyses want it: what its device (of our own runs: its lanes) worked on,
// and what its host called meanwhile. What breakdown, critical path and diagnosis are made from.
//
//   RankWorkReader reader(profile, run.id, rank);
//   RankWork work = reader.read({begin_ns, end_ns});
//   for (const DeviceSlice& s : work.device) use(work.op(s.op).name, s.activity, s.time);

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "profiler/query/run_steps.h"
#include "profiler/query/timeline.h"
#include "profiler/store/step_parts.h"

namespace shardscope {

/// What a call or range of the host means for its device.
enum class HostKind : std::uint8_t {
  kLaunch,      ///< puts work on the device
  kSync,        ///< returns when the device has done something
  kAllocation,  ///< takes or gives back memory; many of these wait for the device
  kData,        ///< a range in which a batch is read
  kOther        ///< another call, or a range that says nothing: not in RankWork
};

/// An op, by what its texts say.
struct WorkOp {
  std::string kind, name, group;
  std::optional<Phase> phase;
  Activity activity = Activity::kNone;
  bool on_device = false;
  bool opaque = false;                ///< a CUDA graph recorded as a whole: busy, nobody knows with what
  std::optional<HostKind> host;       ///< of a host's op that matters
  bool is_range = false;              ///< of the host: says on whose behalf what is launched within it is
  std::optional<Phase> says_phase;    ///< of a host's range: "Optimizer.step#Adam.step"
  double flops = 0;                   ///< of one execution; 0: unknown
  std::int64_t bytes = 0;             ///< memory traffic, or what a copy moves; 0: unknown
  std::int64_t collective_bytes = 0;  ///< as nccl-tests counts; 0: unknown
  int group_size = 0;
};

struct DeviceSlice {
  std::int32_t op = 0, step = -1;
  int track = 0;  ///< index into RankWork::tracks
  Activity activity = Activity::kNone;
  TimeWindow time;
  std::int64_t wait_ns = 0;  ///< of a collective: its first part, in which another rank had not come
  std::int32_t launch = -1;  ///< index into RankWork::host; -1: not known
  std::optional<Phase> phase;
  std::int32_t range = -1;  ///< op of the innermost range of the host that it was launched in; -1: none, or not known
};

struct HostSlice {
  std::int32_t op = 0;
  int track = 0;  ///< of its thread: the first that it has
  HostKind kind = HostKind::kOther;
  TimeWindow time;
};

struct RankWork {
  int rank = 0;
  const std::vector<WorkOp>* ops = nullptr;  ///< the reader's
  std::vector<std::string> tracks;
  std::vector<DeviceSlice> device;  ///< by begin; nothing of kNone
  std::vector<HostSlice> host;      ///< by begin; calls of a thread may be nested in ranges
  const WorkOp& op(std::int32_t index) const { return (*ops)[static_cast<std::size_t>(index)]; }
};

/// Of a rank; Profile must outlive it. Throws Error{kParse} if the profile is damaged.
class RankWorkReader {
 public:
  RankWorkReader(const Profile& profile, std::int64_t run, int rank);
  int rank() const { return rank_; }
  const std::vector<WorkOp>& ops() const { return ops_; }
  bool has_device() const { return has_device_; }  ///< anything at all that worked
  bool has_host() const { return has_host_; }      ///< calls of the host were recorded
  /// All that overlaps the window.
  RankWork read(TimeWindow window) const;
  /// How many slices lie in the chunks that a window touches, about.
  std::int64_t slices_in(TimeWindow window) const;

 private:
  struct Track {
    std::int64_t id = 0;
    std::string lane;
  };
  const Profile& profile_;
  std::int64_t run_;
  int rank_;
  std::vector<WorkOp> ops_;
  std::vector<Track> tracks_;
  bool has_device_ = false, has_host_ = false;
};

/// f(step, work) for each step of the reader's rank, in order. `work` has what overlaps the step, and as much again
/// before and after, so that launches and what comes next are there.
void for_each_step(const RankWorkReader& reader, const RunSteps& steps,
                   const std::function<void(const RunStep&, const RankWork&)>& f);

/// Whether a kind of the host's ops names work: an operator of a framework, an annotation, a range of NVTX.
bool is_range(const std::string& kind);
/// What the texts of a host's op mean; nothing for ranges that say nothing.
std::optional<HostKind> host_kind(const std::string& kind, const std::string& name);
/// The phase that a range is about: "## backward ##", "autograd::engine::evaluate_function: MmBackward0".
std::optional<Phase> phase_of_range(const std::string& kind, const std::string& name);

}  // namespace shardscope
