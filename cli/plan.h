#pragma once
// What the forms of `shardscope plan` share: their options, and the search's result on its way to text, JSON, CSV,
// HTML.
//
//   PlanOptions options;   add_plan_options(*command, options);   ...   run_plan(options) / run_fit / run_serve

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/hardware.h"
#include "simulator/planner/constraints.h"
#include "simulator/planner/defaults.h"
#include "simulator/planner/plan_case.h"
#include "simulator/planner/relief.h"

namespace shardscope::cli {

struct PlanOptions {
  std::string model, tokens, deadline, budget, gpus = "h100-sxm,h200,b200", framework = "megatron,fsdp2,deepspeed";
  double expert_imbalance = 1;  ///< tokens of the fullest rank's experts over the mean
  std::string precision = "bf16", objective, hardware, html, out;
  std::vector<std::string> prices;
  int max_gpus = 512, threads = 2;
  std::int64_t seq = 0, global_batch = 0;
  bool reserved = false, json = false, csv = false, fit = false, serve = false;
  std::string warmup;
  RunOptions run;
  std::int64_t prompt = 0, output = 0;  // --serve
  double rps = 0, latency_ms = 0;
};

/// One kind of GPU of --gpus: "h100-sxm", or "dgx-h100:64" (count 0: not said).
struct GpuChoice {
  const SystemSpec* system = nullptr;
  int count = 0;
};

/// The catalog with --hardware laid over, and what --gpus names in it. Errors name the option.
HardwareCatalog plan_catalog(const PlanOptions&);
std::vector<GpuChoice> gpu_choices(const PlanOptions&, const HardwareCatalog&);
/// USD per GPU hour by --price, --reserved or the catalog; Error{kConfig} if none is known.
double price_of(const PlanOptions&, const HardwareCatalog&, const SystemSpec&);
std::vector<std::string> split_list(std::string_view text);
/// Learned positions end: Error{kConfig} where `tokens`, which `what` asks for, are more.
void check_positions(std::string_view what, const ModelSpec&, std::int64_t tokens);
/// The same of --seq, and --expert-imbalance of a model without experts.
void check_model(const PlanOptions&, const ModelSpec&, std::int64_t seq);
void write_text(const std::string& path, const std::string& text);  ///< Error{kIo}
/// "300B", "1.5T", "2M": a number with K, M, B (or G), T. `example`: one that the option would take.
double parse_amount(const std::string& option, const std::string& text, const char* example);
double parse_days(const std::string& option, const std::string& text);  ///< "30d", "12h", "6w"

/// A point of the front and what is said about it.
struct ReportedPoint {
  PlanPoint point;
  PlanCase plan_case;
  Relief relief;
  double low_s = 0, median_s = 0, high_s = 0;  ///< P10, P50, P90 of the step's time (simulator/planner/intervals.h)
  std::string interval_source;
  double mfu = 0;
  std::vector<std::string> best;  ///< objectives of which it is the best
  std::string folder;             ///< of its files; empty: not written
};

struct PlanReport {
  std::string model;
  double tokens = 0, parameters = 0;
  std::int64_t seq = 0, global_batch = 0;
  Objective objective = Objective::kCost;
  std::vector<ReportedPoint> points;
  std::size_t recommended = 0;  ///< for the objective: recommended_point()
  std::int64_t searched = 0, estimated = 0;
  double seconds = 0;
  const ReportedPoint& chosen() const { return points[recommended]; }
};

std::string plan_text(const PlanReport&);
std::string plan_json(const PlanReport&);
std::string plan_csv(const PlanReport&);
std::string plan_html(const PlanReport&);

void run_fit(const PlanOptions&);    ///< cli/plan_fit.cpp
void run_serve(const PlanOptions&);  ///< cli/plan_serve.cpp

}  // namespace shardscope::cli
