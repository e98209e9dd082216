#include "gui/views/plan/plan_view.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QJsonDocument>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QSplitter>
#include <QTableView>
#include <QTimer>
#include <QVBoxLayout>
#include <algorithm>

#include "core/error.h"
#include "gui/models/plan_picture.h"
#include "gui/paint/paint_picture.h"
#include "gui/views/plan/plan_canvas.h"
#include "gui/views/plan/plan_chips.h"
#include "gui/views/plan/plan_inputs_panel.h"
#include "gui/views/table_look.h"
#include "gui/views/view_context.h"
#include "simulator/planner/files.h"

namespace shardscope::gui {
namespace {

constexpr const char *kSearchQuestion = "plan.search", *kSimulateQuestion = "plan.simulate";
constexpr int kProgressTicks = 1000, kProgressEveryMs = 100;

}  // namespace

PlanView::PlanView(ViewContext& context, QWidget* parent)
    : View(parent), context_(context), catalog_(std::make_shared<HardwareCatalog>(default_catalog())) {
  build();
  build_commands();
  show_result();
}

void PlanView::build() {
  panel_ = new PlanInputsPanel(*catalog_);
  panel_->setObjectName(QStringLiteral("inputs"));
  chips_ = new PlanChips;
  chips_->setObjectName(QStringLiteral("chips"));
  canvas_ = new PlanCanvas;
  canvas_->setObjectName(QStringLiteral("canvas"));
  build_table();

  auto* upper = new QWidget;
  auto* upper_layout = new QVBoxLayout(upper);
  upper_layout->setContentsMargins(0, 0, 0, 0);
  upper_layout->addWidget(chips_);
  upper_layout->addWidget(canvas_, 1);
  auto* right = new QSplitter(Qt::Vertical);
  right->setObjectName(QStringLiteral("right"));
  right->addWidget(upper);
  right->addWidget(rows_);
  right->setStretchFactor(0, 3);
  right->setStretchFactor(1, 1);
  right->setChildrenCollapsible(false);
  auto* both = new QSplitter(Qt::Horizontal);
  both->addWidget(panel_);
  both->addWidget(right);
  both->setStretchFactor(1, 1);
  both->setChildrenCollapsible(false);
  auto* layout = new QVBoxLayout(this);
  layout->addWidget(both, 1);
  layout->addWidget(build_bar());

  connect(panel_, &PlanInputsPanel::changed, this, &PlanView::take_inputs);
  connect(canvas_, &PlanCanvas::chosen, this, &PlanView::choose);
  connect(canvas_, &PlanCanvas::activated, this, &PlanView::open_simulated);
  connect(chips_, &PlanChips::freed, this, [this](PlanInput input) {
    const PlanInputs freed = without(state_.inputs, input);
    panel_->set_inputs(freed);
    take_inputs(freed, next_gesture());
  });
}

QWidget* PlanView::build_bar() {
  auto* bar = new QWidget;
  auto* layout = new QHBoxLayout(bar);
  layout->setContentsMargins(0, 0, 0, 0);
  note_ = new QLabel;
  note_->setObjectName(QStringLiteral("note"));
  note_->setAccessibleName(QStringLiteral("Status"));
  note_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  note_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  bar_ = new QProgressBar;
  bar_->setRange(0, kProgressTicks);
  bar_->setMaximumWidth(180);
  bar_->setAccessibleName(QStringLiteral("Progress of the simulation"));
  stop_ = new QPushButton(QStringLiteral("Cancel"));
  stop_->setObjectName(QStringLiteral("stop"));
  open_ = new QPushButton(QStringLiteral("Open simulated timeline"));
  open_->setObjectName(QStringLiteral("open_simulated"));
  open_->setToolTip(
      QStringLiteral("Simulates the chosen plan's step op by op and opens it as a predicted run (Enter)"));
  layout->addWidget(note_, 1);
  layout->addWidget(bar_);
  layout->addWidget(stop_);
  layout->addWidget(open_);
  ticks_ = new QTimer(this);
  ticks_->setInterval(kProgressEveryMs);
  connect(ticks_, &QTimer::timeout, this, [this] {
    if (progress_) bar_->setValue(static_cast<int>(kProgressTicks * progress_->load()));
  });
  connect(stop_, &QPushButton::clicked, this, &PlanView::stop);
  connect(open_, &QPushButton::clicked, this, &PlanView::open_simulated);
  show_progress(false);
  return bar;
}

void PlanView::build_table() {
  rows_ = new QTableView;
  rows_->setObjectName(QStringLiteral("rows"));
  set_table_look(*rows_, QStringLiteral("Plans"));
  rows_->setModel(&table_);
  rows_->setSelectionMode(QAbstractItemView::SingleSelection);
  rows_->setSortingEnabled(true);
  rows_->horizontalHeader()->setHighlightSections(false);
  rows_->horizontalHeader()->setSortIndicator(0, Qt::AscendingOrder);
  rows_->setMinimumHeight(5 * rows_->fontMetrics().height());
  connect(rows_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& index) {
    if (!showing_ && index.isValid()) choose(table_.dot_of_row(index.row()));
  });
  connect(rows_, &QTableView::doubleClicked, this, &PlanView::open_simulated);
  connect(rows_->horizontalHeader(), &QHeaderView::sectionResized, this,
          [this] { user_sized_ = user_sized_ || (!showing_ && isVisible()); });
  connect(rows_->horizontalHeader(), &QHeaderView::sortIndicatorChanged, this, [this](int column, Qt::SortOrder order) {
    if (showing_) return;
    state_.sort_column = column, state_.descending = order == Qt::DescendingOrder;
    tell_change(next_gesture());
  });
}

