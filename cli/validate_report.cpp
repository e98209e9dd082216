#include "cli/validate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/text_table.h"
#include "core/spec/json_reader.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

// ---- JSON

Json or_null(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

Json row_json(const ValidatedRow& row) {
  const bool predicted = row.predicted();
  const auto said = [&](double value) { return predicted ? Json(value) : Json(nullptr); };
  return {{"id", row.run.id},
          {"source", row.run.source},
          {"quality", row.run.quality == ' ' ? Json(nullptr) : Json(std::string(1, row.run.quality))},
          {"published_step_time_s", or_null(row.published_step_time_s)},
          {"predicted_step_time_s", said(row.estimate.step_time_s)},
          {"step_time_error", or_null(row.step_time_error())},
          {"published_mem_gb", or_null(row.published_mem_gb)},
          {"predicted_mem_gb", said(row.predicted_mem_gb())},
          {"mem_error", or_null(row.mem_error())},
          {"fits", predicted ? Json(row.estimate.fits) : Json(nullptr)},
          {"assumed", row.setup.assumed},
          {"skipped", predicted ? Json(nullptr) : Json(row.setup.skipped)}};
}

/// Millionths are enough, and a golden file of them can be read.
Json rounded(std::optional<double> value) { return value ? Json(std::round(*value * 1e6) / 1e6) : Json(nullptr); }

/// [{"apart": [0, 0.02], "pairs": 12, "wrong": 5}, ..., {"apart": [0.1, null], ...}]
Json pairs_json(const Pairs& pairs) {
  Json out = Json::array();
  double from = 0;
  for (std::size_t i = 0; i < pairs.by_gap.size(); ++i) {
    const Json to = i < kPairGaps.size() ? Json(kPairGaps[i]) : Json(nullptr);
    out.push_back({{"apart", {from, to}}, {"pairs", pairs.by_gap[i].pairs}, {"wrong", pairs.by_gap[i].wrong}});
    if (i < kPairGaps.size()) from = kPairGaps[i];
  }
  return out;
}

Json sweep_json(const Sweep& sweep) {
  Json out{{"source", sweep.source},
           {"model", sweep.model},
           {"gpu", sweep.gpu},
           {"gpus", sweep.gpus},
           {"n", sweep.rows.size()},
           {"kendall_tau", rounded(sweep.pairs.tau())},
           {"pairs", pairs_json(sweep.pairs)}};
  if (sweep.slower.empty()) return out;
  out["widest_wrong"] = {{"faster", sweep.faster},
                         {"slower", sweep.slower},
                         {"published", rounded(sweep.published)},
                         {"predicted", rounded(sweep.predicted)}};
  return out;
}

Json score_json(const Score& score) {
  return {{"n", score.step_time.n},
          {"step_time_mape", rounded(score.step_time.mape)},
          {"step_time_median", rounded(score.step_time.median)},
          {"step_time_p90", rounded(score.step_time.p90)},
          {"step_time_bias", score.step_time.n > 0 ? rounded(score.step_time.bias) : Json(nullptr)},
          {"mem_n", score.memory.n},
          {"mem_mape", rounded(score.memory.mape)},
          {"mem_median", rounded(score.memory.median)},
          {"kendall_tau", rounded(score.kendall_tau)},
          {"sweeps", score.sweeps},
          {"pairs", pairs_json(score.pairs)},
          {"rows", score.rows},
          {"skipped", score.skipped},
          {"fit_share", score.predicted > 0 ? rounded(1.0 * score.fit / score.predicted) : Json(nullptr)}};
}

std::vector<Sweep> chosen_sweeps(const Validation& result, const ValidationView& view) {
  std::vector<const ValidatedRow*> rows;
  for (const ValidatedRow& row : result.rows) {
    if (is_chosen(row.run, view.qualities)) rows.push_back(&row);
  }
  return sweeps_of(rows);
}

}  // namespace

nlohmann::ordered_json validation_json(const Validation& result, const ValidationView& view) {
  Json out{{"rows", Json::array()}, {"sources", Json::object()}};
  for (const ValidatedRow& row : result.rows) out["rows"].push_back(row_json(row));
  for (const auto& [name, score] : score_sources(result.rows, view.qualities)) out["sources"][name] = score_json(score);
  out["overall"] = score_json(score_overall(result.rows, view.qualities));
  out["sweeps"] = Json::array();
  for (const Sweep& sweep : chosen_sweeps(result, view)) out["sweeps"].push_back(sweep_json(sweep));
  out["broken"] = Json::array();
  for (const BrokenRow& row : result.broken)
    out["broken"].push_back({{"line", row.line}, {"id", row.id}, {"why", row.why}});
  return out;
}

