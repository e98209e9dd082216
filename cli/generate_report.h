#pragma once
// What `shardscope generate` says beside the text: lines for people, or one JSON object.
//
//   const GenerateReport report{spec, programs, prompts, result, predicted};
//   fmt::print(stderr, "{}", report_text(report));

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/engine/data/tokenizer.h"
#include "core/engine/generator.h"
#include "simulator/simulate.h"

namespace shardscope::cli {

/// The simulator's word on both programs; decode for a cache filled half-way through the new tokens.
struct GeneratePrediction {
  Prediction prefill, decode;
};

struct GenerateReport {
  const InferenceSpec& spec;
  const std::vector<InferencePrograms>& programs;  ///< by rank
  std::span<const Tokens> prompts;
  const GenerateResult* result;  ///< null: nothing ran
  const GeneratePrediction& predicted;
};

/// Bytes of the cache on a rank.
std::int64_t cache_bytes(const Program& program);

/// Speed of prefill and decode, measured and predicted; memory by rank.
std::string report_text(const GenerateReport& report);

/// docs/generate.md lists the keys. `texts`: of the continuations.
nlohmann::ordered_json report_json(const GenerateReport& report, const std::vector<std::string>& texts);

}  // namespace shardscope::cli
