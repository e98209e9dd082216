#pragma once
// Two threads of one launch that touch the same two bytes of device memory, one of them writing, with no barrier of
// their block between and no atomic, race: which comes first is luck. Blocks of a cooperative launch may have a barrier
// of their own, which is not seen, so they are not compared. Accesses of single bytes are not checked.
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
  bool cooperative_;
};

}  // namespace cudasim::ptx
