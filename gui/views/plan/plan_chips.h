#pragma once
// What limits the plans, as a row of buttons: each frees its input. One that stands in the way says what there would
// be without it.
//
//   auto* chips = new PlanChips;
//   chips->show_chips(chips_of(inputs, result));
//   connect(chips, &PlanChips::freed, ...);   // an input

#include <QWidget>
#include <vector>

#include "gui/models/plan_result.h"

namespace shardscope::gui {

class PlanChips : public QWidget {
  Q_OBJECT

 public:
  explicit PlanChips(QWidget* parent = nullptr);
  void show_chips(const std::vector<PlanChip>& chips);

 Q_SIGNALS:
  void freed(shardscope::gui::PlanInput input);

 private:
  std::vector<PlanChip> chips_;
};

}  // namespace shardscope::gui
