#include "gui/views/main_window.h"

#include <QApplication>
#include <QDateTime>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QLabel>
#include <QLineEdit>
#include <QMimeData>
#include <QProgressBar>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTabWidget>
#include <QToolButton>
#include <QUrl>
#include <QVBoxLayout>
#include <algorithm>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "gui/models/plain_text.h"
#include "gui/views/shell/start_page.h"
#include "gui/views/view.h"

namespace shardscope::gui {

namespace {

constexpr int kLookForGrowthMs = 1000, kLongQuestionMs = 250;
constexpr qsizetype kLongestMessage = 380;  ///< characters: a few lines of a narrow window

QString file_names(const std::vector<std::string>& paths) {
  QStringList names;
  for (const std::string& path : paths) names << QFileInfo(QString::fromStdString(path)).fileName();
  return names.join(QStringLiteral(", "));
}

/// Sum of sizes and latest change of the files and of what SQLite has not moved into them yet.
std::pair<qint64, qint64> look_at(const std::vector<std::string>& paths) {
  qint64 size = 0, time = 0;
  for (const std::string& path : paths) {
    for (const char* end : {"", "-wal"}) {
      const QFileInfo file(QString::fromStdString(path) + QLatin1String(end));
      if (!file.exists()) continue;
      size += file.size();
      time = std::max(time, file.lastModified().toMSecsSinceEpoch());
    }
  }
  return {size, time};
}

std::vector<std::string> local_files(const QMimeData& dragged) {
  std::vector<std::string> paths;
  for (const QUrl& url : dragged.urls()) {
    if (url.isLocalFile()) paths.push_back(url.toLocalFile().toStdString());
  }
  return paths;
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
  build_status();
  build_menus();
  connect(&loader_, &ProfileLoader::importing, this, &MainWindow::show_import);
  connect(&loader_, &ProfileLoader::prepared, this, [this](const std::vector<std::string>& profiles) {
    reading_ = profiles;
    std::tie(seen_size_, seen_time_) = look_at(profiles);
  });
  connect(&loader_, &ProfileLoader::reading, this, [this](int done, int runs) {
    progress_->setRange(0, runs);
    progress_->setValue(done);
  });
  connect(&loader_, &ProfileLoader::listed, this, &MainWindow::runs_listed);
  connect(&loader_, &ProfileLoader::loaded, this, &MainWindow::runs_loaded);
  connect(&loader_, &ProfileLoader::failed, this, &MainWindow::show_problem);
  connect(&growth_, &QTimer::timeout, this, &MainWindow::look_for_growth);
  growth_.setInterval(kLookForGrowthMs);
  follow_demo();
  show_session(std::make_shared<Session>());
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
  start_ = new StartPage;
  connect(start_, &StartPage::asked_to_open, this, &MainWindow::choose_files);
  connect(start_, &StartPage::asked_for_file, this, [this](const QString& file) { open({file.toStdString()}); });
  connect(start_, &StartPage::asked_for_demo, &demo_, &DemoRun::start);
  connect(start_, &StartPage::asked_to_plan, this, [this] { show_view("plan"); });
  pages_ = new QStackedWidget;
  pages_->addWidget(start_);
  pages_->addWidget(tabs_);

  auto* central = new QWidget;
  auto* layout = new QVBoxLayout(central);
  layout->addWidget(message_);
  layout->addWidget(pages_, 1);
  layout->setContentsMargins({});
  layout->setSpacing(0);
  setCentralWidget(central);
}

void MainWindow::build_views() {
  for (const ViewEntry& entry : view_list()) {
    View* view = entry.make(context_, tabs_);
    views_.push_back(view);
    tabs_->addTab(view, QString::fromLatin1(entry.title));
    const QString id = QString::fromLatin1(entry.id);
    history_.start(id, view->state());
    connect(view, &View::problem, this, [this, view](const QString& text) {
      if (text.isEmpty() && message_of_ != view) return;  // what stands there is not the view's to take away
      set_message(text);
      message_of_ = view;
    });
    connect(view, &View::state_changed, this, [this, view, id](int gesture) {
      if (!restoring_) history_.push(id, view->state(), gesture);
    });
  }
  // A file is opened wherever it falls: no field takes its name for a text.
  for (QLineEdit* field : findChildren<QLineEdit*>()) field->setAcceptDrops(false);
}

void MainWindow::build_status() {
  progress_ = new QProgressBar;
  progress_->setRange(0, 0);
  progress_->setFixedWidth(120);
  progress_->setFormat(QStringLiteral("%p %"));
  progress_->setAccessibleName(QStringLiteral("Reading"));
  progress_->hide();
  cancel_ = new QToolButton;
  cancel_->setObjectName(QStringLiteral("cancel"));
  cancel_->setText(QStringLiteral("Cancel"));
  cancel_->hide();
  connect(cancel_, &QToolButton::clicked, this, [this] {
    loader_.cancel();
    progress_->hide();
    cancel_->hide();
    statusBar()->showMessage(QStringLiteral("Stopped: what has been read is shown."));
  });
  long_question_.setSingleShot(true);  // each move of the pointer asks something: a bar that flickers says nothing
  long_question_.setInterval(kLongQuestionMs);
  connect(&long_question_, &QTimer::timeout, this, [this] {
    if (!loader_.busy()) progress_->setRange(0, 0);  // how long it takes nobody knows
    progress_->setVisible(busy());
  });
  connect(&pool_, &QueryPool::busy_changed, this, [this](bool on) {
    if (on) return long_question_.start();
    long_question_.stop();
    progress_->setVisible(loader_.busy());
  });
  statusBar()->addPermanentWidget(progress_);
  statusBar()->addPermanentWidget(cancel_);
}

void MainWindow::follow_demo() {
  if (DemoRun::program().isEmpty())
    start_->set_demo(false, QStringLiteral("The demo needs the program “shardscope”, which is not beside this one."));
  connect(&demo_, &DemoRun::progress, start_, &StartPage::set_progress);
  connect(&demo_, &DemoRun::progress, this, [this](const QString& text) {
    if (!session_->files.empty()) statusBar()->showMessage(text.isEmpty() ? QStringLiteral("The demo is done.") : text);
  });
  connect(&demo_, &DemoRun::failed, this, &MainWindow::show_problem);
  connect(&demo_, &DemoRun::began, this, [this](const QString& profile) {
    open({profile.toStdString()});
    show_view("timeline");
  });
}

View* MainWindow::view(const std::string& id) const {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    if (view_list()[i].id == id) return views_[i];
  }
  return nullptr;
}

View* MainWindow::front() const { return views_[static_cast<std::size_t>(tabs_->currentIndex())]; }

bool MainWindow::show_view(const std::string& id) {
  View* wanted = view(id);
  if (wanted == nullptr) return false;
  tabs_->setCurrentWidget(wanted);
  pages_->setCurrentWidget(tabs_);  // a view says by itself what it lacks; a plan needs no profile
  wanted->setFocus();
  return true;
}

// ---- theme

void MainWindow::set_theme(Theme theme) {
  dark_->setChecked(theme == Theme::kDark);
  set_dark(dark_->isChecked());  // the same theme again, if the desktop's palette was used so far
}

void MainWindow::set_dark(bool dark) {
  const Theme theme = dark ? Theme::kDark : Theme::kLight;
  QApplication::setPalette(make_palette(theme));
  QApplication::setPalette(make_box_palette(theme), "QCheckBox");
  for (View* view : views_) view->set_dark(dark);
}

// ---- opening

void MainWindow::open(std::vector<std::string> paths) {
  refreshing_ = false;
  start_loading(std::move(paths));
  statusBar()->showMessage(QStringLiteral("Reading %1…").arg(file_names(asked_)));
}

void MainWindow::start_loading(std::vector<std::string> paths) {
  asked_ = std::move(paths);
  std::tie(seen_size_, seen_time_) = look_at(asked_);
  progress_->setRange(0, 0);
  progress_->show();
  cancel_->setVisible(!refreshing_);
  loader_.load(asked_);
}

/// A trace of another program is on its way to becoming a profile.
void MainWindow::show_import(const QString& file, qint64 done, qint64 size) {
  constexpr int kSteps = 1000;
  progress_->setRange(0, size > 0 ? kSteps : 0);
  if (size > 0) progress_->setValue(static_cast<int>(static_cast<double>(done) / static_cast<double>(size) * kSteps));
  statusBar()->showMessage(QStringLiteral("Importing %1…").arg(QFileInfo(file).fileName()));
}

/// The runs are there, their numbers are not: enough for views that read for themselves.
void MainWindow::runs_listed(const std::vector<RunSummary>& runs) {
  progress_->setRange(0, 0);
  for (const std::string& file : reading_) pool_.forget(file);
  if (refreshing_) return;
  opened_ = asked_;
  selection_.clear();
  history_.clear();
  set_message({});
  show_session(std::make_shared<Session>(session_of(runs)));
  for (std::size_t i = 0; i < views_.size(); ++i)
    history_.start(QString::fromLatin1(view_list()[i].id), views_[i]->state());
  setWindowTitle(QStringLiteral("%1 – Shardscope").arg(one_line(file_names(asked_))));
  for (const std::string& file : asked_) remember_file(QString::fromStdString(file));
  if (to_restore_) restore_views(*std::exchange(to_restore_, std::nullopt));
}

void MainWindow::runs_loaded(const std::vector<RunSummary>& runs) {
  show_session(std::make_shared<Session>(session_of(runs)));
  progress_->hide();  // long questions of the views bring it back
  cancel_->hide();
  const auto running =
      std::count_if(runs.begin(), runs.end(), [](const RunSummary& r) { return r.run.status == "running"; });
  QString text = runs.empty() ? QStringLiteral("%1 holds no run.").arg(file_names(asked_))
                              : QStringLiteral("%1: %2 %3")
                                    .arg(file_names(asked_))
                                    .arg(runs.size())
                                    .arg(runs.size() == 1 ? QStringLiteral("run") : QStringLiteral("runs"));
  if (running > 0)
    text += QStringLiteral(", %1 still recorded or killed: new rows are shown as they come").arg(running);
  statusBar()->showMessage(text);
  growth_.start();
  if (!std::exchange(refreshing_, false)) Q_EMIT opened();
}

/// What was chosen before stays chosen, if the files still hold it.
Session MainWindow::session_of(const std::vector<RunSummary>& runs) const {
  Session next = make_session(reading_, runs);
  if (session_->files != next.files) return next;
  const auto again = [&](std::optional<std::size_t> index) -> std::optional<std::size_t> {
    const RunSummary* old = session_->run(index);
    for (std::size_t i = 0; old != nullptr && i < runs.size(); ++i) {
      if (runs[i].file == old->file && runs[i].run.id == old->run.id) return i;
    }
    return std::nullopt;
  };
  if (const auto a = again(session_->a)) next = with_a(std::move(next), *a);
  if (const auto b = again(session_->b)) next.b = b;
  for (std::size_t chosen : session_->chosen) {
    if (const auto index = again(chosen)) next.chosen.push_back(*index);
  }
  return next;
}

void MainWindow::show_session(std::shared_ptr<const Session> session) {
  session_ = std::move(session);
  if (!session_->files.empty()) pages_->setCurrentWidget(tabs_);
  for (View* view : views_) view->show_session(session_->files.empty() ? nullptr : session_);
}

/// A profile that is being written is read again when it has changed.
void MainWindow::look_for_growth() {
  if (loader_.busy() || session_->files.empty()) return;
  if (look_at(session_->files) == std::pair(seen_size_, seen_time_)) return;
  refreshing_ = true;
  start_loading(session_->files);
}

void MainWindow::show_problem(const QString& message) {
  progress_->hide();  // long questions of the views bring it back
  cancel_->hide();
  statusBar()->clearMessage();
  to_restore_.reset();
  asked_ = opened_;
  reading_ = session_->files;
  set_message(message);
  if (!std::exchange(refreshing_, false)) Q_EMIT refused(message);
}

void MainWindow::set_message(const QString& text) {
  message_->setText(one_line(text, kLongestMessage));
  message_->setVisible(!text.isEmpty());
  message_of_ = nullptr;
}

QString MainWindow::message() const { return message_->text(); }

void MainWindow::choose_files() {
  const QStringList files = QFileDialog::getOpenFileNames(
      this, QStringLiteral("Open profiles and traces"), {},
      QStringLiteral("Profiles and traces (*.db *.json *.json.gz *.sqlite *.capture);;All files (*)"));
  std::vector<std::string> paths;
  for (const QString& file : files) paths.push_back(file.toStdString());
  if (!paths.empty()) open(std::move(paths));
}

/// A copy, whatever is proposed: of what was moved, a file manager takes the original away.
void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (local_files(*event->mimeData()).empty()) return;
  event->setDropAction(Qt::CopyAction);
  event->accept();
}

