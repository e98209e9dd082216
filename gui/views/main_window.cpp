#include "gui/views/main_window.h"

#include <QAction>
#include <QApplication>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QHeaderView>
#include <QKeySequence>
#include <QLabel>
#include <QMenuBar>
#include <QMimeData>
#include <QScrollArea>
#include <QSplitter>
#include <QStatusBar>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>
#include <utility>

#include "gui/models/charts.h"
#include "gui/views/stacked_bars.h"

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

QString file_names(const std::vector<std::string>& paths) {
  QStringList names;
  for (const std::string& path : paths) names << QFileInfo(QString::fromStdString(path)).fileName();
  return names.join(QStringLiteral(", "));
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

MainWindow::MainWindow(QWidget* parent) : QMainWindow(parent) {
  setWindowTitle(QStringLiteral("Shardscope"));
  setAcceptDrops(true);
  resize(1280, 860);
  build_central();
  build_menus();
  connect(&loader_, &ProfileLoader::loaded, this, &MainWindow::show_runs);
  connect(&loader_, &ProfileLoader::failed, this, &MainWindow::show_problem);
  show_runs({});
  statusBar()->showMessage(QStringLiteral("Open a profile with Ctrl+O, or drop one here."));
}

void MainWindow::build_central() {
  message_ = new QLabel;
  message_->setObjectName(QStringLiteral("message"));
  message_->setWordWrap(true);
  message_->setTextFormat(Qt::PlainText);
  message_->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
  message_->setMargin(8);
  message_->setAutoFillBackground(true);
  QPalette warning = message_->palette();  // Okabe and Ito's yellow, black on it: the same in dark and light
  warning.setColor(QPalette::Window, QColor(kYellow.r, kYellow.g, kYellow.b));
  warning.setColor(QPalette::WindowText, Qt::black);
  message_->setPalette(warning);
  message_->hide();

  table_ = new QTableView;
  table_->setObjectName(QStringLiteral("runs"));
  table_->setAccessibleName(QStringLiteral("Runs of the profile"));
  table_->setModel(&runs_);
  table_->setSelectionBehavior(QAbstractItemView::SelectRows);
  table_->setAlternatingRowColors(true);
  table_->setShowGrid(false);
  table_->setTabKeyNavigation(false);
  table_->verticalHeader()->hide();
  table_->verticalHeader()->setDefaultSectionSize(table_->fontMetrics().height() + 8);
  table_->horizontalHeader()->setHighlightSections(false);
  table_->setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);

  steps_ = new StackedBars;
  steps_->setObjectName(QStringLiteral("steps"));
  memory_ = new StackedBars;
  memory_->setObjectName(QStringLiteral("memory"));
  auto* charts = new QSplitter(Qt::Horizontal);
  charts->addWidget(in_scroll_area(steps_));
  charts->addWidget(in_scroll_area(memory_));
  charts->setChildrenCollapsible(false);

  auto* central = new QWidget;
  auto* layout = new QVBoxLayout(central);
  layout->addWidget(message_);
  layout->addWidget(table_);
  layout->addWidget(charts, 1);
  setCentralWidget(central);
}

void MainWindow::build_menus() {
  QMenu* file = menuBar()->addMenu(QStringLiteral("&File"));
  QAction* open = file->addAction(QStringLiteral("&Open…"), this, &MainWindow::choose_files);
  open->setShortcut(QKeySequence::Open);
  QAction* quit = file->addAction(QStringLiteral("&Quit"), this, &QWidget::close);
  quit->setShortcut(QKeySequence::Quit);
  dark_ = menuBar()->addMenu(QStringLiteral("&View"))->addAction(QStringLiteral("&Dark"));
  dark_->setCheckable(true);
  dark_->setChecked(theme_of(palette()) == Theme::kDark);
  connect(dark_, &QAction::toggled, this,
          [](bool on) { QApplication::setPalette(make_palette(on ? Theme::kDark : Theme::kLight)); });
}

void MainWindow::set_theme(Theme theme) {
  QApplication::setPalette(make_palette(theme));
  dark_->setChecked(theme == Theme::kDark);
}

void MainWindow::open(std::vector<std::string> paths) {
  asked_ = std::move(paths);
  statusBar()->showMessage(QStringLiteral("Reading %1…").arg(file_names(asked_)));
  loader_.load(asked_);
}

void MainWindow::show_runs(const std::vector<RunSummary>& runs) {
  runs_.set_runs(runs);
  fit_columns(table_);
  fit_height(table_);
  steps_->set_chart(step_chart(runs));
  memory_->set_chart(memory_chart(runs));
  set_message({});
  if (asked_.empty()) return;  // the empty window at the start
  setWindowTitle(QStringLiteral("%1 – Shardscope").arg(file_names(asked_)));
  statusBar()->showMessage(runs.empty() ? QStringLiteral("%1 holds no run.").arg(file_names(asked_))
                                        : QStringLiteral("%1: %2 runs").arg(file_names(asked_)).arg(runs.size()));
  Q_EMIT opened();
}

void MainWindow::show_problem(const QString& message) {
  statusBar()->clearMessage();
  set_message(message);
  Q_EMIT refused(message);
}

void MainWindow::set_message(const QString& text) {
  message_->setText(text);
  message_->setVisible(!text.isEmpty());
}

QString MainWindow::message() const { return message_->text(); }

void MainWindow::choose_files() {
  const QStringList files = QFileDialog::getOpenFileNames(this, QStringLiteral("Open profiles"), {},
                                                          QStringLiteral("Profiles (*.db);;All files (*)"));
  std::vector<std::string> paths;
  for (const QString& file : files) paths.push_back(file.toStdString());
  if (!paths.empty()) open(std::move(paths));
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  std::vector<std::string> paths;
  for (const QUrl& url : event->mimeData()->urls()) {
    if (url.isLocalFile()) paths.push_back(url.toLocalFile().toStdString());
  }
  if (!paths.empty()) open(std::move(paths));
}

}  // namespace shardscope::gui
