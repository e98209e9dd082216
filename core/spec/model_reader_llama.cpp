// Reads the config.json of families that descend from Llama: RMSNorm (nemotron excepted), rotary positions, gated MLPs.

#include <fmt/format.h>

#include "core/spec/model_reader.h"

namespace shardscope {
namespace {

bool has_windows(const JsonReader& config, ModelFamily family) {
  switch (family) {
    case ModelFamily::kMistral:
    case ModelFamily::kMixtral:
    case ModelFamily::kPhi3:
    case ModelFamily::kGemma2:
    case ModelFamily::kGemma3Text:
    case ModelFamily::kGptOss:
      return true;
    default:
      return config.boolean("use_sliding_window", false);
  }
}

/// Refuses an activation that is not `usual`: the family has never been seen with another one.
void expect_activation(const JsonReader& config, std::string_view key, const std::string& usual) {
  const std::string name = config.text(key, usual);
  if (name == usual) return;
  config.fail(key, fmt::format("is \"{}\"; this family is known with {} only", printable(name), usual),
              ErrorKind::kUnsupported);
}

/// What all have. `head_dim` 0: hidden size by heads.
void read_shape(const JsonReader& config, ModelSpec& model, std::int64_t head_dim) {
  model.hidden = config.integer("hidden_size", kCount);
  model.layers = config.integer("num_hidden_layers", kLayers);
  const bool gemma3 = model.family == ModelFamily::kGemma3Text;  // the larger ones leave out what is the default
  model.heads =
      gemma3 ? config.integer("num_attention_heads", kCount, 8) : config.integer("num_attention_heads", kCount);
  model.kv_heads = config.integer("num_key_value_heads", kCount, gemma3 ? 4 : model.heads);
  model.head_dim = config.integer("head_dim", kHeadSize, head_dim);
  model.intermediate = config.integer("intermediate_size", kCount);
  model.max_positions = config.integer("max_position_embeddings", kCount, 2048);
  model.norm = NormKind::kRmsNorm;
  model.mlp = MlpKind::kSwiGlu;
  const bool biases = config.boolean("attention_bias", false);
  model.qkv_bias = model.attention_out_bias = biases;
  model.mlp_bias = config.boolean("mlp_bias", false);
  model.norm_eps = config.real("rms_norm_eps", kPositive, model.family == ModelFamily::kMixtral ? 1e-5 : 1e-6);
  model.tied_embeddings = config.boolean("tie_word_embeddings", false);
  model.sliding_window = has_windows(config, model.family) ? config.integer("sliding_window", kCount, 0) : 0;
  model.rotary_fraction = config.real("partial_rotary_factor", {0, 1, true}, 1);
  read_rope(config, model);
}

void read_experts(const JsonReader& config, const char* key, ModelSpec& model) {
  model.experts = config.integer(key, {1, kMostExperts});
  model.experts_per_token = config.integer("num_experts_per_tok", kCount);
  model.router_aux_coefficient = config.real("router_aux_loss_coef", {0, 1e3}, 0.001);
  if (model.experts_per_token > model.experts) {
    config.fail("num_experts_per_tok",
                fmt::format("is {}; there are {} experts in a block", model.experts_per_token, model.experts));
  }
}

/// "mlp_only_layers": the blocks without experts, as far as they are the first ones.
std::int64_t leading_dense_layers(const JsonReader& config) {
  const JsonNode* dense = config.find("mlp_only_layers");
  if (dense == nullptr) return 0;
  std::int64_t layer = 0;
  for (const JsonNode& item : dense->items) {
    if (as_integer(item) != layer) {
      config.fail("mlp_only_layers", "is not 0, 1, 2, ...; only leading blocks without experts are known here",
                  ErrorKind::kUnsupported);
    }
    ++layer;
  }
  return layer;
}

/// deepseek, glm4_moe: the first blocks are dense, the others have routed and shared experts.
void read_routed_experts(const JsonReader& config, ModelSpec& model) {
  read_experts(config, "n_routed_experts", model);
  model.dense_intermediate = model.intermediate;
  model.intermediate = config.integer("moe_intermediate_size", kCount);
  model.shared_experts = config.integer("n_shared_experts", {0, kMostExperts}, 0);
  model.dense_layers = config.integer("first_k_dense_replace", {0, model.layers}, 0);
  model.predicted_tokens = config.integer("num_nextn_predict_layers", {0, 1024}, 0);
  if (config.integer("moe_layer_freq", kCount, 1) != 1) {
    config.fail("moe_layer_freq", "is not 1; only models with experts in every later block are known here",
                ErrorKind::kUnsupported);
  }
}

}  // namespace

/// llama, mistral, qwen2, qwen3, phi3 and mixtral's base: they differ in biases and defaults only.
void read_llama(const JsonReader& config, ModelSpec& model) {
  expect_activation(config, "hidden_act", "silu");
  const bool qwen3 = model.family == ModelFamily::kQwen3;
  read_shape(config, model, qwen3 ? 128 : 0);
  model.qk_norm = qwen3 || model.family == ModelFamily::kQwen3Moe;
  if (model.family == ModelFamily::kQwen2 || model.family == ModelFamily::kQwen2Moe) {
    model.qkv_bias = true;
    model.attention_out_bias = false;
  }
}

void read_mixtral(const JsonReader& config, ModelSpec& model) {
  read_llama(config, model);
  read_experts(config, "num_local_experts", model);
}

/// qwen2_moe and qwen3_moe.
void read_qwen_moe(const JsonReader& config, ModelSpec& model) {
  read_llama(config, model);
  read_experts(config, "num_experts", model);
  model.dense_intermediate = model.intermediate;
  model.intermediate = config.integer("moe_intermediate_size", kCount);
  if (model.family == ModelFamily::kQwen2Moe) {
    model.shared_intermediate = config.integer("shared_expert_intermediate_size", kCount);
  }
  model.moe_every = config.integer("decoder_sparse_step", kCount, 1);
  model.dense_layers = leading_dense_layers(config);
}

/// gemma, gemma2, gemma3_text: heads of 256 whatever the hidden size, GeGLU, the embedding is the head.
void read_gemma(const JsonReader& config, ModelSpec& model) {
  const std::string_view key = first_present(config, {"hidden_activation", "hidden_act"});
  if (activation_kind(config, key, "gelu_pytorch_tanh") == MlpKind::kRelu) expect_activation(config, key, "gelu");
  read_shape(config, model, 256);
  model.mlp = MlpKind::kGeGlu;
  model.tied_embeddings = config.boolean("tie_word_embeddings", true);
  model.norm_after = model.family != ModelFamily::kGemma;
  model.qk_norm = model.family == ModelFamily::kGemma3Text;
  if (model.family == ModelFamily::kGemma2) model.full_attention_every = 2;
  if (model.family == ModelFamily::kGemma3Text) {
    model.full_attention_every = config.integer("sliding_window_pattern", kCount, 6);
  }
}

/// Two matrices and squared relu, LayerNorm.
void read_nemotron(const JsonReader& config, ModelSpec& model) {
  expect_activation(config, "hidden_act", "relu2");
  read_shape(config, model, 0);
  model.norm = NormKind::kLayerNorm;
  model.norm_eps = config.real("norm_eps", kPositive, 1e-5);
  model.mlp = MlpKind::kRelu2;
  model.rotary_fraction = config.real("partial_rotary_factor", {0, 1, true}, 0.5);
}

/// deepseek_v2 and deepseek_v3: latent attention.
void read_deepseek(const JsonReader& config, ModelSpec& model) {
  expect_activation(config, "hidden_act", "silu");
  read_shape(config, model, 0);
  model.q_lora_rank = config.integer("q_lora_rank", kCount, 0);
  model.kv_lora_rank = config.integer("kv_lora_rank", kCount);
  model.qk_nope_head_dim = config.integer("qk_nope_head_dim", kHeadSize);
  model.qk_rope_head_dim = config.integer("qk_rope_head_dim", kHeadSize);
  model.v_head_dim = config.integer("v_head_dim", kHeadSize);
  model.head_dim = model.qk_nope_head_dim + model.qk_rope_head_dim;
  model.kv_heads = model.heads;
  if (config.has("n_routed_experts")) read_routed_experts(config, model);
}

void read_glm4_moe(const JsonReader& config, ModelSpec& model) {
  expect_activation(config, "hidden_act", "silu");
  read_shape(config, model, 0);
  model.attention_out_bias = false;
  model.qk_norm = config.boolean("use_qk_norm", false);
  read_routed_experts(config, model);
}

/// Every interleave_moe_layer_step-th block has experts and one always-on expert; three blocks of four see a chunk of
/// the sequence only, which is taken for a window.
void read_llama4(const JsonReader& config, ModelSpec& model) {
  expect_activation(config, "hidden_act", "silu");
  read_shape(config, model, 0);
  read_experts(config, "num_local_experts", model);
  model.shared_experts = 1;
  model.moe_every = config.integer("interleave_moe_layer_step", kCount, 1);
  model.dense_intermediate = config.integer("intermediate_size_mlp", kCount, model.intermediate);
  model.sliding_window = config.integer("attention_chunk_size", kCount, 0);
  model.full_attention_every = config.integer("no_rope_layer_interval", kCount, 4);
}

/// Every second block has a window; experts and router have biases, heads a sink.
void read_gpt_oss(const JsonReader& config, ModelSpec& model) {
  expect_activation(config, "hidden_act", "silu");
  read_shape(config, model, 64);
  read_experts(config, "num_local_experts", model);
  model.qkv_bias = model.attention_out_bias = config.boolean("attention_bias", true);
  model.mlp_bias = model.attention_sinks = true;
  model.full_attention_every = 2;
}

}  // namespace shardscope
