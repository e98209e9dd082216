// The result of a search as text, JSON and CSV.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/plan.h"
#include "cli/text_table.h"
#include "simulator/planner/files.h"
#include "simulator/planner/plan_text.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostRows = 24;

double headroom(const ReportedPoint& r) { return r.plan_case.target.gpu.memory.value - r.point.estimate.used; }

std::vector<std::string> row_of(const ReportedPoint& r, bool chosen) {
  const Plan& p = r.point.plan;
  std::string best;
  for (const std::string& name : r.best) best += (best.empty() ? "best " : ", ") + name;
  if (chosen) best += best.empty() ? "<- recommended" : "  <- recommended";
  return {fmt::format("{} x {}", p.gpus, r.plan_case.target.gpu.name),
          r.plan_case.framework.name,
          layout_text(p),
          zero_text(p),
          fmt::format("{}", p.micro_batch),
          std::string(to_string(p.recompute)),
          fmt::format("{:.2f}", r.point.estimate.step_time_s),
          fmt::format("{:.1f}", r.point.run.days),
          format_usd(r.point.run.cost_usd),
          format_amount(r.point.run.energy_kwh / 1e3),
          fmt::format("{:.1f}", headroom(r) / 1e9),
          best};
}

/// At most kMostRows of the points: the best ones, and others evenly.
std::vector<const ReportedPoint*> shown_points(const PlanReport& report) {
  std::vector<const ReportedPoint*> shown;
  const std::size_t n = report.points.size();
  for (std::size_t i = 0; i < n; ++i) {
    const bool even = n <= kMostRows || i * kMostRows / n != (i + 1) * kMostRows / n;
    if (even || i == report.recommended || !report.points[i].best.empty()) shown.push_back(&report.points[i]);
  }
  return shown;
}

std::string terms_text(const ReportedPoint& r) {
  std::string out = "  step\n";
  const Estimate& e = r.point.estimate;
  for (int i = 0; i < kTimeTerms; ++i) {
    const double s = e.seconds[static_cast<std::size_t>(i)];
    if (s < 1e-3 * e.step_time_s) continue;
    out += fmt::format("    {:<26}{:>10.4f} s {:>6.1f} %\n", title_of(static_cast<TimeTerm>(i)), s,
                       100 * s / e.step_time_s);
  }
  out +=
      fmt::format("  memory of a GPU, {:.1f} of {:.1f} GB\n", e.used / 1e9, r.plan_case.target.gpu.memory.value / 1e9);
  for (int i = 0; i < kMemoryTerms; ++i) {
    const double b = e.bytes[static_cast<std::size_t>(i)];
    if (b < 1e-3 * e.used) continue;
    out += fmt::format("    {:<26}{:>10.2f} GB\n", title_of(static_cast<MemoryTerm>(i)), b / 1e9);
  }
  return out;
}

std::string chosen_text(const PlanReport& report) {
  const ReportedPoint& r = report.chosen();
  const RunCost& run = r.point.run;
  const Plan& p = r.point.plan;
  std::string out =
      fmt::format("\nRecommended for {}: {} x {} in {}, {}: {}, ZeRO {}, micro-batch {}, recompute {}\n",
                  to_string(report.objective), p.gpus, r.plan_case.target.gpu.title, r.plan_case.target.system.title,
                  r.plan_case.framework.name, layout_text(p), zero_text(p), p.micro_batch, to_string(p.recompute));
  out += fmt::format("  step        {:.3f} s (P10-P90 {:.3f} to {:.3f}, median {:.3f}; {}), MFU {:.1f} %\n",
                     r.point.estimate.step_time_s, r.low_s, r.high_s, r.median_s, r.interval_source, 100 * r.mfu);
  out += fmt::format("  run         {:.0f} steps, {}, {}; {} MWh, {} t CO2, {} kW\n", run.steps, format_days(run.days),
                     format_usd(run.cost_usd), format_amount(run.energy_kwh / 1e3), format_amount(run.co2_t),
                     format_amount(run.mean_kw));
  out += fmt::format("  goodput     {:.1f} %; a checkpoint of {:.0f} s every {:.0f} min; stragglers {:+.1f} %\n",
                     100 * run.goodput, run.checkpoint_s, run.checkpoint_every_s / 60, 100 * (run.straggler - 1));
  out += fmt::format("  bottleneck  {} {:.0f} % of the step\n", title_of(r.relief.bottleneck), 100 * r.relief.share);
  std::string relief;
  for (const HardwareChange& c : r.relief.changes) {
    if (c.change < -0.005) relief += fmt::format("{}{}: {:+.0f} %", relief.empty() ? "" : ", ", c.name, 100 * c.change);
  }
  if (!relief.empty()) out += fmt::format("  relief      {}\n", relief);
  out += terms_text(r);
  if (!r.folder.empty()) out += fmt::format("  files       {}\n", r.folder);
  return out;
}

Json relief_json(const Relief& relief) {
  Json all = Json::array();
  for (const HardwareChange& c : relief.changes) all.push_back({{"with", c.name}, {"step_time_change", c.change}});
  return all;
}

