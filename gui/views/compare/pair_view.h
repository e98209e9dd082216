#pragma once
// What the views of two runs share: a canvas over a table, actions that are in the key sheet, and questions that are
// asked only while the view can be seen. A view says what to ask and how to draw it.

#include <QToolBar>

#include "gui/models/table_model.h"
#include "gui/views/compare/picture_canvas.h"
#include "gui/views/view.h"
#include "gui/views/view_context.h"

class QSplitter;
class QTableView;

namespace shardscope::gui {

class PairView : public View {
  Q_OBJECT

 public:
  PairView(ViewContext& context, QWidget* parent);
  void show_session(std::shared_ptr<const Session> session) override;
  QAbstractItemModel* table() override { return &table_; }
  void set_dark(bool dark) override;

 protected:
  void showEvent(QShowEvent* event) override;
  virtual void session_changed() = 0;  ///< choices that the session offers
  virtual void ask() = 0;              ///< the session or what is asked has changed: put the question
  void ask_if_seen();                  ///< now, or when the view is next shown
  QTableView* make_table(const QString& name);
  /// One more step of undo; wheel turns and key repeats within half a second are one.
  void say_changed(const char* kind);
  /// How states name B: what the command line finds in the same file.
  std::string name_of_b() const;
  /// Asks the window for the run of that name or number, in A's file, as B; if there is none, B stays.
  void ask_for_b(const std::string& name);
  const RunSummary* run_a() const { return session_ ? session_->run(session_->a) : nullptr; }
  const RunSummary* run_b() const { return session_ ? session_->run(session_->b) : nullptr; }
  const RunSummary* prediction() const { return session_ ? session_->run(session_->prediction) : nullptr; }

  ViewContext& context_;
  std::shared_ptr<const Session> session_;
  TableModel table_;
  QToolBar* bar_ = nullptr;
  QSplitter* splitter_ = nullptr;  ///< canvas, then what the view puts under it
  PictureCanvas* canvas_ = nullptr;
  bool dark_ = false;

 private:
  bool stale_ = true;
  int gesture_ = 0;
  const char* last_kind_ = nullptr;
  qint64 last_ms_ = 0;
};

/// A state of the core as the window keeps it, and back.
QJsonObject to_object(const std::string& json);
std::string to_text(const QJsonObject& object);

}  // namespace shardscope::gui
