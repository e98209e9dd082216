#include "gui/views/compare/waterfall_view.h"

#include <QComboBox>
#include <QLabel>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QSplitter>
#include <QTableView>

#include "gui/models/other_run.h"
#include "gui/models/pair_load.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {
namespace {

constexpr int kMost = 1'000'000'000;

QSpinBox* make_spin(const QString& name, const QString& all) {
  auto* spin = new QSpinBox;
  spin->setAccessibleName(name);
  spin->setRange(-1, kMost);
  spin->setValue(-1);
  spin->setSpecialValueText(all);
  spin->setKeyboardTracking(false);
  return spin;
}

}  // namespace

WaterfallView::WaterfallView(ViewContext& context, QWidget* parent) : PairView(context, parent) {
  build();
  waterfall_ = std::make_shared<Waterfall>(no_waterfall("Open a profile: Ctrl+O."));
  show_session(nullptr);
}

void WaterfallView::build() {
  against_ = new QComboBox;
  against_->setAccessibleName(QStringLiteral("Against"));
  against_->addItems({QStringLiteral("its prediction"), QStringLiteral("run B")});
  step_ = make_spin(QStringLiteral("Step"), QStringLiteral("mean of all"));
  rank_ = make_spin(QStringLiteral("Rank"), QStringLiteral("mean of all"));
  for (const auto& [text, widget] :
       {std::pair<const char*, QWidget*>{" A against ", against_}, {"  step ", step_}, {"  rank ", rank_}}) {
    bar_->addWidget(new QLabel(QString::fromLatin1(text)));
    bar_->addWidget(widget);
  }
  connect(against_, &QComboBox::activated, this, [this](int index) {
    against_b_ = index == 1;
    change([](WaterfallState&) {}, "against");
  });
  connect(step_, &QSpinBox::valueChanged, this,
          [this](int value) { change([value](WaterfallState& s) { s.step = value; }, "step"); });
  connect(rank_, &QSpinBox::valueChanged, this,
          [this](int value) { change([value](WaterfallState& s) { s.rank = value; }, "rank"); });
  add_command(QStringLiteral("Next step"), {Qt::Key_Period, Qt::Key_Right}, [this] { step_->stepUp(); });
  add_command(QStringLiteral("Previous step"), {Qt::Key_Comma, Qt::Key_Left}, [this] { step_->stepDown(); });
  add_command(QStringLiteral("Against the prediction, or run B"), {Qt::Key_P}, [this] {
    against_b_ = !against_b_;
    change([](WaterfallState&) {}, "against");
  });
  add_command(QStringLiteral("Mean of all steps and ranks"), {Qt::Key_0, Qt::Key_Escape},
              [this] { change([](WaterfallState& s) { s.step = s.rank = -1; }, "all"); });
  canvas_->setAccessibleName(QStringLiteral("Waterfall of a step's causes"));
  canvas_->set_draw([this](double width, double height) { return picture(width, height); });
  make_table(QStringLiteral("Causes of the difference"));
  splitter_->setSizes({700, 300});
  connect(&context_.selection, &SharedSelection::step_changed, this, [this](std::optional<int> step) {
    if (step && *step != state_.step) change([step](WaterfallState& s) { s.step = *step; }, "step");
  });
}

QJsonObject WaterfallView::state() const { return to_object(to_json(state_)); }

void WaterfallView::restore(const QJsonObject& state) {
  WaterfallState read = state.isEmpty() ? WaterfallState{} : parse_waterfall_state(to_text(state), "waterfall");
  ask_for_b(read.against);
  state_ = std::move(read);
  against_b_ = !state_.against.empty();
  show_state();
  ask_if_seen();
}

void WaterfallView::show_state() {
  const QSignalBlocker quiet_step(step_), quiet_rank(rank_), quiet_against(against_);
  step_->setValue(static_cast<int>(state_.step));
  rank_->setValue(state_.rank);
  against_->setCurrentIndex(against_b_ ? 1 : 0);
}

void WaterfallView::change(const std::function<void(WaterfallState&)>& how, const char* kind) {
  how(state_);
  state_.against = against_b_ ? name_of_b() : "";
  show_state();
  ask_if_seen();
  say_changed(kind);
}

const RunSummary* WaterfallView::base() const { return against_b_ ? run_b() : prediction(); }

/// Without a prediction there is still B.
void WaterfallView::session_changed() {
  if (session_ && prediction() == nullptr && run_b() != nullptr) against_b_ = true;
  show_state();
}

void WaterfallView::ask() {
  const RunSummary *a = run_a(), *other = base();
  if (a == nullptr || other == nullptr) {
    context_.pool.cancel(this, "waterfall");
    show_answer(std::make_shared<Waterfall>(no_waterfall(
        a == nullptr ? "No run is open: open a profile with Ctrl+O, or drop one here."
        : against_b_ ? "There is no run B: open another profile beside this one, or choose another run as A."
                     : "There is no prediction of " + display_name(*a) +
                           ": `shardscope train --profile` writes one beside each run; or press P for run B.")));
    return;
  }
  context_.pool.ask<Waterfall>(
      this, "waterfall",
      [a = *a, other = *other, state = state_](QueryFiles& files) {
        return load_waterfall({files.profile(a.file), a.run}, {files.profile(other.file), other.run}, state);
      },
      [this](std::shared_ptr<const Waterfall> waterfall) { show_answer(std::move(waterfall)); },
      [this](const QString& problem) {
        show_answer(std::make_shared<Waterfall>(no_waterfall(problem.toStdString())));
      });
}

void WaterfallView::show_answer(std::shared_ptr<const Waterfall> waterfall) {
  waterfall_ = std::move(waterfall);
  table_.set_table(waterfall_table(*waterfall_));
  canvas_->setAccessibleDescription(QString::fromStdString(waterfall_->title + ". " + waterfall_->problem));
  canvas_->redraw();
}

Picture WaterfallView::picture(double width, double height) const {
  return draw_waterfall(*waterfall_, dark_, width, height, text_width());
}

}  // namespace shardscope::gui
