// A Llama block: x + attention(rms(x)) with rotary positions and grouped key/value heads, then + SwiGLU(rms(.)). In a
// Mixtral block experts take the place of the one SwiGLU.

#include <fmt/format.h>

#include "core/program/passes/attention_builder.h"
#include "core/program/passes/experts_builder.h"

namespace shardscope {
namespace {

class LlamaBlock : public BlockBuilder {
 public:
  explicit LlamaBlock(LayerBuilder& builder)
      : b_(builder),
        attention_(builder),
        experts_(builder),
        mlp_(builder),
        saved_(static_cast<std::size_t>(builder.model().layers)) {}

  Region forward(int layer, Region x) override {
    Saved& s = saved_[static_cast<std::size_t>(layer)];
    s = linears(layer);
    const std::string at = fmt::format("h.{}.", layer);
    s.norm1 = b_.norm(s.prefix + "input_layernorm", x, at + "ln_1");
    const Region in = b_.all_rows(s.norm1.out, at + "ln_1.all");
    const Region q = b_.forward(s.q_proj, in, at + "q");
    const Region k = b_.forward(s.k_proj, in, at + "k");
    const Region v = b_.forward(s.v_proj, in, at + "v");
    rotate(s, q, k, false);
    s.attention = attention_.forward(s.prefix + "self_attn", at, matrices(q, k, v));
    const Region projected = b_.sum_parts(b_.forward(s.o_proj, s.attention.out, at + "attn_out"), at + "attn_out.sum");
    const Region middle = b_.temporary(at + "middle", x.count);
    b_.emit(Add{x, projected, middle}, s.prefix + "self_attn");
    s.norm2 = b_.norm(s.prefix + "post_attention_layernorm", middle, at + "ln_2");
    const Region mlp_in = b_.all_rows(s.norm2.out, at + "ln_2.all");
    const Region mlp_out = b_.temporary(at + "mlp_out", mlp_in.count);
    if (b_.model().experts > 0) {
      s.experts = experts_.forward(s.prefix + "block_sparse_moe", at, mlp_in, mlp_out);
    } else {
      s.mlp = mlp_.forward(mlp_of(s.prefix), at, mlp_in, mlp_out);
    }
    const Region out = b_.temporary(at + "out", x.count);
    b_.emit(Add{middle, b_.sum_parts(mlp_out, at + "mlp_out.sum"), out}, s.prefix + "mlp");
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
    Linear q_proj, k_proj, v_proj, o_proj;
    NormState norm1, norm2;
    AttentionState attention;
    GatedMlpState mlp;  ///< this or `experts`
    ExpertsState experts;
  };

  Qkv matrices(Region q, Region k, Region v) const {
    const std::int64_t d = b_.model().head_dim;
    return {q, k, v, b_.heads(), b_.kv_heads(), b_.heads() * d, b_.kv_heads() * d};
  }

  Saved linears(int layer) const {
    const ModelSpec& m = b_.model();
    const std::int64_t nd = b_.heads() * m.head_dim, kd = b_.kv_heads() * m.head_dim;
    Saved s;
    s.prefix = fmt::format("model.layers.{}.", layer);
    s.q_proj = {s.prefix + "self_attn.q_proj", m.hidden, nd, true, m.qkv_bias};
    s.k_proj = {s.prefix + "self_attn.k_proj", m.hidden, kd, true, m.qkv_bias};
    s.v_proj = {s.prefix + "self_attn.v_proj", m.hidden, kd, true, m.qkv_bias};
    s.o_proj = {s.prefix + "self_attn.o_proj", nd, m.hidden, true, m.attention_out_bias, true};
    return s;
  }

  GatedMlp mlp_of(const std::string& prefix) const {
    const ModelSpec& m = b_.model();
    const std::string module = prefix + "mlp";
    return {module,
            {module + ".gate_proj", m.hidden, b_.intermediate(), true, m.mlp_bias},
            {module + ".up_proj", m.hidden, b_.intermediate(), true, m.mlp_bias},
            {module + ".down_proj", b_.intermediate(), m.hidden, true, m.mlp_bias, true}};
  }

