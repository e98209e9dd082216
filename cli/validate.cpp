// shardscope validate: predictions beside published runs, and their errors.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>

#include "cli/command.h"
#include "cli/validate_report.h"
#include "core/error.h"
#include "core/spec/json_reader.h"
#include "simulator/validate/fit.h"
#include "simulator/validate/residuals.h"
#include "simulator/validate/scatter_svg.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string file, source, constants, svg, fit, intervals;
  ValidationView view;
  bool json = false, summary = false, leave_one_out = false;
};

constexpr const char* kBuiltIn = "data/published/published_runs.csv";

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

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw Error(ErrorKind::kIo, path + ": cannot be written");
}

FitOptions fit_options(const Options& options) {
  FitOptions fit{.qualities = options.view.qualities};
  fit.progress = [](int iteration, double cost) { fmt::print(stderr, "fit {}: cost {:.5f}\n", iteration + 1, cost); };
  return fit;
}

std::vector<ValidatedRow> prepare(const PublishedRuns& table, const HardwareCatalog& catalog) {
  std::vector<ValidatedRow> rows;
  for (const PublishedRun& run : table.runs) rows.push_back(prepare_row(run, catalog));
  return rows;
}

/// Fits, writes the table, and goes on with it.
void fit_and_write(const Options& options, const PublishedRuns& table, const HardwareCatalog& catalog,
                   Constants& constants) {
  write_file(options.fit, constants_csv(constants));  // better to know before the fit that it cannot be written
  const FitResult fit = fit_constants(prepare(table, catalog), constants, fit_options(options));
  if (fit.rows == 0) throw Error(ErrorKind::kConfig, "--fit: no row of the chosen quality has a step time to fit");
  write_file(options.fit, constants_csv(fit.constants));
  if (!options.json) print_fit(constants, fit);
  constants = fit.constants;
}

/// From left-out predictions if there are any: those are what a run that nobody has seen may expect.
void write_intervals(const Options& options, const Validation& result, const std::map<std::string, LeftOut>& left_out) {
  std::vector<ValidatedRow> rows = result.rows;
  if (!left_out.empty()) rows.clear();
  for (const auto& [name, one] : left_out) rows.insert(rows.end(), one.rows.begin(), one.rows.end());
  const char* source = left_out.empty() ? "published runs, constants fitted on them"
                                        : "published runs, constants fitted on the other sources";
  write_file(options.intervals, intervals_csv(residual_intervals(rows, options.view.qualities, source)));
}

void run(const Options& options) {
  Constants constants = options.constants.empty()
                            ? default_constants()
                            : parse_constants(read_text_file(options.constants), options.constants);
  const PublishedRuns table = read_table(options);
  const HardwareCatalog catalog = default_catalog();
  if (!options.fit.empty()) fit_and_write(options, table, catalog, constants);
  const Validation result = validate(table, catalog, constants);
  check_predicted(result, options);
  std::map<std::string, LeftOut> left_out;
  if (options.leave_one_out) left_out = leave_one_source_out(prepare(table, catalog), constants, fit_options(options));
  if (!options.intervals.empty()) write_intervals(options, result, left_out);
  if (!options.svg.empty()) write_file(options.svg, scatter_svg(result.rows, options.view.qualities));
  if (options.json) {
    auto out = validation_json(result, options.view);
    if (options.summary) out.erase("rows"), out.erase("sweeps");
    if (options.leave_one_out) out["leave_one_out"] = left_out_json(left_out);
    fmt::print("{}\n",
               out.dump(options.summary ? 1 : -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  print_validation(result, options.view);
  if (options.leave_one_out) print_left_out(left_out);
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
  command->add_option("--quality", options->view.qualities, "Rows that are scored, by the letter in their notes")
      ->check(CLI::IsMember({"A", "B", "C", "AB", "AC", "BC", "ABC"}))
      ->capture_default_str();
  command->add_option("--worst", options->view.worst, "Rows to explain")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  command->add_option("--constants", options->constants, "Table of constants in place of the built-in one")
      ->type_name("constants.csv");
  command->add_option("--svg", options->svg, "Write a scatter plot, predicted against published")->type_name("out.svg");
  command
      ->add_option("--fit", options->fit,
                   "Fit the constants marked fitted on these rows, write the table, go on with it")
      ->type_name("constants.csv");
  command
      ->add_option("--intervals", options->intervals,
                   "Write how far predictions were off, by framework and size: data/calibration/intervals.csv")
      ->type_name("intervals.csv");
  command->add_flag("--leave-one-out", options->leave_one_out,
                    "Also each source's error under constants fitted on all others (minutes)");
  auto* json = command->add_flag("--json", options->json, "One JSON object: rows, sources, overall, sweeps, broken");
  command->add_flag("--sweeps", options->view.sweeps, "How each sweep is ranked, and the pair told most wrongly")
      ->excludes(json);
  command->add_flag("--summary", options->summary, "With --json: without the rows, a line for each number")
      ->needs(json);
  command->footer(
      "Blank fields take the framework's default and are listed as assumed; docs/validation.md has the results.\n"
      "Examples:\n"
      "  shardscope validate\n"
      "  shardscope validate --source foundry --worst 20\n"
      "  shardscope validate --source usp --sweeps\n"
      "  shardscope validate my_runs.csv --json\n"
      "  shardscope validate --svg scatter.svg --leave-one-out\n"
      "  shardscope validate --fit constants.csv\n"
      "  shardscope validate --leave-one-out --intervals intervals.csv\n");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
