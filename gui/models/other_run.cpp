#include "gui/models/other_run.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "profiler/query/pair_runs.h"

namespace shardscope::gui {

std::optional<RunRow> find_prediction(const std::vector<RunRow>& runs, const RunRow& run) {
  std::vector<PairableRun> keys;
  for (const RunRow& r : runs) keys.push_back({0, r.id, r.name, r.predicted});
  for (const RunPair& pair : pair_runs(keys)) {
    if (pair.measured && pair.predicted && runs[*pair.measured].id == run.id) return runs[*pair.predicted];
  }
  return std::nullopt;
}

std::optional<RunRow> next_measured(const std::vector<RunRow>& runs, const RunRow& run) {
  const auto is_run = [&](const RunRow& r) { return r.id == run.id; };
  const auto at = static_cast<std::size_t>(std::find_if(runs.begin(), runs.end(), is_run) - runs.begin());
  for (std::size_t i = 1; i < runs.size(); ++i) {
    const RunRow& next = runs[(at + i) % runs.size()];
    if (!next.predicted) return next;
  }
  return std::nullopt;
}

std::string name_of(const RunRow& run) {
  return (run.name.empty() ? "run " + std::to_string(run.id) : run.name) + (run.predicted ? " (predicted)" : "");
}

RunRow other_run(const Profile& profile, const RunRow& run, const std::string& asked) {
  if (!asked.empty()) {
    RunRow other = find_run(profile, asked);
    if (other.id != run.id) return other;
    throw Error(ErrorKind::kConfig,
                profile.path() + ": run " + asked + " is the one that is to be compared; name another");
  }
  const std::vector<RunRow> runs = list_runs(profile);
  if (const auto prediction = find_prediction(runs, run)) return *prediction;
  if (const auto next = next_measured(runs, run)) return *next;
  throw Error(ErrorKind::kConfig, profile.path() + ": holds no run to compare " + name_of(run) + " with");
}

RunRow prediction_of(const Profile& profile, const RunRow& run) {
  if (const auto prediction = find_prediction(list_runs(profile), run)) return *prediction;
  throw Error(ErrorKind::kConfig, profile.path() + ": holds no prediction of " + name_of(run) +
                                      "; `shardscope train --profile` writes one beside each run");
}

}  // namespace shardscope::gui
