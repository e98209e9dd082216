// shardscope compare: runs side by side, measured beside predicted.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/compare_work.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "core/error.h"
#include "profiler/query/op_comparison.h"
#include "profiler/query/pair_runs.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/step_times.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::vector<std::string> paths;
  std::string run, against;
  int ops = 0;
  bool json = false, work = false;
};

struct LoadedRun {
  const Profile* profile = nullptr;
  std::size_t file = 0;  ///< index of the profile on the command line
  RunRow row;
  StepTimes times;
  Breakdown breakdown;
  std::int64_t peak_bytes = 0;  ///< device memory of the fullest rank
};

/// What one line of the table shows: a measured run, its prediction, or both.
struct Pair {
  const LoadedRun* measured = nullptr;
  const LoadedRun* predicted = nullptr;
  const LoadedRun& any() const { return measured != nullptr ? *measured : *predicted; }
};

LoadedRun load(const Profile& profile, std::size_t file, const RunRow& row) {
  LoadedRun run{&profile, file, row, step_times(profile, row.id), mean_breakdown(profile, row.id), 0};
  for (const RankRow& rank : list_ranks(profile, row.id)) run.peak_bytes = std::max(run.peak_bytes, rank.peak_bytes[0]);
  return run;
}

std::vector<Pair> pair_up(const std::vector<LoadedRun>& runs) {
  std::vector<PairableRun> keys;
  keys.reserve(runs.size());
  for (const LoadedRun& run : runs) keys.push_back({run.file, run.row.id, run.row.name, run.row.predicted});
  std::vector<Pair> pairs;
  for (const RunPair& pair : pair_runs(keys)) {
    pairs.push_back(
        {pair.measured ? &runs[*pair.measured] : nullptr, pair.predicted ? &runs[*pair.predicted] : nullptr});
  }
  return pairs;
}

/// Relative error of the prediction; nothing without both, or against zero.
std::optional<double> error_of(const Pair& pair, double (*value)(const LoadedRun&)) {
  if (pair.measured == nullptr || pair.predicted == nullptr || value(*pair.measured) == 0) return std::nullopt;
  return value(*pair.predicted) / value(*pair.measured) - 1;
}

double step_time(const LoadedRun& run) { return run.times.median_s; }
double peak_memory(const LoadedRun& run) { return static_cast<double>(run.peak_bytes); }

std::string error_text(const Pair& pair, double (*value)(const LoadedRun&)) {
  const std::optional<double> error = error_of(pair, value);
  return !error ? "-" : *error == 0 ? "exact" : signed_percent(*error);
}

template <class F>
std::string cell(const LoadedRun* run, F&& text) {
  return run == nullptr ? "-" : text(*run);
}

void print_table(const std::vector<Pair>& pairs, bool several_files) {
  const auto ms = [](const LoadedRun& r) { return fmt::format("{:.1f}", r.times.median_s * 1e3); };
  // What an imported run does not know is no number.
  const auto mib = [](const LoadedRun& r) { return r.peak_bytes > 0 ? mebibytes(r.peak_bytes) : "-"; };
  const auto exposed = [](const LoadedRun& r) {
    return fmt::format("{:.1f}", r.breakdown.exposed_communication_s * 1e3);
  };
  const auto rate = [](const LoadedRun& r) { return rate_text(r.times.tokens_per_s); };
  const auto loss = [](const LoadedRun& r) {
    const bool known = !r.times.losses.empty() && !std::isnan(r.times.losses.back());
    return known ? fmt::format("{:.4f}", r.times.losses.back()) : "-";
  };
  TextTable table({"run", "ZeRO", "ranks", "loss", "step ms", "predicted", "error", "MiB/rank", "predicted", "error",
                   "exposed ms", "predicted", "tokens/s", "predicted"});
  for (const Pair& p : pairs) {
    const LoadedRun& run = p.any();
    table.add({run.row.name + (several_files ? " (" + run.profile->path() + ")" : ""),
               std::to_string(run.row.zero_stage), std::to_string(run.row.world), cell(p.measured, loss),
               cell(p.measured, ms), cell(p.predicted, ms), error_text(p, step_time), cell(p.measured, mib),
               cell(p.predicted, mib), error_text(p, peak_memory), cell(p.measured, exposed),
               cell(p.predicted, exposed), cell(p.measured, rate), cell(p.predicted, rate)});
  }
  fmt::print("{}", table.text());
}

