#pragma once
// The memory of one rank: one block per space, taken from the backend (of nvme: a file, given), and the count of what
// is live in it. It counts what really happens, op by op, and knows nothing of compute_memory_peak(): tests hold one
// against the other.
//
//   Arena arena(program, backend, {.device_limit_bytes = 1 << 30});
//   arena.allocate(buffer, op);  arena.release(buffer, op);  arena.peak();
//
// All calls come from the rank's own thread, in program order.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/engine/backend.h"
#include "core/program/program.h"

namespace shardscope {

struct ArenaOptions {
  std::int64_t device_limit_bytes = 0;  ///< live bytes of the device space may not exceed this; 0: no limit
  NvmeFile* nvme = nullptr;             ///< what the nvme space is; needed if the program has anything there
};

class Arena {
 public:
  /// Takes arena_bytes of each space, and makes the persistent buffers live. Throws Error{kDevice} if the backend has
  /// too little memory, or the limit is too small for the persistent buffers.
  Arena(const Program& program, Backend& backend, const ArenaOptions& options = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Makes a buffer live. Throws Error{kDevice} over the limit, naming op, what is live, and what would fit. Taking a
  /// live buffer, or bytes that are live already, is a bug of the program and stops (SS_CHECK).
  void allocate(BufferId id, OpId op);
  /// Ends a buffer's life. Giving back what is not live is a bug (SS_CHECK).
  void release(BufferId id, OpId op);
  /// Fills all memory with NaN, so that a read of what nothing wrote shows. For tests, before the first step.
  void poison() const;
  /// From now on steps are of `next`, which has the same persistent buffers at the same addresses and in them what is
  /// there now. Peaks are counted anew. Between steps only.
  void serve(const Program& next);
  /// At the end of a step only persistent buffers are live; anything else is a leak (SS_CHECK).
  void check_step_end() const;

  const Memory& memory() const { return memory_; }
  const MemoryTable& live() const { return live_; }
  const MemoryPeak& peak() const { return peak_; }

 private:
  void take_spaces();
  std::byte* take_space(Space space, std::int64_t bytes) const;
  void give_back_spaces();
  void claim_range(BufferId id);
  void count_peak(const Buffer& buffer, OpId op);
  void check_limit(const Buffer& buffer, OpId op) const;

  const Program* program_;
  Backend& backend_;
  ArenaOptions options_;
  Memory memory_;
  MemoryTable live_;
  std::array<std::int64_t, kSpaces> totals_{};
  MemoryPeak peak_;
  std::vector<char> is_live_;                                         // by buffer
  std::array<std::map<std::int64_t, std::int64_t>, kSpaces> ranges_;  // start -> end of live bytes, by space
};

/// "parameter 1.0 MiB, activation 2.0 MiB": the categories of a space that are not empty, largest first.
std::string describe(const MemoryTable& table, Space space);

/// "1.5 MiB": binary units, one decimal, exact bytes below 1 KiB.
std::string format_bytes(std::int64_t bytes);

}  // namespace shardscope
