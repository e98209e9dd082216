#include "gui/views/timeline/timeline_panel.h"
#include "gui/views/table_look.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QKeyEvent>
#include <QTabBar>
#include <QToolButton>
#include <QVBoxLayout>

namespace shardscope::gui {
namespace {

constexpr const char* kNames[] = {"By category", "By op", "By rank", "Collectives", "Details", "Search", "Notes"};

QTableView* make_view(TableModel& model, const char* name) {
  auto* view = new QTableView;
  view->setModel(&model);
  view->setObjectName(QString::fromLatin1(name));
  set_table_look(*view, QString::fromLatin1(name));
  view->setSortingEnabled(true);
  view->sortByColumn(-1, Qt::AscendingOrder);
  view->setWordWrap(false);
  view->horizontalHeader()->setHighlightSections(false);
  return view;
}

}  // namespace

TimelinePanel::TimelinePanel(QWidget* parent) : QWidget(parent) {
  tabs_ = new QTabWidget;
  tabs_->setDocumentMode(true);
  tabs_->setAccessibleName(QStringLiteral("Tables of the timeline"));
  tabs_->tabBar()->installEventFilter(this);
  for (std::size_t i = 0; i < views_.size(); ++i) {
    views_[i] = make_view(models_[i], kNames[i]);
    tabs_->addTab(views_[i], QString::fromLatin1(kNames[i]));
    views_[i]->installEventFilter(this);
    connect(views_[i], &QTableView::activated, this, [this, i](const QModelIndex& index) {
      Q_EMIT row_activated(static_cast<int>(i), models_[i].original_row(index.row()));
    });
  }
  caption_ = new QLabel;
  caption_->setObjectName(QStringLiteral("area"));
  auto* corner = new QWidget;
  auto* row = new QHBoxLayout(corner);
  row->setContentsMargins(0, 0, 4, 0);
  row->addWidget(caption_);
  const std::pair<const char*, TextFormat> forms[] = {
      {"TSV", TextFormat::kTsv}, {"CSV", TextFormat::kCsv}, {"Markdown", TextFormat::kMarkdown}};
  for (const auto& [name, format] : forms) {
    auto* button = new QToolButton;
    button->setText(QString::fromLatin1(name));
    button->setToolTip(QStringLiteral("Copy this table as %1").arg(QString::fromLatin1(name)));
    button->setAccessibleName(button->toolTip());
    connect(button, &QToolButton::clicked, this, [this, chosen = format] { copy(chosen); });
    row->addWidget(button);
  }
  tabs_->setCornerWidget(corner);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins({});
  layout->addWidget(tabs_);
}

/// In a table, keys that move in tables are the table's and not the timeline's.
bool TimelinePanel::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::ShortcutOverride) {
    switch (static_cast<QKeyEvent*>(event)->key()) {
      case Qt::Key_Up:
      case Qt::Key_Down:
      case Qt::Key_Left:
      case Qt::Key_Right:
      case Qt::Key_PageUp:
      case Qt::Key_PageDown:
        event->accept();
        return true;
      default:
        break;
    }
  }
  return QWidget::eventFilter(watched, event);
}

void TimelinePanel::set_table(Tab tab, TableData table) {
  models_[tab].set_table(std::move(table));
  QTableView* view = views_[tab];
  view->resizeColumnsToContents();
  for (int column = 0; column < models_[tab].columnCount(); ++column)
    view->setColumnWidth(column, view->columnWidth(column) + 14);
}

void TimelinePanel::set_caption(const QString& text) { caption_->setText(text); }
void TimelinePanel::show_tab(Tab tab) { tabs_->setCurrentIndex(tab); }
TimelinePanel::Tab TimelinePanel::tab() const { return static_cast<Tab>(tabs_->currentIndex()); }

void TimelinePanel::copy(TextFormat format) const {
  QGuiApplication::clipboard()->setText(to_text(models_[tab()], format));
}

}  // namespace shardscope::gui
