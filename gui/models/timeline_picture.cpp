#include "gui/models/timeline_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"
#include "gui/models/timeline_rows.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 10, kLine = 18, kGap = 6;
constexpr int kBandRows = 3;  ///< steps, phases, micro-batches
constexpr double kWideSpan = 3, kTickWidth = 110;

/// What a lane other than compute does.
WorkClass work_of_lane(const std::string& name) {
  const auto lane = from_name<Lane>(name);
  return lane && *lane >= Lane::kH2D ? WorkClass::kOffload : WorkClass::kCommunication;
}

class Drawing {
 public:
  Drawing(const Timeline& timeline, const TimelineState& state, double width, double height, const TextWidth& measure)
      : timeline_(timeline),
        state_(state),
        measure_(measure),
        shades_(shades_of(state.dark)),
        frame_(frame_of(timeline, width, height, measure)),
        window_(clamp(state.window, timeline.extent())),
        layout_(lay_out(timeline.tracks(), state, frame_.height)),
        picture_(width, height, shades_.ground) {}

  Picture draw(const TimelineTitle& title) {
    draw_title(title);
    if (timeline_.tracks().empty() || window_.length() <= 0) {
      picture_.text(kMargin, frame_.top + kLine, "This run has no slices: nothing ran, or nothing was recorded of it.",
                    shades_.text);
      return std::move(picture_);
    }
    draw_ruler();
    draw_bands();
    for (const TimelineRow& row : layout_.rows) draw_row(row);
    draw_labels();
    draw_selection();
    draw_area();
    draw_legend();
    return std::move(picture_);
  }

 private:
  double x(std::int64_t ns) const { return frame_.left + x_of(ns, window_, frame_.width); }
  double clamped_x(std::int64_t ns) const { return std::clamp(x(ns), frame_.left, frame_.left + frame_.width); }
  double row_top(const TimelineRow& row) const { return frame_.top + row.y; }
  double rows_bottom() const {
    const TimelineRow& last = layout_.rows.back();
    return frame_.top + std::min(frame_.height, last.y + last.height);
  }
  RowPlace place_of(const TimelineRow& row) const;
  void draw_title(const TimelineTitle& title);
  void draw_ruler();
  void draw_bands();
  void draw_band_row(const std::vector<Band>& bands, const char* name, double y);
  void draw_row(const TimelineRow& row);
  void draw_labels();
  void draw_selection();
  void frame_span(std::size_t track, const Span& span);
  void draw_area();
  void draw_legend();

  const Timeline& timeline_;
  const TimelineState& state_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  const TimelineFrame frame_;
  const TimeWindow window_;
  const TimelineLayout layout_;
  Picture picture_;
};

/// Rows that the scroll cuts are cut here.
RowPlace Drawing::place_of(const TimelineRow& row) const {
  const double top = row.pinned ? row.y : std::max(row.y, layout_.pinned);
  const double gap = row.height >= 6 ? 1 : 0, bottom = std::min(row.y + row.height - gap, frame_.height);
  return {frame_.left, frame_.top + top, frame_.width, std::max(0.0, bottom - top)};
}

void Drawing::draw_title(const TimelineTitle& title) {
  const double baseline = kMargin + kTextSize;
  double at = kMargin;
  if (title.predicted) {
    picture_.fill(at, kMargin, kTextSize, kTextSize, kGrey, Texture::kHatch);
    at += kTextSize + kGap;
  }
  const std::string name = elide(title.name, picture_.width * 0.6, measure_, true);
  picture_.text(at, baseline, name, shades_.text, true);
  at += measure_(name, true) + 2 * kGap;
  picture_.text(at, baseline, elide(title.remark, picture_.width - at - kMargin, measure_), shades_.faint);
}

void Drawing::draw_ruler() {
  const TimeTicks ticks = time_ticks(window_, std::max(2, static_cast<int>(frame_.width / kTickWidth)));
  const double baseline = frame_.top - kBandRows * kLine - kGap - 4;
  picture_.text(kMargin, baseline,
                elide(ticks.base.empty() ? "time" : ticks.base, frame_.left - kMargin - kGap, measure_), shades_.faint);
  const double bottom = rows_bottom();
  for (std::size_t i = 0; i < ticks.at_ns.size(); ++i) {
    const double at = std::floor(x(ticks.at_ns[i]));
    picture_.fill(at, baseline + 4, 1, bottom - baseline - 4, shades_.line);
    const double width = measure_(ticks.texts[i], false);
    if (at + 4 + width < picture_.width) picture_.text(at + 4, baseline, ticks.texts[i], shades_.faint);
  }
}

void Drawing::draw_bands() {
  const TimelineTrack& first = timeline_.tracks()[layout_.rows.front().tracks.front()];
  double y = frame_.top - kBandRows * kLine - kGap / 2;
  draw_band_row(timeline_.steps(first.rank), "steps", y);
  const TrackView view = timeline_.look(first, window_, static_cast<int>(frame_.width));
  if (view.bucket_ns > 0) return;
  draw_band_row(timeline_.phases(first, view.spans), "phases", y += kLine);
  draw_band_row(timeline_.micro_batches(first, view.spans), "micro-batches", y + kLine);
}

