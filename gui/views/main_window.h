#pragma once
// The window: tabs of views (gui/views/view_list.cpp), all of the same session. What cannot be read becomes one message
// at the top; the window stays, with what it showed before.
//
//   MainWindow window;
//   window.open({"run.db"});   // answers later, with opened() or refused()

#include <QMainWindow>
#include <memory>
#include <string>
#include <vector>

#include "gui/models/profile_loader.h"
#include "gui/models/session.h"
#include "gui/views/theme.h"
#include "gui/views/view_context.h"

class QAction;
class QLabel;
class QTabWidget;

namespace shardscope::gui {

class View;

class MainWindow : public QMainWindow {
  Q_OBJECT

 public:
  explicit MainWindow(QWidget* parent = nullptr);

  void open(std::vector<std::string> paths);
  void set_theme(Theme theme);
  const Session& session() const { return *session_; }
  bool busy() const { return pool_.busy(); }  ///< some view waits for an answer
  QString message() const;                    ///< shown at the top; empty: none
  View* view(const std::string& id) const;    ///< nothing if there is none of that id
  bool show_view(const std::string& id);      ///< false if there is none of that id

 Q_SIGNALS:
  void opened();
  void refused(const QString& message);

 private:
  void build_central();
  void build_views();
  void build_menus();
  void show_runs(const std::vector<RunSummary>& runs);
  void show_session(std::shared_ptr<const Session> session);
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
  std::vector<std::string> asked_;          ///< paths of the load under way
  QLabel* message_ = nullptr;
  QTabWidget* tabs_ = nullptr;
  std::vector<View*> views_;  ///< as view_list()
  QAction* dark_ = nullptr;
};

}  // namespace shardscope::gui
