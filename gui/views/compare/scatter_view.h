#pragma once
// Predicted against measured time of each op of A, with a table of them.
//
//   {"scatter", "Calibration", make<ScatterView>},   // gui/views/view_list.cpp

#include "gui/models/scatter.h"
#include "gui/views/compare/pair_view.h"

class QComboBox;
class QTableView;

namespace shardscope::gui {

class ScatterView : public PairView {
  Q_OBJECT

 public:
  explicit ScatterView(ViewContext& context, QWidget* parent = nullptr);
  QJsonObject state() const override;
  void restore(const QJsonObject& state) override;
  Picture picture(double width, double height) const override;

 protected:
  void session_changed() override {}
  void ask() override;

 private:
  void build();
  void change(const std::function<void(ScatterState&)>& how, const char* kind);
  void show_state();
  std::optional<std::size_t> point_at(QPointF at) const;
  void choose_row(const QModelIndex& index);
  void show_answer(std::shared_ptr<const ScatterData> points);

  ScatterState state_;
  std::shared_ptr<const ScatterData> data_;
  QComboBox* family_ = nullptr;
  QTableView* rows_ = nullptr;
};

}  // namespace shardscope::gui
