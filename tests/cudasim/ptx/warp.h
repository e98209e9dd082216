#pragma once
// The state of a block and its warps while they run. Registers lie in rows of 32 lanes, so that an instruction is a
// loop over a row. Lanes that took different ways run group by group: the lanes at one place together, those with the
// smallest program counter first, which brings structured code together again; CUDASIM_DIVERGE chooses other orders.

#include <vector_types.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/cudasim/core/memory.h"
#include "tests/cudasim/core/operation.h"
#include "tests/cudasim/core/settings.h"
#include "tests/cudasim/ptx/inst.h"
#include "tests/cudasim/ptx/shared_check.h"

namespace cudasim::ptx {

struct Block;

/// An asynchronous copy to shared memory that has not landed.
struct PendingCopy {
  int lane;
  u32 bytes, group;
  u64 target;
  u8 data[16];
};

struct Warp {
  Block* block = nullptr;
  int id = 0;
  u32 exist = 0, exited = 0;
  u32 parked = 0;             ///< lanes that wait for other lanes of this warp
  u32 barred = 0;             ///< lanes that wait at a barrier of the block
  u32 voting = 0, votes = 0;  ///< of those, who bring a predicate to it (bar.red), and what it is
  u32 mask = 0;               ///< the lanes that run now, all at pc
  u32 pc = 0;
  u32 next_other = kAll;  ///< the smallest pc of the other lanes: at or behind it, choose again
  u32 lane_pc[32] = {};
  u32 park_mask[32] = {};  ///< the member mask that a parked lane named
  u32 epoch = 1;           ///< counts what orders the memory accesses of this warp's lanes
  u32 carry = 0;           ///< of add.cc and the like, a bit a lane
  u64 spin = 0;            ///< signs of a loop that waits for others
  u32 random = 1;
  u32 copy_group[32] = {};  ///< each lane's groups of cp.async, counted
  std::vector<PendingCopy> copies;
  std::vector<u64> rows_storage;
  u8* rows = nullptr;  ///< aligned to 64 bytes
  std::vector<u32> predicates;
  std::vector<u8> local;

  template <class T>
  T* row(u32 offset) {
    return reinterpret_cast<T*>(rows + offset);
  }
  u32 runnable() const { return exist & ~exited & ~parked & ~barred; }
  void save() { set_pc(mask, pc); }
  void set_pc(u32 lanes, u32 to);
  void choose();  ///< sets mask and pc; mask is 0 where no lane can run
};

/// Of a launch: which blocks let go of what they had written, when and in which of their epochs.
struct Releases {
  struct Release {
    u64 epoch, moment;
  };
  u64 moment = 0;
  std::unordered_map<u64, Release> by_block;
};

struct Block {
  const Kernel* kernel = nullptr;
  const Memory* memory = nullptr;
  const Arena* arena = nullptr;  ///< of the device
  Reports* reports = nullptr;
  AccessSet* accesses = nullptr;  ///< null: not wanted
  const u8* params = nullptr;
  int device = 0;
  unsigned checks = 0;
  Diverge diverge = Diverge::kLow;
  bool said_nobody = false;  ///< that a shuffle read from a lane that is not there: once is enough
  dim3 grid, size;
  u32 at[3] = {};
  u64 linear = 0;
  u64 launch = 0;  ///< counts launches
  Releases* releases = nullptr;
  bool fenced = false;  ///< has run a fence since it began
  u64 taken_at = 0;     ///< the moment of its last atomic or volatile access
  u32 threads = 0;
  u32 dynamic_shared = 0, dynamic_at = 0;  ///< bytes, and where they begin in `shared`
  std::vector<u8> shared;
  SharedCheck shared_check;
  u32 epoch = 1;  ///< counts barriers
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<u32> order;  ///< in which warps run
};

/// What bar.red gives its lanes, once all threads of the block are there (ptx/ops_control.cpp).
void count_votes(Block& block);

/// Stops the kernel: with where in it.
[[noreturn]] void fault(const Warp& warp, const Inst& inst, cudaError_t code, const std::string& what);
/// "kernel k, block (0,0,0), thread 5, line 12: ld.global.f32 ..."
std::string place(const Warp& warp, const Inst& inst, int lane);

}  // namespace cudasim::ptx
