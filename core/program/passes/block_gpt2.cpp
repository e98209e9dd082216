// A GPT-2 block: x + attention(ln_1(x)), then + mlp(ln_2(.)); q, k and v from one matrix.

#include <fmt/format.h>

#include "core/program/passes/layer_builder.h"

namespace shardscope {
namespace {

ActivationKind activation_of(MlpKind mlp) {
  if (mlp == MlpKind::kGeluErf) return ActivationKind::kGeluErf;
  return mlp == MlpKind::kRelu ? ActivationKind::kRelu : ActivationKind::kGeluTanh;
}

class Gpt2Block : public BlockBuilder {
 public:
  explicit Gpt2Block(LayerBuilder& builder) : b_(builder), saved_(static_cast<std::size_t>(builder.model().layers)) {}

  Region forward(int layer, Region x) override {
    Saved& s = saved_[static_cast<std::size_t>(layer)];
    s = linears(layer);
    const std::string at = fmt::format("h.{}.", layer);
    s.norm1 = b_.norm(s.prefix + "ln_1", x, at + "ln_1");
    s.qkv = b_.forward(s.c_attn, s.norm1.out, at + "qkv");
    s.attention = b_.temporary(at + "attention", b_.rows() * b_.model().hidden);
    s.lse = b_.temporary(at + "lse", b_.rows() * b_.model().heads);
    b_.emit(Attention{s.q(b_), s.k(b_), s.v(b_), s.attention, s.lse, b_.batch(), b_.seq(), b_.model().heads,
                      b_.model().heads, b_.model().head_dim, 3 * b_.model().hidden, 3 * b_.model().hidden},
            s.prefix + "attn");
    const Region projected = b_.forward(s.attn_proj, s.attention, at + "attn_out");
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
    b_.backward_weight(s.attn_proj, s.attention, d_x);
    const Region d_attention = b_.temporary(at + "attention", d_x.count);
    b_.backward_input(s.attn_proj, d_x, d_attention, false);
    Saved d = s;
    d.qkv = b_.temporary(at + "qkv", s.qkv.count);
    b_.emit(AttentionBackward{d_attention, s.q(b_), s.k(b_), s.v(b_), s.attention, s.lse, d.q(b_), d.k(b_), d.v(b_),
                              b_.batch(), b_.seq(), m.heads, m.heads, m.head_dim, 3 * m.hidden, 3 * m.hidden},
            s.prefix + "attn");
    b_.backward_weight(s.c_attn, s.norm1.out, d.qkv);
    const Region d_norm1 = b_.temporary(at + "ln_1", d_x.count);
    b_.backward_input(s.c_attn, d.qkv, d_norm1, false);
    d_x = b_.fork(d_x, at + "in");
    b_.norm_backward(s.norm1, d_norm1, d_x, true);
    return d_x;
  }

 private:
  struct Saved {
    std::string prefix;
    Linear c_attn, attn_proj, c_fc, mlp_proj;
    NormState norm1, norm2;
    Region qkv, attention, lse, fc, act;

    // q, k and v lie side by side in each row of qkv [R, 3H]; each region ends where its last row does.
    Region third(const LayerBuilder& b, std::int64_t i) const {
      const std::int64_t h = b.model().hidden;
      return qkv.part(i * h, (b.rows() - 1) * 3 * h + h);
    }
    Region q(const LayerBuilder& b) const { return third(b, 0); }
    Region k(const LayerBuilder& b) const { return third(b, 1); }
    Region v(const LayerBuilder& b) const { return third(b, 2); }
  };

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
  std::vector<Saved> saved_;
};

}  // namespace

std::unique_ptr<BlockBuilder> make_gpt2_block(LayerBuilder& builder) { return std::make_unique<Gpt2Block>(builder); }

}  // namespace shardscope
