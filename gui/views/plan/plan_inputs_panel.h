#pragma once
// The inputs of the Plan view as controls: one row each, in the order of the questions one asks. Sizes of the layout
// are fixed to a value, or searched.
//
//   auto* panel = new PlanInputsPanel(catalog);
//   connect(panel, &PlanInputsPanel::changed, ...);   // with every step of a slider

#include <QScrollArea>
#include <functional>
#include <vector>

#include "gui/models/plan_inputs.h"
#include "gui/views/plan/number_input.h"

class QComboBox;
class QFormLayout;
class QMenu;
class QToolButton;

namespace shardscope::gui {

class PlanInputsPanel : public QScrollArea {
  Q_OBJECT

 public:
  explicit PlanInputsPanel(const HardwareCatalog& catalog, QWidget* parent = nullptr);
  const PlanInputs& inputs() const { return inputs_; }
  void set_inputs(const PlanInputs& inputs);  ///< no signal

 Q_SIGNALS:
  void changed(const shardscope::gui::PlanInputs& inputs, int gesture);

 private:
  using Show = std::function<void()>;
  void add_row(const char* name, const QString& label, QWidget* control, const QString& tip);
  void add_number(const char* name, const QString& label, const NumberRange& range, const QString& tip,
                  std::function<double(const PlanInputs&)> get, std::function<void(PlanInputs&, double)> set);
  void add_choice(const char* name, const QString& label, const QStringList& choices, const QString& tip,
                  std::function<QString(const PlanInputs&)> get, std::function<void(PlanInputs&, const QString&)> set);
  void add_list(const char* name, const QString& label, const QStringList& choices, const QString& tip,
                std::vector<std::string> PlanInputs::*list);
  void build_workload();
  void build_hardware(const HardwareCatalog& catalog);
  void build_layout();
  void build_wishes();
  void add_model();
  void change(const std::function<void(PlanInputs&)>& set, int gesture);

  PlanInputs inputs_;
  std::vector<Show> show_;  ///< each puts what inputs_ says into one control
  QFormLayout* form_ = nullptr;
};

}  // namespace shardscope::gui
