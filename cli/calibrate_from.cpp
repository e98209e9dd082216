#include "cli/calibrate_from.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/run_json.h"
#include "cli/text_table.h"
#include "profiler/query/step_times.h"
#include "simulator/like/measured_run.h"
#include "simulator/simulate.h"

namespace shardscope::cli {
namespace {

/// Step times of the run: measured, and predicted by the machine before and after.
struct Steps {
  double measured = 0, before = 0, after = 0;
  double error(double predicted) const { return measured > 0 ? predicted / measured - 1 : 0; }
};

std::string percents(const Residuals& r) { return fmt::format("{:.1f} / {:.1f}", 100 * r.median, 100 * r.p90); }

void print_fits(const Refit& fitted) {
  double all = 0;
  for (const ModelFit& fit : fitted.fits) all += fit.seconds;
  TextTable table({"model", "sizes", "ops", "of the time", "before: median / p90 %", "after: median / p90 %"});
  for (const ModelFit& fit : fitted.fits) {
    table.add({fit.model, std::to_string(fit.points), std::to_string(fit.ops), percent(fit.seconds, all),
               percents(fit.before), percents(fit.after)});
  }
  fmt::print("{}", table.text());
}

void print_report(const CalibrateFrom& options, const MeasuredJob& run, const Refit& fitted, const Steps& steps) {
  fmt::print("{}: {}, {} rank{}, {} steps, on {}\n", run.source, printable(run.row.model), run.row.world,
             run.row.world == 1 ? "" : "s", run.row.steps, run.place());
  fmt::print(
      "An op's slice and the lane's gap after it, predicted against measured (its mean over the steps of middling "
      "length), each size of a model once:\n");
  print_fits(fitted);
  if (!fitted.unfitted.empty()) fmt::print("not fitted   {}\n", fmt::join(fitted.unfitted, ", "));
  const char* guesses = run.machine_text.empty() ? "guesses (--base FILE has better)" : "the machine file of the run";
  fmt::print("not seen     all other models, overheads, the drive's sharing: from {}\n",
             options.base.empty() ? guesses : options.base);
  fmt::print("waiting      {}\n", describe_waits(run, fitted));
  fmt::print("step         {:.4f} s measured; predicted {:.4f} s ({}) before, {:.4f} s ({}) after\n", steps.measured,
             steps.before, signed_percent(steps.error(steps.before)), steps.after,
             signed_percent(steps.error(steps.after)));
  fmt::print("written to {}\n", options.output);
}

nlohmann::json residuals_json(const Residuals& r) { return {{"median", r.median}, {"p90", r.p90}}; }

void print_json(const CalibrateFrom& options, const MeasuredJob& run, const Refit& fitted, const Steps& steps) {
  nlohmann::json fits = nlohmann::json::array();
  for (const ModelFit& fit : fitted.fits) {
    fits.push_back({{"model", fit.model},
                    {"sizes", fit.points},
                    {"ops", fit.ops},
                    {"seconds", fit.seconds},
                    {"before", residuals_json(fit.before)},
                    {"after", residuals_json(fit.after)}});
  }
  fmt::print("{}", to_line({{"machine", options.output},
                            {"run", run.row.name},
                            {"profile", options.profile},
                            {"base", options.base.empty() ? nlohmann::json() : nlohmann::json(options.base)},
                            {"fits", fits},
                            {"not_fitted", fitted.unfitted},
                            {"core_capacity", fitted.capacity},
                            {"crowded_meeting_s", fitted.crowded_meeting_s},
                            {"scale", fitted.scale},
                            {"measured_step_time_s", steps.measured},
                            {"predicted_step_time_s", {{"before", steps.before}, {"after", steps.after}}}}));
}

}  // namespace

void calibrate_from(const CalibrateFrom& options) {
  const Profile profile(options.profile);
  const MeasuredJob run = read_measured_run(profile, options.run);
  const Machine base = base_machine(run, options.base);
  Refit fitted = refit(base, run.measured());
  fitted.machine.name = run.place();
  save_machine(fitted.machine, options.output);
  const Steps steps{step_times(profile, run.row.id).median_s, simulate(run.programs, base).step_time_s,
                    simulate(run.programs, fitted.machine).step_time_s};
  options.json ? print_json(options, run, fitted, steps) : print_report(options, run, fitted, steps);
}

}  // namespace shardscope::cli
