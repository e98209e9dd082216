// shardscope validate: predictions beside published runs, and their errors.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/text_table.h"
#include "core/error.h"
#include "core/spec/json_reader.h"
#include "simulator/validate/score.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string file, source, quality = "AB", constants;
  int worst = 10;
  bool json = false;
};

constexpr const char* kBuiltIn = "data/published/published_runs.csv";

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

Json score_json(const Score& score) {
  return {{"n", score.step_time.n},
          {"step_time_mape", or_null(score.step_time.mape)},
          {"step_time_median", or_null(score.step_time.median)},
          {"step_time_p90", or_null(score.step_time.p90)},
          {"step_time_bias", score.step_time.n > 0 ? Json(score.step_time.bias) : Json(nullptr)},
          {"mem_n", score.memory.n},
          {"mem_mape", or_null(score.memory.mape)},
          {"mem_median", or_null(score.memory.median)},
          {"kendall_tau", or_null(score.kendall_tau)},
          {"sweeps", score.sweeps},
          {"rows", score.rows},
          {"skipped", score.skipped},
          {"fit_share", score.predicted > 0 ? Json(1.0 * score.fit / score.predicted) : Json(nullptr)}};
}

void print_json(const Validation& result, const Options& options) {
  Json out{{"rows", Json::array()}, {"sources", Json::object()}};
  for (const ValidatedRow& row : result.rows) out["rows"].push_back(row_json(row));
  for (const auto& [name, score] : score_sources(result.rows, options.quality))
    out["sources"][name] = score_json(score);
  out["overall"] = score_json(score_overall(result.rows, options.quality));
  out["broken"] = Json::array();
  for (const BrokenRow& row : result.broken)
    out["broken"].push_back({{"line", row.line}, {"id", row.id}, {"why", row.why}});
  fmt::print("{}\n", out.dump(-1, ' ', false, Json::error_handler_t::replace));
}

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

void print_scores(const Validation& result, const Options& options) {
  TextTable table(
      {"source", "n", "mean", "median", "p90", "bias", "tau", "memory n", "mean", "median", "p90", "fits", "skipped"});
  for (const auto& [name, score] : score_sources(result.rows, options.quality)) table.add(score_cells(name, score));
  table.add(score_cells("overall, sources alike", score_overall(result.rows, options.quality)));
  fmt::print("Errors of step time (mean, median, p90: absolute) and of memory, rows of quality {}\n\n{}\n",
             options.quality, table.text());
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

void print_worst(const Validation& result, const Options& options) {
  std::vector<const ValidatedRow*> rows;
  for (const ValidatedRow& row : result.rows) {
    if (row.step_time_error() && is_chosen(row.run, options.quality)) rows.push_back(&row);
  }
  const auto size = [](const ValidatedRow* row) { return std::abs(std::log1p(*row->step_time_error())); };
  std::sort(rows.begin(), rows.end(), [&](auto* a, auto* b) { return size(a) > size(b); });
  rows.resize(std::min(rows.size(), static_cast<std::size_t>(options.worst)));
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

// ---- the command

PublishedRuns read_table(const Options& options) {
  PublishedRuns table = options.file.empty() ? parse_published_runs(published_runs_csv(), kBuiltIn)
                                             : parse_published_runs(read_text_file(options.file), options.file);
  if (options.source.empty()) return table;
  std::vector<std::string_view> sources;
  for (const PublishedRun& run : table.runs) {
    if (std::find(sources.begin(), sources.end(), run.source) == sources.end()) sources.push_back(run.source);
  }
  if (std::find(sources.begin(), sources.end(), options.source) == sources.end()) {
    throw Error(ErrorKind::kConfig, fmt::format("--source {}: is not in the table; there are {}",
                                                printable(options.source), fmt::join(sources, ", ")));
  }
  std::erase_if(table.runs, [&](const PublishedRun& run) { return run.source != options.source; });
  return table;
}

/// A table of which nothing can be predicted has no scores to show.
void check_predicted(const Validation& result, const Options& options) {
  for (const ValidatedRow& row : result.rows) {
    if (row.predicted()) return;
  }
  throw Error(ErrorKind::kConfig, fmt::format("{}: none of {} rows can be predicted; the first, line {}: {}",
                                              options.file.empty() ? kBuiltIn : options.file, result.rows.size(),
                                              result.rows.front().run.line, result.rows.front().setup.skipped));
}

void run(const Options& options) {
  const Constants constants = options.constants.empty()
                                  ? default_constants()
                                  : parse_constants(read_text_file(options.constants), options.constants);
  const Validation result = validate(read_table(options), default_catalog(), constants);
  check_predicted(result, options);
  if (options.json) return print_json(result, options);
  print_scores(result, options);
  print_worst(result, options);
  print_skipped(result);
}

}  // namespace

void add_validate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("validate", "Predict published training runs and state the error, per source and overall.");
  command->add_option("file", options->file, "Table of runs (data/published/README.md); else the built-in one")
      ->type_name("FILE.csv");
  command->add_option("--source", options->source, "Only rows of this source (the id without its number)")
      ->type_name("NAME");
  command->add_option("--quality", options->quality, "Rows that are scored, by the letter in their notes")
      ->check(CLI::IsMember({"A", "B", "C", "AB", "AC", "BC", "ABC"}))
      ->capture_default_str();
  command->add_option("--worst", options->worst, "Rows to explain")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  command->add_option("--constants", options->constants, "Table of constants in place of the built-in one")
      ->type_name("constants.csv");
  command->add_flag("--json", options->json, "One JSON object: rows, sources, overall, broken");
  command->footer(
      "Blank fields take the framework's default and are listed as assumed; docs/validation.md has the results.\n"
      "Examples:\n"
      "  shardscope validate\n"
      "  shardscope validate --source foundry --worst 20\n"
      "  shardscope validate my_runs.csv --json\n");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
