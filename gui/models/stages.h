#pragma once
// ZeRO stages side by side: one step of each of several runs on one axis of time, with memory, exposed communication
// and speed. Measured runs, predicted ones, or what the other stages would do (simulator/like/stages.h). No Qt.
//
//   StagesData data = load_stages({{profile, run}, ...}, rank, pixels);
//   Picture picture = draw_stages(data, dark, 1400, 800, measure);

#include <functional>
#include <string>
#include <vector>

#include "gui/models/lane_bars.h"
#include "gui/models/pair_load.h"
#include "gui/models/run_summary.h"
#include "gui/models/table_data.h"

namespace shardscope::gui {

struct StagePanel {
  std::string name;
  RunSummary summary;
  std::vector<LaneBars> lanes;  ///< of one step of one rank; empty: nothing was recorded
  std::int64_t step = 0;        ///< which: the one of median length
  std::string problem;          ///< why there is only a name
};

struct StagesData {
  std::vector<StagePanel> panels;
  TimeWindow window;  ///< the longest step
  int rank = 0;
  std::string remark;   ///< "predicted from zero-2, in seconds fitted to it"
  std::string problem;  ///< why there is nothing to show, and what would help
};

/// `rank`: whose lanes; a run that has no such rank shows its first.
StagesData load_stages(const std::vector<RunIn>& runs, int rank, int pixels);

/// The measured runs of a profile; of one with predictions only, those.
std::vector<RunRow> runs_to_show(const std::vector<RunRow>& runs);
/// `run` under every stage, predicted into the file `path`; a stage that the job does not run under has its reason.
StagesData predict_and_load(
    const RunIn& run, const std::string& path, int rank, int pixels,
    const std::function<bool()>& stopped = [] { return false; });

Picture draw_stages(const StagesData& data, bool dark, double width, double height, const TextWidth& measure);
/// What is under a point of that picture: "ZeRO-2, step 3: matmul h.0.mlp 1.2 ms"; empty if nothing.
std::string describe_stage_at(const StagesData& data, double width, double height, const TextWidth& measure, double x,
                              double y);
/// Width of the time lanes of that picture, pixels.
int stage_lane_pixels(double width);
TableData stages_table(const StagesData& data);

}  // namespace shardscope::gui
