#pragma once
// What the ranks of a communicator share: a file of shared memory, so that threads and processes meet alike. Each rank
// has a slot, where it says what it calls and puts its payload, a chunk at a time; each pair of ranks has a box for
// messages. A token counts the chunks of all collectives: a rank may overwrite its slot when all have read the token
// before.
//
//   Board board = Board::create();                  // by whoever makes the unique id
//   Board mine = Board::open(name);
//   mine.join(rank, ranks, gpu);

#include <atomic>
#include <string>

#include "tests/cudasim/core/types.h"

namespace cudasim {

inline constexpr int kMostRanks = 16;
inline constexpr u64 kChunk = 256 << 10;

/// A collective as it was called; all ranks of one must agree.
struct Called {
  s32 what, type, reduction, root;
  u64 count;
  bool operator==(const Called&) const = default;
};

struct Slot {
  std::atomic<s32> process;  ///< 0: not joined
  s32 gpu;
  std::atomic<bool> left, finished;   ///< aborted; finalized or destroyed
  std::atomic<u64> token;             ///< of what is in data
  std::atomic<u64> read[kMostRanks];  ///< by us: tokens of the others' slots
  Called called;
  u64 bytes;
  std::atomic<u64> split_round;  ///< of ncclCommSplit
  s32 colour[2], key[2];         ///< of this round and the last, which another rank may still read
  u8 data[kChunk];
};
struct Box {
  std::atomic<u64> written, read;  ///< chunks
  u64 bytes, total;                ///< in the box, and of the whole message
  u8 data[kChunk];
};
struct Shared {
  std::atomic<s32> joined;
  s32 ranks;
  Slot slots[kMostRanks];
  Box boxes[kMostRanks][kMostRanks];  ///< [from][to]
};

class Board {
 public:
  /// Its name; empty where the system says no. Removes what killed processes left, a minute after they made it.
  static std::string create();
  explicit Board(const std::string& name, bool make = false);
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  bool valid() const { return shared_ != nullptr; }
  void join(int rank, int ranks, int gpu);
  bool complete(int ranks) const { return shared_->joined.load() >= ranks; }
  const std::string& name() const { return name_; }
  Shared* operator->() const { return shared_; }
  /// A rank that left, or whose process is gone; -1: all are there.
  int missing(int me, int ranks);

 private:
  std::string name_;
  Shared* shared_ = nullptr;
  int ranks_ = 0;                   ///< that are to join; 0: we have not
  std::atomic<u64> next_look_ = 0;  ///< ns: processes are looked at now and then only
  std::atomic<int> gone_ = -1;
};

}  // namespace cudasim
