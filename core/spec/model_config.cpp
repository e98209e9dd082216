// Writes what model_spec.cpp reads, family by family. Token ids are left out: no model here has any of its own.

#include "core/spec/model_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

const char* activation(MlpKind mlp) {
  switch (mlp) {
    case MlpKind::kGeluTanh:
      return "gelu_new";
    case MlpKind::kGeluErf:
      return "gelu";
    case MlpKind::kRelu:
      return "relu";
    case MlpKind::kSwiGlu:
      return "silu";
    case MlpKind::kGeGlu:
      return "gelu_pytorch_tanh";
    case MlpKind::kRelu2:
      return "relu2";
  }
  SS_CHECK(false, static_cast<int>(mlp));
}

/// The names that all families but gpt2 and bloom use.
Json common(const ModelSpec& m, const char* type, const char* architecture) {
  return {{"model_type", type},
          {"architectures", {architecture}},
          {"vocab_size", m.vocab_size},
          {"hidden_size", m.hidden},
          {"num_hidden_layers", m.layers},
          {"num_attention_heads", m.heads},
          {"max_position_embeddings", m.max_positions},
          {"tie_word_embeddings", m.tied_embeddings}};
}

Json gpt2(const ModelSpec& m) {
  return {{"model_type", "gpt2"},
          {"architectures", {"GPT2LMHeadModel"}},
          {"vocab_size", m.vocab_size},
          {"n_embd", m.hidden},
          {"n_layer", m.layers},
          {"n_head", m.heads},
          {"n_positions", m.max_positions},
          {"n_inner", m.intermediate},
          {"activation_function", activation(m.mlp)},
          {"layer_norm_epsilon", m.norm_eps},
          {"tie_word_embeddings", m.tied_embeddings},
          {"initializer_range", m.init_std}};
}

Json llama(const ModelSpec& m, const char* type, const char* architecture) {
  Json json = common(m, type, architecture);
  json.update({{"num_key_value_heads", m.kv_heads},
               {"head_dim", m.head_dim},
               {"intermediate_size", m.intermediate},
               {"hidden_act", "silu"},
               {"rms_norm_eps", m.norm_eps},
               {"rope_theta", m.rope_theta},
               {"mlp_bias", m.mlp_bias},
               {"initializer_range", m.init_std}});
  const bool qwen2 = m.family == ModelFamily::kQwen2 || m.family == ModelFamily::kQwen2Moe;
  if (!qwen2) json["attention_bias"] = m.qkv_bias;
  json["sliding_window"] = m.sliding_window > 0 ? Json(m.sliding_window) : Json(nullptr);
  if (qwen2 || m.family == ModelFamily::kQwen3 || m.family == ModelFamily::kQwen3Moe)
    json["use_sliding_window"] = m.sliding_window > 0;
  if (m.rotary_fraction != 1) json["rope_parameters"] = {{"partial_rotary_factor", m.rotary_fraction}};
  return json;
}

Json mixtral(const ModelSpec& m) {
  Json json = llama(m, "mixtral", "MixtralForCausalLM");
  json.update({{"num_local_experts", m.experts},
               {"num_experts_per_tok", m.experts_per_token},
               {"router_aux_loss_coef", m.router_aux_coefficient}});
  return json;
}

Json qwen_moe(const ModelSpec& m, const char* type, const char* architecture) {
  Json json = llama(m, type, architecture);
  json.update({{"num_experts", m.experts},
               {"num_experts_per_tok", m.experts_per_token},
               {"moe_intermediate_size", m.intermediate},
               {"decoder_sparse_step", m.moe_every},
               {"router_aux_loss_coef", m.router_aux_coefficient}});
  if (m.dense_intermediate > 0) json["intermediate_size"] = m.dense_intermediate;
  json["mlp_only_layers"] = Json::array();
  for (std::int64_t layer = 0; layer < m.dense_layers; ++layer) json["mlp_only_layers"].push_back(layer);
  if (m.family == ModelFamily::kQwen2Moe) json["shared_expert_intermediate_size"] = m.shared_intermediate;
  return json;
}

