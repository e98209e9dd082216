#pragma once
// The memory tab: what each rank holds over time, under its limit and beside its prediction; the table below has the
// peaks or, with a cursor, what is live at it. Shows run A of the session; follows the shared window and ranks.
//
//   {"memory", "Memory", make<MemoryView>},   // gui/views/view_list.cpp

#include "gui/models/memory_data.h"
#include "gui/models/table_model.h"
#include "gui/models/timeline_picture.h"
#include "gui/views/view.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QSpinBox;
class QTableView;

namespace shardscope::gui {

class MemoryCanvas;

class MemoryView : public View {
  Q_OBJECT

 public:
  explicit MemoryView(ViewContext& context, QWidget* parent = nullptr);
  void show_session(std::shared_ptr<const Session> session) override;
  QJsonObject state() const override;
  void restore(const QJsonObject& state) override;
  Picture picture(double width, double height) const override;
  QAbstractItemModel* table() override { return &table_model_; }
  void set_dark(bool dark) override;

  const MemoryState& memory_state() const { return state_; }
  const std::shared_ptr<const MemoryData>& shown() const { return data_; }  ///< null until it has been read

 private:
  struct Facts {
    std::shared_ptr<const MemoryFacts> run, predicted;  ///< predicted: null without one
  };
  void build();
  QWidget* build_controls();
  void build_commands();
  void build_looking_around();
  void build_cursor_commands();
  void build_choices();
  void follow_selection();

  void ask_facts();
  void ask_data();
  void take_facts(std::shared_ptr<const Facts> facts);
  void take_data(std::shared_ptr<const MemoryData> fresh);
  void fail(const QString& problem);
  void set_state(const MemoryState& state, int gesture);  ///< by the user
  void adopt(const MemoryState& state);
  void share();
  void show_controls();
  void show_table();

  void look(TimeWindow window);
  void step_change(bool forward);
  void go_to_mark(bool over);
  void move_cursor_rank(int by);
  void scroll_ranks(int by);
  void take_limit();
  QString limit_text() const;

  ViewContext& context_;
  std::shared_ptr<const Session> session_;
  std::string file_, predicted_file_;
  std::int64_t run_ = -1, predicted_run_ = -1;
  TimelineTitle title_;
  std::shared_ptr<const Facts> facts_;
  std::shared_ptr<const MemoryData> data_;
  MemoryState state_;
  bool following_ = false, showing_ = false;

  MemoryCanvas* canvas_ = nullptr;
  QComboBox* spaces_ = nullptr;
  QComboBox* ranks_ = nullptr;
  QSpinBox* rank_ = nullptr;
  QLineEdit* limit_ = nullptr;
  QLabel* table_title_ = nullptr;
  QTableView* table_ = nullptr;
  TableModel table_model_;
};

/// "80 GiB", "80G", "85899345920", in powers of two; nothing if it is no size, 0 for an empty text.
std::optional<std::int64_t> parse_bytes(const std::string& text);

}  // namespace shardscope::gui
