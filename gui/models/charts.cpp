#include "gui/models/charts.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "gui/models/memory_looks.h"

namespace shardscope::gui {

namespace {

struct StepPart {
  double Breakdown::*value;
  const char *name, *mark;
  Rgb colour;
};
constexpr std::array kStepParts{
    StepPart{&Breakdown::compute_s, "compute", "compute", kBlue},
    StepPart{&Breakdown::optimizer_s, "optimizer", "opt", kGreen},
    StepPart{&Breakdown::load_s, "loading data", "load", kYellow},
    StepPart{&Breakdown::exposed_communication_s, "exposed communication", "comm", kVermilion},
    StepPart{&Breakdown::offload_s, "offload", "offl", kSky},
    StepPart{&Breakdown::idle_s, "idle", "idle", kGrey},
};

Bar bar_of(const RunSummary& summary) {
  return {.label = display_name(summary), .predicted = summary.run.predicted, .values = {}, .note = {}};
}

/// Drops the series that no bar has any of, so that the legend names what is in the picture.
void drop_unused(BarChart& chart) {
  for (std::size_t s = chart.series.size(); s-- > 0;) {
    const auto used = [s](const Bar& bar) { return bar.values[s] > 0; };
    if (std::any_of(chart.bars.begin(), chart.bars.end(), used)) continue;
    chart.series.erase(chart.series.begin() + static_cast<std::ptrdiff_t>(s));
    for (Bar& bar : chart.bars) bar.values.erase(bar.values.begin() + static_cast<std::ptrdiff_t>(s));
  }
}

}  // namespace

BarChart step_chart(const std::vector<RunSummary>& runs) {
  BarChart chart{.title = "Step time, mean over steps and ranks",
                 .empty_text = "No run with a finished step.",
                 .unit = BarUnit::kSeconds,
                 .series = {},
                 .bars = {}};
  for (const StepPart& part : kStepParts) chart.series.push_back({part.name, part.mark, part.colour});
  for (const RunSummary& run : runs) {
    if (!(run.parts.total_s > 0)) continue;
    Bar bar = bar_of(run);
    for (const StepPart& part : kStepParts) bar.values.push_back(std::max(0.0, run.parts.*part.value));
    chart.bars.push_back(std::move(bar));
  }
  drop_unused(chart);
  return chart;
}

BarChart memory_chart(const std::vector<RunSummary>& runs) {
  BarChart chart{.title = "Device memory at the peak, of the fullest rank",
                 .empty_text = "No run with recorded memory.",
                 .unit = BarUnit::kBytes,
                 .series = {},
                 .bars = {}};
  for (const MemoryLook& part : kMemoryLooks) chart.series.push_back({part.name, part.mark, part.colour});
  for (const RunSummary& run : runs) {
    if (run.peak_bytes <= 0) continue;
    Bar bar = bar_of(run);
    bar.note = run.run.world > 1 ? "rank " + std::to_string(run.fullest_rank) : "";
    bar.values.assign(kMemoryLooks.size(), 0);
    for (const MemoryRow& row : run.memory) {
      for (std::size_t s = 0; s < kMemoryLooks.size(); ++s) {
        if (kMemoryLooks[s].category == row.category)
          bar.values[s] += static_cast<double>(std::max<std::int64_t>(0, row.at_peak_bytes));
      }
    }
    chart.bars.push_back(std::move(bar));
  }
  drop_unused(chart);
  return chart;
}

}  // namespace shardscope::gui
