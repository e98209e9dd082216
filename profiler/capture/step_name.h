#pragma once
// What programs call their steps, in NVTX ranges and other annotations. Neither allocates nor throws: the watched
// process asks, too.
//
//   step_name("iteration 12")->number == 12        is_optimizer_step("Optimizer.step#AdamW.step")

#include <cstdint>
#include <optional>
#include <string_view>

namespace shardscope {

/// Of an annotation that looks like a training step, and how much it does: 2 for PyTorch's own ProfilerStep#3, 1 for
/// "iteration 3", "step_3" and the like.
struct StepName {
  std::int64_t number;
  int priority;
};
std::optional<StepName> step_name(std::string_view annotation);

/// "step", "train_step": each is the next one of that name.
bool is_unnumbered_step(std::string_view annotation);

/// A range around an optimizer's step, as PyTorch ("Optimizer.step#AdamW.step") and DeepSpeed
/// ("DeepSpeedZeroOptimizer_Stage3.step") have them: where it ends, a step ends.
bool is_optimizer_step(std::string_view annotation);

}  // namespace shardscope
