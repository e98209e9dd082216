#include "gui/models/run_summary.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "gui/models/plain_text.h"
#include "profiler/query/step_times.h"
#include "profiler/store/profile.h"

namespace shardscope::gui {

namespace {

void add_memory(RunSummary& summary, const Profile& profile) {
  constexpr auto kDevice = static_cast<std::size_t>(Space::kDevice);
  for (const RankRow& rank : list_ranks(profile, summary.run.id)) {
    if (rank.peak_bytes[kDevice] <= summary.peak_bytes) continue;
    summary.peak_bytes = rank.peak_bytes[kDevice];
    summary.fullest_rank = rank.rank;
  }
  for (const MemoryRow& row : memory_by_category(profile, summary.run.id)) {
    if (row.rank == summary.fullest_rank && row.space == Space::kDevice) summary.memory.push_back(row);
  }
}

/// Names that are no recorder's may be of any length and hold line ends.
RunRow as_shown(RunRow run) {
  for (std::string* text : {&run.name, &run.model}) *text = one_line(QString::fromStdString(*text)).toStdString();
  return run;
}

bool is_prediction_of(const RunSummary& prediction, const RunSummary& measured) {
  return !measured.run.predicted && prediction.run.name == measured.run.name && prediction.file == measured.file;
}

}  // namespace

RunSummary load_summary(const Profile& profile, const RunRow& run) {
  RunSummary summary;
  summary.file = profile.path();
  summary.run = as_shown(run);
  const StepTimes times = step_times(profile, run.id);
  summary.step_time_s = times.median_s;
  summary.tokens_per_s = times.tokens_per_s;
  summary.last_loss = times.losses.empty() ? std::numeric_limits<double>::quiet_NaN() : times.losses.back();
  summary.parts = mean_breakdown(profile, run.id);
  summary.diagnostics = list_diagnostics(profile, run.id);
  add_memory(summary, profile);
  return summary;
}

std::vector<RunSummary> load_summaries(const std::vector<std::string>& paths, const std::atomic<bool>* stop,
                                       const std::function<void(int done)>& progress) {
  std::vector<RunSummary> runs;
  for (const std::string& path : paths) {
    const Profile profile(path);
    for (const RunRow& run : list_runs(profile)) {
      if (stop != nullptr && *stop) return runs;
      runs.push_back(load_summary(profile, run));
      progress(static_cast<int>(runs.size()));
    }
  }
  return pair_predictions(std::move(runs));
}

std::vector<RunSummary> list_summaries(const std::vector<std::string>& paths) {
  std::vector<RunSummary> runs;
  for (const std::string& path : paths) {
    const Profile profile(path);
    for (const RunRow& run : list_runs(profile)) {
      RunSummary& summary = runs.emplace_back();
      summary.file = path;
      summary.run = as_shown(run);
      summary.last_loss = std::numeric_limits<double>::quiet_NaN();
    }
  }
  return pair_predictions(std::move(runs));
}

std::vector<RunSummary> pair_predictions(std::vector<RunSummary> runs) {
  // A measured run takes the first prediction of its name that is not taken; what nobody takes keeps its place.
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> prediction(runs.size(), kNone);
  std::vector<bool> taken(runs.size(), false);
  for (std::size_t m = 0; m < runs.size(); ++m) {
    for (std::size_t p = 0; p < runs.size() && prediction[m] == kNone; ++p) {
      if (taken[p] || !runs[p].run.predicted || !is_prediction_of(runs[p], runs[m])) continue;
      prediction[m] = p;
      taken[p] = true;
    }
  }
  std::vector<RunSummary> ordered;
  ordered.reserve(runs.size());
  for (std::size_t m = 0; m < runs.size(); ++m) {
    if (taken[m]) continue;
    ordered.push_back(std::move(runs[m]));
    if (prediction[m] != kNone) ordered.push_back(std::move(runs[prediction[m]]));
  }
  return ordered;
}

std::string display_name(const RunSummary& summary) {
  if (summary.run.name.empty()) return "run " + std::to_string(summary.run.id);
  return summary.run.name;
}

std::string describe(const RunRow& run) {
  std::string text = run.predicted ? "predicted" : "measured";
  if (!run.model.empty()) text += ", " + run.model;
  if (run.model != "imported") text += ", ZeRO-" + std::to_string(run.zero_stage);
  return text + ", " + std::to_string(run.world) + (run.world == 1 ? " rank" : " ranks");
}

}  // namespace shardscope::gui
