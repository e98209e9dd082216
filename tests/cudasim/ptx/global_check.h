#pragma once
// Two threads of one launch that touch the same two bytes of device memory, one of them writing, with no order between
// them, race: which comes first is luck. Threads of a block are ordered by its barriers. Blocks are ordered where one
// lets go (a fence, then an atomic or volatile access) and the other takes hold afterwards (an atomic or volatile
// access): the last block of a sum, a barrier of the whole grid. Accesses of single bytes are not checked.
//
//   GlobalToucher me(block, warp, lane);
//   if (auto other = me.write(arena.cells(address), 4, /*changes=*/true)) ...   // who it races with

#include <optional>
#include <string>

#include "tests/cudasim/ptx/warp.h"

namespace cudasim::ptx {

class GlobalToucher {
 public:
  GlobalToucher(const Block& block, const Warp& warp, int lane);
  /// A sentence about the other thread, where there is a race.
  std::optional<std::string> read(RaceCell* cells, u32 bytes) const;
  std::optional<std::string> write(RaceCell* cells, u32 bytes, bool changes) const;

 private:
  bool ordered(u64 earlier) const;

  /// [launch 16 | block 24 | epoch of the block 13 | thread + 1, 11 bits]; wrapped around, which may hide a race and
  /// never makes one.
  u64 me_;
  const Block& block_;
};

/// An atomic or volatile access of this block.
void strong_access(Block& block);

}  // namespace cudasim::ptx
