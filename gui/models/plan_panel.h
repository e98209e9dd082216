#pragma once
// The chosen configuration in the Plan view's picture: what it takes, memory against the limit, the step part by part,
// what would relieve it. No Qt.
//
//   draw_plan_panel(picture, {result, dot, relief, {700, 30, 480, 560}, shades, measure});

#include "gui/models/plan_picture.h"
#include "gui/models/timeline_colours.h"

namespace shardscope::gui {

struct PlanPanel {
  const PlanResult& result;
  const PlanDot& dot;
  const Relief& relief;
  PlanArea area;
  TimelineShades shades;
  const TextWidth& measure;
};

void draw_plan_panel(Picture& picture, const PlanPanel& panel);

}  // namespace shardscope::gui
