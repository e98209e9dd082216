#pragma once
// Reads a view's state: one JSON object, strictly. Every key must be known, every value of its kind; what is wrong is
// an Error that names the file and the key. No Qt.
//
//   const StateText text(json_text, "s.json");                 // throws if it is not JSON
//   StateReader reader(text.root(), "s.json", "timeline");     // checks "version" and "view"
//   reader.read("dark", state.dark);
//   reader.no_other_keys();

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope::gui {

inline constexpr int kStateVersion = 1;

class StateText {
 public:
  StateText(const std::string& text, const std::string& name);
  const nlohmann::json& root() const { return root_; }

 private:
  nlohmann::json root_;
};

/// Members that are not in the object keep their value.
class StateReader {
 public:
  StateReader(const nlohmann::json& object, std::string where);  ///< of an object inside a state
  StateReader(const nlohmann::json& root, const std::string& name, const char* view);
  const nlohmann::json* find(const char* key);
  void read(const char* key, bool& value);
  void read(const char* key, double& value);
  void read(const char* key, std::string& value);
  void read(const char* key, std::int64_t& value);  ///< whole, not below 0
  void read(const char* key, int& value);
  void read(const char* key, std::vector<int>& values);
  void read(const char* key, TimeWindow& window);
  void no_other_keys() const;
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;

 private:
  std::int64_t whole(const char* key, const nlohmann::json& value, std::int64_t largest) const;
  const nlohmann::json& object_;
  std::string where_;
  std::string what_;  ///< "a timeline's state"
  std::vector<std::string> known_;
};

nlohmann::json window_json(TimeWindow window);
/// {"version": 1, "view": "timeline"}
nlohmann::json state_json(const char* view);

}  // namespace shardscope::gui
