#pragma once
// Two runs step by step on one axis, with the ops that differ; or ZeRO stages side by side: those that are open, or
// those that run A could have had, predicted.
//
//   {"compare", "Compare", make<CompareView>},   // gui/views/view_list.cpp

#include "gui/models/compare_picture.h"
#include "gui/models/stages.h"
#include "gui/views/compare/pair_view.h"

class QComboBox;
class QTableView;

namespace shardscope::gui {

class CompareView : public PairView {
  Q_OBJECT

 public:
  explicit CompareView(ViewContext& context, QWidget* parent = nullptr);
  QJsonObject state() const override;
  void restore(const QJsonObject& state) override;
  Picture picture(double width, double height) const override;

 protected:
  void session_changed() override;
  void ask() override;

 private:
  void build_bar();
  void build_commands();
  void build_canvas();
  void build_table();

  void change(const std::function<void(CompareState&)>& how, const char* kind);
  void show_state();
  bool is_pair() const { return state_.mode == CompareMode::kPair; }

  void ask_pair();
  void ask_lanes();
  void ask_histogram();
  void ask_stages();
  void show_facts(std::shared_ptr<const PairFacts> facts);
  void show_stages(std::shared_ptr<const StagesData> stages);
  void say_problem(const std::string& problem);

  CompareFrame frame() const;
  TimeWindow window() const;
  void look_at(TimeWindow window, const char* kind);
  void zoom_by(double factor, std::optional<double> x, const char* kind);
  void go_to_difference(bool forward);
  void drag(QPointF from, QPointF to, bool pans, bool ended);
  void choose_row(const QModelIndex& index);
  CompareScene scene() const;

  CompareState state_;
  std::string pair_;    ///< which runs they are: others have other steps
  CompareScene shown_;  ///< facts, lanes and histogram, as they came
  std::shared_ptr<const StagesData> stages_;
  std::optional<TimeWindow> drag_from_;  ///< the window in which a drag began
  QComboBox *mode_ = nullptr, *other_ = nullptr, *rank_ = nullptr;
  QTableView* rows_ = nullptr;
  PictureCanvas* durations_ = nullptr;
};

}  // namespace shardscope::gui
