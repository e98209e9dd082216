#include "core/spec/inference_spec.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, 4> kFormats{"fp32", "bf16", "fp16", "int8"};

void at_least_one(const char* what, std::int64_t value) {
  if (value < 1) throw Error(ErrorKind::kConfig, fmt::format("{}: is {}; it must be at least 1", what, value));
}

/// Beyond its positions a model with learned ones has no parameters, and one with rotary ones was never trained.
void check_length(const InferenceSpec& spec) {
  const ModelSpec& m = spec.model;
  const std::int64_t places = spec.capacity();
  if (m.max_positions > 0 && spec.prompt > m.max_positions) {
    throw Error(ErrorKind::kConfig, fmt::format("prompt: has {} tokens, but model {} has {} positions; shorten it",
                                                spec.prompt, m.name, m.max_positions));
  }
  if (m.max_positions > 0 && places > m.max_positions) {
    throw Error(ErrorKind::kConfig, fmt::format("max-new-tokens: {} after a prompt of {} need {} positions, but model "
                                                "{} has {}; use at most {}",
                                                spec.new_tokens, spec.prompt, places, m.name, m.max_positions,
                                                m.max_positions - spec.prompt + 1));
  }
  if (m.sliding_window > 0 && places > m.sliding_window) {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("model {}: its sliding_window {} is shorter than the {} tokens of a sequence; windowed "
                            "attention is not built yet",
                            m.name, m.sliding_window, places));
  }
}

void check_sampling(const SamplingSpec& s) {
  if (!std::isfinite(s.temperature) || s.temperature < 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("temperature: is {}; it must be 0 (the most probable token) or larger", s.temperature));
  }
  if (s.top_k < 0) throw Error(ErrorKind::kConfig, fmt::format("top-k: is {}; it must be 0 (all) or larger", s.top_k));
  if (!(s.top_p > 0 && s.top_p <= 1)) {
    throw Error(ErrorKind::kConfig, fmt::format("top-p: is {}; it must be above 0 and at most 1 (all)", s.top_p));
  }
}

}  // namespace

void check_inference(const InferenceSpec& spec) {
  at_least_one("tp", spec.tp);
  at_least_one("batch", spec.batch);
  at_least_one("prompt", spec.prompt);
  at_least_one("max-new-tokens", spec.new_tokens);
  check_length(spec);
  check_sampling(spec.sampling);
}

std::string_view to_string(WeightFormat format) { return kFormats[static_cast<std::size_t>(format)]; }

std::vector<std::string_view> weight_format_names() { return {kFormats.begin(), kFormats.end()}; }

std::optional<WeightFormat> weight_format_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kFormats.size(); ++i) {
    if (kFormats[i] == name) return static_cast<WeightFormat>(i);
  }
  return std::nullopt;
}

}  // namespace shardscope
