#pragma once
// A SwiGLU MLP, of a block or of one expert: down(silu(gate(x)) * up(x)), and back in two steps.
//
//   GatedMlpState state = mlp.forward(names, "h.0.", x, out);
//   const GatedMlpGradients d = mlp.backward_act(state, "h.0.d_", d_out);
//   mlp.backward_in(state, x, d, d_x);

#include <string>

#include "core/program/passes/layer_builder.h"

namespace shardscope {

/// Its three matrices, and the module that they are parts of.
struct GatedMlp {
  std::string module;
  Linear gate, up, down;
};

/// What it keeps for its backward, beside its input.
struct GatedMlpState {
  GatedMlp mlp;
  Region gate, up, act;
};
struct GatedMlpGradients {
  Region gate, up;
};

class GatedMlpBuilder {
 public:
  explicit GatedMlpBuilder(LayerBuilder& builder) : b_(builder) {}

  /// `out` has the rows of x; names of buffers start with `at`.
  GatedMlpState forward(const GatedMlp& mlp, const std::string& at, Region x, Region out);
  /// From the output's gradient to those of gate and up.
  GatedMlpGradients backward_act(const GatedMlpState& state, const std::string& at, Region d_out);
  /// From those to the input's, which overwrites d_x. `x` is the input.
  void backward_in(const GatedMlpState& state, Region x, const GatedMlpGradients& d, Region d_x);

 private:
  LayerBuilder& b_;
};

}  // namespace shardscope
