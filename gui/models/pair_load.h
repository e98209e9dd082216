#pragma once
// What the views of two runs show, read from their profiles. Long questions: the window asks them in its pool. No Qt.
//
//   Waterfall why = load_waterfall({profile, run}, {profile, prediction}, state);
//   ScatterData dots = load_scatter({profile, run}, {profile, prediction});
//
// All throw Error{kConfig} where the two have nothing to be laid beside each other, saying what.

#include "gui/models/scatter.h"
#include "gui/models/waterfall.h"
#include "profiler/query/list_runs.h"

namespace shardscope::gui {

/// A run in its profile.
struct RunIn {
  const Profile& profile;
  const RunRow& run;
};

Waterfall load_waterfall(const RunIn& run, const RunIn& base, const WaterfallState& state);
ScatterData load_scatter(const RunIn& measured, const RunIn& predicted);

}  // namespace shardscope::gui
