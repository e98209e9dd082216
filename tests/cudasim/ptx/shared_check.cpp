#include "tests/cudasim/ptx/shared_check.h"

#include <cstring>

namespace cudasim::ptx {

namespace {

constexpr u64 kReadersInWarp = 1ull << 11, kReadersElsewhere = 1ull << 12;

int thread_of(Stamp stamp) { return static_cast<int>(stamp & 0x7ff) - 1; }
bool same_block_epoch(Stamp a, Stamp b) { return (a >> 32) == (b >> 32); }
bool same_warp_epoch(Stamp a, Stamp b) { return ((a ^ b) >> 13) == 0; }
bool same_warp(Stamp a, Stamp b) { return thread_of(a) / 32 == thread_of(b) / 32; }

/// By a barrier, by being the same thread, or by __syncwarp within the warp.
bool ordered(Stamp earlier, Stamp me) {
  if (!same_block_epoch(earlier, me) || thread_of(earlier) == thread_of(me)) return true;
  return same_warp(earlier, me) && !same_warp_epoch(earlier, me);
}

/// What `me` must remember of the readers before it.
u64 earlier_readers(Stamp last, Stamp me) {
  if (!same_block_epoch(last, me)) return 0;
  u64 readers = last & kReadersElsewhere;
  if (!same_warp(last, me)) {
    readers |= kReadersElsewhere;
  } else if (same_warp_epoch(last, me)) {
    readers |= (last & kReadersInWarp) | (thread_of(last) != thread_of(me) ? kReadersInWarp : 0);
  }
  return readers;
}

bool read_by_others(Stamp last, Stamp me) {
  if (!same_block_epoch(last, me)) return false;
  if (!ordered(last, me) || (last & kReadersElsewhere) != 0) return true;
  return (last & kReadersInWarp) != 0 && same_warp_epoch(last, me);
}

}  // namespace

void SharedCheck::begin_block(u32 bytes) {
  written_.assign(bytes, 0);
  if (races_ && cells_.size() < bytes / 2 + 1) cells_.resize(bytes / 2 + 1);
}

bool SharedCheck::written(u32 at, u32 bytes) const { return std::memchr(&written_[at], 0, bytes) == nullptr; }

void SharedCheck::mark_written(u32 at, u32 bytes) { std::memset(&written_[at], 1, bytes); }

void SharedCheck::mark_all_written() { std::memset(written_.data(), 1, written_.size()); }

int SharedCheck::read(u32 at, u32 bytes, Stamp me) {
  if (!races_ || bytes < 2) return kNoRace;
  for (u32 k = at / 2; k < (at + bytes) / 2; ++k) {
    Cell& cell = cells_[k];
    if (!same_block_epoch(cell.write,
                          me)) {  // the usual cases: nobody wrote or read it since the last barrier, or only we
      if (cell.read == me) continue;
      if (!same_block_epoch(cell.read, me)) {
        cell.read = me;
        continue;
      }
    }
    if (!ordered(cell.write, me)) return thread_of(cell.write);
    cell.read = me | earlier_readers(cell.read, me);
  }
  return kNoRace;
}

int SharedCheck::write(u32 at, u32 bytes, Stamp me, bool changes) {
  if (!races_ || bytes < 2) return kNoRace;
  for (u32 k = at / 2; k < (at + bytes) / 2; ++k) {
    Cell& cell = cells_[k];
    if (changes && (same_block_epoch(cell.write, me) || same_block_epoch(cell.read, me))) {
      if (!ordered(cell.write, me)) return thread_of(cell.write);
      if (read_by_others(cell.read, me)) return thread_of(cell.read);
    }
    cell.write = me;
  }
  return kNoRace;
}

}  // namespace cudasim::ptx
