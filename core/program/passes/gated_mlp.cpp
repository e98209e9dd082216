#include "core/program/passes/gated_mlp.h"

namespace shardscope {

GatedMlpState GatedMlpBuilder::forward(const GatedMlp& mlp, const std::string& at, Region x, Region out) {
  GatedMlpState s{mlp, b_.forward(mlp.gate, x, at + "gate"), b_.forward(mlp.up, x, at + "up"), {}};
  s.act = b_.temporary(at + "act", s.gate.count);
  b_.emit(SwiGlu{s.gate, s.up, s.act}, mlp.module);
  b_.forward(mlp.down, s.act, out);
  return s;
}

GatedMlpGradients GatedMlpBuilder::backward_act(const GatedMlpState& s, const std::string& at, Region d_out) {
  b_.backward_weight(s.mlp.down, s.act, d_out);
  const Region d_act = b_.temporary(at + "act", s.act.count);
  b_.backward_input(s.mlp.down, d_out, d_act, false);
  const GatedMlpGradients d{b_.temporary(at + "gate", s.gate.count), b_.temporary(at + "up", s.up.count)};
  b_.emit(SwiGluBackward{s.gate, s.up, d_act, d.gate, d.up}, s.mlp.module);
  return d;
}

void GatedMlpBuilder::backward_in(const GatedMlpState& s, Region x, const GatedMlpGradients& d, Region d_x) {
  b_.backward_weight(s.mlp.up, x, d.up);
  b_.backward_input(s.mlp.up, d.up, d_x, false);
  b_.backward_weight(s.mlp.gate, x, d.gate);
  b_.backward_input(s.mlp.gate, d.gate, d_x, true);
}

}  // namespace shardscope
