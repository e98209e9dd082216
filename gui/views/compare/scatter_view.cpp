#include "gui/views/compare/scatter_view.h"

#include <QComboBox>
#include <QLabel>
#include <QSignalBlocker>
#include <QSplitter>
#include <QTableView>

#include "gui/models/pair_load.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {

ScatterView::ScatterView(ViewContext& context, QWidget* parent) : PairView(context, parent) {
  build();
  data_ = std::make_shared<ScatterData>();
  show_session(nullptr);
}

void ScatterView::build() {
  family_ = new QComboBox;
  family_->setAccessibleName(QStringLiteral("Family of ops"));
  family_->addItem(QStringLiteral("all ops"));
  for (int i = 0; i < kOpFamilies; ++i) {
    const std::string_view name = to_string(static_cast<OpFamily>(i));
    family_->addItem(QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size())));
  }
  bar_->addWidget(new QLabel(QStringLiteral(" Show ")));
  bar_->addWidget(family_);
  const auto choose = [this](int index) {
    change([this, index](ScatterState& s) { s.family = index <= 0 ? "" : family_->itemText(index).toStdString(); },
           "family");
  };
  connect(family_, &QComboBox::activated, this, choose);
  add_command(QStringLiteral("Next family of ops"), {Qt::Key_F},
              [this, choose] { choose((family_->currentIndex() + 1) % family_->count()); });
  add_command(QStringLiteral("All ops, none chosen"), {Qt::Key_0, Qt::Key_Escape},
              [this] { change([](ScatterState& s) { s.family = s.op = ""; }, "all"); });
  canvas_->setAccessibleName(QStringLiteral("Predicted against measured time of each op"));
  canvas_->set_draw([this](double width, double height) { return picture(width, height); });
  canvas_->set_describe([this](QPointF at) {
    const auto point = point_at(at);
    return point ? QString::fromStdString(describe(data_->points[*point])) : QString();
  });
  connect(canvas_, &PictureCanvas::clicked, this, [this](QPointF at) {
    const auto point = point_at(at);
    change([&](ScatterState& s) { s.op = point ? to_string(data_->points[*point].label) : ""; }, "op");
  });
  rows_ = make_table(QStringLiteral("Predicted and measured time of each op"));
  connect(rows_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, &ScatterView::choose_row);
  splitter_->setOrientation(Qt::Horizontal);
  splitter_->setSizes({580, 420});
}

QJsonObject ScatterView::state() const { return to_object(to_json(state_)); }

void ScatterView::restore(const QJsonObject& state) {
  state_ = state.isEmpty() ? ScatterState{} : parse_scatter_state(to_text(state), "scatter");
  show_state();
}

void ScatterView::show_state() {
  const QSignalBlocker quiet(family_);
  const int index = state_.family.empty() ? 0 : family_->findText(QString::fromStdString(state_.family));
  family_->setCurrentIndex(index);
  canvas_->redraw();
}

void ScatterView::change(const std::function<void(ScatterState&)>& how, const char* kind) {
  const ScatterState before = state_;
  how(state_);
  if (state_ == before) return;
  show_state();
  say_changed(kind);
}

std::optional<std::size_t> ScatterView::point_at(QPointF at) const {
  return scatter_hit(*data_, state_, canvas_->width(), canvas_->height(), text_width(), at.x(), at.y());
}

void ScatterView::choose_row(const QModelIndex& index) {
  if (!index.isValid()) return;
  const std::string op = index.siblingAtColumn(0).data().toString().toStdString();
  change([&](ScatterState& s) { s.op = op; }, "op");
}

void ScatterView::ask() {
  const RunSummary *a = run_a(), *predicted = prediction();
  if (a == nullptr || predicted == nullptr) {
    context_.pool.cancel(this, "scatter");
    show_answer(std::make_shared<ScatterData>(
        ScatterData{{},
                    a == nullptr ? "" : display_name(*a),
                    a == nullptr ? "No run is open: open a profile with Ctrl+O, or drop one here."
                                 : "There is no prediction of " + display_name(*a) +
                                       ": `shardscope train --profile` writes one beside each run."}));
    return;
  }
  context_.pool.ask<ScatterData>(
      this, "scatter",
      [a = *a, predicted = *predicted](QueryFiles& files) {
        return load_scatter({files.profile(a.file), a.run}, {files.profile(predicted.file), predicted.run});
      },
      [this](std::shared_ptr<const ScatterData> points) { show_answer(std::move(points)); },
      [this](const QString& problem) {
        show_answer(std::make_shared<ScatterData>(ScatterData{{}, "", problem.toStdString()}));
      });
}

void ScatterView::show_answer(std::shared_ptr<const ScatterData> points) {
  data_ = std::move(points);
  table_.set_table(scatter_table(*data_));
  canvas_->setAccessibleDescription(QString::fromStdString(data_->problem));
  canvas_->redraw();
}

Picture ScatterView::picture(double width, double height) const {
  ScatterState state = state_;
  state.dark = dark_;
  return draw_scatter(*data_, state, width, height, text_width());
}

}  // namespace shardscope::gui