  void rotate(const Saved& s, Region q, Region k, bool inverse) {
    const ModelSpec& m = b_.model();
    const std::string module = s.prefix + "self_attn";
    if (b_.cache() && !b_.cache()->starts.empty()) {
      const Region places = b_.cache()->starts;  // one row per sequence
      b_.emit(RopeAt{q, places, b_.rows(), b_.heads(), m.head_dim, m.rope_theta}, module);
      b_.emit(RopeAt{k, places, b_.rows(), b_.kv_heads(), m.head_dim, m.rope_theta}, module);
      return;
    }
    b_.emit(Rope{q, b_.rows(), b_.heads(), m.head_dim, b_.seq(), m.rope_theta, inverse, b_.part()}, module);
    b_.emit(Rope{k, b_.rows(), b_.kv_heads(), m.head_dim, b_.seq(), m.rope_theta, inverse, b_.part()}, module);
  }

  Region backward_mlp(const Saved& s, const std::string& at, Region d_x) {
    const Region d_out = b_.all_rows(d_x, at + "out.all");
    const Region d_norm = b_.model().experts > 0 ? backward_experts(s, at, d_out) : backward_dense(s, at, d_out);
    d_x = b_.fork(d_x, at + "middle");
    b_.norm_backward(s.norm2, b_.sum_parts(d_norm, at + "ln_2.sum"), d_x, true);
    return d_x;
  }

  Region backward_dense(const Saved& s, const std::string& at, Region d_out) {
    const GatedMlpGradients d = mlp_.backward_act(s.mlp, at, d_out);
    const Region in = b_.all_rows(s.norm2.out, at + "ln_2.again");
    const Region d_norm = b_.temporary(at + "ln_2", in.count);
    mlp_.backward_in(s.mlp, in, d, d_norm);
    return d_norm;
  }

  Region backward_experts(const Saved& s, const std::string& at, Region d_out) {
    const Region in = b_.all_rows(s.norm2.out, at + "ln_2.again");
    const Region d_norm = b_.temporary(at + "ln_2", in.count);
    experts_.backward(s.experts, at, in, d_out, d_norm);
    return d_norm;
  }

  Region backward_attention(const Saved& s, const std::string& at, Region d_x) {
    const std::int64_t keys = b_.rows() * b_.kv_heads() * b_.model().head_dim;
    const Region d_out = b_.all_rows(d_x, at + "middle.all");
    b_.backward_weight(s.o_proj, s.attention.out, d_out);
    const Region d_attention = b_.temporary(at + "attention", s.attention.out.count);
    b_.backward_input(s.o_proj, d_out, d_attention, false);
    const Region d_q = b_.temporary(at + "q", s.attention.out.count), d_k = b_.temporary(at + "k", keys),
                 d_v = b_.temporary(at + "v", keys);
    attention_.backward(s.attention, at, d_attention, matrices(d_q, d_k, d_v));
    rotate(s, d_q, d_k, true);
    const Region in = b_.all_rows(s.norm1.out, at + "ln_1.again");
    const Region d_norm = b_.temporary(at + "ln_1", b_.rows() * b_.model().hidden);
    b_.backward_weight(s.v_proj, in, d_v);
    b_.backward_input(s.v_proj, d_v, d_norm, false);
    b_.backward_weight(s.k_proj, in, d_k);
    b_.backward_input(s.k_proj, d_k, d_norm, true);
    b_.backward_weight(s.q_proj, in, d_q);
    b_.backward_input(s.q_proj, d_q, d_norm, true);
    d_x = b_.fork(d_x, at + "in");
    b_.norm_backward(s.norm1, b_.sum_parts(d_norm, at + "ln_1.sum"), d_x, true);
    return d_x;
  }

  LayerBuilder& b_;
  AttentionBuilder attention_;
  ExpertsBuilder experts_;
  GatedMlpBuilder mlp_;
  std::vector<Saved> saved_;
};

}  // namespace

std::unique_ptr<BlockBuilder> make_llama_block(LayerBuilder& builder) { return std::make_unique<LlamaBlock>(builder); }

}  // namespace shardscope
