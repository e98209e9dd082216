#include "gui/models/timeline_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "gui/models/timeline_colours.h"
#include "gui/models/waterfall.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 10, kLine = 18, kGap = 6;
constexpr int kBandRows = 3;  ///< steps, phases, micro-batches
constexpr double kTickWidth = 110;

TimeTicks ticks_of(const TimelineScene& scene) {
  return time_ticks(scene.window, std::max(2, static_cast<int>(scene.frame.width / kTickWidth)));
}

/// Where nothing is known yet: a faint line, which no bar looks like.
void draw_unknown(Picture& picture, const RowPlace& place, double from, double to, Rgb colour) {
  if (to > from) picture.fill(place.x + from, std::floor(place.y + place.height / 2), to - from, 1, colour);
}

/// Where the state wants it.
const TimelinePair* pair_of(const TimelineScene& scene) {
  return scene.tile && scene.state.prediction ? scene.tile->pair.get() : nullptr;
}

void draw_row(Picture& picture, const TimelineScene& scene, const TimelineRow& row, const TextWidth& measure) {
  const RowPlace both = scene.place_of(row);
  const TimelinePair* pair = pair_of(scene);
  const bool twice = pair != nullptr && !row.whole_rank && both.height >= kLowestPairedRow;
  const RowPlace place = twice ? measured_half(both) : both;
  const TileRow* known = scene.tile ? scene.tile->row(row) : nullptr;
  const TimelineShades shades = shades_of(scene.state.dark);
  const int width = static_cast<int>(scene.frame.width);
  if (place.height <= 0) return;
  if (twice) {
    const TimelineTrack& track = scene.catalog->tracks[row.tracks.front()];
    draw_predicted(picture, *pair, track.rank, track.lane, scene.window, both, measure);
  }
  if (known == nullptr) return draw_unknown(picture, place, 0, place.width, shades.line);
  KnownColumns covered;
  std::vector<Stack> columns = columns_for(*scene.tile, *known, scene.window, width, covered);
  draw_unknown(picture, place, 0, covered.first, shades.line);
  draw_unknown(picture, place, covered.end, width, shades.line);
  picture.strip(place.x, place.y, place.height, std::move(columns), work_looks());
  const std::vector<TimelineOp>& ops = scene.catalog->ops_of(scene.catalog->tracks[row.tracks.front()]);
  draw_spans(picture, ops, known->spans, scene.window, place, measure, row.depth);
}

/// Title, ruler, bands, names and legend around the rows.
class Around {
 public:
  Around(const TimelineScene& scene, const TextWidth& measure)
      : scene_(scene),
        catalog_(*scene.catalog),
        frame_(scene.frame),
        measure_(measure),
        shades_(shades_of(scene.state.dark)),
        picture_(scene.width, scene.height, shades_.ground) {}

  Picture draw(const TimelineTitle& title) {
    draw_title(title);
    if (catalog_.tracks.empty() || scene_.window.length() <= 0) {
      picture_.text(kMargin, frame_.top + kLine, "This run has no slices: nothing ran, or nothing was recorded of it.",
                    shades_.text);
      return std::move(picture_);
    }
    draw_ruler();
    draw_bands();
    draw_labels();
    if (scene_.layout.heat) draw_heat_label(*scene_.layout.heat);
    draw_legend();
    return std::move(picture_);
  }

 private:
  void draw_title(const TimelineTitle& title);
  void draw_ruler();
  void draw_bands();
  void draw_band_row(const std::vector<Band>& bands, const char* name, double y);
  void draw_labels();
  void draw_label(const TimelineRow& row, double baseline);
  void draw_heat_label(const HeatPlace& heat);
  void draw_legend();
  double draw_heat_legend(double at, double baseline);

  const TimelineScene& scene_;
  const TimelineCatalog& catalog_;
  const TimelineFrame frame_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  Picture picture_;
};

