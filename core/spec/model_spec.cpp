// Reads a Hugging Face config.json: the list of families and what holds for all of them. Keys that say nothing about
// shape (dropout, token ids, use_cache, ...) are not looked at.

#include "core/spec/model_spec.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "core/check.h"
#include "core/error.h"
#include "core/spec/model_reader.h"
#include "core/spec/spec_nodes.h"

namespace shardscope {
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

namespace {

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
    {"gptj", ModelFamily::kGptj, read_gptj},
    {"falcon", ModelFamily::kFalcon, read_falcon},
    {"mpt", ModelFamily::kMpt, read_mpt},
    {"phi", ModelFamily::kPhi, read_phi},
    {"phi3", ModelFamily::kPhi3, read_llama},
    {"qwen3", ModelFamily::kQwen3, read_llama},
    {"gemma", ModelFamily::kGemma, read_gemma},
    {"gemma2", ModelFamily::kGemma2, read_gemma},
    {"gemma3_text", ModelFamily::kGemma3Text, read_gemma},
    {"nemotron", ModelFamily::kNemotron, read_nemotron},
    {"deepseek_v2", ModelFamily::kDeepseekV2, read_deepseek},
    {"deepseek_v3", ModelFamily::kDeepseekV3, read_deepseek},
    {"kimi_k2", ModelFamily::kDeepseekV3, read_deepseek},
    {"glm4_moe", ModelFamily::kGlm4Moe, read_glm4_moe},
    {"llama4_text", ModelFamily::kLlama4Text, read_llama4},
    {"gpt_oss", ModelFamily::kGptOss, read_gpt_oss},
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

/// Of a model that also sees (gemma3, llama4), the part that reads and writes text.
std::optional<JsonReader> text_part(const JsonReader& config) {
  const JsonNode* type = config.find("model_type");
  const bool sees = type != nullptr && type->is_string() && (type->text == "gemma3" || type->text == "llama4");
  return sees ? config.object("text_config") : std::nullopt;
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
  if (expert_blocks(model) == 0 && model.experts > 0) {
    config.fail("num_hidden_layers", fmt::format("is {}; no block would have experts", model.layers));
  }
  const std::int64_t rotated = model.kv_lora_rank > 0 ? model.qk_rope_head_dim : model.head_dim;
  if (model.positions == PositionKind::kRope && rotated % 2 != 0) {
    config.fail(first_present(config, {"qk_rope_head_dim", "head_dim", "num_attention_heads"}),
                fmt::format("makes heads of {} elements; rotary positions need an even number", rotated));
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
  if (const auto text = text_part(config)) return read_model(*text, file_name);
  const FamilyReader& family = family_of(config);
  ModelSpec model;
  model.family = family.family;
  model.name = name_of(config, file_name);
  const bool gemma3 = family.family == ModelFamily::kGemma3Text;  // leaves it out where it is the default
  model.vocab_size = gemma3 ? config.integer("vocab_size", kCount, 262'208) : config.integer("vocab_size", kCount);
  model.init_std = config.real("initializer_range", {0, 1e3}, 0.02);
  family.read(config, model);
  complete(config, model);
  try {
    parameter_count(model);
    prediction_parameter_count(model);
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
