// The window's commands: menus, copies, saved views and links, palette and key sheet. Each is an action with a name.

#include <QAction>
#include <QApplication>
#include <QClipboard>
#include <QFile>
#include <QFileDialog>
#include <QFileInfo>
#include <QInputDialog>
#include <QMenuBar>
#include <QMimeData>
#include <QSettings>
#include <QStatusBar>
#include <QTabWidget>

#include "core/error.h"
#include "gui/models/table_model.h"
#include "gui/paint/paint_picture.h"
#include "gui/views/main_window.h"
#include "gui/views/shell/command_palette.h"
#include "gui/views/shell/start_page.h"
#include "gui/views/view.h"

namespace shardscope::gui {
namespace {

constexpr int kMostRecent = 10, kDigits = 9;
constexpr double kCopyScale = 2;

QSettings settings() { return QSettings(QSettings::IniFormat, QSettings::UserScope, "shardscope", "shardscope-gui"); }

QByteArray read_file(const QString& path) {
  QFile file(path);
  if (!file.open(QIODevice::ReadOnly)) throw Error(ErrorKind::kIo, path.toStdString() + ": cannot be read");
  return file.readAll();
}

void write_file(const QString& path, const QByteArray& content) {
  QFile file(path);
  if (!file.open(QIODevice::WriteOnly) || file.write(content) != content.size())
    throw Error(ErrorKind::kIo, path.toStdString() + ": cannot be written");
}

}  // namespace

QAction* MainWindow::add_command(QMenu* menu, const char* text, const QList<QKeySequence>& keys,
                                 std::function<void()> does) {
  QAction* action = menu->addAction(QString::fromUtf8(text));
  action->setShortcuts(keys);
  connect(action, &QAction::triggered, this, [this, does = std::move(does)] {
    try {
      does();
    } catch (const std::exception& error) {
      set_message(QString::fromUtf8(error.what()));
    }
  });
  commands_ << action;
  return action;
}

void MainWindow::build_menus() {
  build_file_menu();
  build_edit_menu();
  build_view_menu();
  fill_recent();
}

void MainWindow::build_file_menu() {
  QMenu* file = menuBar()->addMenu(QStringLiteral("&File"));
  add_command(file, "&Open…", {QKeySequence::Open}, [this] { choose_files(); });
  recent_ = file->addMenu(QStringLiteral("Open &recent"));
  file->addSeparator();
  add_command(file, "&Save view…", {QKeySequence::Save}, [this] { save_view(); });
  add_command(file, "Open a saved &view…", {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_O)}, [this] {
    const QString path = QFileDialog::getOpenFileName(this, QStringLiteral("Open a saved view"), {},
                                                      QStringLiteral("Saved views (*.json);;All files (*)"));
    if (!path.isEmpty()) open_state_file(path);
  });
  add_command(file, "Copy &link", {QKeySequence(Qt::CTRL | Qt::Key_L)},
              [this] { QApplication::clipboard()->setText(to_link(app_state())); });
  add_command(file, "Open a lin&k…", {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_L)}, [this] {
    const QString there = QApplication::clipboard()->text();
    const QString link =
        QInputDialog::getText(this, QStringLiteral("Open a link"), QStringLiteral("Link:"), QLineEdit::Normal,
                              there.startsWith(QLatin1String(kLinkScheme)) ? there : QString());
    if (!link.isEmpty()) open_link(link);
  });
  file->addSeparator();
  add_command(file, "&Quit", {QKeySequence::Quit}, [this] { close(); });
}

void MainWindow::build_edit_menu() {
  QMenu* edit = menuBar()->addMenu(QStringLiteral("&Edit"));
  add_command(edit, "&Undo the last change of the view",
              {Qt::Key_B, QKeySequence(Qt::ALT | Qt::Key_Left), QKeySequence::Undo}, [this] { undo(); });
  add_command(edit, "&Redo it",
              {QKeySequence(Qt::SHIFT | Qt::Key_B), QKeySequence(Qt::ALT | Qt::Key_Right), QKeySequence::Redo},
              [this] { redo(); });
  edit->addSeparator();
  add_command(edit, "Copy the table as TSV", {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_C)},
              [this] { copy_table(static_cast<int>(TextFormat::kTsv)); });
  add_command(edit, "Copy the table as CSV", {}, [this] { copy_table(static_cast<int>(TextFormat::kCsv)); });
  add_command(edit, "Copy the table as Markdown", {}, [this] { copy_table(static_cast<int>(TextFormat::kMarkdown)); });
  add_command(edit, "Copy the picture (PNG)", {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_I)},
              [this] { copy_picture(); });
  add_command(edit, "Copy the picture as SVG", {}, [this] { copy_svg(); });
  add_command(edit, "Save the picture…", {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_S)}, [this] { save_picture(); });
}