/// Bands that are too narrow to be told apart are left out: the name says how many there are.
void Drawing::draw_band_row(const std::vector<Band>& bands, const char* name, double y) {
  const double baseline = y + kLine / 2 + kTextSize * 0.36;
  int seen = 0;
  double drawn_to = frame_.left - 1;
  for (const Band& band : bands) {
    if (band.time.end_ns <= window_.begin_ns || band.time.begin_ns >= window_.end_ns) continue;
    ++seen;
    const double left = std::round(clamped_x(band.time.begin_ns)), right = std::round(clamped_x(band.time.end_ns));
    if (right - left < 2 && left < drawn_to + 1) continue;
    picture_.fill(left, y, std::max(1.0, right - left - 1), kLine - 3, shades_.band);
    const bool whole = measure_(band.name, false) <= right - left - 8;
    picture_.text(left + 4, baseline - 1, elide(whole ? band.name : band.mark, right - left - 6, measure_),
                  shades_.text);
    drawn_to = right;
  }
  if (seen > 0)
    picture_.text(kMargin, baseline - 1, elide(name, frame_.left - kMargin - kGap, measure_), shades_.faint);
}

void Drawing::draw_row(const TimelineRow& row) {
  const RowPlace place = place_of(row);
  const int width = static_cast<int>(frame_.width);
  if (place.height <= 0) return;
  if (row.whole_rank) {
    draw_columns(picture_, rank_columns(timeline_, row, window_, width), place);
    return;
  }
  const TimelineTrack& track = timeline_.tracks()[row.tracks.front()];
  const TrackView view = timeline_.look(track, window_, width);
  Columns columns(static_cast<std::size_t>(width));
  const std::vector<Span> spans = add_columns(timeline_, track, view, window_, kWideSpan, columns);
  draw_columns(picture_, columns, place);
  draw_spans(picture_, timeline_, track, spans, window_, place, measure_);
}

/// The names at the left; where rows are low, of as many ranks as have room.
void Drawing::draw_labels() {
  double free_from = frame_.top - kLine;
  for (const TimelineRow& row : layout_.rows) {
    const RowPlace place = place_of(row);
    const double baseline = std::min(place.y + place.height / 2, frame_.top + frame_.height) + kTextSize * 0.36;
    if (row.first_of_rank && !row.whole_rank)
      picture_.fill(kMargin, place.y - 3, picture_.width - 2 * kMargin, 1, shades_.line);
    if (baseline - kTextSize < free_from - 1) continue;
    if (row.first_of_rank)
      picture_.text(kMargin, baseline, "rank " + std::to_string(row.rank), shades_.text, row.pinned);
    if (!row.whole_rank) {
      const std::string& lane = timeline_.tracks()[row.tracks.front()].lane;
      picture_.text(frame_.left - kGap - measure_(lane, false), baseline, lane, shades_.faint);
    }
    free_from = baseline + 3;
  }
}

void Drawing::frame_span(std::size_t track, const Span& span) {
  for (const TimelineRow& row : layout_.rows) {
    if (std::find(row.tracks.begin(), row.tracks.end(), track) == row.tracks.end()) continue;
    const RowPlace place = place_of(row);
    const double left = std::floor(clamped_x(span.begin_ns)), right = std::ceil(clamped_x(span.end_ns));
    const double width = std::max(3.0, right - left);
    picture_.frame(left, place.y - 1, width, place.height + 2, shades_.text);
    picture_.frame(left + 1, place.y, width - 2, place.height, shades_.ground);
  }
}

/// The selected op, the same collective on the other ranks, and a line at its end through all of them.
void Drawing::draw_selection() {
  if (!state_.selection) return;
  const TimelineSelection& wanted = *state_.selection;
  for (std::size_t i = 0; i < timeline_.tracks().size(); ++i) {
    const TimelineTrack& track = timeline_.tracks()[i];
    if (track.rank != wanted.rank || track.lane != wanted.lane) continue;
    for (const Span& span : timeline_.spans(track, {wanted.begin_ns, wanted.begin_ns + 1})) {
      if (span.op != wanted.op || span.step != wanted.step) continue;
      const std::vector<TiedSpan> tied = timeline_.tied(i, span);
      if (!tied.empty() && span.end_ns > window_.begin_ns && span.end_ns < window_.end_ns)
        picture_.fill(std::floor(x(span.end_ns)), frame_.top, 1, rows_bottom() - frame_.top, shades_.text);
      frame_span(i, span);
      for (const TiedSpan& other : tied) frame_span(other.track, other.span);
    }
  }
}