nlohmann::ordered_json left_out_json(const std::map<std::string, LeftOut>& all) {
  Json out = Json::object();
  for (const auto& [name, one] : all) {
    out[name] = {{"n", one.left_out.n},
                 {"fitted_mape", or_null(one.fitted.mape)},
                 {"step_time_mape", or_null(one.left_out.mape)},
                 {"step_time_median", or_null(one.left_out.median)},
                 {"step_time_p90", or_null(one.left_out.p90)}};
  }
  return out;
}

namespace {

// ---- text

std::string share(std::optional<double> value) { return value ? fmt::format("{:.1f} %", 100 * *value) : "-"; }

std::vector<std::string> score_cells(const std::string& name, const Score& score) {
  return {name,
          std::to_string(score.step_time.n),
          share(score.step_time.mape),
          share(score.step_time.median),
          share(score.step_time.p90),
          score.step_time.n > 0 ? signed_percent(score.step_time.bias) : "-",
          score.kendall_tau ? fmt::format("{:.2f}", *score.kendall_tau) : "-",
          std::to_string(score.memory.n),
          share(score.memory.mape),
          share(score.memory.median),
          share(score.memory.p90),
          score.predicted > 0 ? share(1.0 * score.fit / score.predicted) : "-",
          std::to_string(score.skipped)};
}

void print_scores(const Validation& result, const ValidationView& view, const Score& overall) {
  TextTable table(
      {"source", "n", "mean", "median", "p90", "bias", "tau", "memory n", "mean", "median", "p90", "fits", "skipped"});
  for (const auto& [name, score] : score_sources(result.rows, view.qualities)) table.add(score_cells(name, score));
  table.add(score_cells("overall, sources alike", overall));
  fmt::print("Errors of step time (mean, median, p90: absolute) and of memory, rows of quality {}\n\n{}\n",
             view.qualities, table.text());
}

/// Two runs that lie nearer than runs of one job do cannot be ranked by anyone.
void print_ranking(const Pairs& pairs) {
  std::string text;
  for (std::size_t i = 0; i < pairs.by_gap.size(); ++i) {
    const PairCount& count = pairs.by_gap[i];
    if (count.pairs == 0) continue;
    const std::string apart =
        i < kPairGaps.size() ? fmt::format("below {:.0f} % apart", 100 * kPairGaps[i]) : "further";
    text += fmt::format("{}{} of {} {}", text.empty() ? "" : ", ", count.wrong, count.pairs, apart);
  }
  if (!text.empty()) fmt::print("Pairs of a sweep's runs told the wrong way round, of pairs published: {}\n\n", text);
}

void print_sweeps(const std::vector<Sweep>& sweeps) {
  TextTable table({"source", "model", "GPU", "GPUs", "n", "tau", "wrong", "widest of them"}, 3);
  for (const Sweep& sweep : sweeps) {
    PairCount all;
    for (const PairCount& count : sweep.pairs.by_gap) all.pairs += count.pairs, all.wrong += count.wrong;
    const auto tau = sweep.pairs.tau();
    table.add({sweep.source, sweep.model, sweep.gpu, std::to_string(sweep.gpus), std::to_string(sweep.rows.size()),
               tau ? fmt::format("{:.2f}", *tau) : "-", fmt::format("{} of {}", all.wrong, all.pairs),
               sweep.slower.empty() ? ""
                                    : fmt::format("{} over {}: {} published, {} predicted", sweep.slower, sweep.faster,
                                                  signed_percent(sweep.published), signed_percent(sweep.predicted))});
  }
  fmt::print("Sweeps: runs of one source, model, GPU and number of GPUs, ranked by time per token\n\n{}\n",
             table.text());
}

std::string terms_of(const Estimate& estimate) {
  std::vector<std::pair<double, std::string_view>> terms;
  for (int t = 0; t < kTimeTerms; ++t) {
    const auto term = static_cast<TimeTerm>(t);
    if (estimate[term] > 0) terms.emplace_back(estimate[term] / estimate.step_time_s, to_string(term));
  }
  std::sort(terms.rbegin(), terms.rend());
  std::string out;
  for (const auto& [part, name] : terms) {
    if (part >= 0.02) out += fmt::format("{}{} {:.0f} %", out.empty() ? "" : ", ", name, 100 * part);
  }
  return out;
}

std::string plan_text(const ValidatedRow& row) {
  const Plan& p = row.plan;
  std::string out =
      fmt::format("{} on {} {}, seq {}, dp {}", row.run.model_name, p.gpus, row.run.gpu, row.setup.workload.seq, p.dp);
  const auto add = [&](const char* name, int n) {
    if (n > 1) out += fmt::format(" {} {}", name, n);
  };
  add("tp", p.tp), add("pp", p.pp), add("vpp", p.vpp), add("cp", p.cp), add("ulysses", p.ulysses), add("ep", p.ep);
  return out + fmt::format(" zero {}, {} x {} sequences, recompute {}", p.zero, p.micro_batches(), p.micro_batch,
                           to_string(p.recompute));
}

void print_worst(const Validation& result, const ValidationView& view) {
  std::vector<const ValidatedRow*> rows;
  for (const ValidatedRow& row : result.rows) {
    if (row.step_time_error() && is_chosen(row.run, view.qualities)) rows.push_back(&row);
  }
  const auto size = [](const ValidatedRow* row) { return std::abs(std::log1p(*row->step_time_error())); };
  std::sort(rows.begin(), rows.end(), [&](auto* a, auto* b) { return size(a) > size(b); });
  rows.resize(std::min(rows.size(), static_cast<std::size_t>(view.worst)));
  if (!rows.empty()) fmt::print("The {} worst of step time, with what predictions are made of\n\n", rows.size());
  for (const ValidatedRow* row : rows) {
    fmt::print("  {}: {:.4g} s published, {:.4g} s predicted, {}\n    {}\n    {}\n", row->run.id,
               *row->published_step_time_s, row->estimate.step_time_s, signed_percent(*row->step_time_error()),
               plan_text(*row), terms_of(row->estimate));
    if (!row->setup.assumed.empty())
      fmt::print("    assumed {}\n", printable(fmt::format("{}", fmt::join(row->setup.assumed, "; "))));
  }
}

void print_skipped(const Validation& result) {
  std::map<std::string, std::vector<std::string>> reasons;
  for (const ValidatedRow& row : result.rows) {
    if (!row.predicted()) reasons[row.setup.skipped].push_back(row.run.id);
  }
  if (!reasons.empty()) fmt::print("\nNot predicted\n\n");
  for (const auto& [why, ids] : reasons) {
    fmt::print("  {} row{} ({}{}): {}\n", ids.size(), ids.size() > 1 ? "s" : "", ids.front(),
               ids.size() > 1 ? ", ..." : "", printable(why));
  }
  if (!result.broken.empty()) fmt::print("\n{} broken rows, left out\n\n", result.broken.size());
  for (const BrokenRow& row : result.broken) {
    fmt::print("  line {}{}: {}\n", row.line, row.id.empty() ? "" : " (" + row.id + ")", row.why);
  }
}

}  // namespace

