// Reads the config.json of families that descend from GPT: one function per family, because each names its keys in its
// own way. Absent keys mean what the family's configuration class in Hugging Face transformers 4 and 5 says.

#include <algorithm>

#include "core/spec/model_reader.h"

namespace shardscope {

void read_gpt2(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer(first_present(config, {"n_embd", "hidden_size"}), kCount);
  model.layers = config.integer(first_present(config, {"n_layer", "num_hidden_layers"}), kLayers);
  model.heads = config.integer(first_present(config, {"n_head", "num_attention_heads"}), kCount);
  model.max_positions =
      config.integer(first_present(config, {"n_positions", "n_ctx", "max_position_embeddings"}), kCount, 1024);
  model.intermediate = config.integer("n_inner", kCount, 4 * model.hidden);
  model.mlp = activation_kind(config, "activation_function", "gelu_new");
  model.norm_eps = config.real("layer_norm_epsilon", kPositive, 1e-5);
  model.tied_embeddings = config.boolean("tie_word_embeddings", true);
}

void read_gpt_neox(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer("hidden_size", kCount);
  model.layers = config.integer("num_hidden_layers", kLayers);
  model.heads = config.integer("num_attention_heads", kCount);
  model.intermediate = config.integer("intermediate_size", kCount);
  model.max_positions = config.integer("max_position_embeddings", kCount, 2048);
  model.mlp = activation_kind(config, "hidden_act", "gelu");
  model.norm_eps = config.real("layer_norm_eps", kPositive, 1e-5);
  model.qkv_bias = model.attention_out_bias = config.boolean("attention_bias", true);
  model.parallel_residual = config.boolean("use_parallel_residual", true);
  model.tied_embeddings = config.boolean("tie_word_embeddings", false);
  model.rotary_fraction = config.real("rotary_pct", {0, 1, true}, 0.25);
  read_rope(config, model);
}

void read_opt(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer("hidden_size", kCount);
  model.layers = config.integer("num_hidden_layers", kLayers);
  model.heads = config.integer("num_attention_heads", kCount);
  model.intermediate = config.integer("ffn_dim", kCount);
  model.max_positions = config.integer("max_position_embeddings", kCount, 2048);
  model.embedding_dim = config.integer("word_embed_proj_dim", kCount, model.hidden);
  model.mlp = activation_kind(config, "activation_function", "relu");
  model.final_norm = config.boolean("do_layer_norm_before", true) && !config.boolean("_remove_final_layer_norm", false);
  model.qkv_bias = model.attention_out_bias = model.mlp_bias = config.boolean("enable_bias", true);
  model.tied_embeddings = config.boolean("tie_word_embeddings", true);
  if (!config.boolean("layer_norm_elementwise_affine", true)) {
    config.fail("layer_norm_elementwise_affine", "is false; only true is known here", ErrorKind::kUnsupported);
  }
  model.init_std = config.real("init_std", {0, 1e3}, 0.02);
}

void read_bloom(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer(first_present(config, {"hidden_size", "n_embed", "n_embd"}), kCount);
  model.layers = config.integer(first_present(config, {"n_layer", "num_hidden_layers"}), kLayers);
  model.heads = config.integer(first_present(config, {"n_head", "num_attention_heads"}), kCount);
  model.intermediate = config.integer("n_inner", kCount, 4 * model.hidden);
  model.max_positions = config.integer("seq_length", kCount, 2048);
  model.positions = PositionKind::kAlibi;
  model.norm_eps = config.real("layer_norm_epsilon", kPositive, 1e-5);
  model.embedding_norm = true;
  model.tied_embeddings = config.boolean("tie_word_embeddings", true);
}

/// LayerNorm, one norm per block, head with a bias; the rotary part is given in elements.
void read_gptj(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer(first_present(config, {"n_embd", "hidden_size"}), kCount);
  model.layers = config.integer(first_present(config, {"n_layer", "num_hidden_layers"}), kLayers);
  model.heads = config.integer(first_present(config, {"n_head", "num_attention_heads"}), kCount);
  model.max_positions = config.integer(first_present(config, {"n_positions", "max_position_embeddings"}), kCount, 2048);
  model.intermediate = config.integer("n_inner", kCount, 4 * model.hidden);
  model.mlp = activation_kind(config, "activation_function", "gelu_new");
  model.norm_eps = config.real("layer_norm_epsilon", kPositive, 1e-5);
  model.qkv_bias = model.attention_out_bias = false;
  model.parallel_residual = model.one_norm = model.head_bias = true;
  model.tied_embeddings = config.boolean("tie_word_embeddings", false);
  const auto head = static_cast<double>(std::max<std::int64_t>(model.hidden / model.heads, 1));
  model.rotary_fraction = std::min(1.0, static_cast<double>(config.integer("rotary_dim", kCount, 64)) / head);
  read_rope(config, model);
}

/// The 7B model shares one key and value head and one norm; the "new decoder architecture" has groups and two norms.
void read_falcon(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer("hidden_size", kCount);
  model.layers = config.integer(first_present(config, {"num_hidden_layers", "n_layer"}), kLayers);
  model.heads = config.integer(first_present(config, {"num_attention_heads", "n_head"}), kCount);
  const bool groups = config.boolean("new_decoder_architecture", false);
  if (groups) {
    model.kv_heads = config.integer(first_present(config, {"num_kv_heads", "n_head_kv"}), kCount, model.heads);
  } else {
    model.kv_heads = config.boolean("multi_query", true) ? 1 : model.heads;
  }
  model.intermediate = config.integer("ffn_hidden_size", kCount, 4 * model.hidden);
  model.max_positions = config.integer("max_position_embeddings", kCount, 2048);
  model.mlp = activation_kind(config, "activation", "gelu");
  model.norm_eps = config.real("layer_norm_epsilon", kPositive, 1e-5);
  model.qkv_bias = model.attention_out_bias = model.mlp_bias = config.boolean("bias", false);
  model.parallel_residual = groups || config.boolean("parallel_attn", true);
  const std::int64_t norms = config.integer("num_ln_in_parallel_attn", {1, 2}, groups ? 2 : 1);
  model.one_norm = model.parallel_residual && norms == 1;
  model.tied_embeddings = config.boolean("tie_word_embeddings", true);
  read_rope(config, model);
  if (config.boolean("alibi", false)) model.positions = PositionKind::kAlibi;
}

/// No bias anywhere, not even in norms; ALiBi, or learned positions.
void read_mpt(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer(first_present(config, {"d_model", "hidden_size"}), kCount);
  model.layers = config.integer(first_present(config, {"n_layers", "num_hidden_layers"}), kLayers);
  model.heads = config.integer(first_present(config, {"n_heads", "num_attention_heads"}), kCount);
  model.max_positions = config.integer("max_seq_len", kCount, 2048);
  const double ratio = config.real("expansion_ratio", {0, 1024, true}, 4);
  model.intermediate = std::max<std::int64_t>(1, static_cast<std::int64_t>(ratio * static_cast<double>(model.hidden)));
  model.mlp = MlpKind::kGeluErf;
  model.norm_eps = config.real("layer_norm_epsilon", kPositive, 1e-5);
  const bool bias = !config.boolean("no_bias", true);
  model.qkv_bias = model.attention_out_bias = model.mlp_bias = model.norm_bias = bias;
  model.positions = PositionKind::kAlibi;
  if (const auto attention = config.object("attn_config")) {
    const bool one = attention->text("attn_type", "") == "multiquery_attention";
    model.kv_heads = one ? 1 : attention->integer("kv_n_heads", kCount, model.heads);
    if (!attention->boolean("alibi", true)) model.positions = PositionKind::kLearned;
  }
  model.tied_embeddings = config.boolean("tie_word_embeddings", true);
}

void read_phi(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer("hidden_size", kCount);
  model.layers = config.integer("num_hidden_layers", kLayers);
  model.heads = config.integer("num_attention_heads", kCount);
  model.kv_heads = config.integer("num_key_value_heads", kCount, model.heads);
  model.intermediate = config.integer("intermediate_size", kCount);
  model.max_positions = config.integer("max_position_embeddings", kCount, 2048);
  model.mlp = activation_kind(config, "hidden_act", "gelu_new");
  model.norm_eps = config.real("layer_norm_eps", kPositive, 1e-5);
  model.parallel_residual = model.one_norm = model.head_bias = true;
  model.qk_norm = config.boolean("qk_layernorm", false);
  model.tied_embeddings = config.boolean("tie_word_embeddings", false);
  model.rotary_fraction = config.real("partial_rotary_factor", {0, 1, true}, 0.5);
  read_rope(config, model);
}

}  // namespace shardscope
