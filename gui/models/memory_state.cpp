#include "gui/models/memory_state.h"

#include "gui/models/state_reader.h"

namespace shardscope::gui {
namespace {

using nlohmann::json;

constexpr const char* kRankChoices[] = {"worst", "all", "one"};

MemoryRanks parse_ranks(StateReader& reader) {
  std::string text = kRankChoices[0];
  reader.read("ranks", text);
  for (std::size_t i = 0; i < std::size(kRankChoices); ++i) {
    if (text == kRankChoices[i]) return static_cast<MemoryRanks>(i);
  }
  reader.fail("ranks", "is '" + text + "'; it must be worst, all or one");
}

Space parse_space(StateReader& reader) {
  std::string text(to_string(Space::kDevice));
  reader.read("space", text);
  const auto space = from_name<Space>(text);
  if (!space) reader.fail("space", "is '" + text + "'; it must be device, pinned, host or nvme");
  return *space;
}

std::set<Category> parse_hidden(StateReader& reader) {
  std::set<Category> hidden;
  const json* list = reader.find("hidden");
  if (list == nullptr) return hidden;
  if (!list->is_array()) reader.fail("hidden", "must be a list of categories");
  for (const json& item : *list) {
    const auto category = item.is_string() ? from_name<Category>(item.get<std::string>()) : std::nullopt;
    if (!category) reader.fail("hidden", "holds " + item.dump() + ", which is no category of memory");
    hidden.insert(*category);
  }
  return hidden;
}

}  // namespace

std::string to_json(const MemoryState& s) {
  json out = state_json("memory");
  if (s.window.length() > 0) out["window_ns"] = window_json(s.window);
  if (s.space != Space::kDevice) out["space"] = to_string(s.space);
  if (s.ranks != MemoryRanks::kWorst) out["ranks"] = kRankChoices[static_cast<std::size_t>(s.ranks)];
  if (s.rank != 0) out["rank"] = s.rank;
  if (s.first != 0) out["first"] = s.first;
  for (Category category : s.hidden) out["hidden"].push_back(to_string(category));
  if (s.limit_bytes > 0) out["limit_bytes"] = s.limit_bytes;
  if (s.cursor) out["cursor"] = {{"rank", s.cursor->rank}, {"time_ns", s.cursor->time_ns}};
  if (s.dark) out["dark"] = true;
  return out.dump();
}

MemoryState parse_memory_state(const std::string& text, const std::string& name) {
  const StateText parsed(text, name);
  StateReader reader(parsed.root(), name, "memory");
  MemoryState s;
  reader.read("window_ns", s.window);
  s.space = parse_space(reader);
  s.ranks = parse_ranks(reader);
  reader.read("rank", s.rank);
  reader.read("first", s.first);
  s.hidden = parse_hidden(reader);
  reader.read("limit_bytes", s.limit_bytes);
  if (const json* object = reader.find("cursor")) {
    StateReader cursor(*object, name + ": cursor");
    s.cursor.emplace();
    cursor.read("rank", s.cursor->rank);
    cursor.read("time_ns", s.cursor->time_ns);
    cursor.no_other_keys();
  }
  reader.read("dark", s.dark);
  reader.no_other_keys();
  return s;
}

std::string name_of(Space space) {
  switch (space) {
    case Space::kDevice:
      return "device";
    case Space::kPinned:
      return "pinned host";
    case Space::kHost:
      return "host";
    case Space::kNvme:
      return "NVMe";
  }
  return "";
}

}  // namespace shardscope::gui
