// Tensors of the families that descend from Llama, with the names, shapes and initial values of Hugging Face's
// checkpoints.

#include <fmt/format.h>

#include "core/spec/model_tensors.h"

namespace shardscope {
namespace {

/// Latent attention: queries and keys/values go through narrow matrices with a norm between.
void add_latent_attention(const ModelSpec& m, TensorList& out) {
  const std::int64_t h = m.hidden, q = m.heads * m.head_dim;
  if (m.q_lora_rank > 0) {
    out.linear("self_attn.q_a_proj", m.q_lora_rank, h, m.qkv_bias, m.init_std);
    out.norm("self_attn.q_a_layernorm", m.q_lora_rank, m);
    out.linear("self_attn.q_b_proj", q, m.q_lora_rank, false, m.init_std);
  } else {
    out.linear("self_attn.q_proj", q, h, false, m.init_std);
  }
  const std::int64_t expanded = m.heads * (m.qk_nope_head_dim + m.v_head_dim);
  out.linear("self_attn.kv_a_proj_with_mqa", m.kv_lora_rank + m.qk_rope_head_dim, h, m.qkv_bias, m.init_std);
  out.norm("self_attn.kv_a_layernorm", m.kv_lora_rank, m);
  out.linear("self_attn.kv_b_proj", expanded, m.kv_lora_rank, false, m.init_std);
  out.linear("self_attn.o_proj", h, m.heads * m.v_head_dim, m.attention_out_bias, m.init_std);
}

void add_attention(const ModelSpec& m, TensorList& out) {
  if (m.kv_lora_rank > 0) return add_latent_attention(m, out);
  const std::int64_t h = m.hidden, q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
  if (m.family == ModelFamily::kPhi3) {
    out.linear("self_attn.qkv_proj", q + 2 * kv, h, m.qkv_bias, m.init_std);
  } else {
    out.linear("self_attn.q_proj", q, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.k_proj", kv, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.v_proj", kv, h, m.qkv_bias, m.init_std);
  }
  out.linear("self_attn.o_proj", h, q, m.attention_out_bias, m.init_std);
  if (m.qk_norm) {
    out.norm("self_attn.q_norm", m.head_dim, m);
    out.norm("self_attn.k_norm", m.head_dim, m);
  }
  if (m.attention_sinks) out.parameter("self_attn", "sinks", {m.heads}, m.init_std);
}

/// Names of the block's MLP, router, shared experts and of the matrices of an expert: gate, up and down.
struct MlpNames {
  const char *mlp, *router, *shared, *gate, *up, *down;
};

MlpNames names_of(ModelFamily family) {
  switch (family) {
    case ModelFamily::kMixtral:
      return {"block_sparse_moe", ".gate", "", "w1", "w3", "w2"};
    case ModelFamily::kQwen2Moe:
      return {"mlp", ".gate", ".shared_expert.", "gate_proj", "up_proj", "down_proj"};
    case ModelFamily::kLlama4Text:
      return {"feed_forward", ".router", ".shared_expert.", "gate_proj", "up_proj", "down_proj"};
    case ModelFamily::kGptOss:
      return {"mlp", ".router", "", "gate_proj", "up_proj", "down_proj"};
    default:
      return {"mlp", ".gate", ".shared_experts.", "gate_proj", "up_proj", "down_proj"};
  }
}

/// An MLP of this width; `module` ends with a dot.
void add_mlp(const ModelSpec& m, const std::string& module, std::int64_t width, bool bias, TensorList& out) {
  const MlpNames names = names_of(m.family);
  if (m.family == ModelFamily::kPhi3) {
    out.linear(module + "gate_up_proj", 2 * width, m.hidden, bias, m.init_std);
  } else {
    if (is_gated(m.mlp)) out.linear(module + names.gate, width, m.hidden, bias, m.init_std);
    out.linear(module + names.up, width, m.hidden, bias, m.init_std);
  }
  out.linear(module + names.down, m.hidden, width, bias, m.init_std);
}

/// All experts of a block as one tensor each for gate and up, and for down: [expert, in, out].
void add_stacked_experts(const ModelSpec& m, const std::string& module, TensorList& out) {
  const std::int64_t h = m.hidden, i = m.intermediate;
  out.parameter(module, "gate_up_proj", {m.experts, h, 2 * i}, m.init_std);
  if (m.mlp_bias) out.parameter(module, "gate_up_proj_bias", {m.experts, 2 * i}, 0);
  out.parameter(module, "down_proj", {m.experts, i, h}, m.init_std);
  if (m.mlp_bias) out.parameter(module, "down_proj_bias", {m.experts, h}, 0);
}

void add_experts(const ModelSpec& m, TensorList& out) {
  const MlpNames names = names_of(m.family);
  const std::string mlp = names.mlp, router = mlp + names.router;
  const bool stacked = m.family == ModelFamily::kGptOss || m.family == ModelFamily::kLlama4Text;
  out.linear(router, m.experts, m.hidden, m.family == ModelFamily::kGptOss, m.init_std);
  if (m.family == ModelFamily::kDeepseekV3 || m.family == ModelFamily::kGlm4Moe) {
    out.parameter(router, "e_score_correction_bias", {m.experts}, 0);
  }
  if (stacked) {
    add_stacked_experts(m, mlp + ".experts", out);
  } else {
    for (std::int32_t e = 0; e < m.experts; ++e) {
      out.enter_expert(e);
      add_mlp(m, fmt::format("{}.experts.{}.", mlp, e), m.intermediate, false, out);
    }
    out.enter_expert(-1);
  }
  const std::int64_t shared = m.shared_intermediate + m.shared_experts * m.intermediate;
  if (shared > 0) add_mlp(m, mlp + names.shared, shared, false, out);
  if (m.shared_intermediate > 0) out.linear(mlp + ".shared_expert_gate", 1, m.hidden, false, m.init_std);
}

void add_block(const ModelSpec& m, TensorList& out) {
  out.norm("input_layernorm", m.hidden, m);
  add_attention(m, out);
  out.norm("post_attention_layernorm", m.hidden, m);
  if (m.norm_after) out.norm("pre_feedforward_layernorm", m.hidden, m);
  if (has_experts(m, out.layer())) {
    add_experts(m, out);
  } else {
    const std::string mlp = names_of(m.family).mlp;
    add_mlp(m, mlp + ".", m.experts > 0 ? m.dense_intermediate : m.intermediate, m.mlp_bias, out);
  }
  if (m.norm_after) out.norm("post_feedforward_layernorm", m.hidden, m);
}

}  // namespace

void llama_tensors(const ModelSpec& m, Part part, TensorList& out) {
  if (part == Part::kBefore) {
    out.weight("model.embed_tokens", {m.vocab_size, m.hidden}, m.init_std);
  } else if (part == Part::kBlock) {
    add_block(m, out);
  } else {
    out.norm("model.norm", m.hidden, m);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, m.hidden}, m.init_std);
  }
}

}  // namespace shardscope
