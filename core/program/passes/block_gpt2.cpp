// A GPT-2 block: x + attention(ln_1(x)), then + mlp(ln_2(.)); q, k and v from one matrix.

#include <fmt/format.h>

#include "core/program/passes/attention_builder.h"

namespace shardscope {
namespace {

ActivationKind activation_of(MlpKind mlp) {
  if (mlp == MlpKind::kGeluErf) return ActivationKind::kGeluErf;
  return mlp == MlpKind::kRelu ? ActivationKind::kRelu : ActivationKind::kGeluTanh;
}

class Gpt2Block : public BlockBuilder {
 public:
  explicit Gpt2Block(LayerBuilder& builder)
      : b_(builder), attention_(builder), saved_(static_cast<std::size_t>(builder.model().layers)) {}

  Region forward(int layer, Region x) override {
    Saved& s = saved_[static_cast<std::size_t>(layer)];
    s = linears(layer);
    const std::string at = fmt::format("h.{}.", layer);
    s.norm1 = b_.norm(s.prefix + "ln_1", x, at + "ln_1");
    const Region qkv = b_.forward(s.c_attn, s.norm1.out, at + "qkv");
    s.attention = attention_.forward(s.prefix + "attn", at, thirds(qkv));
    const Region projected = b_.forward(s.attn_proj, s.attention.out, at + "attn_out");
    const Region middle = b_.temporary(at + "middle", x.count);
    b_.emit(Add{x, projected, middle}, s.prefix + "attn");
    s.norm2 = b_.norm(s.prefix + "ln_2", middle, at + "ln_2");
    s.fc = b_.forward(s.c_fc, s.norm2.out, at + "fc");
    s.act = b_.temporary(at + "act", s.fc.count);
    b_.emit(Activation{s.fc, s.act, activation_of(b_.model().mlp)}, s.prefix + "mlp");
    const Region down = b_.forward(s.mlp_proj, s.act, at + "mlp_out");
    const Region out = b_.temporary(at + "out", x.count);
    b_.emit(Add{middle, down, out}, s.prefix + "mlp");
    return out;
  }

  Region backward(int layer, Region d_x) override {
    const Saved& s = saved_[static_cast<std::size_t>(layer)];
    const std::string at = fmt::format("h.{}.d_", layer);
    const ModelSpec& m = b_.model();
    // mlp: d_x is the gradient of its output and, through the residual, stays the gradient of its input.
    b_.backward_weight(s.mlp_proj, s.act, d_x);
    const Region d_act = b_.temporary(at + "act", s.act.count);
    b_.backward_input(s.mlp_proj, d_x, d_act, false);
    b_.emit(ActivationBackward{s.fc, d_act, d_act, activation_of(m.mlp)}, s.prefix + "mlp");
    b_.backward_weight(s.c_fc, s.norm2.out, d_act);
    const Region d_norm2 = b_.temporary(at + "ln_2", d_x.count);
    b_.backward_input(s.c_fc, d_act, d_norm2, false);
    d_x = b_.fork(d_x, at + "middle");
    b_.norm_backward(s.norm2, d_norm2, d_x, true);
    // attention, likewise
    b_.backward_weight(s.attn_proj, s.attention.out, d_x);
    const Region d_attention = b_.temporary(at + "attention", d_x.count);
    b_.backward_input(s.attn_proj, d_x, d_attention, false);
    const Region d_qkv = b_.temporary(at + "qkv", 3 * s.attention.out.count);
    attention_.backward(s.attention, at, d_attention, thirds(d_qkv));
    b_.backward_weight(s.c_attn, s.norm1.out, d_qkv);
    const Region d_norm1 = b_.temporary(at + "ln_1", d_x.count);
    b_.backward_input(s.c_attn, d_qkv, d_norm1, false);
    d_x = b_.fork(d_x, at + "in");
    b_.norm_backward(s.norm1, d_norm1, d_x, true);
    return d_x;
  }

 private:
  struct Saved {
    std::string prefix;
    Linear c_attn, attn_proj, c_fc, mlp_proj;
    NormState norm1, norm2;
    AttentionState attention;
    Region fc, act;
  };

  /// q, k and v lie side by side in each row of qkv [R, 3H].
  Qkv thirds(Region qkv) const {
    const ModelSpec& m = b_.model();
    const auto third = [&](std::int64_t i) {
      return qkv.part(i * m.hidden, (b_.rows() - 1) * 3 * m.hidden + m.hidden);
    };
    return {third(0), third(1), third(2), m.heads, m.heads, 3 * m.hidden, 3 * m.hidden};
  }

  Saved linears(int layer) const {
    const ModelSpec& m = b_.model();
    Saved s;
    s.prefix = fmt::format("transformer.h.{}.", layer);
    s.c_attn = {s.prefix + "attn.c_attn", m.hidden, 3 * m.hidden, false, true};
    s.attn_proj = {s.prefix + "attn.c_proj", m.hidden, m.hidden, false, true};
    s.c_fc = {s.prefix + "mlp.c_fc", m.hidden, m.intermediate, false, true};
    s.mlp_proj = {s.prefix + "mlp.c_proj", m.intermediate, m.hidden, false, true};
    return s;
  }

  LayerBuilder& b_;
  AttentionBuilder attention_;
  std::vector<Saved> saved_;
};

}  // namespace

std::unique_ptr<BlockBuilder> make_gpt2_block(LayerBuilder& builder) { return std::make_unique<Gpt2Block>(builder); }

}  // namespace shardscope
