#include "gui/views/overview/overview.h"

#include <QHeaderView>
#include <QScrollArea>
#include <QSplitter>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>

#include "core/error.h"
#include "gui/models/bar_picture.h"
#include "gui/models/charts.h"
#include "gui/paint/paint_picture.h"
#include "gui/views/stacked_bars.h"
#include "gui/views/table_look.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {

namespace {

/// A view that scrolls up and down when it is higher than its place, and fills the width.
QScrollArea* in_scroll_area(StackedBars* bars) {
  auto* area = new QScrollArea;
  area->setWidget(bars);
  area->setWidgetResizable(true);
  area->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  area->setFocusPolicy(Qt::NoFocus);
  return area;
}

/// Every column as wide as its texts; what is left over goes to all alike.
void fit_columns(QTableView* table) {
  table->resizeColumnsToContents();
  const int columns = table->model()->columnCount();
  int used = 0;
  for (int column = 0; column < columns; ++column) used += table->columnWidth(column);
  const int spare = std::max(16, (table->viewport()->width() - used) / columns);
  for (int column = 0; column < columns; ++column) table->setColumnWidth(column, table->columnWidth(column) + spare);
}

/// High enough for every row, up to a dozen; then it scrolls.
void fit_height(QTableView* table) {
  const int rows = std::clamp(table->model()->rowCount(), 2, 12);
  const int header = table->horizontalHeader()->sizeHint().height();
  table->setFixedHeight(header + rows * table->verticalHeader()->defaultSectionSize() + 2 * table->frameWidth());
}

}  // namespace

Overview::Overview(ViewContext& context, QWidget* parent) : View(parent), context_(context) {
  build();
  build_commands();
  show_session(nullptr);
}

void Overview::build() {
  table_ = new QTableView;
  table_->setObjectName(QStringLiteral("runs"));
  set_table_look(*table_, QStringLiteral("Runs of the profile"), 8);
  table_->setModel(&runs_);
  table_->horizontalHeader()->setHighlightSections(false);
  table_->setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
  connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this, &Overview::choose_rows);

  steps_ = new StackedBars;
  steps_->setObjectName(QStringLiteral("steps"));
  memory_ = new StackedBars;
  memory_->setObjectName(QStringLiteral("memory"));
  auto* charts = new QSplitter(Qt::Horizontal);
  charts->addWidget(in_scroll_area(steps_));
  charts->addWidget(in_scroll_area(memory_));
  charts->setChildrenCollapsible(false);

  auto* layout = new QVBoxLayout(this);
  layout->addWidget(table_);
  layout->addWidget(charts, 1);
}

void Overview::build_commands() {
  add_command(QStringLiteral("Show this run in the other views (A)"), {Qt::Key_Return}, [this] {
    if (table_->currentIndex().isValid()) use_as_a(static_cast<std::size_t>(table_->currentIndex().row()));
  });
  connect(table_, &QTableView::doubleClicked, this,
          [this](const QModelIndex& index) { use_as_a(static_cast<std::size_t>(index.row())); });
}

void Overview::show_session(std::shared_ptr<const Session> session) {
  const bool other_runs =
      !session || !session_ || session->files != session_->files || session->runs.size() != session_->runs.size();
  session_ = std::move(session);
  const std::vector<RunSummary> runs = session_ ? session_->runs : std::vector<RunSummary>{};
  const QModelIndex current = table_->currentIndex();
  showing_ = true;  // what the table now says of its selection is no choice of the user
  runs_.set_runs(runs);
  for (std::size_t row : session_ ? session_->chosen : std::vector<std::size_t>{}) {
    table_->selectionModel()->select(runs_.index(static_cast<int>(row), 0),
                                     QItemSelectionModel::Select | QItemSelectionModel::Rows);
  }
  if (!other_runs && current.isValid()) {
    table_->selectionModel()->setCurrentIndex(runs_.index(current.row(), 0), QItemSelectionModel::NoUpdate);
  }
  showing_ = false;
  fit_columns(table_);
  fit_height(table_);
  steps_->set_chart(step_chart(runs));
  memory_->set_chart(memory_chart(runs));
}

void Overview::choose_rows() {
  if (showing_ || !session_) return;
  Session chosen = *session_;
  chosen.chosen.clear();
  for (const QModelIndex& index : table_->selectionModel()->selectedRows()) {
    chosen.chosen.push_back(static_cast<std::size_t>(index.row()));
  }
  std::sort(chosen.chosen.begin(), chosen.chosen.end());
  context_.set_session(chosen);
}

void Overview::use_as_a(std::size_t row) {
  if (session_ && row < session_->runs.size()) context_.set_session(with_a(*session_, row));
}

/// What is chosen is the session's, and saved with it.
QJsonObject Overview::state() const { return {}; }

void Overview::restore(const QJsonObject& state) {
  if (state.isEmpty()) return;
  throw Error(ErrorKind::kParse, "overview: " + state.keys().front().toStdString() + " is not a key of its state");
}

Picture Overview::picture(double width, double height) const {
  return draw_bars({step_chart(runs_.runs()), memory_chart(runs_.runs())}, dark_, width, height, text_width());
}

}  // namespace shardscope::gui
