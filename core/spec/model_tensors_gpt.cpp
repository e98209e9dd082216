// Tensors of the families that descend from GPT, with the names, shapes and initial values of Hugging Face's
// checkpoints.

#include <cmath>

#include "core/spec/model_tensors.h"

namespace shardscope {

void gpt2_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  const double std = m.init_std, residual_std = std / std::sqrt(2.0 * static_cast<double>(m.layers));
  if (part == Part::kBefore) {
    out.weight("transformer.wte", {m.vocab_size, h}, std);
    out.weight("transformer.wpe", {m.max_positions, h}, std);
  } else if (part == Part::kBlock) {
    out.norm("ln_1", h, m);
    out.conv1d("attn.c_attn", h, 3 * h, m.qkv_bias, std);
    out.conv1d("attn.c_proj", h, h, m.attention_out_bias, residual_std);
    out.norm("ln_2", h, m);
    out.conv1d("mlp.c_fc", h, m.intermediate, m.mlp_bias, std);
    out.conv1d("mlp.c_proj", m.intermediate, h, m.mlp_bias, residual_std);
  } else {
    out.norm("transformer.ln_f", h, m);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, std);
  }
}

void gptj_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  if (part == Part::kBefore) {
    out.weight("transformer.wte", {m.vocab_size, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("ln_1", h, m);
    for (const char* name : {"attn.k_proj", "attn.v_proj", "attn.q_proj"}) {
      out.linear(name, h, h, m.qkv_bias, m.init_std);
    }
    out.linear("attn.out_proj", h, h, m.attention_out_bias, m.init_std);
    out.linear("mlp.fc_in", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.fc_out", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("transformer.ln_f", h, m);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, m.init_std);
    if (m.head_bias) out.bias("lm_head", m.vocab_size);
  }
}

void gpt_neox_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  if (part == Part::kBefore) {
    out.weight("gpt_neox.embed_in", {m.vocab_size, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("input_layernorm", h, m);
    out.norm("post_attention_layernorm", h, m);
    out.linear("attention.query_key_value", 3 * h, h, m.qkv_bias, m.init_std);
    out.linear("attention.dense", h, h, m.attention_out_bias, m.init_std);
    out.linear("mlp.dense_h_to_4h", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.dense_4h_to_h", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("gpt_neox.final_layer_norm", h, m);
    if (!m.tied_embeddings) out.weight("embed_out", {m.vocab_size, h}, m.init_std);
  }
}

/// The position table has two rows more than positions; a narrow embedding is projected in and out without bias.
void opt_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden, w = m.embedding_dim > 0 ? m.embedding_dim : m.hidden;
  if (part == Part::kBefore) {
    out.weight("model.decoder.embed_tokens", {m.vocab_size, w}, m.init_std);
    if (w != h) out.linear("model.decoder.project_in", h, w, false, m.init_std);
    out.weight("model.decoder.embed_positions", {m.max_positions + 2, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("self_attn_layer_norm", h, m);
    out.linear("self_attn.q_proj", h, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.k_proj", h, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.v_proj", h, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.out_proj", h, h, m.attention_out_bias, m.init_std);
    out.norm("final_layer_norm", h, m);
    out.linear("fc1", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("fc2", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    if (m.final_norm) out.norm("model.decoder.final_layer_norm", h, m);
    if (w != h) out.linear("model.decoder.project_out", w, h, false, m.init_std);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, w}, m.init_std);
  }
}

void bloom_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  if (part == Part::kBefore) {
    out.weight("transformer.word_embeddings", {m.vocab_size, h}, m.init_std);
    if (m.embedding_norm) out.norm("transformer.word_embeddings_layernorm", h, m);
  } else if (part == Part::kBlock) {
    out.norm("input_layernorm", h, m);
    out.linear("self_attention.query_key_value", 3 * h, h, m.qkv_bias, m.init_std);
    out.linear("self_attention.dense", h, h, m.attention_out_bias, m.init_std);
    out.norm("post_attention_layernorm", h, m);
    out.linear("mlp.dense_h_to_4h", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.dense_4h_to_h", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("transformer.ln_f", h, m);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, m.init_std);
  }
}

void falcon_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  if (part == Part::kBefore) {
    out.weight("transformer.word_embeddings", {m.vocab_size, h}, m.init_std);
  } else if (part == Part::kBlock) {
    const bool two = m.parallel_residual && !m.one_norm;  // one for each branch
    out.norm(two ? "ln_attn" : "input_layernorm", h, m);
    if (two) out.norm("ln_mlp", h, m);
    out.linear("self_attention.query_key_value", (m.heads + 2 * m.kv_heads) * m.head_dim, h, m.qkv_bias, m.init_std);
    out.linear("self_attention.dense", h, m.heads * m.head_dim, m.attention_out_bias, m.init_std);
    if (!m.parallel_residual) out.norm("post_attention_layernorm", h, m);
    out.linear("mlp.dense_h_to_4h", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.dense_4h_to_h", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("transformer.ln_f", h, m);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, m.init_std);
  }
}

void mpt_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  if (part == Part::kBefore) {
    out.weight("transformer.wte", {m.vocab_size, h}, m.init_std);
    if (m.positions == PositionKind::kLearned) out.weight("transformer.wpe", {m.max_positions, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("norm_1", h, m);
    out.linear("attn.Wqkv", (m.heads + 2 * m.kv_heads) * m.head_dim, h, m.qkv_bias, m.init_std);
    out.linear("attn.out_proj", h, h, m.attention_out_bias, m.init_std);
    out.norm("norm_2", h, m);
    out.linear("ffn.up_proj", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("ffn.down_proj", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("transformer.norm_f", h, m);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, m.init_std);
  }
}

void phi_tensors(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden, kv = m.kv_heads * m.head_dim;
  if (part == Part::kBefore) {
    out.weight("model.embed_tokens", {m.vocab_size, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("input_layernorm", h, m);
    out.linear("self_attn.q_proj", h, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.k_proj", kv, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.v_proj", kv, h, m.qkv_bias, m.init_std);
    if (m.qk_norm) {
      out.norm("self_attn.q_layernorm", m.head_dim, m);
      out.norm("self_attn.k_layernorm", m.head_dim, m);
    }
    out.linear("self_attn.dense", h, h, m.attention_out_bias, m.init_std);
    out.linear("mlp.fc1", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.fc2", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("model.final_layernorm", h, m);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, m.init_std);
    if (m.head_bias) out.bias("lm_head", m.vocab_size);
  }
}

}  // namespace shardscope
