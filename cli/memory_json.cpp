#include "cli/memory_json.h"

#include <string>

namespace shardscope::cli {

nlohmann::json memory_by_category_json(const MemoryPeak& peak) {
  nlohmann::json spaces = nlohmann::json::object();
  for (std::size_t s = 0; s < kSpaces; ++s) {
    for (std::size_t c = 0; c < kCategories; ++c) {
      const std::int64_t bytes = peak.at_peak.bytes[s][c];
      if (bytes == 0) continue;
      spaces[std::string(to_string(static_cast<Space>(s)))][std::string(to_string(static_cast<Category>(c)))] = bytes;
    }
  }
  return spaces;
}

nlohmann::json rank_json(int rank, const MemoryPeak& peak, std::int64_t rss_bytes) {
  nlohmann::json rss = nullptr;
  if (rss_bytes > 0) rss = rss_bytes;
  return {{"rank", rank},
          {"peak_bytes", peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]},
          {"memory_by_category", memory_by_category_json(peak)},
          {"rss_bytes", std::move(rss)}};
}

nlohmann::json suggestions_json(const std::vector<FitSuggestion>& suggestions) {
  nlohmann::json list = nlohmann::json::array();
  for (const FitSuggestion& s : suggestions) {
    list.push_back({{"change", s.change}, {"device_peak_bytes", s.device_bytes}});
  }
  return list;
}

}  // namespace shardscope::cli
