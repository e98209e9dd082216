#pragma once
// The readers' inner entry points: from a JSON tree that may lie inside another file (a job with an inline model),
// so that errors name the outer file and the whole key path. Only core/spec/*.cpp and cli/check.cpp include this.

#include <string>
#include <vector>

#include "core/spec/json_reader.h"
#include "core/spec/model_spec.h"
#include "core/spec/training_spec.h"

namespace shardscope {

/// `name_hint` is a path that the model's name is taken from, or the file that holds the object.
ModelSpec read_model(const JsonReader& config, const std::string& name_hint);

/// `prefix` is the key path of the object ("" or "deepspeed").
TrainingSpec read_training(JsonNode root, const std::string& file, const std::string& prefix, int data_parallel,
                           const AutoValues& autos);

/// kRead: what cannot be run, and what DeepSpeed would drop without a word, is an error. kCheck: it is a finding; only
/// what DeepSpeed refuses is an error.
enum class ConfigMode : std::uint8_t { kRead, kCheck };

/// A ds_config.json whose every key is known, of its type and in its range, without "auto" and deprecated spellings.
struct CleanConfig {
  JsonNode root;
  std::vector<Finding> findings;
};
CleanConfig clean_config(JsonNode root, const std::string& file, const std::string& prefix, const AutoValues& autos,
                         ConfigMode mode);

/// The numbers of a clean configuration, without the batch rule.
TrainingSpec fill_training(const JsonReader& config);

/// DeepSpeed's batch rule. `data_parallel` 0: derived if all three keys are there, else 1.
void apply_batch_rule(const JsonReader& config, int data_parallel, TrainingSpec& spec);

/// A rule about several keys at once. `fatal`: the run cannot do what was asked for, so the reader refuses it.
struct RuleHit {
  Finding finding;
  bool fatal = false;
};
/// What follows from the configuration alone, then with a model (may be null).
std::vector<RuleHit> find_rule_hits(const JsonReader& config, const TrainingSpec& spec, const ModelSpec* model,
                                    int data_parallel);

/// check_training() of a node, whose key path in the file is `prefix`.
std::vector<Finding> check_training(JsonNode config, const std::string& file_name, const std::string& prefix,
                                    const ModelSpec* model, int data_parallel);

}  // namespace shardscope
