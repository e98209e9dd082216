#include "gui/models/lane_bars.h"

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"

namespace shardscope::gui {
namespace {

bool on_screen(const StepPlace& place, TimeWindow window) {
  return place.at_ns < window.end_ns && place.at_ns + place.run.length() > window.begin_ns;
}

/// Puts what a view of a run has into one lane.
class Reading {
 public:
  Reading(const Timeline& timeline, const TimelineTrack& track, TimeWindow window, int pixels)
      : timeline_(timeline),
        track_(track),
        wide_ns_(static_cast<std::int64_t>(kWideSpan * static_cast<double>(window.length()) / pixels)) {
    lane_.rank = track.rank;
    lane_.lane = track.lane;
    lane_.window = window;
    columns_.resize(static_cast<std::size_t>(pixels));
  }

  void add(const TrackView& view, const StepPlace& place) {
    const auto first = std::partition_point(view.spans.begin(), view.spans.end(), [&](const Span& span) {
      return span.end_ns <= place.run.begin_ns;  // spans of a lane do not overlap
    });
    for (auto span = first; span != view.spans.end() && span->begin_ns < place.run.end_ns; ++span) add(*span, place);
    const std::int64_t size = view.bucket_ns;
    const auto bucket = std::partition_point(view.buckets.begin(), view.buckets.end(), [&](const LevelEntry& e) {
      return (e.bucket + 1) * size <= place.run.begin_ns;
    });
    for (auto e = bucket; e != view.buckets.end() && e->bucket * size < place.run.end_ns; ++e) {
      // A bucket that reaches over the stretch's end gives it its part.
      const std::int64_t begin = std::max(e->bucket * size, place.run.begin_ns),
                         end = std::min((e->bucket + 1) * size, place.run.end_ns);
      const double part =
          static_cast<double>(e->busy_ns) * static_cast<double>(end - begin) / static_cast<double>(size);
      spread(columns_, lane_.window, place.to_axis(begin), place.to_axis(end), part, e->work);
    }
  }

  LaneBars take() {
    lane_.columns = stacks_of(columns_);
    return std::move(lane_);
  }

 private:
  void add(const Span& span, const StepPlace& place) {
    if (span.step != place.run_step) return;
    const std::int64_t begin = std::max(span.begin_ns, place.run.begin_ns),
                       end = std::min(span.end_ns, place.run.end_ns);
    const TimeWindow time{place.to_axis(begin), place.to_axis(end)};
    if (time.end_ns <= lane_.window.begin_ns || time.begin_ns >= lane_.window.end_ns) return;
    const std::int64_t wait = std::clamp<std::int64_t>(span.begin_ns + span.wait_ns - begin, 0, end - begin);
    const TimelineOp& op = timeline_.op(track_, span.op);
    if (time.length() >= wide_ns_) {
      lane_.bars.push_back({time, wait, span.op, place.step, op.work, label_of(op)});
    } else {
      add_span(columns_, lane_.window, {time.begin_ns, time.end_ns, wait, span.op, span.step}, op.work);
    }
  }

