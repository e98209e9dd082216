// What follows from the list of a model's tensors: its parameters and FLOPs.

#include "core/spec/model_tensors.h"

#include <fmt/format.h>

#include "core/check.h"
#include "core/error.h"
#include "core/spec/model_spec.h"

namespace shardscope {
namespace {

struct FamilyTensors {
  const char* block_prefix;
  AddTensors* add;
};

FamilyTensors tensors_of(ModelFamily family) {
  switch (family) {
    case ModelFamily::kGpt2:
      return {"transformer.h", gpt2_tensors};
    case ModelFamily::kGptNeox:
      return {"gpt_neox.layers", gpt_neox_tensors};
    case ModelFamily::kOpt:
      return {"model.decoder.layers", opt_tensors};
    case ModelFamily::kBloom:
      return {"transformer.h", bloom_tensors};
    case ModelFamily::kGptj:
      return {"transformer.h", gptj_tensors};
    case ModelFamily::kFalcon:
      return {"transformer.h", falcon_tensors};
    case ModelFamily::kMpt:
      return {"transformer.blocks", mpt_tensors};
    case ModelFamily::kPhi:
      return {"model.layers", phi_tensors};
    case ModelFamily::kLlama:
    case ModelFamily::kMistral:
    case ModelFamily::kQwen2:
    case ModelFamily::kMixtral:
    case ModelFamily::kQwen2Moe:
    case ModelFamily::kQwen3Moe:
    case ModelFamily::kPhi3:
    case ModelFamily::kQwen3:
    case ModelFamily::kGemma:
    case ModelFamily::kGemma2:
    case ModelFamily::kGemma3Text:
    case ModelFamily::kNemotron:
    case ModelFamily::kDeepseekV2:
    case ModelFamily::kDeepseekV3:
    case ModelFamily::kGlm4Moe:
    case ModelFamily::kLlama4Text:
    case ModelFamily::kGptOss:
      return {"model.layers", llama_tensors};
  }
  SS_CHECK(false, static_cast<int>(family));
}

std::vector<TensorSpec> tensors_of_part(const ModelSpec& model, Part part, std::int32_t layer) {
  const FamilyTensors family = tensors_of(model.family);
  TensorList list;
  list.enter(part == Part::kBlock ? fmt::format("{}.{}.", family.block_prefix, layer) : "", layer);
  family.add(model, part, list);
  return list.take();
}

[[noreturn]] void too_large(const ModelSpec& model) {
  throw Error(ErrorKind::kConfig,
              fmt::format("{}: the model's dimensions multiply to more than 2^63 parameters; they must be smaller",
                          model.name.empty() ? "model" : model.name));
}

std::int64_t multiply(std::int64_t a, std::int64_t b, const ModelSpec& model) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) too_large(model);
  return product;
}

std::int64_t add(std::int64_t a, std::int64_t b, const ModelSpec& model) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) too_large(model);
  return sum;
}

std::int64_t elements(const std::vector<TensorSpec>& tensors, const ModelSpec& model) {
  std::int64_t total = 0;
  for (const TensorSpec& tensor : tensors) {
    std::int64_t count = 1;
    for (const std::int64_t extent : tensor.shape) count = multiply(count, extent, model);
    total = add(total, count, model);
  }
  return total;
}

/// Elements of matrices that multiply a token's activations: every matrix but the token and position tables, and of the
/// experts as many as a token is sent to.
double matmul_weights(const std::vector<TensorSpec>& tensors, const ModelSpec& model) {
  double total = 0;
  for (const TensorSpec& tensor : tensors) {
    const std::string_view module = tensor.module;
    const bool table = module.ends_with("wte") || module.ends_with("wpe") || module.ends_with("embed_tokens") ||
                       module.ends_with("embed_positions") || module.ends_with("embed_in") ||
                       module.ends_with("word_embeddings");
    if (tensor.shape.size() < 2 || table || tensor.name.ends_with("_bias")) continue;
    if (tensor.expert >= model.experts_per_token) continue;
    const std::int64_t stacked = tensor.shape.size() == 3 ? model.experts_per_token : 1;
    const std::int64_t rows = tensor.shape[tensor.shape.size() - 2];
    total += static_cast<double>(stacked) * static_cast<double>(rows) * static_cast<double>(tensor.shape.back());
  }
  return total;
}

/// A kind of block, dense or with experts, and how many of it there are.
struct BlockKind {
  std::int32_t example;  ///< number of a block of this kind
  std::int64_t count;
};

