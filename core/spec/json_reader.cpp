#include "core/spec/json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`; letters compare without case.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string range_text(const IntegerRange& range) {
  if (range.max == INT64_MAX) return fmt::format("an integer of at least {}", range.min);
  return fmt::format("an integer from {} to {}", range.min, range.max);
}

std::string range_text(const RealRange& range) {
  if (range.max >= 1e30) return fmt::format("a number {} {}", range.min_excluded ? "above" : "of at least", range.min);
  return fmt::format("a number from {}{} to {}{}", range.min, range.min_excluded ? " (excluded)" : "", range.max,
                     range.max_excluded ? " (excluded)" : "");
}

}  // namespace

std::vector<std::size_t> nearest_places(std::string_view name, const std::vector<std::string_view>& known) {
  if (name.size() > 100) return {};
  const std::size_t farthest = std::max<std::size_t>(2, name.size() / 3);
  std::vector<std::pair<std::size_t, std::size_t>> near;  // distance, place
  for (std::size_t i = 0; i < known.size(); ++i) {
    const std::size_t distance = edit_distance(name, known[i]);
    if (distance <= farthest) near.emplace_back(distance, i);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::size_t> places;
  for (const auto& [distance, place] : near) places.push_back(place);
  return places;
}

std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string_view>& known) {
  const std::vector<std::size_t> places = nearest_places(name, known);
  if (places.empty()) return std::nullopt;
  return std::string(known[places.front()]);
}

std::string suggestion(std::string_view name, const std::vector<std::string_view>& known) {
  if (const auto nearest = nearest_name(name, known)) return fmt::format("; did you mean \"{}\"?", *nearest);
  if (known.empty() || known.size() > 20) return "";
  return fmt::format("; known here: {}", fmt::join(known, ", "));
}

std::optional<std::int64_t> as_integer(const JsonNode& node) {
  if (node.type == JsonNode::Type::kInteger) return node.integer;
  if (node.type != JsonNode::Type::kReal || std::floor(node.real) != node.real) return std::nullopt;
  if (!(std::abs(node.real) < 9.2e18)) return std::nullopt;
  return static_cast<std::int64_t>(node.real);
}

std::optional<double> as_real(const JsonNode& node) {
  if (!node.is_number() || !std::isfinite(node.real)) return std::nullopt;
  return node.real;
}

JsonReader::JsonReader(const JsonNode& node, const std::string& file, std::string path)
    : node_(node), file_(file), path_(std::move(path)) {
  if (node_.is_object()) return;
  const std::string where = path_.empty() ? "the file" : path_;
  throw Error(ErrorKind::kParse, fmt::format("{}:{}: {} holds {}; it must be a JSON object {{...}}", file_, node_.line,
                                             where, describe(node_)));
}

std::string JsonReader::path_of(std::string_view key) const {
  const std::string name = printable(key);
  return path_.empty() ? name : path_ + "." + name;
}

const JsonNode* JsonReader::find(std::string_view key) const {
  const JsonNode* node = node_.find(key);
  return node == nullptr || node->type == JsonNode::Type::kNull ? nullptr : node;
}

std::optional<JsonReader> JsonReader::object(std::string_view key) const {
  const JsonNode* node = find(key);
  if (node == nullptr) return std::nullopt;
  return JsonReader(*node, file_, path_of(key));
}

void JsonReader::fail(std::string_view key, const std::string& what, ErrorKind kind) const {
  const JsonNode* node = node_.find(key);
  if (node == nullptr) node = &node_;
  if (node->flag != nullptr) throw Error(kind, fmt::format("{}: {} {}", node->flag, path_of(key), what));
  const std::string line = node->line > 0 ? fmt::format(":{}", node->line) : std::string();
  throw Error(kind, fmt::format("{}{}: {} {}", file_, line, path_of(key), what));
}

std::int64_t JsonReader::integer(std::string_view key, IntegerRange range) const {
  const JsonNode* node = find(key);
  if (node == nullptr) fail(key, fmt::format("is missing; it must be {}", range_text(range)));
  const auto value = as_integer(*node);
  if (!value || *value < range.min || *value > range.max) {
    fail(key, fmt::format("is {}; it must be {}", describe(*node), range_text(range)));
  }
  return *value;
}

std::int64_t JsonReader::integer(std::string_view key, IntegerRange range, std::int64_t absent) const {
  return has(key) ? integer(key, range) : absent;
}

double JsonReader::real(std::string_view key, RealRange range) const {
  const JsonNode* node = find(key);
  if (node == nullptr) fail(key, fmt::format("is missing; it must be {}", range_text(range)));
  const auto value = as_real(*node);
  const bool inside = value && *value >= range.min && *value <= range.max &&
                      !(range.min_excluded && *value == range.min) && !(range.max_excluded && *value == range.max);
  if (!inside) fail(key, fmt::format("is {}; it must be {}", describe(*node), range_text(range)));
  return *value;
}

double JsonReader::real(std::string_view key, RealRange range, double absent) const {
  return has(key) ? real(key, range) : absent;
}

bool JsonReader::boolean(std::string_view key, bool absent) const {
  const JsonNode* node = find(key);
  if (node == nullptr) return absent;
  if (node->type != JsonNode::Type::kBool) {
    fail(key, fmt::format("is {}; it must be true or false", describe(*node)));
  }
  return node->boolean;
}

std::string JsonReader::text(std::string_view key) const {
  const JsonNode* node = find(key);
  if (node == nullptr) fail(key, "is missing; it must be a string");
  if (!node->is_string()) fail(key, fmt::format("is {}; it must be a string", describe(*node)));
  return node->text;
}

std::string JsonReader::text(std::string_view key, const std::string& absent) const {
  return has(key) ? text(key) : absent;
}

void JsonReader::refuse_unknown(const std::vector<std::string_view>& known) const {
  for (const auto& [key, value] : node_.members) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail(key, "is not a known key" + suggestion(key, known));
  }
}

}  // namespace shardscope
