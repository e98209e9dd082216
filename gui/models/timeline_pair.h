#pragma once
// A run's prediction under its own rows: each lane drawn twice, measured above predicted, steps beginning together, and
// how far the two have slipped apart at the end of each step. No Qt.
//
//   TimelinePair pair = load_timeline_pair(predicted, align_runs(...), rows, window, columns, [] { return false; });
//   draw_bars of the measured lane into measured_half(place); draw_predicted(picture, pair, rank, lane, window, place,
//   ...)

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gui/models/lane_bars.h"
#include "gui/models/timeline_tile.h"
#include "profiler/query/align_runs.h"

namespace shardscope::gui {

/// One step's end, measured and predicted, in the measured run's time.
struct Slip {
  std::int64_t step = 0, begin_ns = 0, measured_ns = 0, predicted_ns = 0;
  std::int64_t slip_ns() const { return measured_ns - predicted_ns; }
};

struct TimelinePair {
  TimeWindow window;                                      ///< that was read
  std::map<std::pair<int, std::string>, LaneBars> lanes;  ///< of the prediction, by rank and lane
  std::vector<Slip> slips;                                ///< of steps in the window
};

/// What is laid under a run: its prediction, and which of its steps belongs to which.
struct PredictedRun {
  const Timeline& timeline;
  const RunAlignment& alignment;
};

/// Lower rows have no room for two.
inline constexpr double kLowestPairedRow = 12;

/// Where the prediction's steps lie in the measured run's time. A step that is predicted longer is cut where the next
/// one begins.
std::vector<StepPlace> predicted_places(const RunAlignment& alignment, TimeWindow window);

/// Reads the prediction for the lanes and columns of a tile of the measured run.
void add_prediction(TimelineTile& tile, const PredictedRun& predicted, const TimelineCatalog& catalog,
                    const std::function<bool()>& stopped);

/// `rows`: rank and lane. Returns what it has when `stopped` says true.
TimelinePair load_timeline_pair(const Timeline& predicted, const RunAlignment& alignment,
                                const std::vector<std::pair<int, std::string>>& rows, TimeWindow window, int columns,
                                const std::function<bool()>& stopped);

RowPlace measured_half(const RowPlace& row);
RowPlace predicted_half(const RowPlace& row);

/// The prediction's bars in the lower half; nothing if the lane was not read.
void draw_predicted(Picture& picture, const TimelinePair& pair, int rank, const std::string& lane, TimeWindow window,
                    const RowPlace& row, const TextWidth& measure);
/// Lines between the predicted and the measured end of each step, with "slip +3.1 ms ▲" where there is room.
void draw_slips(Picture& picture, const TimelinePair& pair, TimeWindow window, const RowPlace& row, bool dark,
                const TextWidth& measure);

}  // namespace shardscope::gui
