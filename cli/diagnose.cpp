// shardscope diagnose: what costs a run the most time, in plain sentences, why, and what would help.

#include "profiler/diagnose/diagnose.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "simulator/like/trials.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, run;
  int top = 0;
  bool json = false, what_if = true;
};

/// What was found, and what the what-if figures rest on.
struct Diagnosis {
  RunFacts facts;
  std::vector<Trouble> findings;
  std::string what_if;  ///< one sentence
};

std::string result_of(const Trial& trial, const LikeOutcome& outcome) {
  std::string text = fmt::format("with {} the simulator predicts {:+.1f} %", trial.what, 100 * outcome.change);
  if (std::abs(outcome.memory) >= 0.005) text += fmt::format(", and {:+.0f} % memory", 100 * outcome.memory);
  return text;
}

/// Of each setting that a trouble proposes the best value, if it helps; or that none does.
void simulate_trials(const LikeTrials& trials, Trouble& f) {
  constexpr double kNothing = 0.005;
  std::map<std::string, TrialResult> best;  // by setting
  double least = 0;
  std::size_t tried = 0;
  for (const Trial& trial : f.trials) {
    if (trial.settings.empty()) continue;
    const LikeOutcome outcome = trials.try_settings(trial.settings);
    if (!outcome.problem.empty()) continue;
    least = tried++ == 0 ? outcome.change : std::min(least, outcome.change);
    if (outcome.change > -kNothing) continue;
    const std::string setting = trial.settings.front().substr(0, trial.settings.front().find('='));
    const TrialResult result{result_of(trial, outcome), outcome.change, true};
    const auto [known, is_new] = best.try_emplace(setting, result);
    if (!is_new && result.change < known->second.change) known->second = result;
  }
  for (auto& [setting, result] : best) f.results.push_back(std::move(result));
  std::stable_sort(f.results.begin(), f.results.end(),
                   [](const TrialResult& a, const TrialResult& b) { return a.change < b.change; });
  if (best.empty() && tried > 0) {
    f.results.push_back({fmt::format("of {} changes of settings that were simulated none helps ({:+.1f} % at best)",
                                     tried, 100 * least),
                         least, true});
  }
}

/// Runs of ours, measured here: the simulator can say what other settings would do.
std::optional<LikeTrials> trials_of(const Profile& profile, const RunFacts& facts, std::string& why_not) {
  if (!facts.has_job() || facts.run.predicted || facts.imported) return std::nullopt;
  try {
    return LikeTrials(profile, std::to_string(facts.run.id));
  } catch (const Error& error) {
    why_not = error.what();
    return std::nullopt;
  }
}

void ask_what_if(const Profile& profile, Diagnosis& d) {
  std::string why_not;
  if (const std::optional<LikeTrials> trials = trials_of(profile, d.facts, why_not)) {
    for (Trouble& f : d.findings) simulate_trials(*trials, f);
    d.what_if =
        "Simulated: the run's job with other settings, in seconds fitted to this run (predict --like); of the time "
        "of a token.";
  } else if (!why_not.empty()) {
    d.what_if = "Settings were not simulated: " + why_not + ".";
  }
  const StepGraphSource source(profile, d.facts.run.id);
  const std::optional<std::int64_t> step = source.usual_step();
  if (!step || d.findings.empty()) return;
  try_replays(source.graph(*step), d.findings);
  if (!d.what_if.empty()) d.what_if += " ";
  d.what_if += fmt::format(
      "Run again: step {} as measured, with one thing changed, everything after it as long after it "
      "as it was; at most so much is gained.",
      *step);
}

/// A finding without a cost stays only if something was found to help.
void leave_out_nothing(std::vector<Trouble>& findings) {
  std::erase_if(findings, [](const Trouble& f) {
    const bool helps =
        std::any_of(f.results.begin(), f.results.end(), [](const TrialResult& r) { return r.change < -0.01; });
    return f.rule == "unused_memory" && !helps;
  });
}

Diagnosis make(const Profile& profile, const Options& o) {
  Diagnosis d;
  d.facts = gather_facts(profile, find_run_or_first(profile, o.run).id);
  d.findings = diagnose(d.facts);
  if (o.what_if) ask_what_if(profile, d);
  leave_out_nothing(d.findings);
  if (o.top > 0 && d.findings.size() > static_cast<std::size_t>(o.top))
    d.findings.resize(static_cast<std::size_t>(o.top));
  return d;
}

std::string sentence(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text.ends_with('.') ? text : text + ".";
}

void print(const Diagnosis& d) {
  const RunFacts& facts = d.facts;
  fmt::print("Run {} {}: {} rank{}, a step of {} ms\n", facts.run.id, printable(facts.run.name), facts.ranks,
             facts.ranks == 1 ? "" : "s", milliseconds(facts.step_s));
  if (d.findings.empty()) fmt::print("\nNothing that costs a hundredth of a step was found.\n");
  int number = 0;
  for (const Trouble& f : d.findings) {
    fmt::print("\n{}. {}\n", ++number, printable(f.what));
    for (const std::string& e : f.evidence) fmt::print("   - {}\n", printable(e));
    if (!f.advice.empty()) fmt::print("   {}\n", sentence(f.advice));
    for (const TrialResult& r : f.results) fmt::print("   => {}\n", printable(r.sentence));
  }
  if (!d.what_if.empty()) fmt::print("\n{}\n", printable(d.what_if));
  for (const std::string& remark : facts.time.remarks) fmt::print("{}\n", remark);
}

nlohmann::json json_of(const Diagnosis& d, const Options& o) {
  nlohmann::json findings = nlohmann::json::array();
  for (const Trouble& f : d.findings) {
    nlohmann::json results = nlohmann::json::array();
    for (const TrialResult& r : f.results)
      results.push_back({{"text", r.sentence}, {"step_time", r.change}, {"by", r.simulated ? "simulator" : "replay"}});
    findings.push_back({{"rule", f.rule},
                        {"cost_s", f.cost_s},
                        {"share", f.share},
                        {"what", f.what},
                        {"evidence", f.evidence},
                        {"advice", f.advice},
                        {"what_if", std::move(results)}});
  }
  return {{"profile", o.path},
          {"run", d.facts.run.id},
          {"name", d.facts.run.name},
          {"step_time_s", d.facts.step_s},
          {"findings", std::move(findings)},
          {"remarks", d.facts.time.remarks}};
}

void run(const Options& o) {
  const Profile profile(o.path);
  const Diagnosis d = make(profile, o);
  if (o.json) {
    fmt::print("{}", to_line(json_of(d, o)));
  } else {
    print(d);
  }
}

}  // namespace

void add_diagnose(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("diagnose", "Say what costs a run the most time, why, and what would help.");
  command->add_option("profile", options->path, "The profile")->required()->type_name("RUN.db");
  command->add_option("--run", options->run, "The run, by number or name; else the first measured one")
      ->type_name("N|NAME");
  command->add_option("--top", options->top, "Say this many things; 0: all")->check(CLI::NonNegativeNumber);
  command->add_flag("!--no-what-if", options->what_if, "Do not simulate or replay what would help");
  command->add_flag("--json", options->json, "One JSON object: findings, most costly first");
  command->footer(
      "What it looks for: docs/understand.md.\n"
      "Examples:\n"
      "  shardscope diagnose run.db\n"
      "  shardscope diagnose imported.db --top 3\n"
      "  shardscope diagnose run.db --run zero-3 --json");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
