#pragma once
// What every tab of the window is: it shows a session, can be saved, restored, copied as a picture and as a table, and
// lists its keys. A new view is a folder or file pair here and one line in view_list.cpp.
//
//   for (const ViewEntry& entry : view_list()) tabs->addTab(entry.make(context, tabs), entry.title);

#include <QAction>
#include <QJsonObject>
#include <QKeySequence>
#include <QList>
#include <QWidget>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "gui/models/picture.h"
#include "gui/models/session.h"

class QAbstractItemModel;

namespace shardscope::gui {

struct ViewContext;

/// One tab of the window.
class View : public QWidget {
  Q_OBJECT

 public:
  using QWidget::QWidget;
  virtual void show_session(std::shared_ptr<const Session> session) = 0;  ///< what is open changed; null: nothing open
  virtual QJsonObject state() const = 0;                                  ///< for links, files and undo
  virtual void restore(const QJsonObject& state) = 0;                     ///< throws Error naming the key
  virtual Picture picture(double width, double height) const = 0;  ///< what it shows: for copies, exports, golden tests
  virtual QAbstractItemModel* table() = 0;  ///< the same as a table: accessibility, copy as TSV/CSV/Markdown
  QList<QAction*> commands() const { return commands_; }  ///< its keys: in the command palette and the key sheet, too
  virtual void set_dark(bool dark) = 0;

 Q_SIGNALS:
  void state_changed(int gesture);    ///< changes of one gesture (same number, not 0) are one step of undo
  void problem(const QString& text);  ///< one line for the user; empty: none

 protected:
  /// A command whose keys work while `place`, the view or a part of it, has the focus.
  QAction* add_command(QWidget* place, const QString& text, const QList<QKeySequence>& keys, std::function<void()> run);
  QAction* add_command(const QString& text, const QList<QKeySequence>& keys, std::function<void()> run) {
    return add_command(this, text, keys, std::move(run));
  }

 private:
  QList<QAction*> commands_;
};

struct ViewEntry {
  const char* id;     ///< "timeline", in states and links
  const char* title;  ///< of the tab
  View* (*make)(ViewContext&, QWidget* parent);
};

/// In the order of the tabs.
const std::vector<ViewEntry>& view_list();

}  // namespace shardscope::gui
