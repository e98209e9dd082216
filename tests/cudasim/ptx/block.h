#pragma once
// Making and running one block.
//
//   make_ready(block, linear, random);
//   while (!run_block(block, budget)) ...

#include <random>

#include "tests/cudasim/ptx/run.h"
#include "tests/cudasim/ptx/warp.h"

namespace cudasim::ptx {

/// The parts that all blocks of a launch share; the warps' registers are made, constants written.
std::unique_ptr<Block> make_block(const Kernel& kernel, const Launch& launch, Machine& machine, AccessSet* accesses,
                                  u64 number, Releases& releases);
/// Before it runs as block `linear`; a block that finished may run as another.
void make_ready(Block& block, u64 linear, std::mt19937& random);
/// Whether it is finished; false: a warp spun longer than `budget`. Throws Fault where it can never finish.
bool run_block(Block& block, u64 budget, u64& instructions);

}  // namespace cudasim::ptx
