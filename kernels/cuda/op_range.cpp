#include "kernels/cuda/op_range.h"

#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <cstdlib>

#include "core/engine/executor.h"

namespace shardscope::cuda {
namespace {

/// Or "matmul" of an op that is none of the program's.
std::string range_name(const Program& program, const Op& op, int device) {
  const auto place = place_of(program, op);
  if (!place) return std::string(op_name(op));
  return fmt::format("rank {} gpu {} op {} {} {}", program.rank, device, place->index, op_name(op),
                     program.name(program.instruction(*place).label.name));
}

}  // namespace

/// NVTX loads what this names; without it a range reaches nobody, and its text would be made for nothing.
bool is_watched() {
  static const bool watched = std::getenv("NVTX_INJECTION64_PATH") != nullptr;
  return watched;
}

OpRange::OpRange(const Program& program, const Op& op, int device) {
  if (is_watched()) nvtxRangePushA(range_name(program, op, device).c_str());
}

OpRange::~OpRange() {
  if (is_watched()) nvtxRangePop();
}

void mark_step(std::optional<std::int64_t> step) {
  if (!is_watched()) return;
  if (step) {
    nvtxRangePushA(fmt::format("step {}", *step).c_str());
  } else {
    nvtxRangePop();
  }
}

std::string describe(const Program& program, const Op& op) {
  const auto place = place_of(program, op);
  return place ? describe_op(program, *place) : std::string(op_name(op));
}

}  // namespace shardscope::cuda
