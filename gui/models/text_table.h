#pragma once
// A small table of texts and numbers as an item model, sortable; and any item model as text to paste elsewhere.
//
//   TextTableModel model;
//   model.set_table({{{"op", false}, {"time", true}}, {{{"matmul"}, {"12.0 ms", 0.012}}}});
//   QString text = to_text(model, TextFormat::kMarkdown);

#include <QAbstractTableModel>
#include <QString>
#include <vector>

namespace shardscope::gui {

struct TextCell {
  QString text;
  double number = 0;  ///< what a column of numbers is sorted by, and copied as if `exact` is empty
  QString exact;      ///< what is copied and shown as a tooltip: all digits
};
struct TextColumn {
  QString name;
  bool number = false;
};
struct TextTable {
  std::vector<TextColumn> columns;
  std::vector<std::vector<TextCell>> rows;  ///< each as long as `columns`
};

class TextTableModel : public QAbstractTableModel {
  Q_OBJECT

 public:
  using QAbstractTableModel::QAbstractTableModel;
  void set_table(TextTable table);  ///< sorted as the one before it
  const TextTable& text_table() const { return table_; }
  int original_row(int row) const { return order_[static_cast<std::size_t>(row)]; }  ///< in what was set

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;
  void sort(int column, Qt::SortOrder order = Qt::AscendingOrder) override;

 private:
  void put_in_order();
  TextTable table_;
  std::vector<int> order_;
  int sorted_by_ = -1;
  Qt::SortOrder direction_ = Qt::AscendingOrder;
};

enum class TextFormat { kTsv, kCsv, kMarkdown };

/// Header and all rows; cells as UserRole says, where the model has it, else as displayed. CSV as RFC 4180 has it.
QString to_text(const QAbstractItemModel& model, TextFormat format);

}  // namespace shardscope::gui