void print_validation(const Validation& result, const ValidationView& view) {
  const Score overall = score_overall(result.rows, view.qualities);
  print_scores(result, view, overall);
  print_ranking(overall.pairs);
  if (view.sweeps) print_sweeps(chosen_sweeps(result, view));
  print_worst(result, view);
  print_skipped(result);
}

void print_left_out(const std::map<std::string, LeftOut>& all) {
  TextTable table({"source left out", "n", "fitted mean", "left out: mean", "median", "p90", "times"});
  double sum = 0, sum_fitted = 0;
  for (const auto& [name, one] : all) {
    if (one.left_out.n == 0) continue;
    sum += *one.left_out.mape, sum_fitted += *one.fitted.mape;
    table.add({name, std::to_string(one.left_out.n), share(one.fitted.mape), share(one.left_out.mape),
               share(one.left_out.median), share(one.left_out.p90),
               fmt::format("{:.2f}", *one.left_out.mape / *one.fitted.mape)});
  }
  fmt::print("\nConstants fitted on all other sources\n\n{}\n  all sources alike: {:.2f} times the fitted error\n",
             table.text(), sum / sum_fitted);
}

void print_fit(const Constants& before, const FitResult& fit) {
  TextTable table({"scope", "owner", "constant", "before", "fitted", "low", "high", "unit"}, 3);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const Constant& c = fit.constants[i];
    if (!c.fitted()) continue;
    table.add({c.scope, c.owner, c.name, fmt::format("{:.4g}", before[i].value), fmt::format("{:.4g}", c.value),
               fmt::format("{:g}", c.low), fmt::format("{:g}", c.high), c.unit});
  }
  fmt::print("Fitted on {} rows in {} iterations: cost {:.4f}, before {:.4f}\n\n{}\n", fit.rows, fit.iterations,
             fit.cost_after, fit.cost_before, table.text());
}

}  // namespace shardscope::cli