/// Letters are keys of the picture and the table only: in the inputs they are text.
void PlanView::build_commands() {
  auto* right = findChild<QWidget*>(QStringLiteral("right"));
  add_command(right, QStringLiteral("Open the chosen plan's simulated timeline"), {Qt::Key_Return},
              [this] { open_simulated(); });
  add_command(right, QStringLiteral("Choose the recommended plan"), {Qt::Key_R}, [this] {
    if (result_->recommended) choose(*result_->recommended);
  });
  add_command(right, QStringLiteral("Pin or unpin the chosen plan"), {Qt::Key_P}, [this] { toggle_pin(); });
  add_command(right, QStringLiteral("Make the chosen plan's days the deadline"), {Qt::Key_D}, [this] { wish(true); });
  add_command(right, QStringLiteral("Make the chosen plan's cost the budget"), {Qt::Key_B}, [this] { wish(false); });
  add_command(right, QStringLiteral("Stop the simulation"), {Qt::Key_Escape}, [this] { stop(); });
  add_command(this, QStringLiteral("Export the chosen plan's configuration files…"),
              {QKeySequence(Qt::CTRL | Qt::Key_E)}, [this] { ask_export(); });
  add_command(this, QStringLiteral("Save this scenario…"), {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_S)},
              [this] { ask_save(); });
  add_command(this, QStringLiteral("Load a scenario…"), {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_L)},
              [this] { ask_load(); });
  add_command(this, QStringLiteral("Reset the scenario"), {QKeySequence(Qt::CTRL | Qt::Key_Backspace)},
              [this] { reset(); });
}

/// A plan needs no profile.
void PlanView::show_session(std::shared_ptr<const Session> /*session*/) {}

void PlanView::showEvent(QShowEvent* event) {
  if (!asked_) search_now();
  View::showEvent(event);
}

QJsonObject PlanView::state() const {
  return QJsonDocument::fromJson(QByteArray::fromStdString(to_json(state_))).object();
}

void PlanView::restore(const QJsonObject& state) {
  const std::string text = QJsonDocument(state).toJson(QJsonDocument::Compact).toStdString();
  take_state(parse_plan_state(text, "plan"));
}

void PlanView::take_state(const PlanState& state) {
  auto catalog = state.hardware == state_.hardware ? catalog_ : std::make_shared<HardwareCatalog>(plan_catalog(state));
  const bool dark = state_.dark;
  state_ = state;
  state_.dark = dark;
  catalog_ = std::move(catalog);
  panel_->set_inputs(state_.inputs);
  revise_now();
  search_now();
}

Picture PlanView::picture(double width, double height) const { return canvas_->picture(width, height); }

void PlanView::set_dark(bool dark) {
  state_.dark = dark;
  show_result();
}

void PlanView::tell_change(int gesture) { Q_EMIT state_changed(gesture); }

void PlanView::take_inputs(const PlanInputs& inputs, int gesture) {
  state_.inputs = inputs;
  revise_now();
  search_now();
  tell_change(gesture);
}

/// What is shown, for the inputs as they are now; the search that follows may find better.
void PlanView::revise_now() {
  input_problem_.clear();
  try {
    result_ = std::make_shared<PlanResult>(revise(*found_, state_, *catalog_));
  } catch (const Error& error) {
    input_problem_ = error.what();
    PlanResult nothing;
    nothing.problem = input_problem_;
    result_ = std::make_shared<PlanResult>(std::move(nothing));
  }
  show_result();
}

void PlanView::search_now() {
  asked_ = true;
  if (!input_problem_.empty()) return context_.pool.cancel(this, kSearchQuestion);
  context_.pool.ask<PlanResult>(
      this, kSearchQuestion,
      [state = state_, catalog = catalog_](QueryFiles& files) {
        return evaluate(state, *catalog, {.progress = [&](const SearchProgress&) { return !files.stopped(); }});
      },
      [this](std::shared_ptr<const PlanResult> found) {
        found_ = result_ = std::move(found);
        show_result();
        fit_columns();
        Q_EMIT searched();
      },
      [this](const QString& text) {
        input_problem_ = text.toStdString();
        PlanResult nothing;
        nothing.problem = input_problem_;
        result_ = std::make_shared<PlanResult>(std::move(nothing));
        show_result();
        Q_EMIT searched();
      });
}

