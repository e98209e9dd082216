#pragma once
// The window: tabs of views (gui/views/view_list.cpp), all of the same session, and what serves them all: opening
// files, following a run that is still recorded, undo, copies, saved views and links. Before anything is open, a start
// page. What cannot be read becomes one message at the top; the window stays, with what it showed before.
//
//   MainWindow window;
//   window.open({"run.db"});   // answers later, with opened() or refused()

#include <QMainWindow>
#include <QTimer>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gui/models/app_state.h"
#include "gui/models/profile_loader.h"
#include "gui/models/session.h"
#include "gui/views/shell/demo_run.h"
#include "gui/views/theme.h"
#include "gui/views/view_context.h"

class QAction;
class QLabel;
class QMenu;
class QProgressBar;
class QStackedWidget;
class QTabWidget;
class QToolButton;

namespace shardscope::gui {

class StartPage;
class View;

class MainWindow : public QMainWindow {
  Q_OBJECT

 public:
  explicit MainWindow(QWidget* parent = nullptr);

  void open(std::vector<std::string> paths);
  void set_theme(Theme theme);
  const Session& session() const { return *session_; }
  bool busy() const { return pool_.busy() || loader_.busy(); }  ///< something waits for an answer
  QString message() const;                                      ///< shown at the top; empty: none
  View* view(const std::string& id) const;                      ///< nothing if there is none of that id
  bool show_view(const std::string& id);                        ///< false if there is none of that id
  View* front() const;                                          ///< the view that is looked at

  AppState app_state() const;
  /// Opens its files and run and restores its views. What is wrong becomes the message.
  void restore(const AppState& state);
  bool open_state_file(const QString& path);  ///< false, with a message, if it is none
  bool open_link(const QString& link);        ///< likewise
  void undo();
  void redo();
  QList<QAction*> all_commands() const;  ///< of the window, then of the view in front, then of the others

 Q_SIGNALS:
  void opened();
  void refused(const QString& message);

 private:
  void build_central();
  void build_views();
  void build_status();
  // main_window_menus.cpp
  void build_menus();
  void build_file_menu();
  void build_edit_menu();
  void build_view_menu();
  QAction* add_command(QMenu* menu, const char* text, const QList<QKeySequence>& keys, std::function<void()> does);
  void copy_table(int format);
  void copy_picture();
  void copy_svg();
  void save_picture();
  void save_view();
  void show_palette();
  void show_keys();
  void fill_recent();
  QStringList recent_files() const;
  void remember_file(const QString& file);

  void start_loading(std::vector<std::string> paths);
  void show_import(const QString& file, qint64 done, qint64 size);
  void runs_listed(const std::vector<RunSummary>& runs);
  void runs_loaded(const std::vector<RunSummary>& runs);
  Session session_of(const std::vector<RunSummary>& runs) const;
  void show_session(std::shared_ptr<const Session> session);
  void restore_views(const AppState& state);
  void look_for_growth();
  void follow_demo();
  void show_problem(const QString& message);
  void set_message(const QString& text);
  void set_dark(bool dark);
  void choose_files();
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;

  ProfileLoader loader_;
  QueryPool pool_;
  SharedSelection selection_;
  ViewContext context_{pool_, selection_};
  std::shared_ptr<const Session> session_;  ///< never null; shared with the views
  std::vector<std::string> asked_;          ///< paths of the load under way, as the user named them
  std::vector<std::string> reading_;        ///< the profiles that are read for them: imported, if they were none
  std::vector<std::string> opened_;         ///< what asked_ was for the session that is shown
  std::optional<AppState> to_restore_;      ///< once those are open
  StateHistory history_;
  bool restoring_ = false, refreshing_ = false;
  QTimer growth_, long_question_;
  qint64 seen_size_ = 0, seen_time_ = 0;  ///< of the files, when they were last read
  DemoRun demo_;
  QLabel* message_ = nullptr;
  const View* message_of_ = nullptr;  ///< the view that said it; null: the window itself
  QStackedWidget* pages_ = nullptr;
  StartPage* start_ = nullptr;
  QTabWidget* tabs_ = nullptr;
  std::vector<View*> views_;  ///< as view_list()
  QProgressBar* progress_ = nullptr;
  QToolButton* cancel_ = nullptr;
  QMenu* recent_ = nullptr;
  QList<QAction*> commands_;
  QAction* dark_ = nullptr;
};

}  // namespace shardscope::gui
