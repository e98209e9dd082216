#pragma once
// The Plan view as a picture: days against cost of every configuration with how sure they are, and beside it the chosen
// one's memory against the device's, its step part by part, and what would relieve it. The window and the command line
// draw the same. No Qt.
//
//   Picture picture = draw_plan(result, relief_of(result, *chosen_dot(result, state)), state, 1400, 600, measure);
//   if (const auto hit = dot_at(plan_layout(result, state, 1400, 600, measure), x, y)) ... result.dots[*hit]
//
// A ZeRO stage is a colour and a mark; hollow does not fit; large is on the front, with its P10-P90 interval.

#include <optional>

#include "gui/models/picture.h"
#include "gui/models/plan_result.h"

namespace shardscope::gui {

Picture draw_plan(const PlanResult& result, const Relief& relief, const PlanState& state, double width, double height,
                  const TextWidth& measure);

/// Searched and drawn at once.
Picture draw_plan(const PlanState& state, double width, double height, const TextWidth& measure);

/// Part of the picture, in pixels.
struct PlanArea {
  double x = 0, y = 0, width = 0, height = 0;
};

/// A logarithmic axis: values from `low` to `high` along `length` pixels.
struct PlanAxis {
  double low = 1, high = 10, length = 1;
  double at(double value) const;  ///< pixels from its start, inside or not
};

/// Where things are, for the pointer too.
struct PlanLayout {
  PlanArea plot, panel;  ///< of the marks; of the chosen one
  PlanAxis usd, days;
  std::vector<Point> places;  ///< by dot; what is not legal, or far off, has none: a coordinate below 0
};
PlanLayout plan_layout(const PlanResult& result, const PlanState& state, double width, double height,
                       const TextWidth& measure);

/// The nearest dot within a finger's breadth, those of the front before others.
std::optional<std::size_t> dot_at(const PlanLayout& layout, const PlanResult& result, double x, double y);

/// Round values inside the axis, at most `wanted` where there is a choice, at least two.
std::vector<double> log_ticks(const PlanAxis& axis, int wanted);

/// Colour, mark and name of a stage.
struct StageLook {
  const char* name;
  Rgb colour;
};
StageLook look_of_stage(int zero);
void draw_stage_mark(Picture& picture, int zero, double x, double y, double radius, Rgb colour);

/// Terms of memory and time as the bars show them, with the colours of the other views.
struct PlanPart {
  BarSeries look;
  double value = 0;  ///< bytes, seconds
};
std::vector<PlanPart> memory_parts(const Estimate& estimate);
std::vector<PlanPart> time_parts(const Estimate& estimate);

/// All that a tip says of a dot, a line each.
std::vector<std::string> describe_dot(const PlanResult& result, const PlanDot& dot);

}  // namespace shardscope::gui