std::vector<BlockKind> block_kinds(const ModelSpec& model) {
  BlockKind plain{0, 0}, experts{0, 0};
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    BlockKind& kind = has_experts(model, layer) ? experts : plain;
    if (kind.count++ == 0) kind.example = layer;
  }
  std::vector<BlockKind> kinds;
  for (const BlockKind& kind : {plain, experts}) {
    if (kind.count > 0) kinds.push_back(kind);
  }
  return kinds;
}

}  // namespace

std::vector<TensorSpec> list_tensors(const ModelSpec& model) {
  std::vector<TensorSpec> all = tensors_of_part(model, Part::kBefore, -1);
  const auto append = [&all](std::vector<TensorSpec> part) {
    for (TensorSpec& tensor : part) all.push_back(std::move(tensor));
  };
  const auto layers = static_cast<std::int32_t>(model.layers);
  for (std::int32_t layer = 0; layer < layers; ++layer) append(tensors_of_part(model, Part::kBlock, layer));
  append(tensors_of_part(model, Part::kAfter, layers));
  return all;
}

std::int64_t parameter_count(const ModelSpec& model) {
  const auto layers = static_cast<std::int32_t>(model.layers);
  std::int64_t total = add(elements(tensors_of_part(model, Part::kBefore, -1), model),
                           elements(tensors_of_part(model, Part::kAfter, layers), model), model);
  for (const BlockKind& kind : block_kinds(model)) {
    const std::int64_t block = elements(tensors_of_part(model, Part::kBlock, kind.example), model);
    total = add(multiply(block, kind.count, model), total, model);
  }
  return total;
}

std::int64_t expert_parameter_count(const ModelSpec& model) {
  if (model.experts == 0) return 0;
  const std::int64_t biases = model.family == ModelFamily::kGptOss ? 2 * model.intermediate + model.hidden : 0;
  return (is_gated(model.mlp) ? 3 : 2) * model.hidden * model.intermediate + biases;
}

std::int64_t active_parameter_count(const ModelSpec& model) {
  const std::int64_t idle = model.experts - model.experts_per_token;
  return parameter_count(model) - expert_blocks(model) * idle * expert_parameter_count(model);
}

std::int64_t prediction_parameter_count(const ModelSpec& model) {
  if (model.predicted_tokens == 0) return 0;
  const auto last = static_cast<std::int32_t>(model.layers - 1);
  const std::int64_t block = elements(tensors_of_part(model, Part::kBlock, last), model);
  const std::int64_t around = 2 * model.hidden * model.hidden + 3 * model.hidden;  // eh_proj; enorm, hnorm, head's norm
  return multiply(add(block, around, model), model.predicted_tokens, model);
}

double attended_tokens(const ModelSpec& model, std::int64_t layer, std::int64_t seq) {
  const auto s = static_cast<double>(seq), w = static_cast<double>(model.sliding_window);
  const bool full = model.full_attention_every > 0 && (layer + 1) % model.full_attention_every == 0;
  if (model.sliding_window == 0 || model.sliding_window >= seq || full) return (s + 1) / 2;
  return w * (w + 1) / 2 / s + (s - w) * w / s;  // the first w tokens see fewer
}

double training_flops_per_token(const ModelSpec& model, std::int64_t seq) {
  const auto after = static_cast<std::int32_t>(model.layers);
  double weights = matmul_weights(tensors_of_part(model, Part::kBefore, -1), model) +
                   matmul_weights(tensors_of_part(model, Part::kAfter, after), model);
  for (const BlockKind& kind : block_kinds(model)) {
    weights +=
        static_cast<double>(kind.count) * matmul_weights(tensors_of_part(model, Part::kBlock, kind.example), model);
  }
  if (model.tied_embeddings) {
    const std::int64_t width = model.embedding_dim > 0 ? model.embedding_dim : model.hidden;
    weights += static_cast<double>(model.vocab_size) * static_cast<double>(width);
  }
  double attended = 0;
  for (std::int64_t layer = 0; layer < model.layers; ++layer) attended += attended_tokens(model, layer, seq);
  const std::int64_t v_dim = model.kv_lora_rank > 0 ? model.v_head_dim : model.head_dim;
  const double attention = static_cast<double>(model.heads) * static_cast<double>(model.head_dim + v_dim) * attended;
  return 6 * (weights + attention);
}

bool is_gated(MlpKind mlp) { return mlp == MlpKind::kSwiGlu || mlp == MlpKind::kGeGlu; }

bool has_experts(const ModelSpec& model, std::int64_t layer) {
  return model.experts > 0 && layer >= model.dense_layers && (layer + 1) % model.moe_every == 0;
}

std::int64_t expert_blocks(const ModelSpec& model) {
  std::int64_t count = 0;
  for (std::int64_t layer = 0; layer < model.layers; ++layer) count += has_experts(model, layer) ? 1 : 0;
  return count;
}

}  // namespace shardscope
