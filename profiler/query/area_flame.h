#pragma once
// Where does the time of an area go, from the whole down to its ops? Times added up along paths: of our own runs phase,
// module and kind of op (layers of one kind together); of lanes whose slices lie in one another, callers and called.
//
//   std::vector<FlameNode> flame = area_flame(timeline, {begin_ns, end_ns}, {0, 3}, [] { return false; });
//   flame[0].total_ns;  for (int child : flame[0].children) ...

#include <functional>
#include <string>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope {

struct FlameNode {
  std::string name;
  WorkClass work = WorkClass::kOther;  ///< of what took longest in it
  std::int64_t total_ns = 0;           ///< inside the area, over all lanes and ranks
  std::int64_t self_ns = 0;            ///< of it, not in a child
  std::int64_t count = 0;              ///< executions that end here
  int parent = -1, depth = 0;
  std::vector<int> children;  ///< longest first
};

/// The root is the first and always there. Reads every slice of the area, as
/// area_ops(). `stopped` makes it end early with what it has.
std::vector<FlameNode> area_flame(const Timeline& timeline, TimeWindow time, const RankSet& ranks,
                                  const std::function<bool()>& stopped);

/// "all; forward; h; *; mlp": from the root to the node.
std::string path_of(const std::vector<FlameNode>& flame, int node);

}  // namespace shardscope