void Around::draw_title(const TimelineTitle& title) {
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

void Around::draw_ruler() {
  const TimeTicks ticks = ticks_of(scene_);
  const double baseline = frame_.top - kBandRows * kLine - kGap - 4;
  picture_.text(kMargin, baseline,
                elide(ticks.base.empty() ? "time" : ticks.base, frame_.left - kMargin - kGap, measure_), shades_.faint);
  for (std::size_t i = 0; i < ticks.at_ns.size(); ++i) {
    const double at = std::floor(scene_.x(ticks.at_ns[i]));
    picture_.fill(at, baseline + 4, 1, frame_.top - baseline - 4, shades_.line);
    const double width = measure_(ticks.texts[i], false);
    if (at + 4 + width < picture_.width) picture_.text(at + 4, baseline, ticks.texts[i], shades_.faint);
  }
}

void Around::draw_bands() {
  double y = frame_.top - kBandRows * kLine - kGap / 2;
  draw_band_row(catalog_.steps, "steps", y);
  if (catalog_.steps.empty()) {
    picture_.text(frame_.left + 4, y + kLine / 2 + kTextSize * 0.36 - 1,
                  elide("no steps were recorded", frame_.width, measure_), shades_.faint);
  }
  if (!scene_.tile) return;
  draw_band_row(scene_.tile->phases, "phases", y += kLine);
  draw_band_row(scene_.tile->micro_batches, "micro-batches", y + kLine);
}

/// Bands that are too narrow to be told apart are left out.
void Around::draw_band_row(const std::vector<Band>& bands, const char* name, double y) {
  const double baseline = y + kLine / 2 + kTextSize * 0.36;
  const auto ended = [](const Band& band, std::int64_t at) { return band.time.end_ns <= at; };
  bool any = false;
  double drawn_to = frame_.left - 1;
  for (auto band = std::lower_bound(bands.begin(), bands.end(), scene_.window.begin_ns, ended);
       band != bands.end() && band->time.begin_ns < scene_.window.end_ns; ++band) {
    any = true;
    const double left = std::round(scene_.clamped_x(band->time.begin_ns)),
                 right = std::round(scene_.clamped_x(band->time.end_ns));
    if (right - left < 2 && left < drawn_to + 1) continue;
    picture_.fill(left, y, std::max(1.0, right - left - 1), kLine - 3, shades_.band);
    const bool whole = measure_(band->name, false) <= right - left - 8;
    picture_.text(left + 4, baseline - 1, elide(whole ? band->name : band->mark, right - left - 6, measure_),
                  shades_.text);
    drawn_to = right;
  }
  if (any) picture_.text(kMargin, baseline - 1, elide(name, frame_.left - kMargin - kGap, measure_), shades_.faint);
}

/// The names at the left; where rows are low, of as many ranks as have room.
void Around::draw_labels() {
  double free_from = frame_.top - kLine;
  for (const TimelineRow& row : scene_.layout.rows) {
    const RowPlace place = scene_.place_of(row);
    if (place.height <= 0) continue;
    const double baseline = std::min(place.y + place.height / 2, frame_.top + frame_.height) + kTextSize * 0.36;
    if (row.first_of_rank && !row.whole_rank)
      picture_.fill(kMargin, place.y - 3, picture_.width - 2 * kMargin, 1, shades_.line);
    if (scene_.hits.count(row.rank) != 0) picture_.fill(2, place.y, 4, place.height, kOrange);
    if (baseline - kTextSize < free_from - 1) continue;
    draw_label(row, baseline);
    free_from = baseline + 3;
  }
}

void Around::draw_label(const TimelineRow& row, double baseline) {
  double lane = 0;
  if (!row.whole_rank) {
    const std::string& name = catalog_.tracks[row.tracks.front()].lane;
    lane = measure_(name, false);
    picture_.text(frame_.left - kGap - lane, baseline, name, shades_.faint);
  }
  if (!row.first_of_rank) return;
  const bool checks = shows_checks(scene_.state);
  if (checks) {
    const auto& out = scene_.state.unchecked;
    const bool counted = !std::binary_search(out.begin(), out.end(), row.rank);
    picture_.frame(1, baseline - 8, 9, 9, shades_.text);
    if (counted) picture_.fill(3, baseline - 6, 5, 5, shades_.text);
  }
  std::string name = (row.pinned ? "* rank " : "rank ") + std::to_string(row.rank);
  picture_.text(kMargin + (checks ? 4 : 0), baseline, name, shades_.text, row.pinned);
  if (!scene_.layout.heat || row.whole_rank) return;
  for (const Representative& r : catalog_.representatives) {  // beside the name of its second lane
    if (r.rank == row.rank) picture_.text(kMargin, baseline + row.height, r.why, shades_.faint);
  }
}

void Around::draw_heat_label(const HeatPlace& heat) {
  const double room = frame_.left - kMargin - kGap;
  double y = frame_.top + heat.y + kTextSize;
  picture_.text(kMargin, y, elide(fmt::format("all {} ranks", heat.ranks.size()), room, measure_), shades_.text);
  for (const std::string& line : wrap(name_of(scene_.state.metric), room, measure_))
    picture_.text(kMargin, y += kLine - 3, line, shades_.faint);
  for (int part = 1; part <= 4; ++part) {
    const double at = heat.y + heat.height * part / 4 - 1;
    if (frame_.top + at - kTextSize < y + 4) continue;
    const std::string name = std::to_string(heat.rank_at(at));
    picture_.text(frame_.left - kGap - measure_(name, false), frame_.top + at, name, shades_.faint);
  }
}

double Around::draw_heat_legend(double at, double baseline) {
  constexpr int kSteps = 60;
  const std::string name = name_of(scene_.state.metric);
  picture_.text(at, baseline, "0 %", shades_.faint);
  at += measure_("0 %", false) + kGap;
  for (int i = 0; i < kSteps; ++i)
    picture_.fill(at + i, baseline - kTextSize + 1, 1, kTextSize + 1, heat_colour(static_cast<double>(i) / kSteps));
  at += kSteps + kGap;
  const std::string text = "100 %: " + name;
  picture_.text(at, baseline, text, shades_.faint);
  return at + measure_(text, false) + 3 * kGap;
}

void Around::draw_legend() {
  const double baseline = picture_.height - kMargin;
  double at = scene_.layout.heat ? draw_heat_legend(kMargin, baseline) : kMargin;
  const auto entry = [&](Rgb colour, Texture texture, const char* name) {
    const double needed = 22 + kGap + measure_(name, false);
    if (at + needed > picture_.width - kMargin) return;
    picture_.fill(at, baseline - kTextSize + 1, 22, kTextSize + 1, colour, texture);
    picture_.text(at + 22 + kGap, baseline, name, shades_.faint);
    at += needed + 3 * kGap;
  };
  for (std::size_t c = 0; c < kWorkClasses; ++c) {
    const WorkLook look = look_of(static_cast<WorkClass>(c));
    if (catalog_.works[c]) entry(look.colour, look.texture, look.name);
  }
  if (pair_of(scene_) == nullptr) return;
  entry(kGrey, Texture::kHatch, "below: predicted");
  const std::string slip = "slip: measured ends ▲ later, ▼ earlier";
  if (at + 22 + kGap + measure_(slip, false) > picture_.width - kMargin) return;
  picture_.fill(at, baseline - 5, 11, 3, delta_colour(1));
  picture_.fill(at + 11, baseline - 5, 11, 3, delta_colour(-1));
  picture_.text(at + 22 + kGap, baseline, slip, shades_.faint);
}

/// What lies on top of the bars.
class Marks {
 public:
  Marks(const TimelineScene& scene, const TextWidth& measure)
      : scene_(scene),
        frame_(scene.frame),
        measure_(measure),
        shades_(shades_of(scene.state.dark)),
        picture_(scene.width, scene.height, shades_.ground) {}
  Picture draw() {
    if (scene_.catalog->tracks.empty() || scene_.window.length() <= 0) return std::move(picture_);
    draw_selection();
    draw_flow();
    draw_area();
    for (const TimelineNote& note : scene_.state.notes) draw_note(note);
    return std::move(picture_);
  }

 private:
  bool in_window(std::int64_t ns) const { return ns >= scene_.window.begin_ns && ns < scene_.window.end_ns; }
  void draw_selection();
  void draw_flow();
  std::optional<Point> end_of(const TiedSpan& span, bool begins) const;
  void frame_span(std::size_t track, const Span& span);
  void draw_area();
  void draw_note(const TimelineNote& note);

  const TimelineScene& scene_;
  const TimelineFrame frame_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  Picture picture_;
};

void Marks::frame_span(std::size_t track, const Span& span) {
  const double left = std::floor(scene_.clamped_x(span.begin_ns)), right = std::ceil(scene_.clamped_x(span.end_ns));
  if (span.end_ns <= scene_.window.begin_ns || span.begin_ns >= scene_.window.end_ns) return;
  for (const TimelineRow& row : scene_.layout.rows) {
    if (std::find(row.tracks.begin(), row.tracks.end(), track) == row.tracks.end()) continue;
    const RowPlace place = level_place(scene_.place_of(row), span.depth, row.depth);
    if (place.height <= 0) continue;
    const double width = std::max(3.0, right - left), at = std::min(left, frame_.left + frame_.width - width);
    picture_.frame(at, place.y - 1, width, place.height + 2, shades_.text);
    picture_.frame(at + 1, place.y, width - 2, place.height, shades_.ground);
  }
}

/// The selected op, the same collective on the other ranks, and a line at its end through all of them.
void Marks::draw_selection() {
  if (!scene_.state.selection || !scene_.tile || scene_.tile->selected.empty()) return;
  const std::vector<TiedSpan>& all = scene_.tile->selected;
  const std::int64_t end = all.front().span.end_ns;
  if (all.size() > 1 && in_window(end))
    picture_.fill(std::floor(scene_.x(end)), frame_.top, 1, scene_.rows_bottom() - frame_.top, shades_.text);
  for (const TiedSpan& tied : all) frame_span(tied.track, tied.span);
}

/// The middle of a span's edge, if its row can be seen.
std::optional<Point> Marks::end_of(const TiedSpan& tied, bool begins) const {
  const std::int64_t at = begins ? tied.span.begin_ns : tied.span.end_ns;
  for (const TimelineRow& row : scene_.layout.rows) {
    if (std::find(row.tracks.begin(), row.tracks.end(), tied.track) == row.tracks.end()) continue;
    const RowPlace place = level_place(scene_.place_of(row), tied.span.depth, row.depth);
    if (place.height <= 0) return std::nullopt;
    return Point{static_cast<float>(scene_.clamped_x(at)), static_cast<float>(place.y + place.height / 2)};
  }
  return std::nullopt;
}

/// From the end of what was waited for to the start of what waited: a light line under a dark one, with a head.
void Marks::draw_flow() {
  if (scene_.state.flow == 0 || !scene_.flow || !scene_.state.selection) return;
  constexpr float kHead = 5;
  for (const FlowArrow& arrow : *scene_.flow) {
    const std::optional<Point> from = end_of(arrow.from, false), to = end_of(arrow.to, true);
    if (!from || !to) continue;
    picture_.line(from->x, from->y, to->x, to->y, shades_.ground, {3, false});
    picture_.line(from->x, from->y, to->x, to->y, shades_.text, {1.5, false});
    const Point head[] = {*to, {to->x - kHead, to->y - kHead}, {to->x - kHead, to->y + kHead}};
    picture_.polygon(head, shades_.text);
    picture_.disc(from->x, from->y, 2.5, shades_.text);
  }
}

void Marks::draw_area() {
  if (!scene_.state.area) return;
  const TimelineArea& area = *scene_.state.area;
  double top = frame_.height, bottom = 0;
  const auto include = [&](double from, double to) {
    top = std::min(top, std::max(0.0, from));
    bottom = std::max(bottom, std::min(to, frame_.height));
  };
  for (const TimelineRow& row : scene_.layout.rows) {
    if (row.rank >= area.first_rank && row.rank <= area.last_rank) include(row.y, row.y + row.height);
  }
  if (scene_.layout.heat) include(scene_.layout.heat->y, scene_.layout.heat->y + scene_.layout.heat->height);
  const double left = scene_.clamped_x(area.time.begin_ns), right = scene_.clamped_x(area.time.end_ns);
  if (bottom <= top || right <= left) return;
  for (double inset : {0.0, 1.0}) {
    picture_.frame(left + inset, frame_.top + top + inset, right - left - 2 * inset, bottom - top - 2 * inset,
                   shades_.text);
  }
}

void Marks::draw_note(const TimelineNote& note) {
  if (!in_window(note.at_ns)) return;
  const double at = std::floor(scene_.x(note.at_ns));
  double top = frame_.top, bottom = scene_.rows_bottom();
  for (const TimelineRow& row : scene_.layout.rows) {
    if (row.rank == note.rank && row.first_of_rank) top = std::max(frame_.top, scene_.place_of(row).y);
  }
  for (double y = top; y < bottom; y += 8) picture_.fill(at, y, 2, std::min(4.0, bottom - y), kVermilion);
  const std::string text = elide(note.text, std::min(220.0, picture_.width - at - 12), measure_);
  if (text.empty()) return picture_.fill(at - 3, top, 8, 6, kVermilion);
  const double width = measure_(text, false);
  picture_.fill(at, top, width + 10, kLine - 2, kYellow);
  picture_.text(at + 5, top + kTextSize, text, {0, 0, 0});
}

}  // namespace

