// The tensors of each family in forward order, with the names, shapes and initial values of Hugging Face's checkpoints.

#include <fmt/format.h>

#include <cmath>

#include "core/check.h"
#include "core/error.h"
#include "core/spec/model_spec.h"

namespace shardscope {
namespace {

using Shape = std::vector<std::int64_t>;

/// Collects tensors under a prefix and a layer number.
class TensorList {
 public:
  void enter(std::string prefix, std::int32_t layer) {
    prefix_ = std::move(prefix);
    layer_ = layer;
  }
  void weight(const std::string& module, Shape shape, double std) { add(module, "weight", std::move(shape), std, 0); }
  void bias(const std::string& module, std::int64_t n) { add(module, "bias", {n}, 0, 0); }
  /// LayerNorm has a bias, RMSNorm has none.
  void norm(const std::string& module, std::int64_t n, NormKind kind) {
    add(module, "weight", {n}, 0, 1);
    if (kind == NormKind::kLayerNorm) bias(module, n);
  }
  /// nn.Linear: [out, in].
  void linear(const std::string& module, std::int64_t out, std::int64_t in, bool has_bias, double std) {
    weight(module, {out, in}, std);
    if (has_bias) bias(module, out);
  }
  /// GPT-2's Conv1D: [in, out].
  void conv1d(const std::string& module, std::int64_t in, std::int64_t out, bool has_bias, double std) {
    weight(module, {in, out}, std);
    if (has_bias) bias(module, out);
  }
  /// What follows belongs to this expert; -1: to none.
  void enter_expert(std::int32_t expert) { expert_ = expert; }
  std::vector<TensorSpec> take() { return std::move(tensors_); }

