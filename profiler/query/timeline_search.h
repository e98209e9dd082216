#pragma once
// Where in a whole run does an op run whose text holds these words? And which execution comes next?
//
//   SearchHits hits = search(timeline, "matmul backward", 512, [] { return false; });

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope {

struct SearchHits {
  std::int64_t total = 0;               ///< executions found
  std::vector<TiedSpan> first;          ///< in order of time, kListed at most
  std::vector<std::int64_t> columns;    ///< executions that begin in each of equal parts of the run's extent
  std::map<int, std::int64_t> by_rank;  ///< ranks with none are left out
  bool complete = true;                 ///< false: stopped early
  static constexpr std::size_t kListed = 2000;
};

/// Every word (divided by blanks) must be in the op's kind, name, phase, group or lane, in any case; "rank:3" and
/// "step:12" keep to that rank and step. No words: no hits.
SearchHits search(const Timeline& timeline, const std::string& words, int columns,
                  const std::function<bool()>& stopped);

/// The execution after (or before) `span` on the same track.
std::optional<Span> neighbour(const Timeline& timeline, std::size_t track, const Span& span, bool forward);

}  // namespace shardscope
