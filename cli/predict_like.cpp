#include "cli/predict_like.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/memory_json.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "core/engine/suggest_fit.h"
#include "core/error.h"
#include "core/program/lower.h"
#include "core/spec/job_settings.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/step_times.h"
#include "simulator/fold/device_peak.h"
#include "simulator/like/measured_run.h"
#include "simulator/simulate.h"

namespace shardscope::cli {
namespace {

/// What is shown of a run, measured or predicted.
struct Column {
  double step_s = 0, tokens_per_s = 0;
  StepBreakdown parts;
  std::int64_t peak_bytes = 0;  ///< device memory of the fullest rank
};

std::int64_t device_peak(const MemoryPeak& peak) { return peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]; }

Column measured_column(const Profile& profile, const RunRow& row) {
  const StepTimes times = step_times(profile, row.id);
  const Breakdown b = mean_breakdown(profile, row.id);
  Column column{times.median_s,
                times.tokens_per_s,
                {b.compute_s + b.load_s, b.exposed_communication_s, b.idle_s, b.offload_s, b.optimizer_s},
                0};
  for (const RankRow& rank : list_ranks(profile, row.id)) {
    column.peak_bytes = std::max(column.peak_bytes, rank.peak_bytes[static_cast<std::size_t>(Space::kDevice)]);
  }
  return column;
}

Column predicted_column(std::span<const Program> programs, const Machine& machine) {
  const Prediction p = simulate(programs, machine);
  Column column{p.step_time_s, p.tokens_per_s, p.breakdown, 0};
  for (const RankPrediction& rank : p.ranks) column.peak_bytes = std::max(column.peak_bytes, device_peak(rank.peak));
  return column;
}

std::vector<Program> lower_all(const Job& job) {
  std::vector<Program> programs;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) programs.push_back(lower(job, rank));
  return programs;
}

class Like {
 public:
  explicit Like(const PredictLike& options)
      : options_(options), profile_(options.profile), run_(read_measured_run(profile_, options.run)) {
    refuse_flags();
    const std::string text = apply_job_settings(run_.text, options.settings);
    job_ = parse_job(text, run_.source, options.flags);
    if (options.device_memory > 0) job_.device_memory_bytes = options.device_memory;
    is_changed_ = job_.text != run_.job.text;
  }

  void run() {
    const Machine base = base_machine(run_, options_.flags.machine.value_or(""));
    const Refit fitted = refit(base, run_.measured());
    source_ = fitted.machine.source;
    waits_ = describe_waits(run_, fitted);
    scale_ = fitted.scale;
    measured_ = measured_column(profile_, run_.row);
    as_run_ = predicted_column(run_.programs, fitted.machine);
    const std::vector<Program> programs = lower_all(job_);
    changed_ = predicted_column(programs, fitted.machine);
    note_unseen(programs, fitted);
    split_turns();
    options_.json ? print_json() : print_text();
  }

 private:
  void refuse_flags() const {
    const char* flag = options_.flags.cluster ? "--cluster" : options_.flags.profile ? "--profile" : nullptr;
    if (flag == nullptr) return;
    throw Error(ErrorKind::kUnsupported,
                fmt::format("{}: --like speaks of the machine that the run was measured on; leave {} out", flag, flag));
  }

  void note_unseen(std::span<const Program> programs, const Refit& fitted) {
    for (const std::string& model : models_asked(programs, fitted.machine)) {
      const bool seen =
          std::any_of(fitted.fits.begin(), fitted.fits.end(), [&](const ModelFit& fit) { return fit.model == model; });
      if (!seen) unseen_.push_back(model);
    }
  }

  /// Ranks that outnumber the cores take turns; on the clock they share cores evenly and stay abreast. So what they
  /// wait for each other's turns, in collectives or idle, counts as compute there. The run shows how much of it that
  /// is.
  void split_turns() {
    if (run_.job.parallel.ranks() <= run_.cores || as_run_.parts.compute_s <= 0) return;
    const auto more = [&](double StepBreakdown::*part) {
      return std::max(0.0, measured_.parts.*part - as_run_.parts.*part);
    };
    const double meeting = more(&StepBreakdown::exposed_communication_s), idle = more(&StepBreakdown::bubble_s);
    if (meeting + idle <= 0) return;
    turns_ = std::min(1.0, (meeting + idle) / as_run_.parts.compute_s);
    const auto move = [&](StepBreakdown& parts) {
      const double moved = turns_ * parts.compute_s;
      parts.exposed_communication_s += moved * meeting / (meeting + idle);
      parts.bubble_s += moved * idle / (meeting + idle);
      parts.compute_s -= moved;
    };
    move(as_run_.parts);
    if (job_.parallel.ranks() > run_.cores) move(changed_.parts);
  }

  bool fits() const { return job_.device_memory_bytes == 0 || changed_.peak_bytes <= job_.device_memory_bytes; }

  std::vector<FitSuggestion> suggestions() const {
    if (fits()) return {};
    return suggest_fit(job_, job_.device_memory_bytes, folded_device_peak);
  }