void print_ops(const Pair& pair, int count) {
  if (pair.measured == nullptr || pair.predicted == nullptr) return;
  const LoadedRun &m = *pair.measured, &p = *pair.predicted;
  fmt::print("\nRun {}: ops with the largest difference, rank 0, mean us\n", printable(m.row.name));
  TextTable table({"op", "phase", "name", "measured", "predicted", "difference"}, 3);
  for (const OpComparison& op : op_comparison(*m.profile, m.row.id, *p.profile, p.row.id, 0)) {
    if (count-- == 0) break;
    table.add({fmt::format("{} {}", op.op, op.kind), op.phase, op.name, fmt::format("{:.1f}", op.a_mean_s * 1e6),
               fmt::format("{:.1f}", op.b_mean_s * 1e6), fmt::format("{:+.1f}", (op.b_mean_s - op.a_mean_s) * 1e6)});
  }
  fmt::print("{}", table.text());
}

nlohmann::json pair_json(const Pair& pair) {
  const LoadedRun& run = pair.any();
  nlohmann::json json = run_json(*run.profile, run.row);
  if (pair.measured == nullptr || pair.predicted == nullptr) return json;
  const LoadedRun& p = *pair.predicted;
  json["predicted"] = {{"run", p.row.id},
                       {"profile", p.profile->path()},
                       {"step_time_s", p.times.median_s},
                       {"ranks", ranks_json(*p.profile, p.row.id)}};
  const auto error = [&](double (*value)(const LoadedRun&)) -> nlohmann::json {
    const std::optional<double> e = error_of(pair, value);
    return e ? nlohmann::json(*e) : nlohmann::json();
  };
  json["error"] = {{"step_time", error(step_time)}, {"peak_bytes", error(peak_memory)}};
  return json;
}

/// Every run once: measured ones with their prediction inside, then every predicted one.
nlohmann::json all_json(const std::vector<Pair>& pairs, const std::vector<LoadedRun>& runs) {
  nlohmann::json list = nlohmann::json::array();
  for (const Pair& pair : pairs) {
    if (pair.measured != nullptr) list.push_back(pair_json(pair));
  }
  for (const LoadedRun& run : runs) {
    if (run.row.predicted) list.push_back(run_json(*run.profile, run.row));
  }
  return {{"runs", std::move(list)}};
}

/// The two runs whose work is compared: those asked for or, of two files, the first of each, else the first two.
std::pair<const LoadedRun*, const LoadedRun*> chosen_two(const Options& o, const std::deque<Profile>& profiles,
                                                         const std::vector<LoadedRun>& runs) {
  const auto find = [&](std::size_t file, const std::string& name, const LoadedRun* not_this) -> const LoadedRun* {
    if (!name.empty()) {
      const std::int64_t id = find_run(profiles[file], name).id;
      for (const LoadedRun& run : runs)
        if (run.file == file && run.row.id == id) return &run;
    }
    const LoadedRun* found = nullptr;  // a measured one, if there is any
    for (const LoadedRun& run : runs) {
      if (run.file != file || &run == not_this) continue;
      if (found == nullptr || (found->row.predicted && !run.row.predicted)) found = &run;
    }
    return found;
  };
  const LoadedRun* a = find(0, o.run, nullptr);
  const LoadedRun* b = find(profiles.size() > 1 ? 1 : 0, o.against, a);
  if (a == nullptr || b == nullptr) {
    throw Error(ErrorKind::kConfig, o.paths.back() +
                                        ": holds no other run to compare with; give two profiles, or a "
                                        "profile of two runs");
  }
  return {a, b};
}

