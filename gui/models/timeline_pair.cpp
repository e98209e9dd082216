#include "gui/models/timeline_pair.h"

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"
#include "gui/models/waterfall.h"

namespace shardscope::gui {
namespace {

constexpr double kMeasuredPart = 0.55;
constexpr double kNarrowestStep = 24;  ///< pixels: of narrower steps the slips are not drawn

const TimelineTrack* find_track(const Timeline& timeline, int rank, const std::string& lane) {
  for (const TimelineTrack& track : timeline.tracks()) {
    if (track.rank == rank && track.lane == lane) return &track;
  }
  return nullptr;
}

bool in_window(const AlignedStep& step, TimeWindow window) {
  return step.a.begin_ns < window.end_ns &&
         step.a.begin_ns + std::max(step.a.length(), step.b.length()) > window.begin_ns;
}

/// Pixels: where the prediction and the measured step end, and where both begin.
struct SlipPlace {
  double predicted, measured, begin;
};

/// Behind the prediction's end, where nothing is drawn; else on a plate of its own before the earlier end.
void draw_slip_text(Picture& picture, const Slip& slip, SlipPlace at, const RowPlace& row, Rgb colour,
                    const TimelineShades& shades, const TextWidth& measure) {
  const std::string text = "slip " + format_delta(1e-9 * static_cast<double>(slip.slip_ns()));
  const double room = measure(text, true) + 8;
  const RowPlace below = predicted_half(row);
  if (below.height >= kTextSize && at.predicted + room <= at.measured) {
    const double top = below.y + 1;
    picture.fill(at.predicted + 3, top, room - 2, below.height - 1, shades.ground);
    picture.text(at.predicted + 6, top + below.height / 2 + kTextSize * 0.36, text, shades.text, true);
    return;
  }
  const double left = std::min(at.predicted, at.measured) - room;
  if (row.height < kTextSize || left < at.begin || std::max(at.predicted, at.measured) > row.x + row.width) return;
  picture.fill(left, row.y + row.height / 2 - 8, room - 2, 16, shades.ground);
  picture.frame(left, row.y + row.height / 2 - 8, room - 2, 16, colour);
  picture.text(left + 3, row.y + row.height / 2 + kTextSize * 0.36, text, shades.text, true);
}

}  // namespace

std::vector<StepPlace> predicted_places(const RunAlignment& alignment, TimeWindow window) {
  std::vector<StepPlace> places;
  for (std::size_t i = 0; i < alignment.steps.size(); ++i) {
    const AlignedStep& step = alignment.steps[i];
    if (!in_window(step, window)) continue;
    std::int64_t length = step.b.length();
    if (i + 1 < alignment.steps.size())
      length = std::min(length, std::max<std::int64_t>(0, alignment.steps[i + 1].a.begin_ns - step.a.begin_ns));
    places.push_back({{step.b.begin_ns, step.b.begin_ns + length}, step.a.begin_ns, step.a_step, step.b_step});
  }
  return places;
}

TimelinePair load_timeline_pair(const Timeline& predicted, const RunAlignment& alignment,
                                const std::vector<std::pair<int, std::string>>& rows, TimeWindow window, int columns,
                                const std::function<bool()>& stopped) {
  TimelinePair pair;
  pair.window = window;
  for (const AlignedStep& step : alignment.steps) {
    if (in_window(step, window))
      pair.slips.push_back({step.a_step, step.a.begin_ns, step.a.end_ns, step.a.begin_ns + step.b.length()});
  }
  const std::vector<StepPlace> places = predicted_places(alignment, window);
  for (const auto& row : rows) {
    if (stopped()) break;
    if (const TimelineTrack* track = find_track(predicted, row.first, row.second))
      pair.lanes.emplace(row, read_lane(predicted, *track, places, window, columns));
  }
  return pair;
}

void add_prediction(TimelineTile& tile, const PredictedRun& predicted, const TimelineCatalog& catalog,
                    const std::function<bool()>& stopped) {
  std::vector<std::pair<int, std::string>> lanes;
  for (const auto& [place, row] : tile.rows) {
    if (place.second < catalog.tracks.size()) lanes.emplace_back(place.first, catalog.tracks[place.second].lane);
  }
  tile.pair = std::make_shared<TimelinePair>(
      load_timeline_pair(predicted.timeline, predicted.alignment, lanes, tile.time, tile.columns, stopped));
}

RowPlace measured_half(const RowPlace& row) {
  return {row.x, row.y, row.width, std::round(row.height * kMeasuredPart)};
}

RowPlace predicted_half(const RowPlace& row) {
  const double above = measured_half(row).height + 1;
  return {row.x, row.y + above, row.width, row.height - above};
}

void draw_predicted(Picture& picture, const TimelinePair& pair, int rank, const std::string& lane, TimeWindow window,
                    const RowPlace& row, const TextWidth& measure) {
  const auto found = pair.lanes.find({rank, lane});
  if (found != pair.lanes.end()) draw_lane(picture, found->second, window, predicted_half(row), measure, true);
}

void draw_slips(Picture& picture, const TimelinePair& pair, TimeWindow window, const RowPlace& row, bool dark,
                const TextWidth& measure) {
  const TimelineShades shades = shades_of(dark);
  const auto x = [&](std::int64_t ns) { return row.x + x_of(ns, window, row.width); };
  const auto clamped = [&](std::int64_t ns) { return std::clamp(x(ns), row.x, row.x + row.width); };
  const double middle = row.y + measured_half(row).height;
  for (const Slip& slip : pair.slips) {
    if (x(std::max(slip.measured_ns, slip.predicted_ns)) - x(slip.begin_ns) < kNarrowestStep || slip.slip_ns() == 0)
      continue;
    const double from = clamped(slip.predicted_ns), to = clamped(slip.measured_ns);
    const Rgb colour = delta_colour(static_cast<double>(slip.slip_ns()));
    picture.fill(std::floor(from) - 1, middle, 2, row.y + row.height - middle,
                 shades.text);                                                // where the prediction ends
    picture.fill(std::floor(to) - 1, row.y, 2, middle - row.y, shades.text);  // and the measured step
    picture.fill(std::min(from, to), middle - 1, std::max(1.0, std::abs(to - from)), 3, colour);
    draw_slip_text(picture, slip, {from, to, clamped(slip.begin_ns)}, row, colour, shades, measure);
  }
}

}  // namespace shardscope::gui
