#pragma once
// A measured run under the other ZeRO stages, and with its optimizer offloaded: its job changed, lowered and simulated
// in seconds fitted to the run, each into a profile as a predicted run.
//
//   std::vector<StageOutcome> stages = predict_stages(Profile("run.db"), "zero-2", "/tmp/stages.db");
//
// The run's own stage is predicted too: what differs between predictions is then the stage alone.

#include <functional>
#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

struct StageOutcome {
  std::string name;     ///< of its run in the profile: "ZeRO-2", "ZeRO-3 + offload"
  std::string problem;  ///< why there is no such run: the job does not run so; empty otherwise
  bool as_run = false;  ///< the stage that the run had
};

/// Appends to the profile at `path`, which is made. `stopped` is asked between the stages. Throws Error as
/// read_measured_run() does, {kIo} if the profile cannot be written.
std::vector<StageOutcome> predict_stages(
    const Profile& profile, const std::string& run, const std::string& path,
    const std::function<bool()>& stopped = [] { return false; });

}  // namespace shardscope
