#pragma once
// The readers of a config.json, one function per family, and what they share. Only core/spec/model_*.cpp include this.
//
//   void read_gptj(const JsonReader& config, ModelSpec& model);   // family, name and vocab_size are filled already

#include <initializer_list>
#include <string>

#include "core/spec/json_reader.h"
#include "core/spec/model_spec.h"

namespace shardscope {

inline constexpr IntegerRange kCount{1, INT32_MAX};
inline constexpr IntegerRange kLayers{1, 10'000};
inline constexpr IntegerRange kHeadSize{1, 1 << 16};
inline constexpr std::int64_t kMostExperts = 1024;
inline constexpr RealRange kPositive{0, 1e30, true};

/// The first of `keys` that is there: configs name the same thing differently (n_layer, num_hidden_layers).
std::string_view first_present(const JsonReader& config, std::initializer_list<std::string_view> keys);

/// Of an MLP without a gate. Throws for a name that is not known.
MlpKind activation_kind(const JsonReader& config, std::string_view key, const std::string& absent);

/// "rope_theta" at the top, or nested as transformers 5 writes it: "rope_parameters": {"rope_theta", "rope_type"}.
void read_rope(const JsonReader& config, ModelSpec& model);

void read_gpt2(const JsonReader& config, ModelSpec& model);
void read_gptj(const JsonReader& config, ModelSpec& model);
void read_gpt_neox(const JsonReader& config, ModelSpec& model);
void read_opt(const JsonReader& config, ModelSpec& model);
void read_bloom(const JsonReader& config, ModelSpec& model);
void read_falcon(const JsonReader& config, ModelSpec& model);
void read_mpt(const JsonReader& config, ModelSpec& model);
void read_phi(const JsonReader& config, ModelSpec& model);

void read_llama(const JsonReader& config, ModelSpec& model);
void read_mixtral(const JsonReader& config, ModelSpec& model);
void read_qwen_moe(const JsonReader& config, ModelSpec& model);
void read_gemma(const JsonReader& config, ModelSpec& model);
void read_nemotron(const JsonReader& config, ModelSpec& model);
void read_deepseek(const JsonReader& config, ModelSpec& model);
void read_glm4_moe(const JsonReader& config, ModelSpec& model);
void read_llama4(const JsonReader& config, ModelSpec& model);
void read_gpt_oss(const JsonReader& config, ModelSpec& model);

}  // namespace shardscope
