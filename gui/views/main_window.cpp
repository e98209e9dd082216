#include "gui/views/main_window.h"

#include <QAction>
#include <QApplication>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QKeySequence>
#include <QLabel>
#include <QMenuBar>
#include <QMimeData>
#include <QStatusBar>
#include <QTabWidget>
#include <QVBoxLayout>
#include <algorithm>
#include <utility>

#include "gui/views/view.h"

namespace shardscope::gui {

namespace {

QString file_names(const std::vector<std::string>& paths) {
  QStringList names;
  for (const std::string& path : paths) names << QFileInfo(QString::fromStdString(path)).fileName();
  return names.join(QStringLiteral(", "));
}

}  // namespace

MainWindow::MainWindow(QWidget* parent) : QMainWindow(parent) {
  setWindowTitle(QStringLiteral("Shardscope"));
  setAcceptDrops(true);
  resize(1280, 860);
  context_.open = [this](const std::string& path) {
    std::vector<std::string> files = session_ ? session_->files : std::vector<std::string>{};
    if (std::find(files.begin(), files.end(), path) == files.end()) files.push_back(path);
    open(std::move(files));
  };
  context_.show = [this](const std::string& id) { show_view(id); };
  context_.set_session = [this](const Session& session) { show_session(std::make_shared<Session>(session)); };
  build_central();
  build_views();
  build_menus();
  connect(&loader_, &ProfileLoader::loaded, this, &MainWindow::show_runs);
  connect(&loader_, &ProfileLoader::failed, this, &MainWindow::show_problem);
  show_session(std::make_shared<Session>());
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

  tabs_ = new QTabWidget;
  tabs_->setObjectName(QStringLiteral("views"));
  tabs_->setDocumentMode(true);
  tabs_->setAccessibleName(QStringLiteral("Views"));

  auto* central = new QWidget;
  auto* layout = new QVBoxLayout(central);
  layout->addWidget(message_);
  layout->addWidget(tabs_, 1);
  layout->setContentsMargins({});
  setCentralWidget(central);
}

/// Keys 1 to 9 are the views', in the order of the tabs.
void MainWindow::build_views() {
  constexpr int kDigits = 9;
  for (const ViewEntry& entry : view_list()) {
    View* view = entry.make(context_, tabs_);
    views_.push_back(view);
    const int number = tabs_->addTab(view, QString::fromLatin1(entry.title));
    auto* show = new QAction(QStringLiteral("Show %1").arg(QString::fromLatin1(entry.title)), this);
    if (number < kDigits) show->setShortcut(QKeySequence(Qt::Key_1 + number));
    connect(show, &QAction::triggered, this, [this, number] { tabs_->setCurrentIndex(number); });
    addAction(show);
    connect(view, &View::problem, this, &MainWindow::set_message);
  }
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
  connect(dark_, &QAction::toggled, this, &MainWindow::set_dark);
  set_dark(dark_->isChecked());
}

void MainWindow::set_theme(Theme theme) {
  dark_->setChecked(theme == Theme::kDark);
  set_dark(dark_->isChecked());  // the same theme again, if the desktop's palette was used so far
}

void MainWindow::set_dark(bool dark) {
  QApplication::setPalette(make_palette(dark ? Theme::kDark : Theme::kLight));
  for (View* view : views_) view->set_dark(dark);
}

View* MainWindow::view(const std::string& id) const {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    if (view_list()[i].id == id) return views_[i];
  }
  return nullptr;
}

bool MainWindow::show_view(const std::string& id) {
  View* wanted = view(id);
  if (wanted != nullptr) tabs_->setCurrentWidget(wanted);
  return wanted != nullptr;
}

void MainWindow::open(std::vector<std::string> paths) {
  asked_ = std::move(paths);
  statusBar()->showMessage(QStringLiteral("Reading %1…").arg(file_names(asked_)));
  loader_.load(asked_);
}

void MainWindow::show_runs(const std::vector<RunSummary>& runs) {
  for (const std::string& file : asked_) pool_.forget(file);
  selection_.clear();
  show_session(std::make_shared<Session>(make_session(asked_, runs)));
  set_message({});
  setWindowTitle(QStringLiteral("%1 – Shardscope").arg(file_names(asked_)));
  statusBar()->showMessage(runs.empty() ? QStringLiteral("%1 holds no run.").arg(file_names(asked_))
                                        : QStringLiteral("%1: %2 runs").arg(file_names(asked_)).arg(runs.size()));
  Q_EMIT opened();
}

void MainWindow::show_session(std::shared_ptr<const Session> session) {
  session_ = std::move(session);
  for (View* view : views_) view->show_session(session_->files.empty() ? nullptr : session_);
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