Json gpt_neox(const ModelSpec& m) {
  Json json = common(m, "gpt_neox", "GPTNeoXForCausalLM");
  json.update({{"intermediate_size", m.intermediate},
               {"hidden_act", activation(m.mlp)},
               {"layer_norm_eps", m.norm_eps},
               {"attention_bias", m.qkv_bias},
               {"use_parallel_residual", m.parallel_residual},
               {"rotary_pct", m.rotary_fraction},
               {"rotary_emb_base", m.rope_theta},
               {"initializer_range", m.init_std}});
  return json;
}

Json opt(const ModelSpec& m) {
  Json json = common(m, "opt", "OPTForCausalLM");
  json.update({{"ffn_dim", m.intermediate},
               {"word_embed_proj_dim", m.embedding_dim},
               {"activation_function", activation(m.mlp)},
               {"do_layer_norm_before", m.final_norm},
               {"enable_bias", m.mlp_bias},
               {"init_std", m.init_std}});
  return json;
}

Json bloom(const ModelSpec& m) {
  return {{"model_type", "bloom"},
          {"architectures", {"BloomForCausalLM"}},
          {"vocab_size", m.vocab_size},
          {"hidden_size", m.hidden},
          {"n_layer", m.layers},
          {"n_head", m.heads},
          {"n_inner", m.intermediate},
          {"seq_length", m.max_positions},
          {"layer_norm_epsilon", m.norm_eps},
          {"tie_word_embeddings", m.tied_embeddings},
          {"initializer_range", m.init_std}};
}

Json config_of(const ModelSpec& m) {
  switch (m.family) {
    case ModelFamily::kGpt2:
      return gpt2(m);
    case ModelFamily::kLlama:
      return llama(m, "llama", "LlamaForCausalLM");
    case ModelFamily::kMistral:
      return llama(m, "mistral", "MistralForCausalLM");
    case ModelFamily::kQwen2:
      return llama(m, "qwen2", "Qwen2ForCausalLM");
    case ModelFamily::kMixtral:
      return mixtral(m);
    case ModelFamily::kQwen2Moe:
      return qwen_moe(m, "qwen2_moe", "Qwen2MoeForCausalLM");
    case ModelFamily::kQwen3Moe:
      return qwen_moe(m, "qwen3_moe", "Qwen3MoeForCausalLM");
    case ModelFamily::kGptNeox:
      return gpt_neox(m);
    case ModelFamily::kOpt:
      return opt(m);
    case ModelFamily::kBloom:
      return bloom(m);
    case ModelFamily::kQwen3:
      return llama(m, "qwen3", "Qwen3ForCausalLM");
    default:
      throw Error(
          ErrorKind::kUnsupported,
          fmt::format("model {}: a config.json of the family {} cannot be written here", m.name, to_string(m.family)));
  }
}

bool counts(const std::string& key) {
  for (const char* other :
       {"_name_or_path", "architectures", "initializer_range", "init_std", "dtype", "torch_dtype"}) {
    if (key == other) return false;
  }
  return true;
}

}  // namespace

std::string model_config_json(const ModelSpec& model) {
  if (!model.rope_scaling.empty()) {
    throw Error(ErrorKind::kUnsupported, fmt::format("model {}: a config.json with rope_scaling '{}' cannot be written "
                                                     "here",
                                                     model.name, model.rope_scaling));
  }
  Json json = config_of(model);
  json["_name_or_path"] = model.name;
  json["dtype"] = "float32";
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string find_config_difference(const std::string& config, const std::string& other) {
  const Json a = Json::parse(config), b = Json::parse(other);
  for (const auto& [key, value] : a.items()) {
    if (!counts(key)) continue;
    const auto found = b.find(key);
    if (found == b.end() || *found != value) {
      return fmt::format("{}: {}, not {}", key, value.dump(), found == b.end() ? "absent" : found->dump());
    }
  }
  return "";
}

}  // namespace shardscope