void MainWindow::dropEvent(QDropEvent* event) {
  std::vector<std::string> paths = local_files(*event->mimeData());
  if (paths.empty()) return;
  event->setDropAction(Qt::CopyAction);
  event->accept();
  open(std::move(paths));
}

// ---- states

AppState MainWindow::app_state() const {
  AppState state;
  for (const std::string& file : opened_) state.files << QFileInfo(QString::fromStdString(file)).absoluteFilePath();
  if (const RunSummary* a = session_->run(session_->a)) state.run = QString::fromStdString(a->run.key);
  state.view = QString::fromLatin1(view_list()[static_cast<std::size_t>(tabs_->currentIndex())].id);
  for (std::size_t i = 0; i < views_.size(); ++i) {
    const QJsonObject one = views_[i]->state();
    if (!one.isEmpty()) state.views[QString::fromLatin1(view_list()[i].id)] = one;
  }
  return state;
}

void MainWindow::restore(const AppState& state) {
  if (state.files.isEmpty()) return restore_views(state);
  to_restore_ = state;
  std::vector<std::string> paths;
  for (const QString& file : state.files) paths.push_back(file.toStdString());
  open(std::move(paths));
}

void MainWindow::restore_views(const AppState& state) {
  const auto is_asked = [&](const RunSummary& r) { return QString::fromStdString(r.run.key) == state.run; };
  const auto found = std::find_if(session_->runs.begin(), session_->runs.end(), is_asked);
  if (found != session_->runs.end()) {
    show_session(
        std::make_shared<Session>(with_a(*session_, static_cast<std::size_t>(found - session_->runs.begin()))));
  }
  try {
    for (auto it = state.views.begin(); it != state.views.end(); ++it) {
      View* wanted = view(it.key().toStdString());
      if (wanted == nullptr)
        throw Error(ErrorKind::kParse, "saved view: there is no view '" + it.key().toStdString() + "'");
      wanted->restore(it.value());
    }
  } catch (const std::exception& error) {
    set_message(QString::fromUtf8(error.what()));
  }
  if (!state.view.isEmpty()) show_view(state.view.toStdString());
  if (!state.run.isEmpty() && found == session_->runs.end()) {
    set_message(
        QStringLiteral("No open profile holds run %1, which the saved view is of: open its file.").arg(state.run));
  }
}

void MainWindow::undo() {
  const StateHistory::Step* step = history_.undo();
  if (step == nullptr) return;
  restoring_ = true;
  view(step->view.toStdString())->restore(step->state);
  restoring_ = false;
  show_view(step->view.toStdString());
}

void MainWindow::redo() {
  const StateHistory::Step* step = history_.redo();
  if (step == nullptr) return;
  restoring_ = true;
  view(step->view.toStdString())->restore(step->state);
  restoring_ = false;
  show_view(step->view.toStdString());
}

}  // namespace shardscope::gui
