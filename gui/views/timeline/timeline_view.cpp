#include "gui/views/timeline/timeline_view.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QJsonDocument>
#include <QLabel>
#include <QLineEdit>
#include <QSplitter>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "core/error.h"
#include "gui/views/timeline/minimap.h"
#include "gui/views/timeline/timeline_canvas.h"
#include "gui/views/timeline/timeline_panel.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

constexpr int kSettleMs = 120;
constexpr HeatMetric kMetrics[] = {HeatMetric::kExposed, HeatMetric::kWaiting, HeatMetric::kIdle, HeatMetric::kCompute};

}  // namespace

TimelineView::TimelineView(ViewContext& context, QWidget* parent)
    : View(parent), context_(context), loader_(context.pool) {
  settle_.setSingleShot(true);
  settle_.setInterval(kSettleMs);
  build();
  build_commands();
  connect_parts();
  say_empty();
}

void TimelineView::build() {
  search_ = new QLineEdit;
  search_->setObjectName(QStringLiteral("search"));
  search_->setPlaceholderText(QStringLiteral("Search the whole run: matmul backward rank:3 step:12"));
  search_->setAccessibleName(QStringLiteral("Search the whole run"));
  search_->setClearButtonEnabled(true);
  found_ = new QLabel;
  found_->setObjectName(QStringLiteral("found"));
  step_ = new QLabel;
  step_->setObjectName(QStringLiteral("step"));
  metric_ = new QComboBox;
  metric_->setObjectName(QStringLiteral("metric"));
  metric_->setAccessibleName(QStringLiteral("What the map of all ranks shows"));
  metric_->setToolTip(metric_->accessibleName());
  for (HeatMetric metric : kMetrics) metric_->addItem(QString::fromLatin1(name_of(metric)));
  metric_->hide();
  auto* bar = new QHBoxLayout;
  bar->setContentsMargins(8, 4, 8, 0);
  bar->addWidget(search_, 2);
  bar->addWidget(found_, 1);
  bar->addWidget(metric_);
  const std::pair<const char*, int> arrows[] = {{"Previous step", -1}, {"Next step", 1}};
  for (const auto& [text, by] : arrows) {
    auto* button = new QToolButton;
    button->setArrowType(by < 0 ? Qt::LeftArrow : Qt::RightArrow);
    button->setToolTip(QString::fromLatin1(text));
    button->setAccessibleName(button->toolTip());
    connect(button, &QToolButton::clicked, this, [this, step = by] { go_to_step(step); });
    bar->addWidget(button);
    if (by < 0) bar->addWidget(step_);
  }

  canvas_ = new TimelineCanvas;
  minimap_ = new Minimap;
  panel_ = new TimelinePanel;
  auto* top = new QWidget;
  auto* column = new QVBoxLayout(top);
  column->setContentsMargins({});
  column->addLayout(bar);
  column->addWidget(minimap_);
  column->addWidget(canvas_, 1);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->addWidget(top);
  splitter->addWidget(panel_);
  splitter->setStretchFactor(0, 1);
  splitter->setSizes({600, 190});
  splitter->setChildrenCollapsible(false);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins({});
  layout->addWidget(splitter);
  setFocusProxy(canvas_);
}

