#include "kernels/cuda/launch.h"

namespace shardscope::cuda {

bool launch(const Op& op, const Memory& memory, const StepScalars& scalars, const DeviceLane& lane) {
  const Program& program = *memory.program;
  const OpRange range(program, op, lane.state.device().index);
  bool repeats = true;
  name_errors(program, op, [&] {
    lane.state.open();
    Kernel kernel{memory, scalars, lane.state};
    run_op(op, kernel);
    repeats = !kernel.asked_scalars;
    lane.progress.passed(program, op, lane.state.stream());
  });
  return repeats;
}

void launch_into_graph(const Op& op, const Memory& memory, const StepScalars& scalars, const DeviceLane& lane) {
  name_errors(*memory.program, op, [&] {
    Kernel kernel{memory, scalars, lane.state, /*is_captured=*/true};
    run_op(op, kernel);
  });
}

}  // namespace shardscope::cuda