bool shows_checks(const TimelineState& state) { return state.area.has_value() || !state.unchecked.empty(); }

RowPlace TimelineScene::place_of(const TimelineRow& row) const {
  const double top = row.pinned ? row.y : std::max(row.y, layout.pinned);
  const double gap = row.height >= 6 ? 1 : 0, bottom = std::min(row.y + row.height - gap, frame.height);
  return {frame.left, frame.top + top, frame.width, std::max(0.0, bottom - top)};
}

double TimelineScene::rows_bottom() const {
  double bottom = layout.heat ? layout.heat->y + layout.heat->height : 0;
  if (!layout.rows.empty()) bottom = std::max(bottom, layout.rows.back().y + layout.rows.back().height);
  return frame.top + std::min(frame.height, bottom);
}

TimelineFrame frame_of(const TimelineCatalog& catalog, double width, double height, const TextWidth& measure) {
  double rank = measure("micro-batches", false), lane = 0;
  if (!catalog.tracks.empty()) {
    const double number = measure("* rank " + std::to_string(catalog.tracks.back().rank), true);
    std::set<std::string> lanes;
    for (const TimelineTrack& track : catalog.tracks) lanes.insert(track.lane);
    for (const std::string& name : lanes) lane = std::max(lane, measure(name, false));
    rank = std::max(rank, number + 2 * kGap + lane);
  }
  TimelineFrame frame;
  frame.left = std::ceil(kMargin + std::min(rank, width / 3) + kGap);
  frame.top = kMargin + 2 * kLine + kBandRows * kLine + 2 * kGap;
  frame.width = std::max(1.0, std::floor(width - frame.left - kMargin));
  frame.height = std::max(1.0, height - frame.top - kLine - 2 * kMargin);
  return frame;
}