/// Keys 1 to 9 are the views', in the order of the tabs.
void MainWindow::build_view_menu() {
  QMenu* menu = menuBar()->addMenu(QStringLiteral("&View"));
  for (std::size_t i = 0; i < view_list().size(); ++i) {
    const int number = static_cast<int>(i);
    const QList<QKeySequence> keys =
        number < kDigits ? QList<QKeySequence>{QKeySequence(Qt::Key_1 + number)} : QList<QKeySequence>{};
    const std::string id = view_list()[i].id;
    add_command(menu, view_list()[i].title, keys, [this, id] { show_view(id); });
  }
  menu->addSeparator();
  dark_ = menu->addAction(QStringLiteral("&Dark"));
  dark_->setCheckable(true);
  dark_->setChecked(theme_of(palette()) == Theme::kDark);
  commands_ << dark_;
  connect(dark_, &QAction::toggled, this, &MainWindow::set_dark);
  set_dark(dark_->isChecked());
  menu->addSeparator();
  add_command(menu, "&Commands…", {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_P)}, [this] { show_palette(); });
  add_command(menu, "&Keys…", {Qt::Key_Question}, [this] { show_keys(); });
}

QList<QAction*> MainWindow::all_commands() const {
  QList<QAction*> all = commands_ + front()->commands();
  for (View* view : views_) {
    if (view != front()) all += view->commands();
  }
  return all;
}

void MainWindow::show_palette() {
  CommandPalette palette(all_commands(), this);
  palette.exec();
}

void MainWindow::show_keys() {
  KeySheet sheet(all_commands(), this);
  sheet.exec();
}

// ---- copies

void MainWindow::copy_table(int format) {
  if (const QAbstractItemModel* table = front()->table())
    QApplication::clipboard()->setText(to_text(*table, static_cast<TextFormat>(format)));
}

void MainWindow::copy_picture() {
  const Picture picture = front()->picture(front()->width(), front()->height());
  QApplication::clipboard()->setImage(paint_image(picture, kCopyScale));
}

void MainWindow::copy_svg() {
  const QByteArray svg = QByteArray::fromStdString(to_svg(front()->picture(front()->width(), front()->height())));
  auto* content = new QMimeData;  // the clipboard's
  content->setData(QStringLiteral("image/svg+xml"), svg);
  content->setText(QString::fromUtf8(svg));
  QApplication::clipboard()->setMimeData(content);
}

void MainWindow::save_picture() {
  const QString path =
      QFileDialog::getSaveFileName(this, QStringLiteral("Save the picture"), QStringLiteral("view.png"),
                                   QStringLiteral("PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"));
  if (path.isEmpty()) return;
  const Picture picture = front()->picture(front()->width(), front()->height());
  if (path.endsWith(QLatin1String(".svg"))) return write_file(path, QByteArray::fromStdString(to_svg(picture)));
  if (path.endsWith(QLatin1String(".pdf"))) return write_pdf(picture, path.toStdString());
  if (!paint_image(picture, kCopyScale).save(path))
    throw Error(ErrorKind::kIo, path.toStdString() + ": cannot be written (its name must end with .png, .svg or .pdf)");
}

// ---- saved views

void MainWindow::save_view() {
  const QString path = QFileDialog::getSaveFileName(this, QStringLiteral("Save view"), QStringLiteral("view.json"),
                                                    QStringLiteral("Saved views (*.json)"));
  if (!path.isEmpty()) write_file(path, to_json(app_state()));
}

bool MainWindow::open_state_file(const QString& path) {
  try {
    restore(parse_app_state(read_file(path), path.toStdString()));
    return true;
  } catch (const std::exception& error) {
    show_problem(QString::fromUtf8(error.what()));
    return false;
  }
}

/// Of a run that is not open, the files opened before are looked through: one of them may hold it.
bool MainWindow::open_link(const QString& link) {
  try {
    AppState state = parse_link(link);
    const auto has_run = [&](const RunSummary& r) { return QString::fromStdString(r.run.key) == state.run; };
    if (std::any_of(session_->runs.begin(), session_->runs.end(), has_run)) {
      restore_views(state);
      return true;
    }
    QStringList files;
    for (const QString& file : recent_files()) {
      if (QFileInfo(file).isReadable()) files << file;
    }
    pool_.ask<QString>(
        this, "link",
        [files, run = state.run.toStdString()](QueryFiles& open) {
          for (const QString& file : files) {
            try {
              for (const RunRow& row : list_runs(open.profile(file.toStdString()))) {
                if (row.key == run) return file;
              }
            } catch (const Error&) {
              continue;  // no profile any more: another one may hold it
            }
          }
          return QString();
        },
        [this, state](const std::shared_ptr<const QString>& file) mutable {
          if (file->isEmpty()) {
            return show_problem(QStringLiteral("link: none of the files opened before holds run %1; open its profile, "
                                               "then the link again")
                                    .arg(state.run));
          }
          state.files = QStringList{*file};
          restore(state);
        },
        [this](const QString& text) { show_problem(text); });
    return true;
  } catch (const std::exception& error) {
    show_problem(QString::fromUtf8(error.what()));
    return false;
  }
}

// ---- files opened before

QStringList MainWindow::recent_files() const { return settings().value("recent").toStringList(); }

void MainWindow::remember_file(const QString& file) {
  QStringList files = recent_files();
  const QString path = QFileInfo(file).absoluteFilePath();
  files.removeAll(path);
  files.prepend(path);
  settings().setValue("recent", files.mid(0, kMostRecent));
  fill_recent();
}

void MainWindow::fill_recent() {
  recent_->clear();
  const QStringList files = recent_files();
  for (const QString& file : files) recent_->addAction(file, this, [this, file] { open({file.toStdString()}); });
  recent_->setEnabled(!files.isEmpty());
  start_->set_recent(files);
}

}  // namespace shardscope::gui
