#pragma once
// The timeline's tab: canvas, minimap, search, tables, and the keys that move through a run. What can be seen is one
// TimelineState; every change of it goes through change(), which tells canvas, loader, tables and the other views.
//
//   {"timeline", "Timeline", make<TimelineView>},   // gui/views/view_list.cpp

#include <QTimer>

#include "gui/models/area_tables.h"
#include "gui/views/timeline/timeline_loader.h"
#include "gui/views/view.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QSplitter;

namespace shardscope::gui {

class Minimap;
class TimelineCanvas;
class TimelinePanel;

class TimelineView : public View {
  Q_OBJECT

 public:
  explicit TimelineView(ViewContext& context, QWidget* parent = nullptr);
  void show_session(std::shared_ptr<const Session> session) override;
  QJsonObject state() const override;
  void restore(const QJsonObject& state) override;
  Picture picture(double width, double height) const override;
  QAbstractItemModel* table() override;
  void set_dark(bool dark) override;

  const TimelineState& timeline_state() const { return state_; }
  bool is_loaded() const;  ///< what is looked at has been read

 private:
  void build();
  void connect_parts();
  // timeline_commands.cpp
  void build_commands();
  void zoom_by(double factor);
  void pan_by(double fraction);
  void scroll_by(double pixels);
  void focus();
  void show_all();
  void select_neighbour(bool forward);
  void select_tied(bool forward);
  void selection_to_area();
  void add_note(bool with_text);
  void toggle_pin();
  void toggle_check(int rank);
  void check_only(int rank);
  void go_to_step(int by);
  void say_step();  ///< which step fills the view, or how many there are
  void clear_step_by_step();
  void toggle_rank(int rank);
  void expand_all(bool lanes);
  void find_rank();
  // timeline_questions.cpp
  void pick(const TimelineRow& row, std::int64_t at_ns, bool zoom_to_it);
  void hover(const TimelineRow& row, std::int64_t at_ns);
  void select(std::size_t track, const Span& span, bool zoom_to_it);
  void ask_details();
  void ask_facts(const OpReport& report, const TiedSpan& selected);
  void ask_area();
  void ask_area_tab();
  RankSet counted(const TimelineArea& area) const;  ///< its ranks whose boxes are checked
  void ask_search();
  void ask_minimap();
  void show_hit(int row);

  void change(TimelineState next, int gesture = 0);
  void look_at(const TiedSpan& hit);
  void catalog_loaded(const std::shared_ptr<const TimelineCatalog>& catalog);
  void want();
  void say_empty();
  TimelineTitle title() const;
  std::optional<RunKey> other_run() const;  ///< the prediction of a measured run, or the other way round

  ViewContext& context_;
  std::shared_ptr<const Session> session_;  ///< shared with the window
  TimelineLoader loader_;
  TimelineState state_;
  std::optional<QJsonObject> restored_;     ///< waits for the catalog
  std::shared_ptr<const SearchHits> hits_;  ///< answers of the pool are shared
  int shown_hit_ = -1;
  std::optional<TimelineArea> asked_area_;  ///< what the tables are of: the area, or what can be seen
  QTimer settle_;                           ///< the tables follow when the view has been still for a moment
  TimelineCanvas* canvas_ = nullptr;
  Minimap* minimap_ = nullptr;
  TimelinePanel* panel_ = nullptr;
  QLineEdit* search_ = nullptr;
  QLabel* found_ = nullptr;
  QLabel* step_ = nullptr;
  QComboBox* metric_ = nullptr;
  int gesture_ = 0;
  bool following_ = false;  ///< the shared selection is what changes us
};

}  // namespace shardscope::gui