  void print_text() const {
    fmt::print("{}: {}, ZeRO {}, {} rank{}, {} tokens a step\n", run_.source, printable(run_.row.model),
               run_.row.zero_stage, run_.row.world, run_.row.world == 1 ? "" : "s", run_.row.tokens_per_step);
    if (is_changed_) {
      fmt::print("changed: {}ZeRO {}, {} rank{}, {} tokens a step\n",
                 options_.settings.empty() ? "" : fmt::format("{}: ", fmt::join(options_.settings, ", ")),
                 job_.training.zero.stage, job_.parallel.ranks(), job_.parallel.ranks() == 1 ? "" : "s",
                 job_.training.train_batch_size * job_.data.seq_len);
    }
    fmt::print("{}", table().text());
    if (!fits()) {
      fmt::print("DOES NOT FIT into {} MiB a rank; {}\n", mebibytes(job_.device_memory_bytes), describe(suggestions()));
    }
    if (!unseen_.empty()) {
      fmt::print("not seen in the run, so less sure: {}\n", fmt::join(unseen_, "; "));
    }
    fmt::print("fitted: {}\n", waits_);
    if (turns_ > 0) {
      fmt::print("split: {:.1f} % of compute on the clock is waiting for other ranks' turns, as the run shows\n",
                 100 * turns_);
    }
    fmt::print("measured on {}\n", run_.place());
    fmt::print("seconds from {}\n", source_);
  }

  TextTable table() const {
    std::vector<std::string> head{"", "measured", "predicted", "error"};
    if (is_changed_) head.insert(head.end(), {"changed", "against predicted"});
    TextTable table(head);
    const auto add = [&](const std::string& name, auto&& value, auto&& text) {
      const double m = value(measured_), p = value(as_run_), c = value(changed_);
      if (m == 0 && p == 0 && c == 0) return;
      const auto ratio = [](double a, double b) { return b == 0 ? std::string("-") : signed_percent(a / b - 1); };
      std::vector<std::string> row{name, text(m), text(p), ratio(p, m)};
      if (is_changed_) row.insert(row.end(), {text(c), ratio(c, p)});
      table.add(row);
    };
    add(
        "step, ms", [](const Column& c) { return c.step_s; }, milliseconds);
    const auto part = [&](const char* name, double StepBreakdown::*seconds) {
      add(
          name, [&](const Column& c) { return c.parts.*seconds; }, milliseconds);
    };
    part("  compute", &StepBreakdown::compute_s);
    part("  exposed communication", &StepBreakdown::exposed_communication_s);
    part("  optimizer", &StepBreakdown::optimizer_s);
    part("  offload", &StepBreakdown::offload_s);
    part("  idle", &StepBreakdown::bubble_s);
    add(
        "tokens/s", [](const Column& c) { return c.tokens_per_s; }, [](double v) { return fmt::format("{:.0f}", v); });
    add(
        "MiB of the fullest rank", [](const Column& c) { return static_cast<double>(c.peak_bytes); },
        [](double v) { return mebibytes(static_cast<std::int64_t>(v)); });
    return table;
  }

  static nlohmann::json column_json(const Column& c) {
    return {{"step_time_s", c.step_s},
            {"tokens_per_s", c.tokens_per_s},
            {"breakdown_s",
             {{"compute", c.parts.compute_s},
              {"exposed_communication", c.parts.exposed_communication_s},
              {"bubble", c.parts.bubble_s},
              {"offload", c.parts.offload_s},
              {"optimizer", c.parts.optimizer_s}}},
            {"peak_bytes", c.peak_bytes}};
  }

  void print_json() const {
    fmt::print("{}", to_line({{"run", run_.row.name},
                              {"profile", options_.profile},
                              {"set", options_.settings},
                              {"measured", column_json(measured_)},
                              {"predicted", column_json(as_run_)},
                              {"changed", is_changed_ ? column_json(changed_) : nlohmann::json()},
                              {"fits", fits()},
                              {"suggestions", suggestions_json(suggestions())},
                              {"not_seen", unseen_},
                              {"scale", scale_},
                              {"turns", turns_},
                              {"measured_on", {{"cores", run_.cores}, {"processor", run_.processor}}},
                              {"source", source_}}));
  }

  const PredictLike& options_;
  Profile profile_;
  MeasuredJob run_;
  Job job_;
  bool is_changed_ = false;
  Column measured_, as_run_, changed_;
  std::vector<std::string> unseen_;
  std::string source_, waits_;
  double scale_ = 1;
  double turns_ = 0;  ///< part of compute that is waiting for turns
};

}  // namespace

void predict_like(const PredictLike& options) { Like(options).run(); }

std::string like_settings_help() {
  std::string text = "With --like: change the run's job. A path of a job file's key, or";
  for (const JobSettingKey& key : job_setting_keys()) text += fmt::format("\n  {}: {}", key.name, key.meaning);
  return text;
}

}  // namespace shardscope::cli
