#pragma once
// The training state before the first step. Every element is a function of (seed, parameter's name, element's index),
// so a shard is initialised without the whole, and the same on however many ranks.
//
//   initialize_state(program, arena.memory(), job.seed);

#include <cstdint>
#include <functional>
#include <span>

#include "core/engine/backend.h"
#include "core/program/program.h"

namespace shardscope {

/// Elements [begin, begin + out.size()) of a parameter, flattened row-major: normal(0, init_std), or init_value where
/// init_std is 0.
void initial_values(const Parameter& parameter, std::uint64_t seed, std::int64_t begin, std::span<float> out);

/// Elements [begin, begin + out.size()) of the whole tensor, in a role.
using StateValues = std::function<void(const Parameter&, StateRole, std::int64_t begin, std::span<float> out)>;

/// Fills every piece of Program::state with its values, rounded to the home's dtype, to nearest even; what is padding
/// with zero; int8 homes as fill_int8() does. Asks for a few thousand elements at a time, in rising order within a
/// piece. Throws Error{kUnsupported} for state in an integer type.
void fill_state(const Program& program, const Memory& memory, const StateValues& values);

/// The state before the first step: parameters and masters with the values above, moments with zero.
void initialize_state(const Program& program, const Memory& memory, std::uint64_t seed);

}  // namespace shardscope
