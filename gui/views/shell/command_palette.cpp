#include "gui/views/shell/command_palette.h"

#include <QDialogButtonBox>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLineEdit>
#include <QListWidget>
#include <QPointer>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>
#include <utility>
#include <vector>

#include "gui/models/app_state.h"
#include "gui/models/table_model.h"

namespace shardscope::gui {

QString name_of(const QAction& action) {
  QString name = action.text();
  name.remove(QLatin1Char('&'));
  if (name.endsWith(QChar(0x2026))) name.chop(1);
  return name;
}

QString keys_of(const QAction& action) {
  QStringList keys;
  for (const QKeySequence& key : action.shortcuts()) keys << key.toString(QKeySequence::NativeText);
  return keys.join(QStringLiteral(", "));
}

CommandPalette::CommandPalette(QList<QAction*> actions, QWidget* parent)
    : QDialog(parent), actions_(std::move(actions)) {
  setWindowTitle(QStringLiteral("Commands"));
  resize(520, 380);
  line_ = new QLineEdit;
  line_->setObjectName(QStringLiteral("palette"));
  line_->setPlaceholderText(QStringLiteral("Some letters of a command"));
  line_->setAccessibleName(QStringLiteral("Find a command"));
  line_->installEventFilter(this);
  list_ = new QListWidget;
  list_->setAccessibleName(QStringLiteral("Commands"));
  list_->setUniformItemSizes(true);
  auto* layout = new QVBoxLayout(this);
  layout->addWidget(line_);
  layout->addWidget(list_);
  connect(line_, &QLineEdit::textChanged, this, &CommandPalette::show_matching);
  connect(line_, &QLineEdit::returnPressed, this, &CommandPalette::run_current);
  connect(list_, &QListWidget::itemActivated, this, &CommandPalette::run_current);
  show_matching({});
}

void CommandPalette::show_matching(const QString& typed) {
  std::vector<std::pair<int, int>> found;  // score, action
  for (int i = 0; i < actions_.size(); ++i) {
    const int score = typed.isEmpty() ? 0 : fuzzy_score(typed, name_of(*actions_[i]));
    if (typed.isEmpty() || score >= 0) found.emplace_back(-score, i);
  }
  std::stable_sort(found.begin(), found.end());
  list_->clear();
  for (const auto& [score, i] : found) {
    const QString keys = keys_of(*actions_[i]);
    auto* item =
        new QListWidgetItem(name_of(*actions_[i]) + (keys.isEmpty() ? QString() : QStringLiteral("    ") + keys));
    item->setData(Qt::UserRole, i);
    list_->addItem(item);
  }
  if (found.empty()) {
    auto* none = new QListWidgetItem(QStringLiteral("No command has these letters in this order."), list_);
    none->setFlags(Qt::NoItemFlags);
    return;
  }
  list_->setCurrentRow(0);
}

/// After the dialog is gone: a command may open one of its own.
void CommandPalette::run_current() {
  const QListWidgetItem* item = list_->currentItem();
  accept();
  if (item == nullptr) return;
  const QPointer<QAction> action = actions_[item->data(Qt::UserRole).toInt()];
  if (action) QMetaObject::invokeMethod(action, &QAction::trigger, Qt::QueuedConnection);
}

bool CommandPalette::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::KeyPress) {
    const int key = static_cast<QKeyEvent*>(event)->key();
    const int by = key == Qt::Key_Down ? 1 : key == Qt::Key_Up ? -1 : 0;
    if (by != 0) {
      list_->setCurrentRow(std::clamp(list_->currentRow() + by, 0, std::max(0, list_->count() - 1)));
      return true;
    }
  }
  return QDialog::eventFilter(watched, event);
}

KeySheet::KeySheet(const QList<QAction*>& actions, QWidget* parent) : QDialog(parent) {
  setWindowTitle(QStringLiteral("Keys"));
  resize(640, 560);
  TableData table{{"command", "keys"}, {}};
  for (const QAction* action : actions) {
    if (!action->shortcuts().isEmpty())
      table.rows.push_back({{name_of(*action).toStdString()}, {keys_of(*action).toStdString()}});
  }
  const std::pair<const char*, const char*> gestures[] = {{"Zoom at the pointer", "Ctrl+wheel"},
                                                          {"Scroll rows", "wheel"},
                                                          {"Pan", "Shift+wheel, Shift+drag, middle drag"},
                                                          {"Select an area", "drag"},
                                                          {"Zoom to a stretch", "Alt+drag"},
                                                          {"Zoom to an op", "double-click"},
                                                          {"Show a rank by lanes, or in one row", "click on its name"}};
  for (const auto& [what, how] : gestures) table.rows.push_back({{what}, {how}});
  auto* model = new TableModel(this);
  model->set_table(std::move(table));
  auto* view = new QTableView;
  view->setObjectName(QStringLiteral("keys"));
  view->setAccessibleName(QStringLiteral("Keys"));
  view->setModel(model);
  view->verticalHeader()->hide();
  view->setShowGrid(false);
  view->setAlternatingRowColors(true);
  view->setSelectionBehavior(QAbstractItemView::SelectRows);
  view->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
  view->horizontalHeader()->setStretchLastSection(true);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  auto* layout = new QVBoxLayout(this);
  layout->addWidget(view);
  layout->addWidget(buttons);
}

}  // namespace shardscope::gui
