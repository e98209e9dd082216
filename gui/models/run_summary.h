#pragma once
// One line of the runs table: what a profile says about a run, gathered from profiler/query. No Qt.
//
//   std::vector<RunSummary> runs = load_summaries({"run.db"});

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "profiler/query/list_runs.h"
#include "profiler/query/memory_by_category.h"
#include "profiler/query/step_breakdown.h"

namespace shardscope::gui {

struct RunSummary {
  std::string file;
  RunRow run;
  double step_time_s = 0;  ///< median over steps, of the slowest rank; 0 without steps
  double tokens_per_s = 0;
  double last_loss = 0;                  ///< NaN where not known: predictions, runs without a step
  Breakdown parts;                       ///< mean over steps and ranks; adds up to parts.total_s
  int fullest_rank = 0;                  ///< rank with the highest device peak; the first of equals
  std::int64_t peak_bytes = 0;           ///< of its device memory; 0 if nothing was recorded
  std::vector<MemoryRow> memory;         ///< of the fullest rank, device only: at_peak_bytes add up to peak_bytes
  std::vector<std::string> diagnostics;  ///< what went wrong while it was recorded
};

/// Of one run. Throws Error as queries do.
RunSummary load_summary(const Profile& profile, const RunRow& run);
/// Runs of all files, in order of recording, each prediction moved behind the measured run of its name and file.
/// Throws Error (core/error.h) for the first file that cannot be read. `stop`, if given, makes it return early with
/// what it has. `progress` is told how many are done.
std::vector<RunSummary> load_summaries(
    const std::vector<std::string>& paths, const std::atomic<bool>* stop = nullptr,
    const std::function<void(int done)>& progress = [](int) {});

/// The same runs in the same order, without what takes long to ask: only `file` and `run` are filled in.
std::vector<RunSummary> list_summaries(const std::vector<std::string>& paths);

/// Puts each prediction behind the first measured run of its name and file that has none yet; others keep their place.
std::vector<RunSummary> pair_predictions(std::vector<RunSummary> runs);

/// "measured, gpt2, ZeRO-2, 4 ranks": what a picture says beside a run's name. Of imported runs no stage is known.
std::string describe(const RunRow& run);

/// "ZeRO-2" made to read well in tables: the run's name.
std::string display_name(const RunSummary& summary);

}  // namespace shardscope::gui
