#pragma once
// Predicted against measured time of each op, on logarithmic axes, as state, picture and table. No Qt.
//
//   Picture picture = draw_scatter({op_calibration(...), "zero-2", ""}, state, 900, 700, measure);
//   std::optional<std::size_t> op = scatter_hit(data, state, 900, 700, measure, x, y);

#include <optional>
#include <string>
#include <vector>

#include "gui/models/picture.h"
#include "gui/models/table_data.h"
#include "profiler/query/op_calibration.h"

namespace shardscope::gui {

/// Ops that are costed alike: each has a colour and a mark of its own.
enum class OpFamily : std::uint8_t { kProducts, kAttention, kElementwise, kOptimizer, kCollectives, kCopies };
inline constexpr int kOpFamilies = 6;
std::string_view to_string(OpFamily family);  ///< "matrix products"
OpFamily family_of(const CalibrationPoint& point);

struct ScatterState {
  std::string family;  ///< only this one; empty: all
  std::string op;      ///< ringed: as to_string(OpLabel)
  bool dark = false;
  friend bool operator==(const ScatterState&, const ScatterState&) = default;
};
std::string to_json(const ScatterState& state);
/// Throws Error{kParse} naming the key.
ScatterState parse_scatter_state(const std::string& text, const std::string& name);

struct ScatterData {
  std::vector<CalibrationPoint> points;
  std::string name;     ///< of the run
  std::string problem;  ///< why there is nothing to show, and what would help; else empty
};

Picture draw_scatter(const ScatterData& data, const ScatterState& state, double width, double height,
                     const TextWidth& measure);
/// Index of the point nearest to (x, y) of that picture; nothing if none is within a few pixels.
std::optional<std::size_t> scatter_hit(const ScatterData& data, const ScatterState& state, double width, double height,
                                       const TextWidth& measure, double x, double y);
TableData scatter_table(const ScatterData& data);
/// "matmul h.0.mlp (forward), micro-batch 1: measured 1.2 ms, predicted 1.3 ms, x1.08"
std::string describe(const CalibrationPoint& point);

}  // namespace shardscope::gui