  const Timeline& timeline_;
  const TimelineTrack& track_;
  const std::int64_t wide_ns_;
  Columns columns_;
  LaneBars lane_;
};

std::vector<Stack> columns_in(const LaneBars& lane, TimeWindow window, double width) {
  std::vector<Stack> result(static_cast<std::size_t>(std::max(1.0, width)));
  if (lane.window == window && result.size() == lane.columns.size()) return lane.columns;
  const double per_column = static_cast<double>(lane.window.length()) / static_cast<double>(lane.columns.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double ns =
        static_cast<double>(window.begin_ns - lane.window.begin_ns) +
        (static_cast<double>(i) + 0.5) / static_cast<double>(result.size()) * static_cast<double>(window.length());
    const double column = std::floor(ns / per_column);
    if (column >= 0 && column < static_cast<double>(lane.columns.size()))
      result[i] = lane.columns[static_cast<std::size_t>(column)];
  }
  return result;
}

/// As work_looks(), all of them hatched.
const StripLooks& predicted_looks() {
  static const StripLooks kLooks = [] {
    StripLooks looks = work_looks();
    for (StripLook& look : looks) look.texture = Texture::kHatch;
    return looks;
  }();
  return kLooks;
}

void draw_bar(Picture& picture, const LaneBar& bar, TimeWindow window, const RowPlace& place, const TextWidth& measure,
              bool predicted) {
  const auto x = [&](std::int64_t ns) {
    return std::round(std::clamp(x_of(ns, window, place.width), 0.0, place.width));
  };
  if (bar.time.end_ns <= window.begin_ns || bar.time.begin_ns >= window.end_ns) return;
  const WorkLook look = look_of(bar.work), wait = look_of(WorkClass::kWait);
  const double left = x(bar.time.begin_ns), waited = x(bar.time.begin_ns + bar.wait_ns),
               right = std::max(left + 1, x(bar.time.end_ns) - 1);  // neighbours stay apart
  picture.fill(place.x + left, place.y, waited - left, place.height, wait.colour, wait.texture);
  picture.fill(place.x + waited, place.y, right - waited, place.height, look.colour,
               predicted ? Texture::kHatch : look.texture);
  const double room = right - waited - 6;
  if (place.height < kTextSize) return;
  const std::string label = fitting_label(bar.text, room, measure);
  if (label.empty()) return;
  picture.text(place.x + waited + 3, place.y + place.height / 2 + kTextSize * 0.36, label, text_colour_on(look.colour));
}

}  // namespace

LaneBars read_lane(const Timeline& timeline, const TimelineTrack& track, const std::vector<StepPlace>& places,
                   TimeWindow window, int pixels) {
  Reading reading(timeline, track, window, std::max(1, pixels));
  std::vector<StepPlace> seen;
  TimeWindow hull{track.extent.end_ns, track.extent.begin_ns};
  for (StepPlace place : places) {
    if (!on_screen(place, window)) continue;
    // Only the part of it that is in the window is read.
    const std::int64_t before = std::max<std::int64_t>(0, window.begin_ns - place.at_ns),
                       behind = std::max<std::int64_t>(0, place.to_axis(place.run.end_ns) - window.end_ns);
    place.run = {place.run.begin_ns + before, place.run.end_ns - behind};
    place.at_ns += before;
    hull = {std::min(hull.begin_ns, place.run.begin_ns), std::max(hull.end_ns, place.run.end_ns)};
    seen.push_back(place);
  }
  if (seen.empty() || hull.length() <= 0) return reading.take();
  const double width = static_cast<double>(hull.length()) / static_cast<double>(window.length()) * pixels;
  const TrackView view = timeline.look(track, hull, std::clamp(static_cast<int>(width), 1, 1 << 20));
  for (const StepPlace& place : seen) reading.add(view, place);
  return reading.take();
}

std::vector<LaneBars> read_rank(const Timeline& timeline, int rank, const std::vector<StepPlace>& places,
                                TimeWindow window, int pixels) {
  std::vector<LaneBars> lanes;
  for (const TimelineTrack& track : timeline.tracks()) {
    if (track.rank == rank) lanes.push_back(read_lane(timeline, track, places, window, pixels));
  }
  return lanes;
}

void draw_lane(Picture& picture, const LaneBars& lane, TimeWindow window, const RowPlace& place,
               const TextWidth& measure, bool predicted) {
  if (place.height <= 0 || place.width < 1 || lane.columns.empty() || window.length() <= 0) return;
  picture.strip(place.x, place.y, place.height, columns_in(lane, window, place.width),
                predicted ? predicted_looks() : work_looks());
  for (const LaneBar& bar : lane.bars) draw_bar(picture, bar, window, place, measure, predicted);
}

void add_classes(const std::vector<LaneBars>& lanes, WorkClasses& seen) {
  for (const LaneBars& lane : lanes) {
    for (const LaneBar& bar : lane.bars) {
      seen[static_cast<std::size_t>(bar.work)] = true;
      if (bar.wait_ns > 0) seen[static_cast<std::size_t>(WorkClass::kWait)] = true;
    }
    for (const Stack stack : lane.columns) {
      for (std::size_t c = 0; c < kStackParts; ++c) seen[c] = seen[c] || ((stack >> (8 * c)) & 0xFF) != 0;
    }
  }
}

const LaneBar* bar_at(const LaneBars& lane, std::int64_t axis_ns, std::int64_t slack_ns) {
  const LaneBar* nearest = nullptr;
  std::int64_t least = slack_ns + 1;
  for (const LaneBar& bar : lane.bars) {
    const std::int64_t away = std::max({std::int64_t{0}, bar.time.begin_ns - axis_ns, axis_ns - bar.time.end_ns + 1});
    if (away < least) nearest = &bar;
    least = std::min(least, away);
  }
  return nearest;
}

}  // namespace shardscope::gui
