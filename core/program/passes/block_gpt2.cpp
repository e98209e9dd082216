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
    const Region qkv = b_.forward(s.c_attn, b_.all_rows(s.norm1.out, at + "ln_1.all"), at + "qkv");
    s.attention = attention_.forward(s.prefix + "attn", at, thirds(qkv));
    const Region projected =
        b_.sum_parts(b_.forward(s.attn_proj, s.attention.out, at + "attn_out"), at + "attn_out.sum");
    const Region middle = b_.temporary(at + "middle", x.count);
    b_.emit(Add{x, projected, middle}, s.prefix + "attn");
    s.norm2 = b_.norm(s.prefix + "ln_2", middle, at + "ln_2");
    s.fc = b_.forward(s.c_fc, b_.all_rows(s.norm2.out, at + "ln_2.all"), at + "fc");
    s.act = b_.temporary(at + "act", s.fc.count);
    b_.emit(Activation{s.fc, s.act, activation_of(b_.model().mlp)}, s.prefix + "mlp");
    const Region down = b_.sum_parts(b_.forward(s.mlp_proj, s.act, at + "mlp_out"), at + "mlp_out.sum");
    const Region out = b_.temporary(at + "out", x.count);
    b_.emit(Add{middle, down, out}, s.prefix + "mlp");
    return out;
  }

  Region backward(int layer, Region d_x) override {
    const Saved& s = saved_[static_cast<std::size_t>(layer)];
    const std::string at = fmt::format("h.{}.d_", layer);
    d_x = backward_mlp(s, at, d_x);
    return backward_attention(s, at, d_x);
  }

 private:
  struct Saved {
    std::string prefix;
    Linear c_attn, attn_proj, c_fc, mlp_proj;
    NormState norm1, norm2;
    AttentionState attention;
    Region fc, act;
  };

  /// d_x is the gradient of the block's output and, through the residual, stays the gradient of the MLP's input.
  Region backward_mlp(const Saved& s, const std::string& at, Region d_x) {
    const Region d_out = b_.all_rows(d_x, at + "out.all");
    b_.backward_weight(s.mlp_proj, s.act, d_out);
    const Region d_act = b_.temporary(at + "act", s.act.count);
    b_.backward_input(s.mlp_proj, d_out, d_act, false);
    b_.emit(ActivationBackward{s.fc, d_act, d_act, activation_of(b_.model().mlp)}, s.prefix + "mlp");
    b_.backward_weight(s.c_fc, b_.all_rows(s.norm2.out, at + "ln_2.again"), d_act);
    const Region d_norm = b_.temporary(at + "ln_2", b_.rows() * b_.model().hidden);
    b_.backward_input(s.c_fc, d_act, d_norm, false);
    d_x = b_.fork(d_x, at + "middle");
    b_.norm_backward(s.norm2, b_.sum_parts(d_norm, at + "ln_2.sum"), d_x, true);
    return d_x;
  }

  Region backward_attention(const Saved& s, const std::string& at, Region d_x) {
    const Region d_out = b_.all_rows(d_x, at + "middle.all");
    b_.backward_weight(s.attn_proj, s.attention.out, d_out);
    const Region d_attention = b_.temporary(at + "attention", s.attention.out.count);
    b_.backward_input(s.attn_proj, d_out, d_attention, false);
    const Region d_qkv = b_.temporary(at + "qkv", 3 * s.attention.out.count);
    attention_.backward(s.attention, at, d_attention, thirds(d_qkv));
    b_.backward_weight(s.c_attn, b_.all_rows(s.norm1.out, at + "ln_1.again"), d_qkv);
    const Region d_norm = b_.temporary(at + "ln_1", b_.rows() * b_.model().hidden);
    b_.backward_input(s.c_attn, d_qkv, d_norm, false);
    d_x = b_.fork(d_x, at + "in");
    b_.norm_backward(s.norm1, b_.sum_parts(d_norm, at + "ln_1.sum"), d_x, true);
    return d_x;
  }

  /// q, k and v of this rank's heads lie side by side in each row of qkv [R, 3 * heads * d].
  Qkv thirds(Region qkv) const {
    const std::int64_t width = b_.heads() * b_.model().head_dim;
    const auto third = [&](std::int64_t i) { return qkv.part(i * width, (b_.rows() - 1) * 3 * width + width); };
    return {third(0), third(1), third(2), b_.heads(), b_.heads(), 3 * width, 3 * width};
  }

  Saved linears(int layer) const {
    const std::int64_t hidden = b_.model().hidden, width = b_.heads() * b_.model().head_dim, mlp = b_.intermediate();
    Saved s;
    s.prefix = fmt::format("transformer.h.{}.", layer);
    s.c_attn = {s.prefix + "attn.c_attn", hidden, 3 * width, false, true};
    s.attn_proj = {s.prefix + "attn.c_proj", width, hidden, false, true, true};
    s.c_fc = {s.prefix + "mlp.c_fc", hidden, mlp, false, true};
    s.mlp_proj = {s.prefix + "mlp.c_proj", mlp, hidden, false, true, true};
    return s;
  }

  LayerBuilder& b_;
  AttentionBuilder attention_;
  std::vector<Saved> saved_;
};

}  // namespace

std::unique_ptr<BlockBuilder> make_gpt2_block(LayerBuilder& builder) { return std::make_unique<Gpt2Block>(builder); }

}  // namespace shardscope
