#pragma once
// What the environment asks of the emulated devices. Read once, when the first call arrives.
//
//   CUDASIM_DEVICES=4 CUDASIM_SEED=7 CUDASIM_FAIL=cudaMalloc:3:2 tests/cudasim/run PROGRAM

#include <driver_types.h>

#include <map>
#include <string>
#include <vector>

#include "tests/cudasim/core/types.h"

namespace cudasim {

/// When an operation runs after it was enqueued.
enum class Schedule {
  kLate,     ///< when somebody waits for it: what the host overwrites too early shows. The order among streams is drawn
  kEager,    ///< at once, as if every call were blocking
  kThreads,  ///< on threads of the emulation, beside the program
};

/// Which lanes of a warp run first where they take different ways.
enum class Diverge { kLow, kHigh, kRandom };

enum Check : unsigned {
  kCheckWritten = 1,     ///< reads of memory that was never written
  kCheckSharedRace = 2,  ///< shared memory touched by two threads with no barrier between
  kCheckStreamRace = 4,  ///< memory touched by two operations with no order between
  kCheckGlobalRace = 8,  ///< device memory touched by two threads of one launch with no barrier or atomic between
  kCheckAll = 15,
};

inline constexpr int kRuntimeVersion = 13000;

struct Settings {
  int driver = kRuntimeVersion;      ///< CUDASIM_DRIVER: 12000 is too old, 0 is none
  int devices = 2;                   ///< CUDASIM_DEVICES
  u64 memory_bytes = 2048ull << 20;  ///< CUDASIM_MEM_MB, of each device
  u64 arena_bytes = 64ull << 30;     ///< CUDASIM_ARENA_GB: addresses of each device; they are never used twice
  int compute = 90;                  ///< CUDASIM_COMPUTE: compute capability that the devices say; they run PTX of 9.0
  int odd_device = -1;               ///< CUDASIM_ODD_DEVICE: this one is of another model, with half the processors
  unsigned seed = 1;                 ///< CUDASIM_SEED
  Schedule schedule = Schedule::kLate;  ///< CUDASIM_SCHED: late, eager, threads
  Diverge diverge = Diverge::kLow;      ///< CUDASIM_DIVERGE: low, high, random
  unsigned checks = kCheckAll;          ///< CUDASIM_CHECKS: a sum of the above
  int hang_seconds = 120;               ///< CUDASIM_HANG_S: a wait that is longer ends the process
  bool keep_exit_code = false;          ///< CUDASIM_KEEP_EXIT=1: a process with reports ends as it would without them
  std::vector<int> visible;             ///< CUDA_VISIBLE_DEVICES: numbers of those that the process sees; empty: all
  std::map<std::string, std::map<int, int>> fail;  ///< CUDASIM_FAIL=call:n:code,...: the n-th call returns code

  /// Why no device can be used, or cudaSuccess.
  cudaError_t unavailable() const {
    if (driver < kRuntimeVersion) return cudaErrorInsufficientDriver;
    return devices == 0 ? cudaErrorNoDevice : cudaSuccess;
  }
  /// What the device is among all of the machine.
  int physical(int device) const { return visible.empty() ? device : visible[static_cast<size_t>(device)]; }
};

/// Ends the process with a message where a variable makes no sense.
Settings settings_from_environment();

}  // namespace cudasim
