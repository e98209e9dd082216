#pragma once
// Ops of a pipeline's rank that wait for whoever happened to have their bytes. What several lanes touch has pools by
// size (core/program/passes/lifetimes.cpp), so that the order of Allocs and Frees says who had its bytes; but what
// finds its pool empty takes a hole that the compute lane left, and which of its ops were there last depends on how
// memory has come to be broken up, which differs with the number of micro-batches. That is nothing to the op if it
// waits for all of them anyway, as what is reduced does for the gradients. One that does not cannot be foretold from
// another schedule.
//
//   for (std::int32_t i : find_chance_waits(program)) { /* program.instructions[i] */ }

#include <cstdint>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// Their instructions, in order; none without a pipeline.
std::vector<std::int32_t> find_chance_waits(const Program& program);

}  // namespace shardscope
