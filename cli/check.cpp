// shardscope check ds_config.json: what DeepSpeed itself would silently ignore, never use, stop at or turn around.

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "core/spec/json_tree.h"
#include "core/spec/model_catalog.h"
#include "core/spec/training_keys.h"
#include "core/spec/training_spec.h"

namespace shardscope::cli {
namespace {

struct CheckOptions {
  std::string config, model;
  int ranks = 0;
  bool json = false, keys = false;
};

void print_keys_as_json() {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const KeyRow& row : training_keys()) {
    rows.push_back({{"key", row.path},
                    {"type", to_string(row.type)},
                    {"default", row.absent},
                    {"use", to_string(row.use)},
                    {"meaning", row.what}});
  }
  fmt::print("{}\n", nlohmann::ordered_json{{"keys", rows}}.dump(2));
}

void print_findings(const CheckOptions& options, const std::vector<Finding>& findings) {
  if (findings.empty()) fmt::print("{}: nothing to report\n", options.config);
  for (const Finding& finding : findings)
    fmt::print("{}: {}: {}\n", to_string(finding.kind), finding.key, finding.text);
}

void print_findings_as_json(const CheckOptions& options, const std::vector<Finding>& findings) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    rows.push_back({{"kind", to_string(finding.kind)}, {"key", finding.key}, {"text", finding.text}});
  }
  const nlohmann::ordered_json out = {{"config", options.config}, {"findings", rows}};
  fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void run_check(const CheckOptions& options) {
  if (options.keys) return options.json ? print_keys_as_json() : fmt::print("{}", training_keys_markdown());
  ModelSpec model;
  if (!options.model.empty()) model = open_model(options.model);
  const std::vector<Finding> findings = check_training(read_text_file(options.config), options.config,
                                                       options.model.empty() ? nullptr : &model, options.ranks);
  if (options.json) {
    print_findings_as_json(options, findings);
  } else {
    print_findings(options, findings);
  }
}

}  // namespace

void add_check(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand(
      "check", "List what DeepSpeed would silently ignore, never use, stop at or turn around in a ds_config.json");
  CLI::Option* config = command->add_option("config", options->config, "ds_config.json");
  command->add_option("--model", options->model,
                      "a model's name or config.json: also check the two against each other");
  command->add_option("--ranks", options->ranks, "data-parallel ranks; default: what the batch keys say")
      ->check(CLI::Range(1, 1 << 24));
  CLI::Option* keys =
      command->add_flag("--keys", options->keys, "print the table of all known keys (Markdown) instead");
  command->add_flag("--json", options->json, "one JSON object: config, findings [{kind, key, text}]");
  config->excludes(keys);
  command->footer(
      "Examples:\n"
      "  shardscope check ds_config.json\n"
      "  shardscope check ds_config.json --model config.json --ranks 8 --json\n"
      "Exit code 0: read, findings listed; 2: DeepSpeed itself would refuse the file (one message).");
  command->callback([options, config, keys, &exit_code] {
    if (config->empty() && keys->empty()) throw CLI::RequiredError("config");
    run_check(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
