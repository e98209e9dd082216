// shardscope models: the catalog of models, or one of them.

#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "core/spec/model_catalog.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string name;
  bool json = false;
};

nlohmann::ordered_json to_json(const ModelSpec& m) {
  return {{"name", m.name},
          {"family", to_string(m.family)},
          {"parameters", parameter_count(m)},
          {"active_parameters", active_parameter_count(m)},
          {"layers", m.layers},
          {"hidden", m.hidden},
          {"heads", m.heads},
          {"kv_heads", m.kv_heads},
          {"head_dim", m.head_dim},
          {"intermediate", m.intermediate},
          {"vocab_size", m.vocab_size},
          {"context", m.max_positions},
          {"experts", m.experts},
          {"experts_per_token", m.experts_per_token},
          {"shared_experts", m.shared_experts},
          {"expert_blocks", expert_blocks(m)}};
}

void print_json(const std::vector<ModelSpec>& models) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const ModelSpec& model : models) rows.push_back(to_json(model));
  fmt::print("{}\n", nlohmann::ordered_json{{"models", std::move(rows)}}.dump());
}

std::string count(std::int64_t parameters) {
  const auto n = static_cast<double>(parameters);
  return n < 1e9 ? fmt::format("{:.4g}M", n / 1e6) : fmt::format("{:.4g}B", n / 1e9);
}

void print_table(const std::vector<ModelSpec>& models) {
  TextTable table({"model", "family", "parameters", "active", "layers", "hidden", "heads", "kv heads", "context"}, 2);
  for (const ModelSpec& m : models) {
    table.add({m.name, std::string(to_string(m.family)), count(parameter_count(m)), count(active_parameter_count(m)),
               fmt::to_string(m.layers), fmt::to_string(m.hidden), fmt::to_string(m.heads), fmt::to_string(m.kv_heads),
               fmt::to_string(m.max_positions)});
  }
  fmt::print("{}", table.text());
}

void run(const Options& options) {
  std::vector<ModelSpec> models;
  if (options.name.empty()) {
    for (const std::string& name : model_names()) models.push_back(find_model(name));
  } else {
    models.push_back(open_model(options.name));
  }
  options.json ? print_json(models) : print_table(models);
}

}  // namespace

void add_models(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("models", "List the models that --model knows by name, or show one.");
  command->add_option("name", options->name, "A name in any spelling, or a config.json")->type_name("MODEL");
  command->add_flag("--json", options->json, "One JSON object: models, an array");
  command->footer(
      "Examples:\n"
      "  shardscope models\n"
      "  shardscope models meta-llama/Llama-2-7b-hf\n"
      "  shardscope models deepseek-v3 --json\n"
      "'active' are the parameters that one token uses. docs/models.md tells what is counted and where it is from.");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
