#pragma once
// Reads what compare.h and stages.h hold. Long questions: the window asks them in its pool. No Qt.
//
//   PairFacts facts = load_pair({profile, a}, {profile, b}, timeline_a, timeline_b, state);         // once
//   PairLanes lanes = load_lanes(timeline_a, timeline_b, facts, window, pixels);                    // at each look
//
// load_pair throws Error{kConfig} where the two have nothing to be laid beside each other, saying what.

#include "gui/models/compare.h"
#include "gui/models/pair_load.h"

namespace shardscope::gui {

PairFacts load_pair(const RunIn& a, const RunIn& b, const Timeline& timeline_a, const Timeline& timeline_b,
                    const CompareState& state);
PairLanes load_lanes(const Timeline& timeline_a, const Timeline& timeline_b, const PairFacts& facts, TimeWindow window,
                     int pixels);
/// Of the state's op, else of the one that both runs have with the largest difference.
DurationHistogram load_histogram(const RunIn& a, const RunIn& b, const PairFacts& facts, const CompareState& state);

}  // namespace shardscope::gui
