// The timeline's keys. Each is an action with a name, so that palette and key sheet know it too.

#include <QInputDialog>
#include <QLabel>
#include <QLineEdit>
#include <algorithm>
#include <cmath>

#include "gui/views/timeline/timeline_canvas.h"
#include "gui/views/timeline/timeline_panel.h"
#include "gui/views/timeline/timeline_view.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

constexpr double kZoomStep = 0.7, kPanStep = 0.2, kRowStep = 54;

}  // namespace

void TimelineView::build_commands() {
  const auto add = [this](const char* text, const QList<QKeySequence>& keys, std::function<void()> does) {
    QAction* action = add_command(QString::fromUtf8(text), keys, [this, does = std::move(does)] {
      if (canvas_->scene().catalog) does();
    });
    action->setShortcutContext(Qt::WindowShortcut);  // while this tab is in front, whatever has the focus
  };
  add("Zoom in", {Qt::Key_W, Qt::Key_Up, Qt::Key_I, Qt::Key_Plus, Qt::Key_Equal}, [this] { zoom_by(kZoomStep); });
  add("Zoom out", {Qt::Key_S, Qt::Key_Down, Qt::Key_K, Qt::Key_Minus}, [this] { zoom_by(1 / kZoomStep); });
  add("Pan left", {Qt::Key_A, Qt::Key_Left, Qt::Key_J}, [this] { pan_by(-kPanStep); });
  add("Pan right", {Qt::Key_D, Qt::Key_Right, Qt::Key_L}, [this] { pan_by(kPanStep); });
  add("Scroll rows up", {Qt::Key_PageUp}, [this] { scroll_by(-canvas_->scene().frame.height + kRowStep); });
  add("Scroll rows down", {Qt::Key_PageDown}, [this] { scroll_by(canvas_->scene().frame.height - kRowStep); });
  add("Show the whole run", {Qt::Key_0}, [this] { show_all(); });
  add("Zoom to the selection, again: show the whole run", {Qt::Key_F}, [this] { focus(); });
  add("Next op of the lane", {Qt::Key_Period}, [this] { select_neighbour(true); });
  add("Previous op of the lane", {Qt::Key_Comma}, [this] { select_neighbour(false); });
  add("The same collective on the next rank", {Qt::Key_BracketRight}, [this] { select_tied(true); });
  add("The same collective on the previous rank", {Qt::Key_BracketLeft}, [this] { select_tied(false); });
  add("Make the selected op an area", {Qt::Key_R}, [this] { selection_to_area(); });
  add("Mark this instant, or remove its mark", {Qt::Key_M}, [this] { add_note(false); });
  add("Write a note at this instant", {Qt::Key_N}, [this] { add_note(true); });
  add("Pin this rank on top, or unpin it", {Qt::Key_P}, [this] { toggle_pin(); });
  const auto here = [this] {
    return state_.selection ? std::optional(state_.selection->rank) : canvas_->cursor_rank();
  };
  add("Count this rank in the tables, or leave it out", {Qt::Key_X}, [=, this] {
    if (const auto rank = here()) toggle_check(*rank);
  });
  add("Count this rank alone, or all", {QKeySequence(Qt::SHIFT | Qt::Key_X)}, [=, this] {
    if (const auto rank = here()) check_only(*rank);
  });
  add("Show this rank by lanes, or in one row", {Qt::Key_E}, [this] {
    const auto rank = state_.selection ? std::optional(state_.selection->rank) : canvas_->cursor_rank();
    if (rank) toggle_rank(*rank);
  });
  add("Show all ranks by lanes", {QKeySequence(Qt::SHIFT | Qt::Key_E)}, [this] { expand_all(true); });
  add("Show each rank in one row", {QKeySequence(Qt::CTRL | Qt::Key_E)}, [this] { expand_all(false); });
  add("Next step", {QKeySequence(Qt::SHIFT | Qt::Key_Right)}, [this] { go_to_step(1); });
  add("Previous step", {QKeySequence(Qt::SHIFT | Qt::Key_Left)}, [this] { go_to_step(-1); });
  add("Search the whole run", {QKeySequence::Find, Qt::Key_Slash}, [this] {
    search_->setFocus(Qt::ShortcutFocusReason);
    search_->selectAll();
  });
  add("Next hit", {QKeySequence::FindNext}, [this] { show_hit(shown_hit_ + 1); });
  add("Previous hit", {QKeySequence::FindPrevious, QKeySequence(Qt::SHIFT | Qt::Key_Return)},
      [this] { show_hit(shown_hit_ - 1); });
  add("Go to a rank", {QKeySequence(Qt::CTRL | Qt::Key_P)}, [this] { find_rank(); });
  add("Show or hide the prediction under each lane", {Qt::Key_O}, [this] {
    TimelineState next = state_;
    next.prediction = !next.prediction;
    change(std::move(next));
  });
  const auto flow = [this](int depth) {
    TimelineState next = state_;
    next.flow = depth;
    change(std::move(next));
  };
  add("Arrows: what the selected op waited for, or none", {Qt::Key_G}, [=, this] { flow(state_.flow > 0 ? 0 : 1); });
  add("Arrows: one further back", {QKeySequence(Qt::SHIFT | Qt::Key_G)},
      [=, this] { flow(state_.flow % kFurthestFlow + 1); });
  add("Show or hide the tables", {Qt::Key_Q}, [this] { panel_->setVisible(!panel_->isVisible()); });
  add("Clear selection, area or search", {Qt::Key_Escape}, [this] { clear_step_by_step(); });
}

