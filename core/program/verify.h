#pragma once
// Proves of a program what the executor and the simulator rely on, or throws.

#include <span>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// Everything wrong with one rank's program, as sentences that name the ops and buffers; empty if it is sound:
/// operands in bounds and of fitting size; no access before Alloc, after Free or to a freed buffer; no read of what
/// nothing has written; every non-persistent buffer freed; live buffers never share addresses; `after` points
/// backwards; no two accesses to the same bytes, one a write, that lanes and `after` leave unordered.
std::vector<std::string> find_faults(const Program& program);

/// Everything wrong between ranks: collectives of a group and lane that ranks would issue in another order, number,
/// size or kind; sends without their receive; ranks that would wait for each other in a circle, through lanes,
/// dependencies (reused memory too) and messages that are delivered only when their receiver asks.
std::vector<std::string> find_mismatches(std::span<const Program> ranks);

/// SS-internal: throws Error{kConfig} with the first fault and their number if there are any.
void verify(const Program& program, const std::string& where);

}  // namespace shardscope