 private:
  void add(const std::string& module, const char* kind, Shape shape, double std, double value) {
    const std::string owner = prefix_ + module;
    tensors_.push_back({owner + "." + kind, std::move(shape), layer_, owner, std, value, expert_});
  }
  std::string prefix_;
  std::int32_t layer_ = -1, expert_ = -1;
  std::vector<TensorSpec> tensors_;
};

/// What comes before the blocks (layer -1), in a block, and after the blocks (layer = number of blocks).
enum class Part { kBefore, kBlock, kAfter };

void gpt2(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  const double std = m.init_std, residual_std = std / std::sqrt(2.0 * static_cast<double>(m.layers));
  if (part == Part::kBefore) {
    out.weight("transformer.wte", {m.vocab_size, h}, std);
    out.weight("transformer.wpe", {m.max_positions, h}, std);
  } else if (part == Part::kBlock) {
    out.norm("ln_1", h, m.norm);
    out.conv1d("attn.c_attn", h, 3 * h, m.qkv_bias, std);
    out.conv1d("attn.c_proj", h, h, m.attention_out_bias, residual_std);
    out.norm("ln_2", h, m.norm);
    out.conv1d("mlp.c_fc", h, m.intermediate, m.mlp_bias, std);
    out.conv1d("mlp.c_proj", m.intermediate, h, m.mlp_bias, residual_std);
  } else {
    out.norm("transformer.ln_f", h, m.norm);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, std);
  }
}

/// Names of the router and of an expert's matrices: SwiGLU's gate, up and down.
struct ExpertNames {
  const char *router, *gate, *up, *down;
};
constexpr ExpertNames kMixtralNames{"block_sparse_moe", "w1", "w3", "w2"};
constexpr ExpertNames kQwenNames{"mlp", "gate_proj", "up_proj", "down_proj"};

void add_experts(const ModelSpec& m, TensorList& out) {
  const ExpertNames& names = m.family == ModelFamily::kMixtral ? kMixtralNames : kQwenNames;
  const std::string router = names.router;
  const auto add_mlp = [&](const std::string& module, std::int64_t width) {
    out.linear(module + names.gate, width, m.hidden, false, m.init_std);
    out.linear(module + names.up, width, m.hidden, false, m.init_std);
    out.linear(module + names.down, m.hidden, width, false, m.init_std);
  };
  out.linear(router + ".gate", m.experts, m.hidden, false, m.init_std);
  for (std::int32_t e = 0; e < m.experts; ++e) {
    out.enter_expert(e);
    add_mlp(fmt::format("{}.experts.{}.", router, e), m.intermediate);
  }
  out.enter_expert(-1);
  if (m.shared_intermediate == 0) return;
  add_mlp(router + ".shared_expert.", m.shared_intermediate);
  out.linear(router + ".shared_expert_gate", 1, m.hidden, false, m.init_std);
}

/// llama, mistral, qwen2, and those of them with experts.
void llama(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden, q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
  if (part == Part::kBefore) {
    out.weight("model.embed_tokens", {m.vocab_size, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("input_layernorm", h, m.norm);
    out.linear("self_attn.q_proj", q, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.k_proj", kv, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.v_proj", kv, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.o_proj", h, q, m.attention_out_bias, m.init_std);
    if (m.qk_norm) {
      out.norm("self_attn.q_norm", m.head_dim, m.norm);
      out.norm("self_attn.k_norm", m.head_dim, m.norm);
    }
    out.norm("post_attention_layernorm", h, m.norm);
    if (m.experts > 0) return add_experts(m, out);
    out.linear("mlp.gate_proj", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.up_proj", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.down_proj", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("model.norm", h, m.norm);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, m.init_std);
  }
}

void gpt_neox(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  if (part == Part::kBefore) {
    out.weight("gpt_neox.embed_in", {m.vocab_size, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("input_layernorm", h, m.norm);
    out.norm("post_attention_layernorm", h, m.norm);
    out.linear("attention.query_key_value", 3 * h, h, m.qkv_bias, m.init_std);
    out.linear("attention.dense", h, h, m.attention_out_bias, m.init_std);
    out.linear("mlp.dense_h_to_4h", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.dense_4h_to_h", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("gpt_neox.final_layer_norm", h, m.norm);
    if (!m.tied_embeddings) out.weight("embed_out", {m.vocab_size, h}, m.init_std);
  }
}

/// The position table has two rows more than positions; a narrow embedding is projected in and out without bias.
void opt(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden, w = m.embedding_dim > 0 ? m.embedding_dim : m.hidden;
  if (part == Part::kBefore) {
    out.weight("model.decoder.embed_tokens", {m.vocab_size, w}, m.init_std);
    if (w != h) out.linear("model.decoder.project_in", h, w, false, m.init_std);
    out.weight("model.decoder.embed_positions", {m.max_positions + 2, h}, m.init_std);
  } else if (part == Part::kBlock) {
    out.norm("self_attn_layer_norm", h, m.norm);
    out.linear("self_attn.q_proj", h, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.k_proj", h, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.v_proj", h, h, m.qkv_bias, m.init_std);
    out.linear("self_attn.out_proj", h, h, m.attention_out_bias, m.init_std);
    out.norm("final_layer_norm", h, m.norm);
    out.linear("fc1", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("fc2", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    if (m.final_norm) out.norm("model.decoder.final_layer_norm", h, m.norm);
    if (w != h) out.linear("model.decoder.project_out", w, h, false, m.init_std);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, w}, m.init_std);
  }
}

void bloom(const ModelSpec& m, Part part, TensorList& out) {
  const std::int64_t h = m.hidden;
  if (part == Part::kBefore) {
    out.weight("transformer.word_embeddings", {m.vocab_size, h}, m.init_std);
    if (m.embedding_norm) out.norm("transformer.word_embeddings_layernorm", h, m.norm);
  } else if (part == Part::kBlock) {
    out.norm("input_layernorm", h, m.norm);
    out.linear("self_attention.query_key_value", 3 * h, h, m.qkv_bias, m.init_std);
    out.linear("self_attention.dense", h, h, m.attention_out_bias, m.init_std);
    out.norm("post_attention_layernorm", h, m.norm);
    out.linear("mlp.dense_h_to_4h", m.intermediate, h, m.mlp_bias, m.init_std);
    out.linear("mlp.dense_4h_to_h", h, m.intermediate, m.mlp_bias, m.init_std);
  } else {
    out.norm("transformer.ln_f", h, m.norm);
    if (!m.tied_embeddings) out.weight("lm_head", {m.vocab_size, h}, m.init_std);
  }
}

struct FamilyTensors {
  const char* block_prefix;
  void (*add)(const ModelSpec&, Part, TensorList&);
};

FamilyTensors tensors_of(ModelFamily family) {
  switch (family) {
    case ModelFamily::kGpt2:
      return {"transformer.h", gpt2};
    case ModelFamily::kLlama:
    case ModelFamily::kMistral:
    case ModelFamily::kQwen2:
    case ModelFamily::kMixtral:
    case ModelFamily::kQwen2Moe:
    case ModelFamily::kQwen3Moe:
      return {"model.layers", llama};
    case ModelFamily::kGptNeox:
      return {"gpt_neox.layers", gpt_neox};
    case ModelFamily::kOpt:
      return {"model.decoder.layers", opt};
    case ModelFamily::kBloom:
      return {"transformer.h", bloom};
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
    if (tensor.shape.size() != 2 || table || tensor.expert >= model.experts_per_token) continue;
    total += static_cast<double>(tensor.shape[0]) * static_cast<double>(tensor.shape[1]);
  }
  return total;
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
  const std::int64_t block = elements(tensors_of_part(model, Part::kBlock, 0), model);
  const std::int64_t outside = add(elements(tensors_of_part(model, Part::kBefore, -1), model),
                                   elements(tensors_of_part(model, Part::kAfter, layers), model), model);
  return add(multiply(block, model.layers, model), outside, model);
}

std::int64_t active_parameter_count(const ModelSpec& model) {
  if (model.experts == 0) return parameter_count(model);
  const std::int64_t expert = 3 * model.hidden * model.intermediate;  // SwiGLU
  return parameter_count(model) - model.layers * (model.experts - model.experts_per_token) * expert;
}

double training_flops_per_token(const ModelSpec& model, std::int64_t seq) {
  const auto layers = static_cast<double>(model.layers);
  const auto after = static_cast<std::int32_t>(model.layers);
  double weights = layers * matmul_weights(tensors_of_part(model, Part::kBlock, 0), model) +
                   matmul_weights(tensors_of_part(model, Part::kBefore, -1), model) +
                   matmul_weights(tensors_of_part(model, Part::kAfter, after), model);
  if (model.tied_embeddings) {
    const std::int64_t width = model.embedding_dim > 0 ? model.embedding_dim : model.hidden;
    weights += static_cast<double>(model.vocab_size) * static_cast<double>(width);
  }
  const double attention = layers * static_cast<double>(model.heads * model.head_dim) * static_cast<double>(seq + 1);
  return 6 * (weights + attention);
}

}  // namespace shardscope
