// Reads a Hugging Face config.json. One function per family, because each names its keys in its own way; keys that say
// nothing about shape (dropout, token ids, use_cache, ...) are not looked at. Defaults of absent keys are those of
// the family's configuration class in Hugging Face transformers 4 and 5.

#include "core/spec/model_spec.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/check.h"
#include "core/error.h"
#include "core/spec/spec_nodes.h"

namespace shardscope {
namespace {

constexpr IntegerRange kCount{1, INT32_MAX};
constexpr IntegerRange kLayers{1, 10'000};
constexpr RealRange kPositive{0, 1e30, true};

/// The first of `keys` that is there: configs name the same thing differently (n_layer, num_hidden_layers).
std::string_view first_present(const JsonReader& config, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (config.has(key)) return key;
  }
  return *keys.begin();
}

MlpKind activation_kind(const JsonReader& config, std::string_view key, const std::string& absent) {
  const std::string name = config.text(key, absent);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return MlpKind::kGeluTanh;
  if (name == "gelu") return MlpKind::kGeluErf;
  if (name == "relu") return MlpKind::kRelu;
  config.fail(
      key, fmt::format("is \"{}\"; known are gelu_new, gelu_pytorch_tanh, gelu_fast, gelu and relu", printable(name)),
      ErrorKind::kUnsupported);
}

/// "rope_theta" at the top, or nested as transformers 5 writes it: "rope_parameters": {"rope_theta", "rope_type"}.
void read_rope(const JsonReader& config, ModelSpec& model) {
  model.positions = PositionKind::kRope;
  const double usual = model.family == ModelFamily::kMixtral ? 1e6 : 10000;
  model.rope_theta = config.real(first_present(config, {"rope_theta", "rotary_emb_base"}), kPositive, usual);
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const auto nested = config.object(key);
    if (!nested) continue;
    model.rope_theta = nested->real("rope_theta", kPositive, model.rope_theta);
    model.rotary_fraction = nested->real("partial_rotary_factor", {0, 1, true}, model.rotary_fraction);
    const std::string type = nested->text(first_present(*nested, {"rope_type", "type"}), "default");
    model.rope_scaling = type == "default" ? "" : printable(type);
  }
}

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

bool has_windows(const JsonReader& config, ModelFamily family) {
  if (family == ModelFamily::kMistral || family == ModelFamily::kMixtral) return true;
  return config.boolean("use_sliding_window", false);
}

/// llama, mistral and qwen2 differ in biases and defaults only.
void read_llama(const JsonReader& config, ModelSpec& model) {
  model.hidden = config.integer("hidden_size", kCount);
  model.layers = config.integer("num_hidden_layers", kLayers);
  model.heads = config.integer("num_attention_heads", kCount);
  model.kv_heads = config.integer("num_key_value_heads", kCount, model.heads);
  model.head_dim = config.integer("head_dim", kCount, 0);
  model.intermediate = config.integer("intermediate_size", kCount);
  model.max_positions = config.integer("max_position_embeddings", kCount, 2048);
  if (config.text("hidden_act", "silu") != "silu") {
    config.fail("hidden_act",
                fmt::format("is \"{}\"; this family is known with silu only", printable(config.text("hidden_act"))),
                ErrorKind::kUnsupported);
  }
  model.mlp = MlpKind::kSwiGlu;
  model.norm = NormKind::kRmsNorm;
  model.norm_eps = config.real("rms_norm_eps", kPositive, model.family == ModelFamily::kMixtral ? 1e-5 : 1e-6);
  const bool qwen2 = model.family == ModelFamily::kQwen2 || model.family == ModelFamily::kQwen2Moe;
  model.qkv_bias = qwen2 || config.boolean("attention_bias", false);
  model.attention_out_bias = !qwen2 && config.boolean("attention_bias", false);
  model.mlp_bias = config.boolean("mlp_bias", false);
  model.tied_embeddings = config.boolean("tie_word_embeddings", false);
  model.sliding_window = has_windows(config, model.family) ? config.integer("sliding_window", kCount, 0) : 0;
  read_rope(config, model);
}

void read_experts(const JsonReader& config, const char* key, ModelSpec& model) {
  model.experts = config.integer(key, {1, 1024});
  model.experts_per_token = config.integer("num_experts_per_tok", kCount);
  model.router_aux_coefficient = config.real("router_aux_loss_coef", {0, 1e3}, 0.001);
  if (model.experts_per_token > model.experts) {
    config.fail("num_experts_per_tok",
                fmt::format("is {}; there are {} experts in a block", model.experts_per_token, model.experts));
  }
}

void read_mixtral(const JsonReader& config, ModelSpec& model) {
  read_llama(config, model);
  read_experts(config, "num_local_experts", model);
}

/// qwen2_moe and qwen3_moe, where every block has experts.
void read_qwen_moe(const JsonReader& config, ModelSpec& model) {
  read_llama(config, model);
  read_experts(config, "num_experts", model);
  model.intermediate = config.integer("moe_intermediate_size", kCount);
  model.qk_norm = model.family == ModelFamily::kQwen3Moe;
  if (model.family == ModelFamily::kQwen2Moe) {
    model.shared_intermediate = config.integer("shared_expert_intermediate_size", kCount);
  }
  if (config.integer("decoder_sparse_step", kCount, 1) != 1) {
    config.fail("decoder_sparse_step", "is not 1; only models whose every block has experts are known here",
                ErrorKind::kUnsupported);
  }
  const JsonNode* dense = config.find("mlp_only_layers");
  if (dense != nullptr && !dense->items.empty()) {
    config.fail("mlp_only_layers", "is not empty; only models whose every block has experts are known here",
                ErrorKind::kUnsupported);
  }
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

struct FamilyReader {
  std::string_view name;
  ModelFamily family;
  void (*read)(const JsonReader&, ModelSpec&);
};

constexpr FamilyReader kFamilies[] = {
    {"gpt2", ModelFamily::kGpt2, read_gpt2},
    {"llama", ModelFamily::kLlama, read_llama},
    {"mistral", ModelFamily::kMistral, read_llama},
    {"qwen2", ModelFamily::kQwen2, read_llama},
    {"mixtral", ModelFamily::kMixtral, read_mixtral},
    {"qwen2_moe", ModelFamily::kQwen2Moe, read_qwen_moe},
    {"qwen3_moe", ModelFamily::kQwen3Moe, read_qwen_moe},
    {"gpt_neox", ModelFamily::kGptNeox, read_gpt_neox},
    {"opt", ModelFamily::kOpt, read_opt},
    {"bloom", ModelFamily::kBloom, read_bloom},
};

const FamilyReader& family_of(const JsonReader& config) {
  std::vector<std::string_view> names;
  for (const FamilyReader& family : kFamilies) names.push_back(family.name);
  const std::string known = fmt::format("{}", fmt::join(names, ", "));
  if (!config.has("model_type")) config.fail("model_type", "is missing; it must be one of " + known);
  const std::string type = config.text("model_type");
  for (const FamilyReader& family : kFamilies) {
    if (family.name == type) return family;
  }
  config.fail("model_type",
              fmt::format("is \"{}\", a family that is not known here; known: {}", printable(type), known),
              ErrorKind::kUnsupported);
}

/// Fills what follows from the rest and refuses shapes that cannot be.
void complete(const JsonReader& config, ModelSpec& model) {
  if (model.head_dim == 0) {
    if (model.hidden % model.heads != 0) {
      const std::string_view key = first_present(config, {"num_attention_heads", "n_head"});
      config.fail(key, fmt::format("is {}; the hidden size {} must be a multiple of it", model.heads, model.hidden));
    }
    model.head_dim = model.hidden / model.heads;
  }
  if (model.kv_heads == 0) model.kv_heads = model.heads;
  if (model.heads % model.kv_heads != 0) {
    config.fail("num_key_value_heads",
                fmt::format("is {}; it must divide the {} attention heads", model.kv_heads, model.heads));
  }
  if (model.positions == PositionKind::kRope && model.head_dim % 2 != 0) {
    config.fail(first_present(config, {"head_dim", "num_attention_heads"}),
                fmt::format("makes heads of {} elements; rotary positions need an even number", model.head_dim));
  }
  if (model.embedding_dim == 0) model.embedding_dim = model.hidden;
}

/// "models/gpt2/config.json" is gpt2, "gpt-10m.json" is gpt-10m, an inline object its _name_or_path or family.
std::string name_of(const JsonReader& config, const std::string& file_name) {
  const std::filesystem::path path(file_name);
  if (path.extension() == ".json" && path.stem() != "config") return path.stem().string();
  if (path.filename() == "config.json" && path.has_parent_path()) return path.parent_path().filename().string();
  if (config.has("_name_or_path") && config.find("_name_or_path")->is_string()) {
    const std::string name = std::filesystem::path(config.text("_name_or_path")).filename().string();
    if (!name.empty()) return printable(name);
  }
  return config.text("model_type");
}

}  // namespace

ModelSpec read_model(const JsonReader& config, const std::string& file_name) {
  const FamilyReader& family = family_of(config);
  ModelSpec model;
  model.family = family.family;
  model.name = name_of(config, file_name);
  model.vocab_size = config.integer("vocab_size", kCount);
  model.init_std = config.real("initializer_range", {0, 1e3}, 0.02);
  family.read(config, model);
  complete(config, model);
  try {
    parameter_count(model);
  } catch (const Error&) {
    throw Error(ErrorKind::kConfig, fmt::format("{}: vocab_size, hidden size, layers and intermediate size multiply to "
                                                "more than 2^63 parameters; they must be smaller",
                                                config.file()));
  }
  return model;
}

ModelSpec parse_model(std::string_view json_text, const std::string& file_name) {
  const JsonNode root = parse_json(json_text, file_name);
  return read_model(JsonReader(root, file_name, ""), file_name);
}

ModelSpec load_model(const std::string& path) {
  std::error_code code;
  const bool directory = std::filesystem::is_directory(path, code);
  const std::string file = directory ? (std::filesystem::path(path) / "config.json").string() : path;
  return parse_model(read_text_file(file), file);
}

std::string_view to_string(ModelFamily family) {
  for (const FamilyReader& reader : kFamilies) {
    if (reader.family == family) return reader.name;
  }
  SS_CHECK(false, static_cast<int>(family));
}

}  // namespace shardscope
