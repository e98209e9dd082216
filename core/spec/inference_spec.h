#pragma once
// What `shardscope generate` runs: a model, how many sequences of which length, and how tokens are chosen. All that
// lower_inference() needs.
//
//   InferenceSpec spec{.model = load_model("config.json"), .batch = 4, .prompt = 100, .new_tokens = 20};
//   check_inference(spec);

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/spec/model_spec.h"

namespace shardscope {

/// How weights lie in memory. bf16 and fp16: activations and the cache too. int8: matrices of the blocks and an untied
/// head, with a scale per output channel; everything else stays fp32.
enum class WeightFormat : std::uint8_t { kF32, kBF16, kF16, kInt8 };

/// Temperature 0 takes the most probable token; else tokens are drawn, from the top_k most probable (0: all) and of
/// these from the fewest that have top_p of the probability.
struct SamplingSpec {
  double temperature = 0;
  std::int64_t top_k = 0;
  double top_p = 1;
};

struct InferenceSpec {
  ModelSpec model;
  int tp = 1;                   ///< tensor-parallel ranks
  std::int64_t batch = 1;       ///< sequences generated together
  std::int64_t prompt = 1;      ///< tokens of the longest prompt; shorter ones are padded
  std::int64_t new_tokens = 1;  ///< of each sequence, at most
  WeightFormat weights = WeightFormat::kF32;
  SamplingSpec sampling;

  /// Places of a sequence in the cache: the last new token is not read again.
  std::int64_t capacity() const { return prompt + new_tokens - 1; }
};

/// Throws Error{kConfig, kUnsupported} for numbers that make no sense and for sequences that outgrow the model.
/// (lower_inference() refuses what it cannot build of the model itself.)
void check_inference(const InferenceSpec& spec);

std::string_view to_string(WeightFormat format);  ///< "fp32", ...
std::vector<std::string_view> weight_format_names();
std::optional<WeightFormat> weight_format_from_name(std::string_view name);

}  // namespace shardscope
