#include "gui/models/state_reader.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace shardscope::gui {
namespace {

using nlohmann::json;

constexpr std::int64_t kLatest = std::int64_t{1} << 56;  // ns
constexpr int kLargest = std::numeric_limits<int>::max();

}  // namespace

StateText::StateText(const std::string& text, const std::string& name)
    : root_(json::parse(text, nullptr, /*allow_exceptions=*/false)) {
  if (root_.is_discarded()) throw Error(ErrorKind::kParse, name + ": not JSON");
}

StateReader::StateReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
  what_ = "a state";
  if (!object.is_object()) fail("", "must be an object");
}

StateReader::StateReader(const json& root, const std::string& name, const char* view) : StateReader(root, name) {
  what_ = std::string("a ") + view + "'s state";
  int version = kStateVersion;
  std::string named = view;
  read("version", version);
  if (version != kStateVersion) fail("version", "is " + std::to_string(version) + "; this program reads 1");
  read("view", named);
  if (named != view) fail("view", "is '" + named + "'; it must be " + view);
}

const json* StateReader::find(const char* key) {
  known_.emplace_back(key);
  const auto found = object_.find(key);
  return found == object_.end() ? nullptr : &*found;
}

void StateReader::read(const char* key, bool& value) {
  if (const json* v = find(key)) v->is_boolean() ? void(value = v->get<bool>()) : fail(key, "must be true or false");
}

void StateReader::read(const char* key, double& value) {
  if (const json* v = find(key)) value = v->is_number() ? v->get<double>() : (fail(key, "must be a number"), 0.0);
}

void StateReader::read(const char* key, std::string& value) {
  if (const json* v = find(key)) v->is_string() ? void(value = v->get<std::string>()) : fail(key, "must be a text");
}

void StateReader::read(const char* key, std::int64_t& value) {
  if (const json* v = find(key)) value = whole(key, *v, kLatest);
}

void StateReader::read(const char* key, int& value) {
  if (const json* v = find(key)) value = static_cast<int>(whole(key, *v, kLargest));
}

void StateReader::read(const char* key, std::vector<int>& values) {
  const json* v = find(key);
  if (v == nullptr) return;
  if (!v->is_array()) fail(key, "must be a list of ranks");
  for (const json& item : *v) values.push_back(static_cast<int>(whole(key, item, kLargest)));
}

void StateReader::read(const char* key, TimeWindow& window) {
  const json* v = find(key);
  if (v == nullptr) return;
  if (!v->is_array() || v->size() != 2) fail(key, "must be [begin, end] in ns");
  window = {whole(key, (*v)[0], kLatest), whole(key, (*v)[1], kLatest)};
  if (window.end_ns <= window.begin_ns) fail(key, "must end after it begins");
}

void StateReader::no_other_keys() const {
  for (const auto& item : object_.items()) {
    if (std::find(known_.begin(), known_.end(), item.key()) == known_.end())
      fail(item.key(), "is not a key of " + what_);
  }
}

void StateReader::fail(const std::string& key, const std::string& what) const {
  throw Error(ErrorKind::kParse, where_ + (key.empty() ? " " : ": " + key + " ") + what);
}

std::int64_t StateReader::whole(const char* key, const json& value, std::int64_t largest) const {
  if (!value.is_number_integer() || value < 0 || value > largest) fail(key, "must be a whole number, not below 0");
  return value.get<std::int64_t>();
}

json window_json(TimeWindow window) { return json::array({window.begin_ns, window.end_ns}); }

json state_json(const char* view) { return {{"version", kStateVersion}, {"view", view}}; }

}  // namespace shardscope::gui
