#pragma once
// Bytes of a region in and out of host memory, wherever the region lives: what initialisation, checkpoints and tests
// use between steps. (During a step data moves by ops.)
//
//   read_region(memory, piece.home, block.data());

#include "core/engine/backend.h"

namespace shardscope {

/// Copies the region's bytes (count * size_of(dtype)) to `out`.
void read_region(const Memory& memory, const Region& region, void* out);
/// Copies as many bytes from `in` into the region.
void write_region(const Memory& memory, const Region& region, const void* in);

}  // namespace shardscope
