#pragma once
// The training state before the first step. Every element is a function of (seed, parameter's name, element's index),
// so a shard is initialised without the whole, and the same on however many ranks.
//
//   initialize_state(program, arena.memory(), job.seed);

#include <cstdint>
#include <span>

#include "core/engine/backend.h"
#include "core/program/program.h"

namespace shardscope {

/// Elements [begin, begin + out.size()) of a parameter, flattened row-major: normal(0, init_std), or init_value where
/// init_std is 0.
void initial_values(const Parameter& parameter, std::uint64_t seed, std::int64_t begin, std::span<float> out);

/// Fills every piece of Program::state: parameters and masters with the values above (rounded to the home's dtype, to
/// nearest even), moments with zero. Memory must be addressable from the host. Throws Error{kUnsupported} for a
/// parameter in an integer type.
void initialize_state(const Program& program, const Memory& memory, std::uint64_t seed);

}  // namespace shardscope
