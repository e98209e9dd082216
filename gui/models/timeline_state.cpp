#include "gui/models/timeline_state.h"

#include <algorithm>
#include <cmath>

#include "gui/models/state_reader.h"

namespace shardscope::gui {
namespace {

using nlohmann::json;

constexpr std::size_t kRemembered = 200;

json to_object(const TimelineState& s) {
  json out = state_json("timeline");
  if (s.window.length() > 0) out["window_ns"] = window_json(s.window);
  if (s.scroll > 0) out["scroll"] = s.scroll;
  if (s.expanded) out["expanded"] = *s.expanded;
  if (!s.pinned.empty()) out["pinned"] = s.pinned;
  if (!s.unchecked.empty()) out["unchecked"] = s.unchecked;
  if (!s.order.empty()) out["order"] = s.order;
  if (s.selection) {
    const TimelineSelection& x = *s.selection;
    out["selection"] = {{"rank", x.rank}, {"lane", x.lane}, {"step", x.step}, {"op", x.op}, {"begin_ns", x.begin_ns}};
  }
  if (s.area) {
    out["area"] = {
        {"time_ns", window_json(s.area->time)}, {"first_rank", s.area->first_rank}, {"last_rank", s.area->last_rank}};
  }
  for (const TimelineNote& note : s.notes) {
    json one = {{"at_ns", note.at_ns}, {"text", note.text}};
    if (note.rank >= 0) one["rank"] = note.rank;
    out["notes"].push_back(std::move(one));
  }
  if (!s.search.empty()) out["search"] = s.search;
  if (s.metric != HeatMetric::kExposed) out["metric"] = to_string(s.metric);
  if (s.flow > 0) out["flow"] = s.flow;
  if (!s.prediction) out["prediction"] = false;
  if (s.dark) out["dark"] = true;
  return out;
}

TimelineSelection parse_selection(const json& object, const std::string& where) {
  TimelineSelection s;
  StateReader reader(object, where + ": selection");
  reader.read("rank", s.rank);
  reader.read("lane", s.lane);
  reader.read("step", s.step);
  reader.read("op", s.op);
  reader.read("begin_ns", s.begin_ns);
  reader.no_other_keys();
  return s;
}

TimelineArea parse_area(const json& object, const std::string& where) {
  TimelineArea a;
  StateReader reader(object, where + ": area");
  reader.read("time_ns", a.time);
  reader.read("first_rank", a.first_rank);
  reader.read("last_rank", a.last_rank);
  reader.no_other_keys();
  if (a.last_rank < a.first_rank) reader.fail("last_rank", "must not be below first_rank");
  if (a.time.length() <= 0) reader.fail("time_ns", "is missing");
  return a;
}

std::vector<TimelineNote> parse_notes(const json& list, const StateReader& state, const std::string& where) {
  if (!list.is_array()) state.fail("notes", "must be a list");
  std::vector<TimelineNote> notes;
  for (const json& item : list) {
    TimelineNote& note = notes.emplace_back();
    StateReader reader(item, where + ": notes");
    reader.read("at_ns", note.at_ns);
    reader.read("rank", note.rank);
    reader.read("text", note.text);
    reader.no_other_keys();
  }
  return notes;
}

constexpr HeatMetric kMetrics[] = {HeatMetric::kExposed, HeatMetric::kWaiting, HeatMetric::kIdle, HeatMetric::kCompute};

void parse_metric(StateReader& reader, HeatMetric& metric) {
  std::string name;
  reader.read("metric", name);
  for (HeatMetric one : kMetrics) {
    if (name == to_string(one)) metric = one;
  }
  if (!name.empty() && name != to_string(metric))
    reader.fail("metric", "is '" + name + "'; it must be exposed, waiting, idle or compute");
}

}  // namespace

std::string_view to_string(HeatMetric metric) {
  switch (metric) {
    case HeatMetric::kExposed:
      return "exposed";
    case HeatMetric::kWaiting:
      return "waiting";
    case HeatMetric::kIdle:
      return "idle";
    case HeatMetric::kCompute:
      return "compute";
  }
  return "";
}

std::string to_json(const TimelineState& state) { return to_object(state).dump(); }

TimelineState parse_timeline_state(const std::string& text, const std::string& name) {
  const StateText json_text(text, name);
  TimelineState s;
  StateReader reader(json_text.root(), name, "timeline");
  reader.read("window_ns", s.window);
  reader.read("scroll", s.scroll);
  if (!(s.scroll >= 0 && s.scroll < 1e9)) reader.fail("scroll", "must be a number of pixels, not below 0");
  if (json_text.root().contains("expanded")) reader.read("expanded", s.expanded.emplace());
  reader.read("pinned", s.pinned);
  reader.read("unchecked", s.unchecked);
  std::sort(s.unchecked.begin(), s.unchecked.end());
  reader.read("order", s.order);
  if (const json* selection = reader.find("selection")) s.selection = parse_selection(*selection, name);
  if (const json* area = reader.find("area")) s.area = parse_area(*area, name);
  if (const json* notes = reader.find("notes")) s.notes = parse_notes(*notes, reader, name);
  reader.read("search", s.search);
  parse_metric(reader, s.metric);
  reader.read("flow", s.flow);
  if (s.flow < 0 || s.flow > kFurthestFlow) reader.fail("flow", "must be from 0 to " + std::to_string(kFurthestFlow));
  reader.read("prediction", s.prediction);
  reader.read("dark", s.dark);
  reader.no_other_keys();
  return s;
}

TimeWindow clamp(TimeWindow window, TimeWindow extent) {
  if (window.length() <= 0) return extent;
  const std::int64_t length = std::min(window.length(), std::max(kShortestWindowNs, extent.length()));
  const std::int64_t begin =
      std::clamp(window.begin_ns, extent.begin_ns, std::max(extent.begin_ns, extent.end_ns - length));
  return {begin, begin + length};
}

TimeWindow zoom(TimeWindow window, TimeWindow extent, double factor, std::int64_t at_ns) {
  const double length = static_cast<double>(window.length());
  const double wanted = std::max(static_cast<double>(kShortestWindowNs), length * factor);
  if (wanted >= static_cast<double>(extent.length())) return clamp(extent, extent);
  const double before = static_cast<double>(at_ns - window.begin_ns) / length * wanted;
  const std::int64_t begin = at_ns - std::llround(before);
  return clamp({begin, begin + std::llround(wanted)}, extent);
}

TimeWindow pan(TimeWindow window, TimeWindow extent, double fraction) {
  const std::int64_t by = std::llround(fraction * static_cast<double>(window.length()));
  return clamp({window.begin_ns + by, window.end_ns + by}, extent);
}

void ViewHistory::push(TimelineState state, int gesture) {
  if (state == now()) return;
  states_.resize(at_ + 1);
  if (gesture != 0 && gesture == gesture_) {
    states_[at_] = std::move(state);
    return;
  }
  gesture_ = gesture;
  states_.push_back(std::move(state));
  if (states_.size() > kRemembered) states_.erase(states_.begin());
  at_ = states_.size() - 1;
}

const TimelineState& ViewHistory::undo() {
  gesture_ = 0;
  if (at_ > 0) --at_;
  return now();
}

const TimelineState& ViewHistory::redo() {
  gesture_ = 0;
  if (at_ + 1 < states_.size()) ++at_;
  return now();
}

}  // namespace shardscope::gui