void TimelineView::zoom_by(double factor) {
  TimelineState next = state_;
  const TimelineScene& scene = canvas_->scene();
  next.window = zoom(scene.window, scene.catalog->extent, factor, canvas_->cursor_ns());
  change(std::move(next));
}

void TimelineView::pan_by(double fraction) {
  TimelineState next = state_;
  const TimelineScene& scene = canvas_->scene();
  const double pixels = std::round(fraction * scene.frame.width);
  next.window = pan(scene.window, scene.catalog->extent, pixels / scene.frame.width);
  change(std::move(next));
}

void TimelineView::scroll_by(double pixels) {
  TimelineState next = state_;
  const TimelineScene& scene = canvas_->scene();
  next.scroll = std::clamp(next.scroll + pixels, 0.0, scene.layout.furthest_scroll(scene.frame.height));
  change(std::move(next));
}

void TimelineView::show_all() {
  TimelineState next = state_;
  next.window = canvas_->scene().catalog->extent;
  change(std::move(next));
}

/// To the selected op or area with a little around it; from there, to the whole run.
void TimelineView::focus() {
  const TimelineScene& scene = canvas_->scene();
  std::optional<TimeWindow> on;
  if (state_.selection && scene.tile && !scene.tile->selected.empty()) {
    const Span& span = scene.tile->selected.front().span;
    on = TimeWindow{span.begin_ns, span.end_ns};
  }
  if (state_.area) on = state_.area->time;
  if (!on) return show_all();
  const std::int64_t around = std::max<std::int64_t>(kShortestWindowNs, on->length() / 10);
  TimelineState next = state_;
  next.window = clamp({on->begin_ns - around, on->end_ns + around}, scene.catalog->extent);
  if (next.window == scene.window) return show_all();
  change(std::move(next));
}

void TimelineView::selection_to_area() {
  const TimelineScene& scene = canvas_->scene();
  if (!state_.selection || !scene.tile || scene.tile->selected.empty()) return;
  TimelineState next = state_;
  const Span& span = scene.tile->selected.front().span;
  int first = state_.selection->rank, last = first;
  for (const TiedSpan& tied : scene.tile->selected) {
    first = std::min(first, scene.catalog->tracks[tied.track].rank);
    last = std::max(last, scene.catalog->tracks[tied.track].rank);
  }
  next.area = TimelineArea{{span.begin_ns, std::max(span.end_ns, span.begin_ns + 1)}, first, last};
  change(std::move(next));
  panel_->show_tab(TimelinePanel::kByCategory);
}

/// At the start of the selected op, else at the pointer. A mark that is there already goes.
void TimelineView::add_note(bool with_text) {
  TimelineNote note{canvas_->cursor_ns(), -1, {}};
  if (state_.selection) note = {state_.selection->begin_ns, state_.selection->rank, {}};
  note.at_ns = std::max<std::int64_t>(0, note.at_ns);
  TimelineState next = state_;
  const std::int64_t near = 4 * canvas_->scene().window.length() / std::max(1, canvas_->request().columns);
  const auto same = [&](const TimelineNote& n) { return std::abs(n.at_ns - note.at_ns) <= near; };
  const auto found = std::find_if(next.notes.begin(), next.notes.end(), same);
  if (!with_text) {
    found == next.notes.end() ? void(next.notes.push_back(note)) : void(next.notes.erase(found));
    return change(std::move(next));
  }
  if (found != next.notes.end()) note = *found;
  bool accepted = false;
  const QString text = QInputDialog::getText(this, QStringLiteral("Note"), QStringLiteral("Note at this instant:"),
                                             QLineEdit::Normal, QString::fromStdString(note.text), &accepted);
  if (!accepted) return;
  note.text = text.trimmed().toStdString();
  if (found != next.notes.end()) next.notes.erase(found);
  next.notes.push_back(note);
  change(std::move(next));
}

void TimelineView::toggle_pin() {
  const auto rank = state_.selection ? std::optional(state_.selection->rank) : canvas_->cursor_rank();
  if (!rank) return;
  TimelineState next = state_;
  const auto found = std::find(next.pinned.begin(), next.pinned.end(), *rank);
  found == next.pinned.end() ? void(next.pinned.push_back(*rank)) : void(next.pinned.erase(found));
  change(std::move(next));
}

/// Whether the tables count a rank.
void TimelineView::toggle_check(int rank) {
  TimelineState next = state_;
  const auto found = std::lower_bound(next.unchecked.begin(), next.unchecked.end(), rank);
  found != next.unchecked.end() && *found == rank ? void(next.unchecked.erase(found))
                                                  : void(next.unchecked.insert(found, rank));
  change(std::move(next));
}

