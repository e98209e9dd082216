#include "gui/models/timeline_rows.h"

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"

namespace shardscope::gui {
namespace {

constexpr double kLabelledFrom = 30;       ///< pixels; a narrower span has no text
constexpr std::size_t kFewestLetters = 6;  ///< of a name that is cut

}  // namespace

void spread(Columns& columns, TimeWindow window, std::int64_t begin, std::int64_t end, double busy, WorkClass work) {
  if (end <= begin || window.length() <= 0) return;
  const auto width = static_cast<double>(columns.size());
  const double per_ns = width / static_cast<double>(window.length());
  const double from = std::max(0.0, static_cast<double>(begin - window.begin_ns) * per_ns),
               to = std::min(width, static_cast<double>(end - window.begin_ns) * per_ns);
  if (!(to > from)) return;
  const double share = busy / static_cast<double>(end - begin);
  for (auto c = static_cast<std::size_t>(from); c < columns.size() && static_cast<double>(c) < to; ++c) {
    const double part = std::min(to, static_cast<double>(c + 1)) - std::max(from, static_cast<double>(c));
    columns[c][static_cast<std::size_t>(work)] += static_cast<float>(part * share);
  }
}

void add_span(Columns& columns, TimeWindow window, const Span& span, WorkClass work) {
  const std::int64_t waited = span.begin_ns + span.wait_ns;
  spread(columns, window, span.begin_ns, waited, static_cast<double>(span.wait_ns), WorkClass::kWait);
  spread(columns, window, waited, span.end_ns, static_cast<double>(span.end_ns - waited), work);
}

/// Of an op of ours its kind says most; a kernel's or a range's name says all.
std::string label_of(const TimelineOp& op) {
  const bool foreign = op.work == WorkClass::kCompute || op.work == WorkClass::kHostApi;
  if (op.name.empty()) return op.kind;
  return foreign ? op.name : op.kind + " " + op.name;
}

std::string fitting_label(const std::string& label, double room, const TextWidth& measure) {
  if (room < kLabelledFrom) return "";
  std::string text = elide(label, room, measure);
  if (text == label) return text;
  const std::size_t letters = text.size() - std::min(text.size(), std::string("…").size());
  std::string kind = label.substr(0, label.find(' '));
  if (letters <= kind.size() + 1 && measure(kind, false) <= room) return kind;
  return letters >= std::min(kFewestLetters, kind.size()) ? text : "";
}

std::vector<Span> add_columns(const Timeline& timeline, const TimelineTrack& track, const TrackView& view,
                              TimeWindow window, double wide, Columns& columns) {
  std::vector<Span> left;
  const double pixels = static_cast<double>(columns.size()) / static_cast<double>(window.length());
  for (const Span& span : view.spans) {
    if (static_cast<double>(span.end_ns - span.begin_ns) * pixels >= wide) {
      left.push_back(span);
    } else {
      add_span(columns, window, span, timeline.op(track, span.op).work);
    }
  }
  for (const LevelEntry& e : view.buckets) {
    spread(columns, window, e.bucket * view.bucket_ns, (e.bucket + 1) * view.bucket_ns, static_cast<double>(e.busy_ns),
           e.work);
  }
  return left;
}

std::vector<Stack> stacks_of(const Columns& columns) {
  std::vector<Stack> stacks;
  stacks.reserve(columns.size());
  for (const auto& column : columns) {
    std::array<float, kStackParts> parts{};
    for (std::size_t c = 0; c < column.size(); ++c) parts[strip_part(static_cast<WorkClass>(c))] += column[c];
    stacks.push_back(make_stack(parts));
  }
  return stacks;
}

const StripLooks& work_looks() {
  static const StripLooks kLooks = [] {
    StripLooks looks{};
    for (std::size_t c = 0; c < looks.size(); ++c) {
      const WorkLook look = look_of(static_cast<WorkClass>(c));
      looks[c] = {look.colour, look.texture};
    }
    return looks;
  }();
  return kLooks;
}

RowPlace level_place(const RowPlace& place, int level, int depth) {
  if (depth <= 1) return place;
  const double height = place.height / depth;
  return {place.x, std::round(place.y + height * std::min(level, depth - 1)), place.width,
          std::max(1.0, std::floor(height) - 1)};
}

void draw_spans(Picture& picture, const std::vector<TimelineOp>& ops, std::span<const Span> spans, TimeWindow window,
                const RowPlace& whole, const TextWidth& measure, int depth) {
  static const TimelineOp kUnknown{"unknown op", "", "", ""};
  const double per_ns = whole.width / static_cast<double>(window.length());
  const auto x = [&](std::int64_t ns) {
    return std::round(std::clamp(static_cast<double>(ns - window.begin_ns) * per_ns, 0.0, whole.width));
  };
  const WorkLook wait = look_of(WorkClass::kWait);
  const auto ended = [](const Span& span, std::int64_t at) { return span.end_ns <= at; };
  // A caller may end after what it calls: only spans that lie beside one another can be searched by their end.
  const auto first = depth > 1 ? spans.begin() : std::lower_bound(spans.begin(), spans.end(), window.begin_ns, ended);
  for (auto span = first; span != spans.end() && span->begin_ns < window.end_ns; ++span) {
    if (span->end_ns <= window.begin_ns) continue;
    const RowPlace place = level_place(whole, span->depth, depth);
    const auto index = static_cast<std::size_t>(span->op);
    const TimelineOp& op = span->op >= 0 && index < ops.size() ? ops[index] : kUnknown;
    const WorkLook look = look_of(op.work);
    const double left = x(span->begin_ns), waited = x(span->begin_ns + span->wait_ns),
                 right = std::max(left + 1, x(span->end_ns) - 1);  // neighbours stay apart
    picture.fill(place.x + left, place.y, waited - left, place.height, wait.colour, wait.texture);
    picture.fill(place.x + waited, place.y, right - waited, place.height, look.colour, look.texture);
    const double room = right - waited - 6;
    if (room < kLabelledFrom || place.height < kTextSize) continue;
    const std::string label = fitting_label(label_of(op), room, measure);
    if (label.empty()) continue;
    picture.text(place.x + waited + 3, place.y + place.height / 2 + kTextSize * 0.36, label,
                 text_colour_on(look.colour));
  }
}

Columns rank_columns(const Timeline& timeline, const TimelineRow& row, TimeWindow window, int width) {
  const auto columns_count = static_cast<std::size_t>(width);
  Columns columns(columns_count), others(columns_count);
  for (std::size_t index : row.tracks) {
    const TimelineTrack& track = timeline.tracks()[index];
    const bool computes = track.lane == to_string(Lane::kCompute);
    add_columns(timeline, track, timeline.look(track, window, width), window, 1e9, computes ? columns : others);
  }
  for (std::size_t c = 0; c < columns_count; ++c) {
    float busy = 0, rest = 0;
    for (float part : columns[c]) busy += part;
    for (float part : others[c]) rest += part;
    const float idle = std::max(0.0F, 1 - busy), scale = rest > idle ? idle / rest : 1;
    for (std::size_t w = 0; w < kWorkClasses; ++w) columns[c][w] += others[c][w] * scale;
  }
  return columns;
}

}  // namespace shardscope::gui
