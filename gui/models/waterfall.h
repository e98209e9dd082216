#pragma once
// "Why 41 ms slower": from the time of one run to that of another, one bar for each cause, as data, picture and table.
// No Qt.
//
//   Waterfall waterfall = make_waterfall(step_difference(...), {"zero-2", "zero-2, predicted"}, {});
//   Picture picture = draw_waterfall(waterfall, dark, 1200, 500, measure);

#include <string>
#include <vector>

#include "gui/models/picture.h"
#include "gui/models/table_data.h"
#include "profiler/query/step_causes.h"

namespace shardscope::gui {

/// What is asked: A against its prediction or against B, of one rank and step or the mean of all.
struct WaterfallState {
  std::string against;  ///< name or number of the other run; empty: the prediction, else the next run
  int rank = -1;        ///< below 0: mean of all
  std::int64_t step = -1;
  bool dark = false;
  friend bool operator==(const WaterfallState&, const WaterfallState&) = default;
};
std::string to_json(const WaterfallState& state);
/// Throws Error{kParse} naming the key.
WaterfallState parse_waterfall_state(const std::string& text, const std::string& name);

struct WaterfallNames {
  std::string run, base;  ///< "zero-2", "its prediction"
  bool run_predicted = false, base_predicted = false;
};

struct WaterfallStep {
  Cause cause = Cause::kCompute;
  double base_s = 0, run_s = 0;  ///< mean of a step and rank
  double from_s = 0, to_s = 0;   ///< ends of its bar: to - from is run - base
};

struct Waterfall {
  std::string title, remark;  ///< "Why zero-2 takes 41 ms longer than its prediction"; "mean of 19 steps, 4 ranks"
  WaterfallNames names;
  double base_s = 0, run_s = 0;
  std::vector<WaterfallStep> steps;  ///< causes that take time in one of the runs
  std::string problem;               ///< why there is nothing to show, and what would help; else empty
};

Waterfall make_waterfall(const StepDifference& difference, const WaterfallNames& names, const WaterfallState& state);
Waterfall no_waterfall(std::string problem);

Picture draw_waterfall(const Waterfall& waterfall, bool dark, double width, double height, const TextWidth& measure);
TableData waterfall_table(const Waterfall& waterfall);

/// "+3.1 ms ▲", "-3.1 ms ▼", "0 ms": slower and faster differ in more than colour.
std::string format_delta(double seconds);
/// Orange for slower, blue for faster, grey for neither.
Rgb delta_colour(double seconds);

}  // namespace shardscope::gui
