#pragma once
// Two runs beside each other as a picture: lanes of a rank of both on one axis, what takes longer under them, the ops
// that differ most and how long one of them takes. The window and the command line draw the same. No Qt.
//
//   Picture picture = draw_compare({facts, lanes, histogram, state}, 1600, 900, measure, CompareParts::kAll);

#include <memory>

#include "gui/models/compare.h"

namespace shardscope::gui {

/// Parts that may be missing yet are left out.
struct CompareScene {
  std::shared_ptr<const PairFacts> facts;
  std::shared_ptr<const PairLanes> lanes;
  std::shared_ptr<const DurationHistogram> histogram;
  CompareState state;
  std::string problem;  ///< without facts: why, and what would help
};

enum class CompareParts : std::uint8_t { kAll, kLanes };  ///< kLanes: the window has a real table beside it

/// Where things are, for the pointer too.
struct CompareFrame {
  struct Row {
    Side side = Side::kA;
    std::size_t lane = 0;  ///< index into PairLanes::a or b
    double y = 0, height = 0;
  };
  double left = 0, width = 0;  ///< of the lanes
  double top = 0, bottom = 0;  ///< of lanes and delta lane
  std::vector<Row> rows;
  double delta_y = 0, delta_height = 0;
  RowPlace table, histogram;  ///< height 0: no room
};
CompareFrame frame_of(const CompareScene& scene, double width, double height, const TextWidth& measure,
                      CompareParts parts);
/// What is shown: the state's window, inside the axis.
TimeWindow window_of(const CompareScene& scene);

Picture draw_compare(const CompareScene& scene, double width, double height, const TextWidth& measure,
                     CompareParts parts);
/// What is under a point: "matmul h.0.mlp: A 1.2 ms, step 3"; empty if nothing.
std::string describe_at(const CompareScene& scene, const CompareFrame& frame, double x, double y);

void draw_histogram(Picture& picture, const DurationHistogram& histogram, const RowPlace& place, bool dark,
                    const TextWidth& measure);

/// Colours of the two runs: their backgrounds and what stands for them elsewhere. Not those of faster and slower.
inline constexpr Rgb kRunA = kGreen, kRunB = kPurple;
Rgb tint(Rgb ground, Rgb colour, double part);

}  // namespace shardscope::gui