/// That one alone; again: all of them.
void TimelineView::check_only(int rank) {
  TimelineState next = state_;
  std::vector<int> others;
  for (const TimelineTrack& track : canvas_->scene().catalog->tracks) {
    if (track.rank != rank && (others.empty() || others.back() != track.rank)) others.push_back(track.rank);
  }
  next.unchecked = next.unchecked == others ? std::vector<int>{} : others;
  change(std::move(next));
}

namespace {

/// The last that begins before the middle of a window; there is one.
std::size_t step_in_middle(const std::vector<Band>& steps, TimeWindow window) {
  const std::int64_t middle = window.begin_ns + window.length() / 2;
  const auto after = std::partition_point(steps.begin() + 1, steps.end(),
                                          [&](const Band& step) { return step.time.begin_ns <= middle; });
  return static_cast<std::size_t>(after - steps.begin()) - 1;
}

bool fills(const Band& step, TimeWindow window) {
  return step.time.begin_ns >= window.begin_ns && step.time.end_ns <= window.end_ns &&
         window.length() < 2 * step.time.length();
}

}  // namespace

void TimelineView::say_step() {
  const std::vector<Band>& steps = canvas_->scene().catalog->steps;
  const TimeWindow window = canvas_->scene().window;
  if (steps.empty()) return step_->setText(QStringLiteral("no steps"));
  const Band& step = steps[step_in_middle(steps, window)];
  const bool all = steps.front().time.begin_ns >= window.begin_ns && steps.back().time.end_ns <= window.end_ns;
  step_->setText(fills(step, window) && (!all || steps.size() == 1)
                     ? QStringLiteral("step %1 of %2").arg(step.number).arg(steps.size())
                     : QStringLiteral("%1 steps").arg(steps.size()));
}

/// The step in the middle of the view, or the one before or after it, fills the view.
void TimelineView::go_to_step(int by) {
  const std::vector<Band>& steps = canvas_->scene().catalog->steps;
  if (steps.empty()) return;
  const TimeWindow window = canvas_->scene().window;
  const std::size_t now = step_in_middle(steps, window);
  const bool whole = fills(steps[now], window);
  const auto last = static_cast<std::ptrdiff_t>(steps.size()) - 1;
  const std::ptrdiff_t to = std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(now) + (whole ? by : 0), 0, last);
  const Band& step = steps[static_cast<std::size_t>(to)];
  const std::int64_t around = step.time.length() / 50;
  TimelineState next = state_;
  next.window = clamp({step.time.begin_ns - around, step.time.end_ns + around}, canvas_->scene().catalog->extent);
  context_.selection.set_step(step.number);
  change(std::move(next));
}

void TimelineView::clear_step_by_step() {
  TimelineState next = state_;
  if (next.selection) {
    next.selection.reset();
  } else if (next.area) {
    next.area.reset();
  } else if (!next.search.empty()) {
    next.search.clear();
    search_->clear();
  }
  canvas_->setFocus();
  change(std::move(next));
}

/// What is shown by lanes now becomes the list, so that only this rank changes.
void TimelineView::toggle_rank(int rank) {
  TimelineState next = state_;
  const TimelineScene& scene = canvas_->scene();
  if (!next.expanded) {
    next.expanded.emplace();
    if (scene.layout.heat) {
      for (const Representative& r : scene.catalog->representatives) next.expanded->push_back(r.rank);
    } else if (!scene.layout.rows.empty() && !scene.layout.rows.front().whole_rank) {
      for (const TimelineTrack& track : scene.catalog->tracks) {
        if (next.expanded->empty() || next.expanded->back() != track.rank) next.expanded->push_back(track.rank);
      }
    }
  }
  const auto found = std::find(next.expanded->begin(), next.expanded->end(), rank);
  found == next.expanded->end() ? void(next.expanded->push_back(rank)) : void(next.expanded->erase(found));
  change(std::move(next));
}

void TimelineView::expand_all(bool lanes) {
  TimelineState next = state_;
  next.expanded.emplace();
  for (const TimelineTrack& track : canvas_->scene().catalog->tracks) {
    if (lanes && (next.expanded->empty() || next.expanded->back() != track.rank)) next.expanded->push_back(track.rank);
  }
  change(std::move(next));
}

/// Brings a rank under the pinned ones, by lanes.
void TimelineView::find_rank() {
  bool accepted = false;
  const int last = canvas_->scene().catalog->tracks.empty() ? 0 : canvas_->scene().catalog->tracks.back().rank;
  const int rank =
      QInputDialog::getInt(this, QStringLiteral("Go to a rank"), QStringLiteral("Rank:"), 0, 0, last, 1, &accepted);
  if (!accepted) return;
  TimelineState next = state_;
  std::erase(next.order, rank);
  next.order.insert(next.order.begin(), rank);
  next.scroll = 0;
  if (next.expanded && std::find(next.expanded->begin(), next.expanded->end(), rank) == next.expanded->end())
    next.expanded->push_back(rank);
  if (!next.expanded) next.expanded = std::vector<int>{rank};
  change(std::move(next));
}

}  // namespace shardscope::gui
