#pragma once
// What the memory view shows, as plain data that goes to JSON and back. No Qt.
//
//   MemoryState state = parse_memory_state(text, "s.json");   // or {}: the eight fullest ranks over the whole run
//   std::string json = to_json(state);

#include <optional>
#include <set>
#include <string>

#include "core/program/types.h"
#include "profiler/query/timeline.h"

namespace shardscope::gui {

enum class MemoryRanks : std::uint8_t { kWorst, kAll, kOne };
inline constexpr int kWorstRanks = 8;

struct MemoryCursor {
  int rank = 0;
  std::int64_t time_ns = 0;
  friend bool operator==(const MemoryCursor&, const MemoryCursor&) = default;
};

struct MemoryState {
  TimeWindow window;  ///< empty: the whole run
  Space space = Space::kDevice;
  MemoryRanks ranks = MemoryRanks::kWorst;
  int rank = 0;                  ///< with kOne
  int first = 0;                 ///< with kAll: how many ranks are above the view
  std::set<Category> hidden;     ///< left out of the areas
  std::int64_t limit_bytes = 0;  ///< 0: the run's own, if it has one
  std::optional<MemoryCursor> cursor;
  bool dark = false;
  friend bool operator==(const MemoryState&, const MemoryState&) = default;
};

/// One line of JSON, version 1.
std::string to_json(const MemoryState& state);
/// Throws Error{kParse} for what to_json() does not write, naming the key. `name` is the file's, for messages.
MemoryState parse_memory_state(const std::string& text, const std::string& name);

/// "device", "pinned host", "host", "NVMe".
std::string name_of(Space space);

}  // namespace shardscope::gui
