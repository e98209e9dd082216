#pragma once
// Why a step of A takes longer than predicted, or than in B: a bar for each cause, and the same as a table.
//
//   {"waterfall", "Why slower", make<WaterfallView>},   // gui/views/view_list.cpp

#include "gui/models/waterfall.h"
#include "gui/views/compare/pair_view.h"

class QComboBox;
class QSpinBox;

namespace shardscope::gui {

class WaterfallView : public PairView {
  Q_OBJECT

 public:
  explicit WaterfallView(ViewContext& context, QWidget* parent = nullptr);
  QJsonObject state() const override;
  void restore(const QJsonObject& state) override;
  Picture picture(double width, double height) const override;

 protected:
  void session_changed() override;
  void ask() override;

 private:
  void build();
  void change(const std::function<void(WaterfallState&)>& how, const char* kind);
  void show_state();
  const RunSummary* base() const;
  void show_answer(std::shared_ptr<const Waterfall> waterfall);

  WaterfallState state_;
  bool against_b_ = false;
  std::shared_ptr<const Waterfall> waterfall_;
  QComboBox* against_ = nullptr;
  QSpinBox* step_ = nullptr;
  QSpinBox* rank_ = nullptr;
};

}  // namespace shardscope::gui
