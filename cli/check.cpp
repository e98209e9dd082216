// shardscope check ds_config.json: what DeepSpeed itself would silently ignore, never use, stop at or turn around.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "core/spec/json_reader.h"
#include "core/spec/model_catalog.h"
#include "core/spec/spec_nodes.h"
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

/// What is checked: a ds_config.json, or what a job file says of it.
struct Subject {
  std::string file, prefix;  ///< prefix: key path of the block in the file
  JsonNode config;
  int ranks = 0;
};

bool has_key_of_deepspeed(const JsonNode& root) {
  return std::any_of(root.members.begin(), root.members.end(), [](const JsonMember& member) {
    const auto is_first = [&](const KeyRow& row) { return row.path.substr(0, row.path.find('.')) == member.first; };
    return std::any_of(training_keys().begin(), training_keys().end(), is_first);
  });
}

[[noreturn]] void refuse_other_file(const std::string& file, const JsonNode& root) {
  const char* what = root.find("model_type") != nullptr ? "is a model's config.json; it goes with --model"
                     : root.find("model") != nullptr    ? "is a job file without \"deepspeed\""
                                                        : "has no key that DeepSpeed knows";
  throw Error(ErrorKind::kConfig,
              fmt::format("{}: {}; check takes a ds_config.json, or a job file that has or names one", file, what));
}

Subject open_subject(const CheckOptions& options) {
  Subject subject{options.config, "", parse_json(read_text_file(options.config), options.config), options.ranks};
  JsonNode& root = subject.config;
  const JsonNode* inner = root.find("deepspeed");
  if (inner == nullptr) {
    if (root.is_object() && !has_key_of_deepspeed(root)) refuse_other_file(options.config, root);
    return subject;
  }
  if (subject.ranks == 0) {
    if (const auto parallel = JsonReader(root, options.config, "").object("parallel")) {
      subject.ranks = static_cast<int>(parallel->integer("dp", {1, 1 << 24}, 1));
    }
  }
  JsonNode config = *inner;
  subject.prefix = "deepspeed";
  if (config.is_string()) {
    const std::filesystem::path folder = std::filesystem::path(options.config).parent_path();
    subject.file = (folder / config.text).string();
    subject.prefix.clear();
    config = parse_json(read_text_file(subject.file), subject.file);
  }
  root = std::move(config);
  return subject;
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
  Subject subject = open_subject(options);
  const std::vector<Finding> findings = check_training(std::move(subject.config), subject.file, subject.prefix,
                                                       options.model.empty() ? nullptr : &model, subject.ranks);
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
  CLI::Option* config =
      command->add_option("config", options->config, "ds_config.json, or a job file: its \"deepspeed\"");
  command->add_option("--model", options->model,
                      "a model's name or config.json: also check the two against each other");
  command
      ->add_option("--ranks", options->ranks, "data-parallel ranks; default: what the job file or the batch keys say")
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
