#include "gui/views/timeline/timeline_panel.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QKeyEvent>
#include <QSplitter>
#include <QTabBar>
#include <QToolButton>
#include <QVBoxLayout>

#include "gui/models/flame_picture.h"
#include "gui/paint/paint_picture.h"
#include "gui/views/compare/picture_canvas.h"
#include "gui/views/table_look.h"

namespace shardscope::gui {
namespace {

struct Look {
  const char *name, *empty;  ///< what it says without rows
};
constexpr Look kLooks[] = {
    {"By category", "Nothing ran here."},
    {"By op", "Nothing ran here."},
    {"By rank", "Nothing ran here."},
    {"Collectives", "No collective ran here."},
    {"Memory", "No memory was recorded of these ranks here."},
    {"Flame", "Nothing ran here."},
    {"Details", "No op is selected: click one, or press . for the next."},
    {"Search", "Nothing is searched for: press / and write what op, rank:3 or step:12."},
    {"Notes", "There are no notes: M marks an instant, N writes a note there."},
};

QTableView* make_view(TableModel& model, const Look& look) {
  auto* view = new TableView(QString::fromLatin1(look.empty));
  view->setModel(&model);
  view->setObjectName(QString::fromLatin1(look.name));
  set_table_look(*view, view->objectName());
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
    views_[i] = make_view(models_[i], kLooks[i]);
    QWidget* tab = i == kFlame ? make_flame(views_[i]) : views_[i];
    tabs_->addTab(tab, views_[i]->objectName());
    views_[i]->installEventFilter(this);
    connect(views_[i], &QTableView::activated, this, [this, i](const QModelIndex& index) {
      Q_EMIT row_activated(static_cast<int>(i), models_[i].original_row(index.row()));
    });
  }
  connect(tabs_, &QTabWidget::currentChanged, this, &TimelinePanel::tab_changed);
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

void TimelinePanel::share_table(Tab tab, std::shared_ptr<const TableData> table) {
  models_[tab].share_table(std::move(table));
  QTableView* view = views_[tab];
  view->resizeColumnsToContents();
  for (int column = 0; column < models_[tab].columnCount(); ++column)
    view->setColumnWidth(column, view->columnWidth(column) + 14);
}

/// The picture, and beside it the same as a table. A click makes a part the whole, another one on the whole goes back.
QWidget* TimelinePanel::make_flame(QTableView* table) {
  flame_canvas_ = new PictureCanvas;
  flame_canvas_->setObjectName(QStringLiteral("flame"));
  flame_canvas_->setAccessibleName(QStringLiteral("Where the time of the area goes"));
  flame_canvas_->setAccessibleDescription(QStringLiteral("The table beside it says the same"));
  flame_canvas_->set_draw([this](double width, double height) {
    const std::vector<FlameNode> none;
    return draw_flame(flame_ ? *flame_ : none, flame_root_, dark_, width, height, text_width());
  });
  const auto node_at = [this](QPointF at) {
    return flame_ ? flame_at(*flame_, flame_root_, flame_canvas_->width(), at.x(), at.y()) : -1;
  };
  flame_canvas_->set_describe([this, node_at](QPointF at) {
    const int node = node_at(at);
    return node < 0 ? QString() : QString::fromStdString(describe_flame(*flame_, node));
  });
  connect(flame_canvas_, &PictureCanvas::clicked, this, [this, node_at](QPointF at) {
    const int node = node_at(at);
    if (node < 0) return;
    flame_root_ = node == flame_root_ ? 0 : node;
    flame_canvas_->redraw();
  });
  connect(table, &QTableView::activated, this, [this](const QModelIndex& index) {
    flame_root_ = models_[kFlame].original_row(index.row()) + 1;  // the table leaves the root out
    flame_canvas_->redraw();
  });
  auto* both = new QSplitter(Qt::Horizontal);
  both->addWidget(flame_canvas_);
  both->addWidget(table);
  both->setSizes({640, 360});
  both->setChildrenCollapsible(false);
  return both;
}

void TimelinePanel::set_flame(std::shared_ptr<const std::vector<FlameNode>> flame) {
  flame_ = std::move(flame);
  flame_root_ = 0;
  set_table(kFlame, flame_ ? flame_table(*flame_) : TableData{});
  flame_canvas_->redraw();
}

void TimelinePanel::set_dark(bool dark) {
  dark_ = dark;
  flame_canvas_->redraw();
}

void TimelinePanel::set_caption(const QString& text) { caption_->setText(text); }
void TimelinePanel::show_tab(Tab tab) { tabs_->setCurrentIndex(tab); }
TimelinePanel::Tab TimelinePanel::tab() const { return static_cast<Tab>(tabs_->currentIndex()); }

void TimelinePanel::copy(TextFormat format) const {
  QGuiApplication::clipboard()->setText(to_text(models_[tab()], format));
}

}  // namespace shardscope::gui
