#include "gui/models/timeline_state.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace shardscope::gui {
namespace {

using nlohmann::json;

constexpr std::size_t kRemembered = 200;
constexpr int kVersion = 1;

json window_json(TimeWindow w) { return json::array({w.begin_ns, w.end_ns}); }

/// Reads one object; every key must have been asked for.
class Reader {
 public:
  Reader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail("", "must be an object");
  }
  const json* find(const char* key) {
    known_.emplace_back(key);
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  void read(const char* key, bool& value) {
    if (const json* v = find(key)) v->is_boolean() ? void(value = v->get<bool>()) : fail(key, "must be true or false");
  }
  void read(const char* key, double& value) {
    if (const json* v = find(key)) value = v->is_number() ? v->get<double>() : (fail(key, "must be a number"), 0.0);
  }
  void read(const char* key, std::string& value) {
    if (const json* v = find(key)) v->is_string() ? void(value = v->get<std::string>()) : fail(key, "must be a text");
  }
  void read(const char* key, std::int64_t& value) {
    if (const json* v = find(key)) value = whole(key, *v, std::int64_t{1} << 56);
  }
  void read(const char* key, int& value) {
    if (const json* v = find(key)) value = static_cast<int>(whole(key, *v, std::numeric_limits<int>::max()));
  }
  void read(const char* key, std::vector<int>& values) {
    const json* v = find(key);
    if (v == nullptr) return;
    if (!v->is_array()) fail(key, "must be a list of ranks");
    for (const json& item : *v) values.push_back(static_cast<int>(whole(key, item, std::numeric_limits<int>::max())));
  }
  void read(const char* key, TimeWindow& window) {
    const json* v = find(key);
    if (v == nullptr) return;
    if (!v->is_array() || v->size() != 2) fail(key, "must be [begin, end] in ns");
    window = {whole(key, (*v)[0], std::int64_t{1} << 56), whole(key, (*v)[1], std::int64_t{1} << 56)};
    if (window.end_ns <= window.begin_ns) fail(key, "must end after it begins");
  }
  void no_other_keys() const {
    for (const auto& item : object_.items()) {
      if (std::find(known_.begin(), known_.end(), item.key()) == known_.end())
        fail(item.key(), "is not a key of a timeline's state");
    }
  }
  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw Error(ErrorKind::kParse, where_ + (key.empty() ? " " : ": " + key + " ") + what);
  }
  const std::string& where() const { return where_; }

 private:
  std::int64_t whole(const char* key, const json& v, std::int64_t largest) const {
    if (!v.is_number_integer() || v < 0 || v > largest) fail(key, "must be a whole number, not below 0");
    return v.get<std::int64_t>();
  }
  const json& object_;
  std::string where_;
  std::vector<std::string> known_;
};

json to_object(const TimelineState& s) {
  json out = {{"version", kVersion}, {"view", "timeline"}};
  if (s.window.length() > 0) out["window_ns"] = window_json(s.window);
  if (s.scroll > 0) out["scroll"] = s.scroll;
  if (s.expanded) out["expanded"] = *s.expanded;
  if (!s.pinned.empty()) out["pinned"] = s.pinned;
  if (!s.order.empty()) out["order"] = s.order;
  if (s.selection) {
    const TimelineSelection& x = *s.selection;
    out["selection"] = {{"rank", x.rank}, {"lane", x.lane}, {"step", x.step}, {"op", x.op}, {"begin_ns", x.begin_ns}};
  }
  if (s.area) {
    out["area"] = {
        {"time_ns", window_json(s.area->time)}, {"first_rank", s.area->first_rank}, {"last_rank", s.area->last_rank}};
  }
  if (s.dark) out["dark"] = true;
  return out;
}

TimelineSelection parse_selection(const json& object, const std::string& where) {
  TimelineSelection s;
  Reader reader(object, where + ": selection");
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
  Reader reader(object, where + ": area");
  reader.read("time_ns", a.time);
  reader.read("first_rank", a.first_rank);
  reader.read("last_rank", a.last_rank);
  reader.no_other_keys();
  if (a.last_rank < a.first_rank) reader.fail("last_rank", "must not be below first_rank");
  if (a.time.length() <= 0) reader.fail("time_ns", "is missing");
  return a;
}

}  // namespace

std::string to_json(const TimelineState& state) { return to_object(state).dump(); }

TimelineState parse_timeline_state(const std::string& text, const std::string& name) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) throw Error(ErrorKind::kParse, name + ": not JSON");
  TimelineState s;
  Reader reader(object, name);
  int version = kVersion;
  std::string view = "timeline";
  reader.read("version", version);
  if (version != kVersion) reader.fail("version", "is " + std::to_string(version) + "; this program reads 1");
  reader.read("view", view);
  if (view != "timeline") reader.fail("view", "is '" + view + "'; it must be timeline");
  reader.read("window_ns", s.window);
  reader.read("scroll", s.scroll);
  if (!(s.scroll >= 0 && s.scroll < 1e9)) reader.fail("scroll", "must be a number of pixels, not below 0");
  if (object.contains("expanded")) reader.read("expanded", s.expanded.emplace());
  reader.read("pinned", s.pinned);
  reader.read("order", s.order);
  if (const json* selection = reader.find("selection")) s.selection = parse_selection(*selection, name);
  if (const json* area = reader.find("area")) s.area = parse_area(*area, name);
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