void Drawing::draw_area() {
  if (!state_.area) return;
  double top = frame_.height, bottom = 0;
  for (const TimelineRow& row : layout_.rows) {
    if (row.rank < state_.area->first_rank || row.rank > state_.area->last_rank) continue;
    top = std::min(top, std::max(0.0, row.y));
    bottom = std::max(bottom, std::min(row.y + row.height, frame_.height));
  }
  const double left = clamped_x(state_.area->time.begin_ns), right = clamped_x(state_.area->time.end_ns);
  if (bottom <= top || right <= left) return;
  for (double inset : {0.0, 1.0}) {
    picture_.frame(left + inset, frame_.top + top + inset, right - left - 2 * inset, bottom - top - 2 * inset,
                   shades_.text);
  }
}

void Drawing::draw_legend() {
  std::array<bool, kWorkClasses> used{};
  for (const TimelineTrack& track : timeline_.tracks()) {
    if (track.lane == to_string(Lane::kCompute)) {
      for (std::size_t c = 0; c <= static_cast<std::size_t>(WorkClass::kOptimizer); ++c) used[c] = true;
      continue;
    }
    const WorkClass work = work_of_lane(track.lane);
    used[static_cast<std::size_t>(work)] = true;
    if (work == WorkClass::kCommunication) used[static_cast<std::size_t>(WorkClass::kWait)] = true;
  }
  double at = kMargin;
  const double baseline = picture_.height - kMargin;
  for (std::size_t c = 0; c < kWorkClasses; ++c) {
    if (!used[c]) continue;
    const WorkLook look = look_of(static_cast<WorkClass>(c));
    const double needed = 22 + kGap + measure_(look.name, false);
    if (at + needed > picture_.width - kMargin) return;
    picture_.fill(at, baseline - kTextSize + 1, 22, kTextSize + 1, look.colour, look.texture);
    picture_.text(at + 22 + kGap, baseline, look.name, shades_.faint);
    at += needed + 3 * kGap;
  }
}

}  // namespace

TimelineFrame frame_of(const Timeline& timeline, double width, double height, const TextWidth& measure) {
  double rank = measure("micro-batches", false), lane = 0;
  if (!timeline.tracks().empty()) {
    const double number = measure("rank " + std::to_string(timeline.tracks().back().rank), true);
    for (const TimelineTrack& track : timeline.tracks()) lane = std::max(lane, measure(track.lane, false));
    rank = std::max(rank, number + 2 * kGap + lane);
  }
  TimelineFrame frame;
  frame.left = std::ceil(kMargin + std::min(rank, width / 3) + kGap);
  frame.top = kMargin + 2 * kLine + kBandRows * kLine + 2 * kGap;
  frame.width = std::max(1.0, std::floor(width - frame.left - kMargin));
  frame.height = std::max(1.0, height - frame.top - kLine - 2 * kMargin);
  return frame;
}

Picture draw_timeline(const Timeline& timeline, const TimelineTitle& title, const TimelineState& state, double width,
                      double height, const TextWidth& measure) {
  return Drawing(timeline, state, width, height, measure).draw(title);
}

namespace {

struct Unit {
  std::int64_t ns;
  const char* name;
};
constexpr Unit kUnits[] = {{1'000'000'000, "s"}, {1'000'000, "ms"}, {1'000, "us"}, {1, "ns"}};

std::int64_t round_step(std::int64_t length, int wanted) {
  std::int64_t step = 1;
  for (;; step *= 10) {
    for (std::int64_t factor : {1, 2, 5}) {
      if (length / (step * factor) <= wanted) return step * factor;
    }
  }
}

}  // namespace

std::string format_time(std::int64_t ns, std::int64_t step_ns) {
  // The largest unit in which the time is not below one.
  const Unit* unit = std::begin(kUnits);
  while (unit->ns > 1 && std::abs(ns) < unit->ns) ++unit;
  int digits = 0;
  for (std::int64_t least = unit->ns; least > 1 && step_ns % least != 0; least /= 10) ++digits;
  if (ns == 0) return "0";
  return fmt::format("{:.{}f} {}", static_cast<double>(ns) / static_cast<double>(unit->ns), digits, unit->name);
}

TimeTicks time_ticks(TimeWindow window, int wanted) {
  TimeTicks ticks;
  const std::int64_t step = round_step(std::max<std::int64_t>(1, window.length()), std::max(1, wanted));
  const std::int64_t first = (window.begin_ns + step - 1) / step * step;
  constexpr std::int64_t kLongest = 2000;  // steps from the start of the run that still make short texts
  const bool relative = first / step > kLongest;
  if (relative) ticks.base = "+ " + format_time(first, step);
  for (std::int64_t at = first; at < window.end_ns; at += step) {
    ticks.at_ns.push_back(at);
    ticks.texts.push_back(relative ? (at == first ? "+0" : "+" + format_time(at - first, step))
                                   : format_time(at, step));
  }
  return ticks;
}

}  // namespace shardscope::gui
