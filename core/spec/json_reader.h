#pragma once
// Typed reading of a JSON object's keys. Every complaint names file, line, key path, what is there and what would be
// right.
//
//   JsonReader model(root, "config.json", "");
//   std::int64_t layers = model.integer("n_layer", {1, kMaxLayers});

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/spec/json_tree.h"

namespace shardscope {

struct IntegerRange {
  std::int64_t min = 0, max = INT64_MAX;
};
struct RealRange {
  double min = 0, max = 1e30;
  bool min_excluded = false, max_excluded = false;
};

/// The known name nearest to `name` by edit distance, if it is near enough to be a slip of the pen.
std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string_view>& known);

/// Places in `known` of all names that are near enough, nearest first.
std::vector<std::size_t> nearest_places(std::string_view name, const std::vector<std::string_view>& known);

/// " did you mean \"x\"?" after a semicolon, or the list of known names if there are few, or nothing.
std::string suggestion(std::string_view name, const std::vector<std::string_view>& known);

/// Values as numbers, or nothing if they are not. An integral real counts as an integer (5e8).
std::optional<std::int64_t> as_integer(const JsonNode& node);
std::optional<double> as_real(const JsonNode& node);

class JsonReader {
 public:
  /// `path` is the object's own key path, "" for the root. Throws Error{kParse} if `node` is no object. `node` and
  /// `file` must outlive the reader.
  JsonReader(const JsonNode& node, const std::string& file, std::string path);

  const JsonNode& node() const { return node_; }
  const std::string& file() const { return file_; }
  std::string path_of(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const JsonNode* find(std::string_view key) const;  ///< null values count as absent
  std::optional<JsonReader> object(std::string_view key) const;

  /// Required keys throw if absent; the forms with a default do not.
  std::int64_t integer(std::string_view key, IntegerRange range = {}) const;
  std::int64_t integer(std::string_view key, IntegerRange range, std::int64_t absent) const;
  double real(std::string_view key, RealRange range = {}) const;
  double real(std::string_view key, RealRange range, double absent) const;
  bool boolean(std::string_view key, bool absent) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, const std::string& absent) const;
  /// What `of_name` makes of a text, "none" if it is absent; the complaint that it throws gets file and line.
  template <class Value>
  Value named(std::string_view key, Value (*of_name)(std::string_view)) const {
    try {
      return of_name(text(key, "none"));
    } catch (const Error& error) {
      fail(key, std::string("is not known: ") + error.what());
    }
  }

  /// Error{kConfig} if a key of the object is not among `known`; names the nearest.
  void refuse_unknown(const std::vector<std::string_view>& known) const;

  /// "file:line: path.key " + what, or "--flag: path.key " + what.
  [[noreturn]] void fail(std::string_view key, const std::string& what, ErrorKind kind = ErrorKind::kConfig) const;

 private:
  const JsonNode& node_;
  const std::string& file_;
  std::string path_;
};

}  // namespace shardscope