void TimelineView::connect_parts() {
  connect(&loader_, &TimelineLoader::catalog_loaded, this, &TimelineView::catalog_loaded);
  connect(&loader_, &TimelineLoader::tile_loaded, canvas_, &TimelineCanvas::set_tile);
  connect(&loader_, &TimelineLoader::heat_loaded, canvas_, &TimelineCanvas::set_heat);
  connect(&loader_, &TimelineLoader::problem, this, [this](const QString& text) {
    if (!loader_.catalog()) canvas_->set_empty_text(QStringLiteral("This run cannot be read: %1").arg(text));
    Q_EMIT problem(text);
  });
  connect(canvas_, &TimelineCanvas::state_asked, this, &TimelineView::change);
  connect(canvas_, &TimelineCanvas::hovered, this, &TimelineView::hover);
  connect(canvas_, &TimelineCanvas::left, this, [this] {
    context_.pool.cancel(this, "hover");
    canvas_->set_hover({}, {});
  });
  connect(canvas_, &TimelineCanvas::picked, this, &TimelineView::pick);
  connect(canvas_, &TimelineCanvas::rank_checked, this, &TimelineView::toggle_check);
  connect(canvas_, &TimelineCanvas::rank_toggled, this, &TimelineView::toggle_rank);
  connect(canvas_, &TimelineCanvas::resized, this, &TimelineView::want);
  connect(minimap_, &Minimap::asked, this, [this](TimeWindow window, int gesture) {
    TimelineState next = state_;
    next.window = window;
    change(std::move(next), -gesture);  // counts of its own
  });
  connect(&settle_, &QTimer::timeout, this, &TimelineView::ask_area);
  connect(search_, &QLineEdit::returnPressed, this, [this] {
    if (search_->text().toStdString() == state_.search) return show_hit(shown_hit_ + 1);
    TimelineState next = state_;
    next.search = search_->text().toStdString();
    change(std::move(next));
  });
  connect(metric_, &QComboBox::activated, this, [this](int index) {
    TimelineState next = state_;
    next.metric = kMetrics[index];
    change(std::move(next));
  });
  connect(panel_, &TimelinePanel::tab_changed, this, &TimelineView::ask_area_tab);
  connect(panel_, &TimelinePanel::row_activated, this, [this](int tab, int row) {
    if (tab == TimelinePanel::kHits) show_hit(row);
    if (tab == TimelinePanel::kNotes && static_cast<std::size_t>(row) < state_.notes.size()) {
      const std::int64_t at = state_.notes[static_cast<std::size_t>(row)].at_ns,
                         half = canvas_->scene().window.length() / 2;
      TimelineState next = state_;
      next.window = clamp({at - half, at + half}, canvas_->scene().catalog->extent);
      change(std::move(next));
    }
  });
  connect(&context_.selection, &SharedSelection::window_changed, this, [this](TimeWindow window) {
    if (!isVisible()) {  // another view looks around: this one is there when it comes back
      following_ = true;
      TimelineState next = state_;
      next.window = window;
      change(std::move(next));
      following_ = false;
    }
  });
}

// ---- what is shown

void TimelineView::show_session(std::shared_ptr<const Session> session) {
  const RunSummary* before = session_ ? session_->run(session_->a) : nullptr;
  const std::optional<RunKey> old = loader_.key();
  const std::shared_ptr<const Session> kept = std::exchange(session_, std::move(session));
  const RunSummary* now = session_ ? session_->run(session_->a) : nullptr;
  if (now == nullptr) {
    context_.pool.cancel_all(this);
    loader_.open({});
    canvas_->set_catalog(nullptr, {});
    minimap_->set_run({}, {});
    say_empty();
    return;
  }
  const RunKey key{now->file, now->run.id};
  const bool grown =
      before != nullptr && old == key && (before->run.steps != now->run.steps || before->run.status != now->run.status);
  if (old == key && !grown) return;
  context_.pool.cancel_all(this);  // their answers would be of what was shown before
  if (old != key) {
    TimelineState fresh;
    fresh.pinned = state_.pinned;  // pins outlive a run: the next one has the same ranks
    fresh.dark = state_.dark;
    fresh.prediction = state_.prediction;
    fresh.metric = state_.metric;
    state_ = fresh;
    hits_.reset();
    search_->clear();
    canvas_->set_catalog(nullptr, {});
    canvas_->set_empty_text(QStringLiteral("Reading the run…"));
  }
  const RunSummary* predicted = session_->run(session_->prediction);
  loader_.open(key, predicted != nullptr ? std::optional(RunKey{predicted->file, predicted->run.id}) : std::nullopt);
}

void TimelineView::say_empty() {
  canvas_->set_empty_text(
      session_
          ? QStringLiteral("This profile holds no run. Record one with: shardscope train job.json --profile run.db")
          : QStringLiteral("No profile is open. Open one with Ctrl+O, or drop a file on the window."));
}

void TimelineView::catalog_loaded(const std::shared_ptr<const TimelineCatalog>& catalog) {
  canvas_->set_catalog(catalog, title());
  if (restored_) {
    const bool dark = state_.dark;  // the window's
    state_ = parse_timeline_state(QJsonDocument(*restored_).toJson().toStdString(), "state");
    state_.dark = dark;
    restored_.reset();
    search_->setText(QString::fromStdString(state_.search));
  }
  canvas_->set_state(state_);
  metric_->setVisible(canvas_->scene().layout.heat.has_value());
  metric_->setCurrentIndex(static_cast<int>(state_.metric));
  minimap_->set_run(catalog->extent, {});
  minimap_->set_window(canvas_->scene().window);
  say_step();
  panel_->set_table(TimelinePanel::kNotes, notes_table(state_));
  ask_minimap();
  want();
  settle_.start();
  ask_details();
  if (!state_.search.empty()) ask_search();
}

