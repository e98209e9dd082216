#pragma once
// Which build of the hot loops runs: the best one this processor has, unless a test asks for another.
//
//   const Loops& loops = loops_of(best_isa());

#include <memory>
#include <string_view>
#include <vector>

#include "core/engine/backend.h"
#include "kernels/cpu/loops/loops.h"

namespace shardscope {

enum class Isa {
  kBase,   ///< what every processor of the build's architecture has (SSE2 on x86-64)
  kX86V3,  ///< AVX2 and FMA
  kX86V4,  ///< AVX-512
};

std::string_view to_string(Isa isa);

/// Those of this build that this processor runs, the best one last.
std::vector<Isa> available_isas();
inline Isa best_isa() { return available_isas().back(); }
const Loops& loops_of(Isa isa);

/// make_cpu_backend() with the loops of one instruction set.
std::unique_ptr<Backend> make_cpu_backend(int threads, Isa isa);

}  // namespace shardscope
