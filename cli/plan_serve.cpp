// shardscope plan --serve: GPUs that answer requests.

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "cli/plan.h"
#include "cli/text_table.h"
#include "core/error.h"
#include "core/spec/model_catalog.h"
#include "core/xml_text.h"
#include "simulator/planner/plots.h"
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
  ModelSpec model = open_model(options.model);
  check_positions("--prompt-tokens and --output-tokens", model, options.prompt + options.output);
  return {.model = std::move(model),
          .arithmetic = trained_arithmetic(precisions[0]),
          .prompt = options.prompt,
          .output = options.output,
          .rps = options.rps,
          .latency_s = options.latency_ms / 1e3};
}

/// One served plan as cells, for people.
std::vector<std::string> cells_of(const ServePlan& p, const ServeRequest& request, const ServeTarget& on) {
  return {fmt::format("{} x {}", p.gpus(), on.target.gpu.name),
          fmt::format("{}", p.tp),
          fmt::format("{}", p.replicas),
          fmt::format("{}", p.batch),
          fmt::format("{:.0f}", p.prefill_s * 1e3),
          fmt::format("{:.1f}", p.decode_step_s * 1e3),
          fmt::format("{:.0f}", p.latency_s * 1e3),
          fmt::format("{:.0f}", p.rps * static_cast<double>(request.output)),
          fmt::format("{:.1f}", p.weight_bytes / 1e9),
          fmt::format("{:.1f}", p.cache_bytes / 1e9),
          fmt::format("{:.2f}", p.usd_per_million)};
}

const std::vector<std::string> kHead{"GPUs",           "tp",           "replicas",  "batch",
                                     "first token ms", "per token ms", "answer ms", "tokens/s",
                                     "weights GB",     "cache GB",     "$/M tokens"};

std::string asked(const PlanOptions& options, const ServeRequest& request) {
  std::string out =
      fmt::format("{}: {:g} requests a second of {} tokens, answers of {}, each within {:g} ms, {}", options.model,
                  request.rps, request.prompt, request.output, options.latency_ms, to_string(request.arithmetic));
  if (request.prompt + request.output > request.model.max_positions) {
    out += fmt::format("; beyond the {} positions of its config", request.model.max_positions);
  }
  return out;
}

constexpr std::string_view kNote =
    "Weights and cache are of one GPU; money is per million answered tokens at the rate asked for. A roofline: "
    "see docs/planner.md.";

std::string text_of(const PlanOptions& options, const ServeRequest& request, const std::vector<ServeTarget>& targets,
                    const ServeTable& table) {
  TextTable rows(kHead);
  for (const ServePlan& p : table.plans) rows.add(cells_of(p, request, targets[p.target]));
  return fmt::format("{}\n\n{}\n{}\n", asked(options, request), rows.text(), kNote);
}

std::string csv_of(const std::vector<ServeTarget>& targets, const ServeTable& table) {
  std::string out =
      "gpu,gpus,tp,replicas,batch,first_token_s,per_token_s,latency_s,capacity_rps,weights_gb,cache_gb,"
      "usd_per_million_tokens\n";
  for (const ServePlan& p : table.plans) {
    out +=
        fmt::format("{},{},{},{},{},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g}\n",
                    targets[p.target].target.gpu.name, p.gpus(), p.tp, p.replicas, p.batch, p.prefill_s,
                    p.decode_step_s, p.latency_s, p.rps, p.weight_bytes / 1e9, p.cache_bytes / 1e9, p.usd_per_million);
  }
  return out;
}

std::string plot_of(const std::vector<ServeTarget>& targets, const ServeTable& table) {
  std::map<std::string, Series> kinds;
  for (const ServePlan& p : table.plans) {
    const std::string& name = targets[p.target].target.gpu.name;
    kinds[name].name = name;
    kinds[name].dots.push_back({p.latency_s, p.usd_per_million,
                                fmt::format("{} x {}, tp {}, batch {}", p.gpus(), name, p.tp, p.batch),
                                &p == table.plans.data()});
  }
  std::vector<Series> all;
  for (auto& [name, series] : kinds) all.push_back(std::move(series));
  return scatter_svg({.x = "seconds of an answer", .y = "USD per million tokens", .log = true}, all);
}

std::string html_of(const PlanOptions& options, const ServeRequest& request, const std::vector<ServeTarget>& targets,
                    const ServeTable& table) {
  std::string rows = "<tr>";
  for (const std::string& name : kHead) rows += fmt::format("<th>{}</th>", name);
  for (const ServePlan& p : table.plans) {
    rows += "</tr>\n<tr>";
    for (const std::string& cell : cells_of(p, request, targets[p.target]))
      rows += fmt::format("<td>{}</td>", escape_xml(cell));
  }
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Serving {0}</title><style>"
      ":root{{color-scheme:light dark}}body{{font:15px/1.45 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}}"
      "table{{border-collapse:collapse;font-size:13px}}td,th{{padding:3px 8px;text-align:right;border-bottom:1px solid "
      "#8884}}td:first-child,th:first-child{{text-align:left}}svg{{max-width:100%;height:auto}}</style></head><body>\n"
      "<h1>Serving {0}</h1>\n<p>{1}</p>\n<h2>Latency and cost</h2>\n<p>The ringed one is the cheapest.</p>\n{2}"
      "<h2>Plans</h2>\n<table>{3}</tr></table>\n<p>{4}</p></body></html>\n",
      escape_xml(options.model), escape_xml(asked(options, request)), plot_of(targets, table), rows, kNote);
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
    targets.push_back({target_of(catalog, *choice.system), price_of(options, catalog, *choice.system),
                       choice.count > 0 ? choice.count : options.max_gpus});
  }
  const ServeTable table = plan_serving(request, targets);
  if (!table.problem.empty()) throw Error(ErrorKind::kConfig, table.problem);
  if (!options.html.empty()) write_text(options.html, html_of(options, request, targets, table));
  fmt::print("{}", options.json  ? json_of(request, targets, table)
                   : options.csv ? csv_of(targets, table)
                                 : text_of(options, request, targets, table));
}

}  // namespace shardscope::cli