TimelineTitle TimelineView::title() const {
  const RunSummary* a = session_ ? session_->run(session_->a) : nullptr;
  if (a == nullptr) return {};
  const RunRow& run = a->run;
  std::string remark = describe(run);
  if (run.status != "finished") remark += ", " + run.status;
  return {display_name(*a), remark, run.predicted};
}

std::optional<RunKey> TimelineView::other_run() const {
  if (!session_ || !session_->a) return std::nullopt;
  if (const RunSummary* p = session_->run(session_->prediction)) return RunKey{p->file, p->run.id};
  // A prediction stands right behind the run that it is of.
  const RunSummary& a = session_->runs[*session_->a];
  if (!a.run.predicted || *session_->a == 0) return std::nullopt;
  const RunSummary& before = session_->runs[*session_->a - 1];
  if (before.run.predicted || before.run.name != a.run.name || before.file != a.file) return std::nullopt;
  return RunKey{before.file, before.run.id};
}

void TimelineView::want() {
  if (!canvas_->scene().catalog || canvas_->width() <= 0) return;
  loader_.want(canvas_->request(), canvas_->scene().layout.heat.has_value());
}

bool TimelineView::is_loaded() const { return loader_.catalog() && canvas_->scene().tile && !loader_.busy(); }

// ---- its state

void TimelineView::change(TimelineState next, int gesture) {
  if (!canvas_->scene().catalog || next == state_) return;
  const TimelineState old = std::exchange(state_, std::move(next));
  canvas_->set_state(state_);
  minimap_->set_window(canvas_->scene().window);
  say_step();
  want();
  if (state_.area && !old.area && panel_->tab() >= TimelinePanel::kDetails)
    panel_->show_tab(TimelinePanel::kByCategory);
  if (old.area != state_.area || old.window != state_.window || old.unchecked != state_.unchecked) settle_.start();
  if (old.selection != state_.selection || old.flow != state_.flow) ask_details();
  if (old.search != state_.search) ask_search();
  if (old.notes != state_.notes) panel_->set_table(TimelinePanel::kNotes, notes_table(state_));
  metric_->setCurrentIndex(static_cast<int>(state_.metric));
  context_.selection.set_op(state_.selection);
  if (following_) return;  // the other view's change is what is undone
  context_.selection.set_window(canvas_->scene().window);
  Q_EMIT state_changed(gesture);
}

QJsonObject TimelineView::state() const {
  TimelineState shown = state_;
  shown.dark = false;  // the window's
  return QJsonDocument::fromJson(QByteArray::fromStdString(to_json(shown))).object();
}

void TimelineView::restore(const QJsonObject& state) {
  TimelineState next = parse_timeline_state(QJsonDocument(state).toJson().toStdString(), "timeline");
  next.dark = state_.dark;
  if (!loader_.catalog() || !canvas_->scene().catalog) {
    restored_ = state;
    return;
  }
  search_->setText(QString::fromStdString(next.search));
  change(std::move(next));
}

Picture TimelineView::picture(double width, double height) const {
  const TextWidth measure = text_width();
  if (!canvas_->scene().catalog) {
    const TimelineShades shades = shades_of(state_.dark);
    Picture picture(width, height, shades.ground);
    picture.text(24, 40, "No run is shown.", shades.text);
    return picture;
  }
  TimelineScene scene = make_scene(canvas_->scene().catalog, state_, width, height, measure);
  scene.tile = canvas_->scene().tile;
  scene.heat = canvas_->scene().heat;
  scene.hits = canvas_->scene().hits;
  scene.flow = canvas_->scene().flow;
  return draw_timeline(scene, canvas_->title(), measure);
}

QAbstractItemModel* TimelineView::table() { return &panel_->table(panel_->tab()); }

void TimelineView::set_dark(bool dark) {
  state_.dark = dark;
  minimap_->set_dark(dark);
  panel_->set_dark(dark);
  canvas_->set_state(state_);
}

}  // namespace shardscope::gui