/// As wide as what is in them, until the user says otherwise.
void PlanView::fit_columns() {
  if (user_sized_) return;
  showing_ = true;
  rows_->resizeColumnsToContents();
  showing_ = false;
}

const PlanDot* PlanView::chosen() const { return chosen_dot(*result_, state_); }

void PlanView::show_result() {
  showing_ = true;  // what the table now says of its selection is no choice of the user
  const PlanDot* dot = chosen();
  canvas_->show_plan(result_, dot != nullptr && dot->legal ? relief_of(*result_, *dot) : Relief{}, state_);
  table_.set_result(result_, state_);
  rows_->horizontalHeader()->setSortIndicator(state_.sort_column,
                                              state_.descending ? Qt::DescendingOrder : Qt::AscendingOrder);
  if (dot != nullptr) {
    const int row = table_.row_of_dot(static_cast<std::size_t>(dot - result_->dots.data()));
    rows_->selectRow(row);
    rows_->scrollTo(table_.index(row, 0));
  }
  showing_ = false;
  chips_->show_chips(chips_of(state_.inputs, *result_));
  open_->setEnabled(dot != nullptr && dot->legal && !progress_);
  if (!progress_ && result_->searched > 0) {
    note_->setText(
        QStringLiteral("%L1 plans searched in %2 s. Predictions, not measurements: P10 to P90 of published runs.")
            .arg(static_cast<qlonglong>(result_->searched))
            .arg(result_->seconds, 0, 'f', 2));
  }
  say_problem(QString::fromStdString(input_problem_));
}

/// Only what is new: the window's line is everybody's.
void PlanView::say_problem(const QString& text) {
  if (text == said_) return;
  said_ = text;
  Q_EMIT problem(text);
}

void PlanView::choose(std::size_t dot) {
  if (dot >= result_->dots.size()) return;
  const PlanKey key = key_of(result_->request, result_->dots[dot].point);
  if (state_.chosen == key) return;
  state_.chosen = key;
  show_result();
  tell_change(next_gesture());
}

void PlanView::toggle_pin() {
  const PlanDot* dot = chosen();
  if (dot == nullptr) return;
  const PlanKey key = key_of(result_->request, dot->point);
  if (std::erase(state_.pinned, key) == 0) state_.pinned.push_back(key);
  show_result();
  tell_change(next_gesture());
}

/// Rounded up a little, so that the plan itself keeps to it.
void PlanView::wish(bool deadline) {
  const PlanDot* dot = chosen();
  if (dot == nullptr || !dot->legal) return;
  PlanInputs inputs = state_.inputs;
  constexpr double kRoom = 1.0001;
  (deadline ? inputs.deadline_days : inputs.budget_usd) =
      kRoom * (deadline ? dot->point.run.days : dot->point.run.cost_usd);
  panel_->set_inputs(inputs);
  take_inputs(inputs, next_gesture());
}

void PlanView::reset() {
  take_state(PlanState());
  tell_change(next_gesture());
}

void PlanView::show_progress(bool running) {
  bar_->setVisible(running);
  stop_->setVisible(running);
  bar_->setValue(0);
  running ? ticks_->start() : ticks_->stop();
}

void PlanView::open_simulated() {
  const PlanDot* dot = chosen();
  if (dot == nullptr || !dot->legal || progress_) return;
  progress_ = std::make_shared<std::atomic<double>>(0);
  show_progress(true);
  open_->setEnabled(false);
  note_->setText(QStringLiteral("Simulating %1 …").arg(QString::fromStdString(name_of(*result_, *dot))));
  const auto end = [this](const QString& text) {
    progress_.reset();
    show_progress(false);
    show_result();
    note_->setText(text);
  };
  context_.pool.ask<SimulatedPlan>(
      this, kSimulateQuestion,
      [c = case_of(*result_, *dot, state_.inputs), tokens = state_.inputs.tokens, catalog = catalog_,
       folder = folder_.path().toStdString(), progress = progress_](QueryFiles& files) {
        return simulate_plan(c, tokens, *catalog, folder, [&](double done) {
          progress->store(done);
          return !files.stopped();
        });
      },
      [this, end](const std::shared_ptr<const SimulatedPlan>& run) {
        const QString part =
            run->micro_batches > 0 ? QStringLiteral(", its first %1 micro-batches").arg(run->micro_batches) : QString();
        end(QStringLiteral("Simulated%1: %2, one rank of each of %3 kinds.")
                .arg(part, QString::fromStdString(format_seconds(run->step_time_s)))
                .arg(run->ranks));
        const QString path = QString::fromStdString(run->path);
        context_.pool.forget(run->path);
        context_.open(run->path);
        context_.show("timeline");
        Q_EMIT simulated(path);
      },
      [this, end](const QString& text) {
        end(QStringLiteral("Not simulated: ") + text);
        say_problem(text);
      });
}

void PlanView::stop() {
  if (!progress_) return;
  context_.pool.cancel(this, kSimulateQuestion);
  progress_.reset();
  show_progress(false);
  show_result();
  note_->setText(QStringLiteral("The simulation was stopped."));
}

}  // namespace shardscope::gui
