// shardscope plan --serve: GPUs that answer requests.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/plan.h"
#include "cli/text_table.h"
#include "core/error.h"
#include "core/spec/model_catalog.h"
#include "simulator/planner/serve.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

ServeRequest request_of(const PlanOptions& options) {
  if (options.prompt == 0 || options.output == 0 || options.rps == 0 || options.latency_ms == 0) {
    throw Error(ErrorKind::kConfig, "--serve wants --prompt-tokens, --output-tokens, --rps and --latency");
  }
  const std::vector<std::string> precisions = split_list(options.precision);
  if (precisions.size() != 1) throw Error(ErrorKind::kConfig, "--serve wants one --precision");
  return {.model = open_model(options.model),
          .arithmetic = trained_arithmetic(precisions[0]),
          .prompt = options.prompt,
          .output = options.output,
          .rps = options.rps,
          .latency_s = options.latency_ms / 1e3};
}

std::string text_of(const PlanOptions& options, const ServeRequest& request, const std::vector<ServeTarget>& targets,
                    const ServeTable& table) {
  std::string out = fmt::format("{}: {:g} requests a second of {} tokens, answers of {}, each within {:.0f} ms, {}\n\n",
                                options.model, request.rps, request.prompt, request.output, options.latency_ms,
                                to_string(request.arithmetic));
  TextTable rows({"GPUs", "tp", "replicas", "batch", "first token ms", "per token ms", "answer ms", "tokens/s",
                  "weights GB", "cache GB", "$/M tokens"});
  for (const ServePlan& p : table.plans) {
    rows.add({fmt::format("{} x {}", p.gpus(), targets[p.target].target.gpu.name), fmt::format("{}", p.tp),
              fmt::format("{}", p.replicas), fmt::format("{}", p.batch), fmt::format("{:.0f}", p.prefill_s * 1e3),
              fmt::format("{:.1f}", p.decode_step_s * 1e3), fmt::format("{:.0f}", p.latency_s * 1e3),
              fmt::format("{:.0f}", p.rps * static_cast<double>(request.output)),
              fmt::format("{:.1f}", p.weight_bytes / 1e9), fmt::format("{:.1f}", p.cache_bytes / 1e9),
              fmt::format("{:.2f}", p.usd_per_million)});
  }
  return out + rows.text() +
         "\nWeights and cache are of one GPU; money is per million answered tokens at the rate asked for. A roofline: "
         "see docs/planner.md.\n";
}

std::string json_of(const ServeRequest& request, const std::vector<ServeTarget>& targets, const ServeTable& table) {
  Json json{{"serving", Json::array()},
            {"prompt_tokens", request.prompt},
            {"output_tokens", request.output},
            {"rps", request.rps}};
  for (const ServePlan& p : table.plans) {
    json["serving"].push_back({{"gpu", targets[p.target].target.gpu.name},
                               {"gpus", p.gpus()},
                               {"tp", p.tp},
                               {"replicas", p.replicas},
                               {"batch", p.batch},
                               {"first_token_s", p.prefill_s},
                               {"per_token_s", p.decode_step_s},
                               {"latency_s", p.latency_s},
                               {"capacity_rps", p.rps},
                               {"weights_gb", p.weight_bytes / 1e9},
                               {"cache_gb", p.cache_bytes / 1e9},
                               {"usd_per_million_tokens", p.usd_per_million}});
  }
  return json.dump() + "\n";
}

}  // namespace

void run_serve(const PlanOptions& options) {
  const ServeRequest request = request_of(options);
  const HardwareCatalog catalog = plan_catalog(options);
  std::vector<ServeTarget> targets;
  for (const GpuChoice& choice : gpu_choices(options, catalog)) {
    targets.push_back({target_of(catalog, *choice.system), price_of(options, catalog, *choice.system)});
  }
  const ServeTable table = plan_serving(request, targets);
  if (!table.problem.empty()) throw Error(ErrorKind::kConfig, table.problem);
  fmt::print("{}", options.json ? json_of(request, targets, table) : text_of(options, request, targets, table));
}

}  // namespace shardscope::cli
