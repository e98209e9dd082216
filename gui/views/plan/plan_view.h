#pragma once
// The Plan tab: inputs at the left, cost against days and the chosen configuration at the right, all of them as a table
// below. While an input moves, what is shown is estimated again at once, and a search follows in the background.
//
//   {"plan", "Plan", make<PlanView>},   // gui/views/view_list.cpp

#include <QTemporaryDir>
#include <atomic>
#include <memory>
#include <optional>

#include "gui/models/plan_simulate.h"
#include "gui/models/plan_table.h"
#include "gui/views/view.h"

class QLabel;
class QProgressBar;
class QPushButton;
class QTableView;
class QTimer;

namespace shardscope::gui {

class PlanCanvas;
class PlanChips;
class PlanInputsPanel;

class PlanView : public View {
  Q_OBJECT

 public:
  explicit PlanView(ViewContext& context, QWidget* parent = nullptr);
  void show_session(std::shared_ptr<const Session> session) override;
  QJsonObject state() const override;
  void restore(const QJsonObject& state) override;
  Picture picture(double width, double height) const override;
  QAbstractItemModel* table() override { return &table_; }
  void set_dark(bool dark) override;

  const PlanState& plan_state() const { return state_; }
  const PlanResult& result() const { return *result_; }
  /// Throws Error.
  void export_to(const std::string& folder) const;
  void save_scenario(const std::string& path) const;
  void load_scenario(const std::string& path);

  void choose(std::size_t dot);
  void open_simulated();  ///< of the chosen one, in the background
  void stop();            ///< the simulation

 Q_SIGNALS:
  void searched();  ///< the answer to the newest inputs is shown
  void simulated(const QString& path);

 protected:
  void showEvent(QShowEvent* event) override;

 private:
  void build();
  QWidget* build_bar();
  void build_table();
  void build_commands();
  void take_inputs(const PlanInputs& inputs, int gesture);
  void take_state(const PlanState& state);  ///< as restore(), of a state that is read
  void revise_now();
  void search_now();
  void show_result();
  void fit_columns();
  void toggle_pin();
  void wish(bool deadline);
  void reset();
  void ask_export();
  void ask_save();
  void ask_load();
  void show_progress(bool running);
  void tell_change(int gesture);
  void say_problem(const QString& text);
  const PlanDot* chosen() const;

  ViewContext& context_;
  PlanState state_;
  std::shared_ptr<const HardwareCatalog> catalog_;
  std::shared_ptr<const PlanResult> found_ = std::make_shared<PlanResult>();   ///< by the last search
  std::shared_ptr<const PlanResult> result_ = std::make_shared<PlanResult>();  ///< and for the inputs as they are
  QString said_;                                                               ///< by problem()
  std::string input_problem_;  ///< what is wrong with the inputs themselves
  PlanTable table_;
  QTemporaryDir folder_;  ///< of simulated runs
  std::shared_ptr<std::atomic<double>> progress_;
  PlanInputsPanel* panel_ = nullptr;
  PlanChips* chips_ = nullptr;
  PlanCanvas* canvas_ = nullptr;
  QTableView* rows_ = nullptr;
  QLabel* note_ = nullptr;
  QProgressBar* bar_ = nullptr;
  QPushButton *stop_ = nullptr, *open_ = nullptr;
  QTimer* ticks_ = nullptr;
  bool asked_ = false, showing_ = false, user_sized_ = false;
};

}  // namespace shardscope::gui
