#pragma once
// Runs a kernel: block after block in an order drawn at random, each until it is finished or spins; blocks that wait
// for others get company. All blocks of a cooperative launch are there from the start and take turns.
//
//   run(kernel, {grid, block, dynamic_shared, params, device, cooperative, seed}, machine, &operation.accesses);

#include <vector_types.h>

#include "tests/cudasim/core/machine.h"
#include "tests/cudasim/ptx/inst.h"

namespace cudasim::ptx {

struct Launch {
  dim3 grid, block;
  u32 dynamic_shared = 0;
  const u8* params = nullptr;
  int device = 0;
  bool cooperative = false;
  unsigned seed = 0;
};

/// Throws Fault. `accesses`: null where nobody wants to know.
void run(const Kernel& kernel, const Launch& launch, Machine& machine, AccessSet* accesses);

/// Instructions of warps that ran in this process.
u64 instructions_run();

}  // namespace cudasim::ptx
