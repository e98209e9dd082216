#pragma once
// What the rules of a diagnosis look at, gathered once.
//
//   RunFacts facts = gather_facts(profile, run.id);
//   facts.share(TimePart::kIdleData), facts.setting("deepspeed.zero_optimization.stage")

#include <map>
#include <string>
#include <vector>

#include "core/spec/json_tree.h"
#include "profiler/query/collective_waits.h"
#include "profiler/query/import_facts.h"
#include "profiler/query/kernel_times.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/time_breakdown.h"
#include "profiler/query/work_family.h"

namespace shardscope {

/// Communication of one kind, phase and group; of a mean step of a rank.
struct CommunicationFact {
  std::string kind, phase, group;
  int ranks = 0;
  double count = 0, mean_bytes = 0, seconds = 0, wait_s = 0;
  double exposed_s = 0;  ///< that nothing hides, waiting included
  double moved_per_s() const { return seconds > wait_s ? count * mean_bytes / (seconds - wait_s) : 0; }
};

/// Calls of the host of one name; of a mean step of a rank.
struct CallFact {
  std::string name;
  HostKind kind = HostKind::kSync;
  double count = 0, seconds = 0;
};

/// How a device's clock was held down while it worked, as far as that was recorded.
struct SlowedDevice {
  int rank = 0;
  std::int64_t device = 0;
  double share = 0;  ///< of the moments looked at
  bool power = false, hardware = false;
  double mean_mhz = 0, max_mhz = 0;
};

struct RunFacts {
  RunRow run;
  bool imported = false;
  TimeBreakdown time;
  PartSums sums;
  double step_s = 0;  ///< mean
  int ranks = 0;      ///< in the profile
  std::map<int, PartSums> by_rank;
  CollectiveWaits waits;
  std::vector<CommunicationFact> communication;  ///< most exposed first
  std::vector<CallFact> calls;                   ///< that synchronize or allocate; longest first
  std::vector<KernelTime> kernels;               ///< longest first
  DeviceRoof roof;
  std::vector<CopyTraffic> copies;
  std::map<WorkFamily, double> family_s, family_count;  ///< of a mean step of a rank
  double recompute_s = 0;                               ///< of it, forward done again in backward
  double kernel_count = 0, kernel_mean_s = 0;           ///< of the device, in a mean step of a rank
  std::vector<SlowedDevice> slowed;                     ///< slowest first; only those that were
  std::int64_t peak_bytes = 0, limit_bytes = 0;         ///< of the fullest device; 0: unknown
  std::vector<Diagnostic> diagnostics;
  JsonNode job;  ///< the job file of a run of ours; null otherwise

  double seconds(TimePart part) const { return sums.mean_s(sums.ns[part]); }
  double share(TimePart part) const { return sums.share(sums.ns[part]); }
  /// What sums of ops are divided by: they are over all steps of all ranks, warming up included.
  double rank_steps() const { return time.steps.empty() ? 1 : static_cast<double>(time.steps.size()); }
  bool has_job() const { return job.is_object(); }
  /// The number, or truth as 0 or 1, at a path of the job file.
  std::optional<double> setting(std::string_view path) const;
  std::optional<std::string> text_setting(std::string_view path) const;
};

/// Of a run without steps (a dump of a hang) few are there.
RunFacts gather_facts(const Profile& profile, std::int64_t run);

}  // namespace shardscope
