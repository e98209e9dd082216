#pragma once
// Which run is laid beside another, where nobody says more than its name: as the command line does. No Qt.
//
//   RunRow base = other_run(profile, run, state.against);      // its prediction, else the next measured run

#include <optional>
#include <string>
#include <vector>

#include "profiler/query/list_runs.h"

namespace shardscope::gui {

/// `asked` by name or number; empty: the prediction of `run`, else the measured run behind it. Throws Error{kConfig},
/// also if it is `run` itself.
RunRow other_run(const Profile& profile, const RunRow& run, const std::string& asked);
/// The prediction of `run`. Throws Error{kConfig} if there is none.
RunRow prediction_of(const Profile& profile, const RunRow& run);

/// The prediction of a measured run; nothing if there is none.
std::optional<RunRow> find_prediction(const std::vector<RunRow>& runs, const RunRow& run);
/// The measured run behind `run` in the list, or before it; nothing if there is no other.
std::optional<RunRow> next_measured(const std::vector<RunRow>& runs, const RunRow& run);

/// "zero-2", "zero-2 (predicted)"; "run 3" without a name.
std::string name_of(const RunRow& run);

}  // namespace shardscope::gui