/// Asked for, or nothing else to show of two runs: they are no run and its prediction.
bool wants_work(const Options& o, const std::vector<LoadedRun>& runs, const std::vector<Pair>& pairs) {
  return o.work || !o.run.empty() || !o.against.empty() || (runs.size() == 2 && pairs.size() == 2);
}

/// Runs without steps that nobody asked to be compared are shown without.
std::optional<RunDifference> difference_of(const Options& o, const LoadedRun& a, const LoadedRun& b) {
  try {
    return run_difference(*a.profile, a.row.id, *b.profile, b.row.id);
  } catch (const Error& error) {
    if (o.work || error.kind() != ErrorKind::kConfig) throw;
    return std::nullopt;
  }
}

std::string title_of(const LoadedRun& run, const char* letter) {
  return fmt::format("{}: {}{}", letter, printable(run.row.name), run.row.predicted ? " (predicted)" : "");
}

void run(const Options& o) {
  std::deque<Profile> profiles;  // their addresses stay
  std::vector<LoadedRun> runs;
  for (const std::string& path : o.paths) {
    const Profile& profile = profiles.emplace_back(path);
    for (const RunRow& row : list_runs(profile)) runs.push_back(load(profile, profiles.size() - 1, row));
  }
  if (runs.empty()) throw Error(ErrorKind::kConfig, o.paths.front() + ": holds no runs to compare");
  const std::vector<Pair> pairs = pair_up(runs);
  std::optional<RunDifference> work;
  std::pair<const LoadedRun*, const LoadedRun*> two{nullptr, nullptr};
  if (wants_work(o, runs, pairs)) {
    two = chosen_two(o, profiles, runs);
    work = difference_of(o, *two.first, *two.second);
  }
  if (o.json) {
    nlohmann::json json = all_json(pairs, runs);
    if (work) {
      json["work"] = work_json(*work);
      for (const auto& [key, run] : {std::pair("a", two.first), std::pair("b", two.second)})
        json["work"][key] = {{"profile", run->profile->path()}, {"run", run->row.id}, {"name", run->row.name}};
    }
    fmt::print("{}", to_line(json));
    return;
  }
  print_table(pairs, o.paths.size() > 1);
  if (work) print_work(*work, title_of(*two.first, "A"), title_of(*two.second, "B"), o.ops > 0 ? o.ops : 15);
  if (o.ops > 0) {
    for (const Pair& pair : pairs) print_ops(pair, o.ops);
  }
}

}  // namespace

void add_compare(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compare", "Lay runs side by side: loss, step time, memory, exposed communication.");
  command->add_option("profiles", options->paths, "One or more profiles; runs of the same name are paired")
      ->required()
      ->type_name("A.db [B.db]");
  command->add_option("--ops", options->ops, "Also list this many ops with the largest difference, per pair")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--work", options->work,
                    "Also where two runs differ, whatever recorded them: by part of the step, family and phase of "
                    "work, collectives in order. Of two runs that are no run and its prediction always");
  command->add_option("--run", options->run, "With --work: A, of the first profile; else its first measured run")
      ->type_name("N|NAME");
  command->add_option("--against", options->against, "With --work: B, of the second profile, or of the only one")
      ->type_name("N|NAME");
  command->add_flag("--json", options->json, "One JSON object: runs, each with the keys of train --json; work");
  command->footer(
      "Examples:\n"
      "  shardscope compare run.db                      measured beside predicted, paired by name\n"
      "  shardscope compare before.db after.db --ops 10\n"
      "  shardscope compare run.db --json\n"
      "  shardscope compare imported.db predicted.db    a run of PyTorch beside a prediction, by family of work\n"
      "  shardscope compare run.db --run zero-2 --against zero-3\n"
      "Step time is the median step of the slowest rank, memory the peak of the fullest rank's device space.");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
