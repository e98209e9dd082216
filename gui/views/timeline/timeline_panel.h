#pragma once
// The tables below a timeline: what the area holds (or, without one, what can be seen), the selected op, hits of a
// search, notes. Each can be sorted and copied.
//
//   panel->table(TimelinePanel::kByOp).set_table(op_table(ops));

#include <QLabel>
#include <QTabWidget>
#include <QTableView>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "gui/models/table_model.h"
#include "profiler/query/area_flame.h"

namespace shardscope::gui {

class PictureCanvas;

class TimelinePanel : public QWidget {
  Q_OBJECT

 public:
  enum Tab { kByCategory, kByOp, kByRank, kCollectives, kMemory, kFlame, kDetails, kHits, kNotes, kTabs };
  explicit TimelinePanel(QWidget* parent = nullptr);
  TableModel& table(Tab tab) { return models_[tab]; }
  QTableView* view(Tab tab) const { return views_[static_cast<std::size_t>(tab)]; }
  void set_table(Tab tab, TableData table) { share_table(tab, std::make_shared<const TableData>(std::move(table))); }
  void share_table(Tab tab, std::shared_ptr<const TableData> table);    ///< of thousands of rows: made by a worker
  void set_flame(std::shared_ptr<const std::vector<FlameNode>> flame);  ///< picture and table
  void set_dark(bool dark);
  void set_caption(const QString& text);  ///< what the area is: "38.2 ms x 8 ranks"
  QString caption() const { return caption_->text(); }
  void show_tab(Tab tab);
  Tab tab() const;
  void copy(TextFormat format) const;  ///< the table in front

 Q_SIGNALS:
  void tab_changed();
  void row_activated(int tab, int row);  ///< row as it was set, before sorting

 private:
  bool eventFilter(QObject* watched, QEvent* event) override;
  QWidget* make_flame(QTableView* table);
  std::shared_ptr<const std::vector<FlameNode>> flame_;  ///< an answer of the pool; null: not asked yet
  int flame_root_ = 0;
  bool dark_ = false;
  PictureCanvas* flame_canvas_ = nullptr;
  std::array<TableModel, kTabs> models_;
  std::array<QTableView*, kTabs> views_{};
  QTabWidget* tabs_ = nullptr;
  QLabel* caption_ = nullptr;
};

}  // namespace shardscope::gui
