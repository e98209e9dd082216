// shardscope whatif: a job or a plan, and the same with something set differently.

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/text_table.h"
#include "core/spec/json_tree.h"
#include "simulator/planner/plots.h"
#include "simulator/planner/space.h"
#include "simulator/planner/whatif.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string base, cluster, hardware, svg;
  std::vector<std::string> set;
  int point = -1;
  bool json = false;
};

PlanCase read_base(const Options& options, const HardwareCatalog& catalog) {
  const std::string text = read_text_file(options.base);
  if (is_plan_case(text, options.base)) return parse_plan_case(text, options.base, options.point, catalog);
  if (options.point >= 0) {
    throw Error(ErrorKind::kConfig, options.base + ": is a job file; --point chooses among the points of a plan");
  }
  JobOverrides overrides;
  if (!options.cluster.empty()) overrides.cluster = options.cluster;
  return plan_case_of(load_job(options.base, overrides), catalog);
}

/// Which of the two is meant, where a plan is not legal.
Estimate estimate_named(const char* which, const PlanCase& c) {
  try {
    return estimate_case(c);
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: {}", which, error.what()));
  }
}

std::string memory_text(const Estimate& from, const Estimate& to, const PlanCase& base, const PlanCase& changed) {
  TextTable table({"GB of a GPU", "before", "after", "change"});
  const auto add = [&](std::string name, double a, double b) {
    table.add({std::move(name), fmt::format("{:.2f}", a / 1e9), fmt::format("{:.2f}", b / 1e9),
               fmt::format("{:+.2f}", (b - a) / 1e9)});
  };
  for (int i = 0; i < kMemoryTerms; ++i) {
    const auto term = static_cast<MemoryTerm>(i);
    if (std::max(from[term], to[term]) > 1e-3 * from.used) add(std::string(title_of(term)), from[term], to[term]);
  }
  add("used", from.used, to.used);
  const auto fits = [](const Estimate& e, const PlanCase& c) {
    return fmt::format("{} {:.1f} GB", e.fits ? "fits" : "DOES NOT FIT", c.target.gpu.memory.value / 1e9);
  };
  return table.text() + fmt::format("  before {}, after {}\n", fits(from, base), fits(to, changed));
}

Json side_json(const Estimate& e, const PlanCase& c) {
  Json json = plan_case_json(c);
  json["step_time_s"] = e.step_time_s;
  json["peak_gb"] = e.used / 1e9;
  json["fits"] = e.fits;
  return json;
}

std::string place_of(const PlanCase& c) {
  return fmt::format("{} x {} under {}", c.plan.gpus, c.target.gpu.name, c.framework.name);
}

/// The closed form computes what it is told to; a framework that has no such thing is worth a word.
std::string unsupported(const PlanCase& c) {
  return find_unsupported(c.plan, c.workload.model.layers, limits_of(c.framework));
}

Json json_of(const PlanCase& base, const PlanCase& changed, const Estimate& from, const Estimate& to,
             const Waterfall& w) {
  Json json{{"before", side_json(from, base)},
            {"after", side_json(to, changed)},
            {"step_time_change", w.to / w.from - 1},
            {"waterfall", Json::array()},
            {"rest_s", w.rest},
            {"unsupported", nullptr}};
  if (const std::string without = unsupported(changed); !without.empty()) json["unsupported"] = without;
  for (const WaterfallStep& s : w.steps) {
    json["waterfall"].push_back(
        {{"term", to_string(s.term)}, {"before_s", s.from}, {"after_s", s.to}, {"change_s", s.change()}});
  }
  for (int i = 0; i < kMemoryTerms; ++i) {
    const auto term = static_cast<MemoryTerm>(i);
    json["memory_gb"][std::string(to_string(term))] = {from[term] / 1e9, to[term] / 1e9};
  }
  return json;
}

void write_svg(const std::string& path, const Waterfall& w) {
  std::vector<Change> changes;
  for (const WaterfallStep& s : w.steps) changes.push_back({std::string(title_of(s.term)), s.change()});
  if (std::abs(w.rest) > 1e-9) changes.push_back({"all else", w.rest});
  std::ofstream out(path, std::ios::binary);
  out << waterfall_svg("seconds of a step", w.from, changes, w.to) << std::flush;
  if (!out) throw Error(ErrorKind::kIo, fmt::format("{}: cannot be written", path));
}

/// A result that is the base's own says nothing, and mostly comes of a mistake.
void refuse_unchanged(const Options& options, const Estimate& from, const Estimate& to) {
  if (from.seconds != to.seconds || from.bytes != to.bytes || from.fits != to.fits ||
      from.host_bytes != to.host_bytes || from.nvme_bytes != to.nvme_bytes || from.at_start != to.at_start)
    return;
  throw Error(ErrorKind::kConfig,
              fmt::format("--set {}: changes nothing: the plan is like this already, or no term of its step and memory "
                          "depends on it",
                          printable(fmt::format("{}", fmt::join(options.set, " --set ")))));
}

void run(const Options& options) {
  HardwareCatalog catalog = default_catalog();
  if (!options.hardware.empty()) overlay(catalog, options.hardware);
  const PlanCase base = read_base(options, catalog);
  PlanCase changed = base;
  apply_settings(changed, options.set, catalog);
  const Estimate from = estimate_named("before", base), to = estimate_named("with --set", changed);
  refuse_unchanged(options, from, to);
  const Waterfall w = make_waterfall(from, to);
  if (!options.svg.empty()) write_svg(options.svg, w);
  if (options.json) {
    fmt::print("{}\n", json_of(base, changed, from, to, w).dump());
  } else {
    const std::string before = place_of(base), after = place_of(changed), without = unsupported(changed);
    fmt::print("{} on {}{}: step time by term\n\n{}\n{}", base.model, before, before == after ? "" : ", then " + after,
               waterfall_text(w), memory_text(from, to, base, changed));
    if (!without.empty()) fmt::print("  {} does not run {}: estimated as if it did\n", changed.framework.name, without);
  }
}

std::string footer() {
  std::string text = "Keys of --set:\n";
  for (const SettingKey& key : setting_keys()) text += fmt::format("  {:<24}{}\n", key.name, key.meaning);
  text += fmt::format("  {:<24}{}\n", "gpu.* system.* fabric.*",
                      "numbers of data/hardware by their key there: gpu.memory_gib=96");
  return text +
         "Examples:\n"
         "  shardscope plan --model llama-3-8b --tokens 1T --gpus dgx-h100:64 --json >plan.json\n"
         "  shardscope whatif plan.json --set links.nic_gbps=800\n"
         "  shardscope whatif job.json --cluster dgx-a100:16 --set zero.stage=3 --set micro_batch=4 --svg change.svg\n";
}

}  // namespace

void add_whatif(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("whatif", "What a change would do to a job's or a plan's step, term by term.");
  command->add_option("base", options->base, "A job file with a cluster, or what 'plan --json' printed")
      ->type_name("BASE.json")
      ->required();
  command->add_option("--set", options->set, "What is different; may be given again")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->required();
  command
      ->add_option("--point", options->point, "Which point of a plan's front, from 0; the recommended one without it")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--cluster", options->cluster, "Of a job file that names none: dgx-h100:32, or a cluster file")
      ->type_name("CLUSTER");
  command->add_option("--hardware", options->hardware, "A file of the form of data/hardware laid over the catalog")
      ->type_name("FILE.json");
  command->add_option("--svg", options->svg, "Also the waterfall as a picture")->type_name("CHANGE.svg");
  command->add_flag("--json", options->json, "One JSON object: before, after, waterfall, memory_gb");
  command->footer(footer());
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
