#include "gui/views/compare/pair_view.h"
#include "gui/views/table_look.h"

#include <QDateTime>
#include <QHeaderView>
#include <QJsonDocument>
#include <QScrollBar>
#include <QSplitter>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>

namespace shardscope::gui {

namespace {

/// Numbers as wide as they are; the names have the rest, cut if that is little.
void fit_columns(QTableView* view) {
  constexpr int kNarrowestName = 180;
  view->resizeColumnsToContents();
  const int bar = view->verticalScrollBar()->sizeHint().width() + 2 * view->frameWidth();
  int numbers = 0;
  for (int column = 1; column < view->model()->columnCount(); ++column) numbers += view->columnWidth(column);
  view->setColumnWidth(0, std::max(kNarrowestName, view->width() - bar - numbers));
}

}  // namespace

PairView::PairView(ViewContext& context, QWidget* parent) : View(parent), context_(context) {
  bar_ = new QToolBar;
  bar_->setAccessibleName(QStringLiteral("What is compared"));
  canvas_ = new PictureCanvas;
  canvas_->setObjectName(QStringLiteral("canvas"));
  splitter_ = new QSplitter(Qt::Vertical);
  splitter_->addWidget(canvas_);
  splitter_->setChildrenCollapsible(false);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins({});
  layout->setSpacing(0);
  layout->addWidget(bar_);
  layout->addWidget(splitter_, 1);
}

void PairView::show_session(std::shared_ptr<const Session> session) {
  session_ = std::move(session);
  session_changed();
  ask_if_seen();
}

void PairView::set_dark(bool dark) {
  dark_ = dark;
  canvas_->redraw();
}

void PairView::showEvent(QShowEvent* event) {
  View::showEvent(event);
  if (stale_) ask_if_seen();
}

void PairView::ask_if_seen() {
  stale_ = !isVisible();
  if (!stale_) ask();
}

QTableView* PairView::make_table(const QString& name) {
  auto* view = new QTableView;
  view->setObjectName(QStringLiteral("table"));
  set_table_look(*view, name);
  view->setModel(&table_);
  view->setSelectionMode(QAbstractItemView::SingleSelection);
  view->setWordWrap(false);
  view->setSortingEnabled(true);
  view->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
  view->horizontalHeader()->setHighlightSections(false);
  connect(&table_, &QAbstractItemModel::modelReset, view, [view] { fit_columns(view); });
  splitter_->addWidget(view);
  return view;
}

std::string PairView::name_of_b() const {
  const RunSummary* b = run_b();
  if (b == nullptr) return {};
  return b->run.name.empty() || b->run.predicted ? std::to_string(b->run.id) : b->run.name;
}

void PairView::ask_for_b(const std::string& name) {
  if (run_a() == nullptr || name.empty() || name == name_of_b()) return;
  for (std::size_t i = 0; i < session_->runs.size(); ++i) {
    const RunSummary& run = session_->runs[i];
    const bool named = std::to_string(run.run.id) == name || (!run.run.predicted && run.run.name == name);
    if (!named || i == *session_->a || run.file != run_a()->file) continue;
    Session other = *session_;
    other.b = i;
    return context_.set_session(other);
  }
}

void PairView::say_changed(const char* kind) {
  constexpr qint64 kOneGesture = 500;
  const qint64 now = QDateTime::currentMSecsSinceEpoch();
  if (kind != last_kind_ || now - last_ms_ > kOneGesture) ++gesture_;
  last_kind_ = kind;
  last_ms_ = now;
  Q_EMIT state_changed(gesture_);
}

QJsonObject to_object(const std::string& json) {
  return QJsonDocument::fromJson(QByteArray::fromStdString(json)).object();
}

std::string to_text(const QJsonObject& object) {
  return QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString();
}

}  // namespace shardscope::gui
