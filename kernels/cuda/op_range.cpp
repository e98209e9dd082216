#include "kernels/cuda/op_range.h"

#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace shardscope::cuda {
namespace {

/// NVTX loads what this names; without it a range reaches nobody, and its text would be made for nothing.
bool is_watched() {
  static const bool watched = std::getenv("NVTX_INJECTION64_PATH") != nullptr;
  return watched;
}

/// "op 57 matmul h.3.mlp.c_fc", or "matmul" of an op that is none of the program's.
std::string name_of(const Program& program, const Op& op) {
  const auto offset =
      reinterpret_cast<std::uintptr_t>(&op) - reinterpret_cast<std::uintptr_t>(program.instructions.data());
  const std::size_t index = offset / sizeof(Instruction);  // far off, too, if it lies before them
  if (index >= program.instructions.size()) return std::string(op_name(op));
  return fmt::format("op {} {} {}", index, op_name(op), program.name(program.instructions[index].label.name));
}

}  // namespace

OpRange::OpRange(const Memory& memory, const Op& op) {
  if (is_watched()) nvtxRangePushA(name_of(*memory.program, op).c_str());
}

OpRange::~OpRange() {
  if (is_watched()) nvtxRangePop();
}

}  // namespace shardscope::cuda