Json point_json(const ReportedPoint& r, double tokens) {
  const Estimate& e = r.point.estimate;
  const RunCost& run = r.point.run;
  Json json = plan_case_json(r.plan_case);
  json["step_time_s"] = e.step_time_s;
  json["days"] = run.days;
  json["cost_usd"] = run.cost_usd;
  json["peak_gb"] = e.used / 1e9;
  json["headroom_gb"] = headroom(r) / 1e9;
  json["interval"] = {r.low_s, r.high_s};
  json["interval_median"] = r.median_s;
  json["interval_source"] = r.interval_source;
  json["mfu"] = r.mfu;
  json["steps"] = run.steps;
  json["energy_kwh"] = run.energy_kwh, json["co2_t"] = run.co2_t, json["mean_kw"] = run.mean_kw;
  json["goodput"] = run.goodput, json["straggler"] = run.straggler;
  json["checkpoint_s"] = run.checkpoint_s, json["checkpoint_every_s"] = run.checkpoint_every_s;
  json["start_gb"] = e.at_start / 1e9;
  json["host_gb"] = e.host_bytes / 1e9, json["nvme_gb"] = e.nvme_bytes / 1e9;
  json["bottleneck"] = {{"term", to_string(r.relief.bottleneck)}, {"share", r.relief.share}};
  json["relief"] = relief_json(r.relief);
  for (int i = 0; i < kTimeTerms; ++i)
    json["time_s"][std::string(to_string(static_cast<TimeTerm>(i)))] = e.seconds[static_cast<std::size_t>(i)];
  for (int i = 0; i < kMemoryTerms; ++i)
    json["memory_gb"][std::string(to_string(static_cast<MemoryTerm>(i)))] = e.bytes[static_cast<std::size_t>(i)] / 1e9;
  json["best"] = r.best;
  json["folder"] = r.folder.empty() ? Json(nullptr) : Json(r.folder);
  json["files"] = Json::object();
  for (const auto& [name, text] : plan_files(r.plan_case, tokens)) json["files"][name] = text;
  return json;
}

}  // namespace

std::string plan_text(const PlanReport& report) {
  std::string out = fmt::format("{}: {:.1f} B parameters, {} tokens, {} sequences of {} a step\n\n", report.model,
                                report.parameters / 1e9, format_tokens(report.tokens), report.global_batch, report.seq);
  TextTable table(
      {"GPUs", "framework", "layout", "ZeRO", "micro", "recompute", "step s", "days", "cost", "MWh", "free GB", ""}, 4);
  const auto shown = shown_points(report);
  for (const ReportedPoint* r : shown) table.add(row_of(*r, r == &report.chosen()));
  out += table.text();
  if (shown.size() < report.points.size()) {
    out += fmt::format("  ({} of the {} points of the front; all are in --json, --csv and --html)\n", shown.size(),
                       report.points.size());
  }
  out += chosen_text(report);
  out += fmt::format(
      "\n{} plans searched in {:.2f} s, {} of them estimated. Prices and power are the catalog's, or as given.\n",
      report.searched, report.seconds, report.estimated);
  const Workload& workload = report.chosen().plan_case.workload;
  if (workload.model.experts > 0 && workload.expert_imbalance == 1) {
    out +=
        "Experts are taken to be routed evenly; with --expert-imbalance 1.3 the fullest rank gets 1.3 times the "
        "mean.\n";
  }
  return out;
}

std::string plan_json(const PlanReport& report) {
  Json json;
  json["pareto"] = Json::array();
  for (const ReportedPoint& r : report.points) json["pareto"].push_back(point_json(r, report.tokens));
  json["searched"] = report.searched;
  json["seconds"] = report.seconds;
  json["estimated"] = report.estimated;
  json["model"] = report.model;
  json["parameters"] = report.parameters;
  json["tokens"] = report.tokens;
  json["objective"] = to_string(report.objective);
  json["recommended"] = report.recommended;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string plan_csv(const PlanReport& report) {
  std::string out =
      "gpu,gpus,framework,precision,dp,tp,pp,vpp,cp,ulysses,ep,sp,zero,shard,offload,micro_batch,global_batch,"
      "recompute,step_time_s,step_time_p10_s,"
      "step_time_p90_s,days,cost_usd,energy_kwh,co2_t,peak_gb,headroom_gb,goodput,mfu,bottleneck\n";
  for (const ReportedPoint& r : report.points) {
    const Plan& p = r.point.plan;
    const RunCost& run = r.point.run;
    out += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.6g},{:.6g},{:.6g},{:.6g},{:.8g},{:.6g},{:.6g},{:.5g},"
        "{:.5g},{:.5g},{:.4g},{}\n",
        r.plan_case.target.gpu.name, p.gpus, r.plan_case.framework.name, to_string(r.plan_case.workload.arithmetic),
        p.dp, p.tp, p.pp, p.vpp, p.cp, p.ulysses, p.ep, p.sp, p.zero, p.shard, to_string(p.offload), p.micro_batch,
        p.global_batch, to_string(p.recompute), r.point.estimate.step_time_s, r.low_s, r.high_s, run.days, run.cost_usd,
        run.energy_kwh, run.co2_t, r.point.estimate.used / 1e9, headroom(r) / 1e9, run.goodput, r.mfu,
        to_string(r.relief.bottleneck));
  }
  return out;
}

}  // namespace shardscope::cli
