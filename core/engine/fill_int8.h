#pragma once
// Weights in int8: each output channel has a scale of its own, so that its largest magnitude becomes 127.
//
//   fill_int8(parameter, piece, memory, values);   // piece.home i8, piece.scales f32

#include "core/engine/initialize.h"

namespace shardscope {

/// Fills home and scales of a piece with the values nearest to `values`: q = round(w / scale), scale = max |w| / 127
/// over the channel's part on this rank (1 where all are 0). Holds the whole part in fp32 while it works.
/// Throws Error{kConfig} for a value that is not finite.
void fill_int8(const Parameter& parameter, const StatePiece& piece, const Memory& memory, const StateValues& values);

}  // namespace shardscope
