#pragma once
// The window: a table of runs over two bar views, where a step's time goes and what memory holds at its peak. What
// cannot be read becomes one message at the top; the window stays, with what it showed before.
//
//   MainWindow window;
//   window.open({"run.db"});   // answers later, with opened() or refused()

#include <QMainWindow>
#include <string>
#include <vector>

#include "gui/models/profile_loader.h"
#include "gui/models/runs_model.h"
#include "gui/views/theme.h"

class QAction;
class QLabel;
class QTableView;

namespace shardscope::gui {

class StackedBars;

class MainWindow : public QMainWindow {
  Q_OBJECT

 public:
  explicit MainWindow(QWidget* parent = nullptr);

  void open(std::vector<std::string> paths);
  void set_theme(Theme theme);
  QString message() const;  ///< shown at the top; empty: none

 Q_SIGNALS:
  void opened();
  void refused(const QString& message);

 private:
  void build_central();
  void build_menus();
  void show_runs(const std::vector<RunSummary>& runs);
  void show_problem(const QString& message);
  void set_message(const QString& text);
  void choose_files();
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;

  ProfileLoader loader_;
  RunsModel runs_;
  std::vector<std::string> asked_;  ///< paths of the load under way
  QLabel* message_ = nullptr;
  QTableView* table_ = nullptr;
  StackedBars* steps_ = nullptr;
  StackedBars* memory_ = nullptr;
  QAction* dark_ = nullptr;
};

}  // namespace shardscope::gui
