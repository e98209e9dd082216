#pragma once
// The first tab: the table of runs over two bar views, where a step's time goes and what memory holds at its peak.
// Which rows are selected is the session's choice: the other views show those runs.
//
//   {"overview", "Overview", make<Overview>},   // gui/views/view_list.cpp

#include "gui/models/runs_model.h"
#include "gui/views/view.h"

class QTableView;

namespace shardscope::gui {

class StackedBars;

class Overview : public View {
  Q_OBJECT

 public:
  explicit Overview(ViewContext& context, QWidget* parent = nullptr);
  void show_session(std::shared_ptr<const Session> session) override;
  QJsonObject state() const override;
  void restore(const QJsonObject& state) override;
  Picture picture(double width, double height) const override;
  QAbstractItemModel* table() override { return &runs_; }
  void set_dark(bool dark) override { dark_ = dark; }

 private:
  void build();
  void build_commands();
  void choose_rows();
  void use_as_a(std::size_t row);

  ViewContext& context_;
  std::shared_ptr<const Session> session_;
  RunsModel runs_;
  QTableView* table_ = nullptr;
  StackedBars* steps_ = nullptr;
  StackedBars* memory_ = nullptr;
  bool dark_ = false, showing_ = false;
};

}  // namespace shardscope::gui
