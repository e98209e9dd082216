#pragma once
// Two runs beside each other: what is shown, on which axis, and the numbers under it. Plain data; compare_load.h reads
// it, compare_picture.h draws it. No Qt.
//
//   PairFacts facts = load_pair(...);
//   TimeWindow all = axis_of(facts);               // steps of both begin together, none is cut
//   TableData deltas = delta_table(facts.ops);
//
// The axis: ns from the begin of the first step beside another; each step is as long as the longer of the two.

#include <optional>
#include <string>
#include <vector>

#include "gui/models/lane_bars.h"
#include "gui/models/table_data.h"
#include "profiler/query/op_differences.h"
#include "profiler/query/slice_differences.h"

namespace shardscope::gui {

enum class CompareMode : std::uint8_t {
  kPair,      ///< two runs, step by step
  kStages,    ///< the runs that are open, side by side
  kPredicted  ///< run A under every ZeRO stage and with offload, predicted
};

struct CompareState {
  CompareMode mode = CompareMode::kPair;
  std::string against;          ///< name or number of B; empty: the next measured run, else the prediction
  TimeWindow window;            ///< of the axis; empty: all
  int rank = -1;                ///< whose lanes; below 0: the first that both runs have
  std::optional<OpLabel> op;    ///< whose durations are shown; nothing: that of the largest difference
  std::int64_t cursor_ns = -1;  ///< of the axis; below 0: none
  bool dark = false;
  friend bool operator==(const CompareState&, const CompareState&) = default;
};
std::string to_json(const CompareState& state);
/// Throws Error{kParse} naming the key.
CompareState parse_compare_state(const std::string& text, const std::string& name);

/// An op that takes longer or less long, at A's time on the axis.
struct AxisDifference {
  TimeWindow axis;
  std::int64_t delta_ns = 0, step = 0;
};

enum class Side : std::uint8_t { kA, kB };

struct PairFacts {
  std::string name_a, name_b;
  bool predicted_a = false, predicted_b = false;
  RunAlignment alignment;
  std::vector<std::int64_t> at_ns;  ///< of the axis: where each aligned step begins, and where the last one ends
  int rank = 0;
  std::vector<AxisDifference> differences;  ///< of the rank's compute lane, in order of time
  std::int64_t notable_ns = 0;              ///< what [ and ] stop at
  std::vector<OpDifference> ops;
};

TimeWindow axis_of(const PairFacts& facts);
/// Index of the aligned step at an instant of the axis.
std::size_t step_on_axis(const PairFacts& facts, std::int64_t axis_ns);
/// Where one run's steps that can be seen lie on the axis.
std::vector<StepPlace> places_of(const PairFacts& facts, Side side, TimeWindow window);
/// How much longer a step takes in B.
std::int64_t step_delta_ns(const PairFacts& facts, std::size_t step);
std::optional<AxisDifference> next_difference(const PairFacts& facts, std::int64_t axis_ns, bool forward);

struct PairLanes {
  TimeWindow window;
  std::vector<LaneBars> a, b;
};

/// How long the executions of one op take, in bins of equal width on a logarithmic axis.
struct DurationHistogram {
  OpLabel label;
  double low_s = 0, high_s = 0;
  std::vector<std::size_t> a, b;  ///< executions in each bin
  std::size_t count_a = 0, count_b = 0;
  double median_a_s = 0, median_b_s = 0;
  std::size_t highest() const;
};
DurationHistogram make_histogram(OpLabel label, const std::vector<double>& a_s, const std::vector<double>& b_s);

/// op, A, B, delta, share, count change.
TableData delta_table(const std::vector<OpDifference>& ops);

}  // namespace shardscope::gui
