#pragma once
// What is live in one space of a rank at an instant, and which op took it?
//
//   for (const LiveAllocation& a : live_allocations(memory, 17, Space::kDevice, at_ns).rows) ...
//
// From the program's buffers (op_buffer), exactly: a program allocates and frees in its own order, each step the same.
// Where a profile has none (older files, other people's traces) changes of size are matched: a decrease gives back the
// latest allocation of that size. Such rows have no buffer name, and `matched` says so.

#include <string>
#include <vector>

#include "profiler/query/memory_timeline.h"

namespace shardscope {

struct LiveAllocation {
  std::string buffer;  ///< its name in the program; empty if unknown or several
  Category category = Category::kWorkspace;
  std::int64_t bytes = 0;
  static constexpr std::int32_t kBefore = -1;   ///< there from before the first step
  static constexpr std::int32_t kUnknown = -2;  ///< live, but no alloc of the program accounts for it
  std::int32_t op = kBefore, step = 0;          ///< the Alloc
  std::int64_t since_ns = 0;
  std::string phase, module;  ///< of the op
  int layer = -1, micro_batch = -1;
};

struct LiveAllocations {
  MemoryInstant instant;
  std::vector<LiveAllocation> rows;  ///< largest first; they sum to instant.total_bytes
  bool matched = false;              ///< by size, not by the program
};

LiveAllocations live_allocations(const MemoryTimeline& memory, int rank, Space space, std::int64_t time_ns);

/// "backward, layer 3, transformer.h.3.mlp": where in the step an op of a rank belongs. Empty for op -1.
std::string describe_op(const MemoryTimeline& memory, int rank, std::int32_t op);

}  // namespace shardscope