TimelineScene make_scene(std::shared_ptr<const TimelineCatalog> catalog, const TimelineState& state, double width,
                         double height, const TextWidth& measure) {
  TimelineScene scene;
  scene.state = state;
  scene.width = width;
  scene.height = height;
  scene.frame = frame_of(*catalog, width, height, measure);
  scene.window = clamp(state.window, catalog->extent);
  scene.layout = lay_out(catalog->tracks, state, scene.frame.height, catalog->representatives);
  scene.catalog = std::move(catalog);
  return scene;
}

Picture draw_bars(const TimelineScene& scene, const TextWidth& measure) {
  const TimelineShades shades = shades_of(scene.state.dark);
  const TimelineFrame& frame = scene.frame;
  Picture picture(scene.width, scene.height, shades.ground);
  if (scene.catalog->tracks.empty() || scene.window.length() <= 0) return picture;
  for (std::int64_t at : ticks_of(scene).at_ns) {
    picture.fill(std::floor(scene.x(at)), frame.top, 1, scene.rows_bottom() - frame.top, shades.line);
  }
  if (const auto& heat = scene.layout.heat; heat && scene.heat) {
    const RowPlace place{frame.left, frame.top + heat->y, frame.width, std::min(heat->height, frame.height - heat->y)};
    draw_heat(picture, *scene.heat, scene.state.metric, *heat, place, scene.window);
  }
  for (const TimelineRow& row : scene.layout.rows) draw_row(picture, scene, row, measure);
  for (const TimelineRow& row : scene.layout.rows) {
    const TimelinePair* pair = pair_of(scene);
    if (pair != nullptr && !row.whole_rank && row.first_of_rank)
      draw_slips(picture, *pair, scene.window, scene.place_of(row), scene.state.dark, measure);
  }
  return picture;
}

