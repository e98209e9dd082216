#pragma once
// What is trained: the shape of a transformer, read from a Hugging Face config.json, and what follows from the shape
// alone: its parameters one by one, their number, its FLOPs.
//
//   ModelSpec model = load_model("config.json");
//   std::int64_t n = parameter_count(model);     // 124439808 for gpt2

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

enum class ModelFamily : std::uint8_t {
  kGpt2,
  kLlama,
  kMistral,
  kQwen2,
  kMixtral,
  kQwen2Moe,
  kQwen3Moe,
  kGptNeox,
  kOpt,
  kBloom,
  kGptj,
  kFalcon,
  kMpt,
  kPhi,
  kPhi3,
  kQwen3,
  kGemma,
  kGemma2,
  kGemma3Text,
  kNemotron,
  kDeepseekV2,
  kDeepseekV3,
  kGlm4Moe,
  kLlama4Text,
  kGptOss
};
enum class NormKind : std::uint8_t { kLayerNorm, kRmsNorm };
/// kSwiGlu and kGeGlu have a gate: three matrices and not two. kRelu2 is the square of relu (nemotron).
enum class MlpKind : std::uint8_t { kGeluTanh, kGeluErf, kRelu, kSwiGlu, kGeGlu, kRelu2 };
enum class PositionKind : std::uint8_t { kLearned, kRope, kAlibi };

/// Normalised shape. Every count is of elements; a config.json in any of the families fills all of it.
struct ModelSpec {
  std::string name;  ///< file stem or given name, for tables
  ModelFamily family = ModelFamily::kGpt2;
  std::int64_t vocab_size = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  std::int64_t max_positions = 0;
  std::int64_t embedding_dim = 0;  ///< opt's word_embed_proj_dim; hidden elsewhere
  NormKind norm = NormKind::kLayerNorm;
  MlpKind mlp = MlpKind::kGeluTanh;
  PositionKind positions = PositionKind::kLearned;
  double norm_eps = 1e-5;
  double rope_theta = 10000, rotary_fraction = 1;
  std::string rope_scaling;         ///< rope_type other than the plain one ("llama3", "yarn"); empty: plain
  std::int64_t sliding_window = 0;  ///< tokens that attention looks back; 0: all
  double init_std = 0.02;
  bool tied_embeddings = true;
  bool qkv_bias = true, attention_out_bias = true, mlp_bias = true;
  bool embedding_norm = false;            ///< bloom
  bool final_norm = true;                 ///< opt-350m has none
  bool norm_bias = true;                  ///< mpt's LayerNorms have none
  bool parallel_residual = false;         ///< attention and MLP read the same input (gpt_neox, gptj, falcon, phi)
  bool one_norm = false;                  ///< and both through one norm (gptj, phi, falcon-7b)
  bool norm_after = false;                ///< gemma2, gemma3: attention and MLP have norms behind them too
  bool qk_norm = false;                   ///< qwen3, gemma3: each head of q and k has a norm
  bool head_bias = false;                 ///< gptj, phi: the head has a bias
  bool attention_sinks = false;           ///< gpt_oss: a learned logit per head
  std::int64_t full_attention_every = 0;  ///< despite sliding_window every n-th block sees all tokens; 0: none does
  /// Mixture of experts: each block has `experts` MLPs of size `intermediate`, of which a token sees
  /// `experts_per_token`; 0: one MLP, seen by all.
  std::int64_t experts = 0, experts_per_token = 0;
  std::int64_t shared_intermediate = 0;  ///< qwen2_moe: one more MLP of this size that every token sees
  double router_aux_coefficient = 0;     ///< what the router's load-balancing loss counts in the loss
  std::int64_t dense_layers = 0;         ///< leading blocks that have one MLP of size dense_intermediate instead
  std::int64_t moe_every =
      1;  ///< of the others every n-th has experts, the rest one such MLP (llama4, qwen's sparse step)
  std::int64_t dense_intermediate = 0;
  std::int64_t shared_experts = 0;  ///< always-on experts of size `intermediate` (deepseek, llama4)
  /// Multi-head latent attention (deepseek): ranks of the compressed queries (0: not compressed) and keys/values, sizes
  /// per head; head_dim is the two qk sizes together. kv_lora_rank 0: plain attention.
  std::int64_t q_lora_rank = 0, kv_lora_rank = 0, qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  /// Multi-token prediction modules, each a block and what is around it; not part of parameter_count().
  std::int64_t predicted_tokens = 0;
};

bool is_gated(MlpKind);                                        ///< three matrices and not two
bool has_experts(const ModelSpec& model, std::int64_t layer);  ///< whether this block is a mixture
std::int64_t expert_blocks(const ModelSpec& model);            ///< number of those

/// One tensor of the model as its checkpoint names and stores it.
struct TensorSpec {
  std::string name;                 ///< "transformer.h.0.attn.c_attn.weight"
  std::vector<std::int64_t> shape;  ///< row-major; gpt2's Conv1D weights are [in, out], nn.Linear's are [out, in]
  std::int32_t layer = -1;  ///< block number; -1 before the blocks (embeddings), `layers` after them (norm, head)
  std::string module;       ///< the leaf module that owns it, "transformer.h.0.attn.c_attn"
  double init_std = 0;      ///< normal(0, std); 0: constant init_value
  double init_value = 0;
  std::int32_t expert = -1;  ///< number of the expert that it is part of; -1: not of an expert
};

/// In forward order; tied tensors once. Works for every family.
std::vector<TensorSpec> list_tensors(const ModelSpec& model);

std::int64_t parameter_count(const ModelSpec& model);

/// Parameters that one token's forward uses: of the experts, those it is sent to.
std::int64_t active_parameter_count(const ModelSpec& model);

std::int64_t expert_parameter_count(const ModelSpec& model);      ///< of one routed expert
std::int64_t prediction_parameter_count(const ModelSpec& model);  ///< of the `predicted_tokens` modules together

/// Tokens that a token of a sequence of `seq` looks at in this block, itself among them, on average: (seq + 1) / 2
/// without a window.
double attended_tokens(const ModelSpec& model, std::int64_t layer, std::int64_t seq);

/// FLOPs of one token of a sequence of `seq` tokens, forward and backward, no recompute: 6 per weight that a matmul
/// uses (input embeddings do not count, the head does, and of the experts those the token is sent to) plus causal
/// attention: per block 6 * heads * (elements of a head's q and v) * attended_tokens().
double training_flops_per_token(const ModelSpec& model, std::int64_t seq);

/// Throws Error{kParse, kConfig, kUnsupported, kIo} with file, key and what would be right.
/// A directory means its config.json. Unknown families name the known ones.
ModelSpec load_model(const std::string& path);
ModelSpec parse_model(std::string_view json_text, const std::string& file_name);

std::string_view to_string(ModelFamily);

}  // namespace shardscope
