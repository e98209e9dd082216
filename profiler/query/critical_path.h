#pragma once
// Which chain of work, over all ranks, made the step as long as it was?
//
//   CriticalPath path = critical_path(source.graph(12));
//   path.part(TimePart::kCommunication), path.by_rank[3], path.segments[0]
//
// From the end of the step backward: through a piece of work to what held it up (step_graph.h), through a collective to
// the rank that came last. Shortening what is not on it does not shorten the step. Its segments follow one another
// without a gap: their lengths add up to the step.

#include <map>
#include <string>
#include <vector>

#include "profiler/query/step_graph.h"

namespace shardscope {

struct PathSegment {
  int rank = 0;
  TimePart part = TimePart::kCompute;  ///< of idle parts: what kept the next piece of work from beginning
  TimeWindow time;                     ///< by the common clock
  std::int32_t node = -1;              ///< whose work it is; -1: the time between two
};

/// What has one name on the path.
struct PathWork {
  std::string kind, name;
  TimePart part = TimePart::kCompute;
  std::int64_t ns = 0, count = 0;
};

struct CriticalPath {
  std::int64_t step = 0;
  TimeWindow time;
  std::vector<PathSegment> segments;    ///< in order of time
  PartTimes ns{};                       ///< adds up to time.length()
  std::map<int, std::int64_t> by_rank;  ///< ns; the same sum
  std::vector<PathWork> work;           ///< longest first
  std::int64_t rank_changes = 0;        ///< times that it leads from one rank to another
  std::vector<std::string> remarks;
  std::int64_t part(TimePart p) const { return ns[p]; }
};

CriticalPath critical_path(const StepGraph& graph);

}  // namespace shardscope
