#pragma once
// How every table of the window looks: whole rows are selected, no grid, Tab goes on to the next part of the window;
// and a table that says in its place why it has no rows.
//
//   auto* table = new TableView(QStringLiteral("No op is selected: click one."));
//   set_table_look(*table, QStringLiteral("Details"));

#include <QTableView>

namespace shardscope::gui {

class TableView : public QTableView {
  Q_OBJECT

 public:
  explicit TableView(QString empty_text, QWidget* parent = nullptr);
  void set_empty_text(const QString& text);
  const QString& empty_text() const { return empty_text_; }

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QString empty_text_;
};

/// `name` is what screen readers say; `margin` the pixels of a row beyond its text.
void set_table_look(QTableView& table, const QString& name, int margin = 6);

}  // namespace shardscope::gui
