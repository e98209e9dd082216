#pragma once
// Who last wrote and read each two bytes of a block's shared memory. Two threads that touch them between the same two
// barriers, one of them writing, race; threads of one warp are also ordered by __syncwarp. A write of the value that is
// there already (all threads setting one flag) is no race. Accesses of single bytes are not checked for races.
//
//   check.begin_block(bytes);
//   const int other = check.write(at, 4, stamp_of(epoch, warp_epoch, thread), /*changes=*/true);   // or kNoRace

#include <vector>

#include "tests/cudasim/core/types.h"

namespace cudasim::ptx {

/// A thread at a moment: [epoch of the block 32 | epoch of its warp 19 | 2 unused | thread + 1, 11 bits].
using Stamp = u64;
inline Stamp stamp_of(u32 block_epoch, u32 warp_epoch, u32 thread) {
  return static_cast<u64>(block_epoch) << 32 | static_cast<u64>(warp_epoch & 0x7ffff) << 13 | (thread + 1);
}

class SharedCheck {
 public:
  static constexpr int kNoRace = -1;

  explicit SharedCheck(bool races = false) : races_(races) {}
  /// All bytes count as unwritten. Stamps of earlier blocks stay: the block's epochs go on from theirs.
  void begin_block(u32 bytes);
  bool written(u32 at, u32 bytes) const;
  void mark_written(u32 at, u32 bytes);
  void mark_all_written();
  /// The thread that this access races with.
  int read(u32 at, u32 bytes, Stamp me);
  int write(u32 at, u32 bytes, Stamp me, bool changes);

 private:
  struct Cell {
    Stamp write = 0, read = 0;  ///< in `read`, the unused bits say: other readers of this warp, of other warps
  };
  bool races_;
  std::vector<u8> written_;
  std::vector<Cell> cells_;
};

}  // namespace cudasim::ptx