Picture draw_around(const TimelineScene& scene, const TimelineTitle& title, const TextWidth& measure) {
  return Around(scene, measure).draw(title);
}

Picture draw_marks(const TimelineScene& scene, const TextWidth& measure) { return Marks(scene, measure).draw(); }

Picture draw_timeline(const TimelineScene& scene, const TimelineTitle& title, const TextWidth& measure) {
  Picture picture = draw_bars(scene, measure);
  picture.append(draw_around(scene, title, measure));
  picture.append(draw_marks(scene, measure));
  return picture;
}

Picture draw_timeline(const Timeline& timeline, const Profile& profile, std::int64_t run, const TimelineTitle& title,
                      const TimelineState& state, double width, double height, const TextWidth& measure,
                      const PredictedRun* predicted) {
  constexpr int kMostHeatColumns = 512;
  const auto never = [] { return false; };
  auto catalog = std::make_shared<TimelineCatalog>(load_catalog(timeline, profile, run));  // shared by the scene
  TimelineScene scene = make_scene(catalog, state, width, height, measure);
  const int columns = static_cast<int>(scene.frame.width);
  if (!catalog->tracks.empty() && scene.window.length() > 0) {
    TimelineTile tile = load_tile(timeline, *catalog, {state, scene.window, columns, scene.frame.height, 0, 0}, never);
    if (predicted != nullptr && state.prediction) add_prediction(tile, *predicted, *catalog, never);
    scene.tile = std::make_shared<TimelineTile>(std::move(tile));
    if (scene.layout.heat) {
      scene.heat =
          std::make_shared<HeatMap>(load_heat(timeline, scene.window, std::min(columns, kMostHeatColumns), never));
    }
  }
  return draw_timeline(scene, title, measure);
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
