#include "gui/models/stages.h"

#include <fmt/format.h>

#include <algorithm>

#include "gui/models/other_run.h"
#include "simulator/like/stages.h"

namespace shardscope::gui {
namespace {

/// The step whose length is in the middle, without the one that warms up.
const Band* median_step(const std::vector<Band>& steps) {
  std::vector<const Band*> counted;
  for (std::size_t i = steps.size() >= 3 ? 1 : 0; i < steps.size(); ++i) counted.push_back(&steps[i]);
  if (counted.empty()) return nullptr;
  std::stable_sort(counted.begin(), counted.end(),
                   [](const Band* x, const Band* y) { return x->time.length() < y->time.length(); });
  return counted[(counted.size() - 1) / 2];
}

struct Loading {
  Timeline timeline;
  int rank;
  std::optional<Band> step;
};

Loading begin_loading(const RunIn& run, int rank) {
  Loading loading{Timeline(run.profile, run.run.id), rank, {}};
  const auto& tracks = loading.timeline.tracks();
  const bool has = std::any_of(tracks.begin(), tracks.end(), [&](const TimelineTrack& t) { return t.rank == rank; });
  if (!has && !tracks.empty()) loading.rank = tracks.front().rank;
  const std::vector<Band> steps = loading.timeline.steps(loading.rank);
  if (const Band* step = median_step(steps)) loading.step = *step;
  return loading;
}

}  // namespace

StagesData load_stages(const std::vector<RunIn>& runs, int rank, int pixels) {
  StagesData data;
  data.rank = rank;
  std::vector<Loading> loadings;
  for (const RunIn& run : runs) {
    loadings.push_back(begin_loading(run, rank));
    if (loadings.back().step) data.window.end_ns = std::max(data.window.end_ns, loadings.back().step->time.length());
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    StagePanel panel;
    panel.name = name_of(runs[i].run);
    panel.summary = load_summary(runs[i].profile, runs[i].run);
    const Loading& loading = loadings[i];
    if (loading.step && data.window.length() > 0) {
      panel.step = loading.step->number;
      panel.lanes = read_rank(loading.timeline, loading.rank, {{loading.step->time, 0, panel.step, panel.step}},
                              data.window, pixels);
    } else {
      panel.problem = "no finished step";
    }
    data.panels.push_back(std::move(panel));
  }
  if (data.panels.empty()) data.problem = "There is no run to show: open a profile.";
  return data;
}

std::vector<RunRow> runs_to_show(const std::vector<RunRow>& runs) {
  std::vector<RunRow> measured = runs;
  std::erase_if(measured, [](const RunRow& run) { return run.predicted; });
  return measured.empty() ? runs : measured;
}

StagesData predict_and_load(const RunIn& run, const std::string& path, int rank, int pixels,
                            const std::function<bool()>& stopped) {
  const std::vector<StageOutcome> outcomes = predict_stages(run.profile, std::to_string(run.run.id), path, stopped);
  const Profile profile(path);
  const std::vector<RunRow> rows = list_runs(profile);
  std::vector<RunIn> runs;
  for (const RunRow& row : rows) runs.push_back({profile, row});
  StagesData data = load_stages(runs, rank, pixels);
  data.remark = "predicted from " + name_of(run.run) + ", in seconds fitted to it";
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].problem.empty()) {
      data.panels[i].name = outcomes[i].name + (outcomes[i].as_run ? " (as run)" : "");
      continue;
    }
    StagePanel refused;
    refused.name = outcomes[i].name;
    refused.problem = outcomes[i].problem;
    data.panels.insert(data.panels.begin() + static_cast<std::ptrdiff_t>(i), std::move(refused));
  }
  return data;
}

TableData stages_table(const StagesData& data) {
  TableData table{{"run", "ZeRO", "step", "exposed communication", "offload", "peak memory", "tokens/s"}, {}};
  for (const StagePanel& panel : data.panels) {
    const RunSummary& s = panel.summary;
    if (!panel.problem.empty() && s.run.name.empty()) {
      table.rows.push_back({{panel.name}, {"-"}, {panel.problem}, {"-"}, {"-"}, {"-"}, {"-"}});
      continue;
    }
    table.rows.push_back({{panel.name},
                          {std::to_string(s.run.zero_stage), 1.0 * s.run.zero_stage},
                          {format_seconds(s.step_time_s), s.step_time_s},
                          {format_seconds(s.parts.exposed_communication_s), s.parts.exposed_communication_s},
                          {format_seconds(s.parts.offload_s), s.parts.offload_s},
                          {format_bytes(static_cast<double>(s.peak_bytes)), static_cast<double>(s.peak_bytes)},
                          {fmt::format("{:.0f}", s.tokens_per_s), s.tokens_per_s}});
  }
  return table;
}

}  // namespace shardscope::gui
