// What the timeline asks of the profile besides its bars: what is under the pointer, the selected op, the area, a
// search.

#include <QLabel>
#include <QLineEdit>
#include <algorithm>

#include "gui/models/timeline_heat.h"
#include "gui/views/timeline/minimap.h"
#include "gui/views/timeline/timeline_canvas.h"
#include "gui/views/timeline/timeline_panel.h"
#include "gui/views/timeline/timeline_view.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

constexpr int kMinimapColumns = 400, kMinimapRanks = 16;

/// A slice with what it belongs to, and what is known of its op.
struct Found {
  std::optional<TimelineHit> hit;
  std::vector<TiedSpan> all;  ///< the slice first
  OpReport report;
};

/// Two tables of an area. Texts of thousands of ranks are for a worker to make: they would stop the window for 20 ms.
struct AreaTables {
  TableData first, second;
};

QString count_text(std::int64_t count, const char* one, const char* many) {
  return QStringLiteral("%L1 %2").arg(count).arg(QString::fromLatin1(count == 1 ? one : many));
}

/// The execution that was selected: of calls within calls, others are under way at the same instant.
std::optional<TimelineHit> selected_hit(const Timeline& timeline, const TimelineRow& row,
                                        const TimelineSelection& wanted) {
  for (std::size_t track : row.tracks) {
    for (const Span& span : timeline.spans(timeline.tracks()[track], {wanted.begin_ns, wanted.begin_ns + 1})) {
      if (span.op == wanted.op && span.begin_ns == wanted.begin_ns) return TimelineHit{track, span};
    }
  }
  return std::nullopt;
}

/// On a worker: everything it needs is given.
Found find_at(QueryFiles& files, const RunKey& key, const std::optional<RunKey>& other, const TimelineRow& row,
              std::int64_t at_ns, std::int64_t slack_ns, bool tied,
              const std::optional<TimelineSelection>& wanted = {}) {
  const Timeline& timeline = files.timeline(key.file, key.run);
  Found found;
  found.hit = wanted ? selected_hit(timeline, row, *wanted) : hit(timeline, row, at_ns, slack_ns);
  if (!found.hit) return found;
  const TimelineTrack& track = timeline.tracks()[found.hit->track];
  const Span& span = found.hit->span;
  OpReport& report = found.report;
  report.details = op_details(files.profile(key.file), key.run, track.rank, span.op);
  report.span = span;
  report.rank = track.rank;
  if (other)
    report.other = op_times(files.profile(other->file), other->run, track.rank, span.op, report.details.program_hash);
  found.all.push_back({found.hit->track, span});
  if (!tied) return found;
  for (const TiedSpan& one : timeline.tied(found.hit->track, span)) found.all.push_back(one);
  report.tied_ranks = static_cast<int>(found.all.size()) - 1;
  return found;
}

}  // namespace

void TimelineView::hover(const TimelineRow& row, std::int64_t at_ns) {
  const std::int64_t slack = canvas_->request().window.length() / std::max(1, canvas_->request().columns);
  const auto ask = [this](const char* name, std::function<Found(QueryFiles&)> question) {
    context_.pool.ask<Found>(
        this, name, std::move(question),
        [this](const std::shared_ptr<const Found>& found) {
          canvas_->set_hover(found->all, found->hit ? hover_text(found->report) : QString());
        },
        [](const QString&) {});  // the bars themselves say what is wrong with the file
  };
  const auto question = [key = *loader_.key(), other = other_run(), row, at_ns, slack](bool tied) {
    return [=](QueryFiles& files) { return find_at(files, key, other, row, at_ns, slack, tied); };
  };
  ask("hover", question(false));  // its name at once, its relatives when they are found
  ask("hover, tied", question(true));
}

void TimelineView::pick(const TimelineRow& row, std::int64_t at_ns, bool zoom_to_it) {
  const std::int64_t slack = 2 * canvas_->request().window.length() / std::max(1, canvas_->request().columns);
  context_.pool.ask<Found>(
      this, "pick",
      [key = *loader_.key(), row, at_ns, slack](QueryFiles& files) {
        Found found;
        found.hit = hit(files.timeline(key.file, key.run), row, at_ns, slack);
        return found;
      },
      [this, zoom_to_it](const std::shared_ptr<const Found>& found) {
        if (found->hit) return select(found->hit->track, found->hit->span, zoom_to_it);
        TimelineState next = state_;
        next.selection.reset();
        next.area.reset();
        change(std::move(next));
      },
      [this](const QString& text) { Q_EMIT problem(text); });
}

void TimelineView::select(std::size_t track, const Span& span, bool zoom_to_it) {
  // A run that grows may have been read anew between question and answer.
  if (!canvas_->scene().catalog || track >= canvas_->scene().catalog->tracks.size()) return;
  const TimelineTrack& on = canvas_->scene().catalog->tracks[track];
  TimelineState next = state_;
  next.selection = TimelineSelection{on.rank, on.lane, span.step, span.op, span.begin_ns};
  next.area.reset();
  const TimeWindow extent = canvas_->scene().catalog->extent, now = canvas_->scene().window;
  const std::int64_t length = std::max<std::int64_t>(kShortestWindowNs, span.end_ns - span.begin_ns);
  if (zoom_to_it) next.window = clamp({span.begin_ns - length, span.end_ns + length}, extent);
  // What the keys select beyond the edge comes into the middle.
  const bool seen = span.begin_ns < now.end_ns && span.end_ns > now.begin_ns;
  if (!zoom_to_it && !seen)
    next.window = clamp({span.begin_ns - now.length() / 2, span.begin_ns + now.length() / 2}, extent);
  change(std::move(next));
  panel_->show_tab(TimelinePanel::kDetails);
}

void TimelineView::look_at(const TiedSpan& hit) { select(hit.track, hit.span, false); }

void TimelineView::ask_details() {
  if (!state_.selection || !loader_.catalog()) {
    context_.pool.cancel(this, "details");
    context_.pool.cancel(this, "facts");
    canvas_->set_flow({});
    panel_->set_table(TimelinePanel::kDetails, {});
    return;
  }
  const TimelineSelection wanted = *state_.selection;
  TimelineRow row{wanted.rank, false, {}};
  const std::vector<TimelineTrack>& tracks = loader_.catalog()->tracks;
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    if (tracks[i].rank == wanted.rank && tracks[i].lane == wanted.lane) row.tracks.push_back(i);
  }
  context_.pool.ask<Found>(
      this, "details",
      [key = *loader_.key(), other = other_run(), row, wanted](QueryFiles& files) {
        return find_at(files, key, other, row, wanted.begin_ns, 0, true, wanted);
      },
      [this](const std::shared_ptr<const Found>& found) {
        panel_->set_table(TimelinePanel::kDetails, found->hit ? details_table(found->report) : TableData{});
        if (found->hit) ask_facts(found->report, {found->hit->track, found->hit->span});
      },
      [this](const QString& text) { Q_EMIT problem(text); });
}

/// The rest of the details: the run's job is lowered for them.
void TimelineView::ask_facts(const OpReport& report, const TiedSpan& selected) {
  struct Whole {
    OpReport report;
    std::vector<FlowArrow> flow;
  };
  context_.pool.ask<Whole>(
      this, "facts",
      [key = *loader_.key(), report, selected, flow_depth = state_.flow](QueryFiles& files) {
        Whole whole{report, {}};
        whole.report.facts =
            op_facts(files.profile(key.file), key.run, report.rank, report.span.op, std::max(1, flow_depth));
        if (flow_depth > 0)
          whole.flow = load_flow(files.timeline(key.file, key.run), selected, whole.report.facts->flow);
        return whole;
      },
      [this](const std::shared_ptr<const Whole>& whole) {
        panel_->set_table(TimelinePanel::kDetails, details_table(whole->report));
        canvas_->set_flow({whole, &whole->flow});
      },
      [this](const QString& text) { Q_EMIT problem(text); });
}

/// Of the area; without one, of what can be seen. Sums come from the levels and are there at once; op by op takes
/// longer.
void TimelineView::ask_area() {
  if (!loader_.catalog() || loader_.catalog()->tracks.empty()) return;
  const TimelineScene& scene = canvas_->scene();
  TimelineArea area{scene.window, scene.catalog->tracks.front().rank, scene.catalog->tracks.back().rank};
  if (state_.area) area = *state_.area;
  const QString what = QString::fromLatin1(state_.area ? "area" : "view");
  const auto without = std::count_if(state_.unchecked.begin(), state_.unchecked.end(),
                                     [&](int rank) { return rank >= area.first_rank && rank <= area.last_rank; });
  panel_->set_caption(
      QStringLiteral("%1: %2 × ranks %3 to %4%5")
          .arg(what, QString::fromStdString(format_seconds(static_cast<double>(area.time.length()) * 1e-9)))
          .arg(area.first_rank)
          .arg(area.last_rank)
          .arg(without > 0 ? QStringLiteral(" without %1").arg(without) : QString()));
  asked_area_ = area;
  ask_area_tab();
  const auto failed = [this](const QString& text) { Q_EMIT problem(text); };
  const auto show = [this](TimelinePanel::Tab first, TimelinePanel::Tab second) {
    return [this, first, second](const std::shared_ptr<const AreaTables>& tables) {
      panel_->share_table(first, {tables, &tables->first});
      panel_->share_table(second, {tables, &tables->second});
    };
  };
  context_.pool.ask<AreaTables>(
      this, "area",
      [key = *loader_.key(), area, ranks = counted(area)](QueryFiles& files) {
        const std::vector<AreaRow> rows = area_summary(files.timeline(key.file, key.run), area.time, ranks);
        return AreaTables{category_table(rows, area.time), rank_table(rows, area.time)};
      },
      show(TimelinePanel::kByCategory, TimelinePanel::kByRank), failed);
  context_.pool.ask<AreaTables>(
      this, "area ops",
      [key = *loader_.key(), area, ranks = counted(area)](QueryFiles& files) {
        const Timeline& timeline = files.timeline(key.file, key.run);
        const std::vector<AreaOp> ops = area_ops(timeline, area.time, ranks, [&files] { return files.stopped(); });
        return AreaTables{op_table(ops), collective_table(ops)};
      },
      show(TimelinePanel::kByOp, TimelinePanel::kCollectives), failed);
}

RankSet TimelineView::counted(const TimelineArea& area) const {
  return {area.first_rank, area.last_rank, state_.unchecked};
}

/// Memory and flame of the area: each is asked for when its tab is looked at, and again when the area changes.
void TimelineView::ask_area_tab() {
  if (!asked_area_ || !loader_.catalog()) return;
  const TimelineArea area = *asked_area_;
  const auto failed = [this](const QString& text) { Q_EMIT problem(text); };
  if (panel_->tab() == TimelinePanel::kMemory) {
    context_.pool.ask<TableData>(
        this, "area memory",
        [key = *loader_.key(), area, ranks = counted(area)](QueryFiles& files) {
          const Profile& profile = files.profile(key.file);
          const MemoryTimeline memory(profile, load_memory_facts(profile, key.run));
          return memory_area_table(area_memory(memory, area.time, ranks, [&files] { return files.stopped(); }));
        },
        [this](const std::shared_ptr<const TableData>& table) { panel_->share_table(TimelinePanel::kMemory, table); },
        failed);
  }
  if (panel_->tab() == TimelinePanel::kFlame) {
    context_.pool.ask<std::vector<FlameNode>>(
        this, "area flame",
        [key = *loader_.key(), area, ranks = counted(area)](QueryFiles& files) {
          const Timeline& timeline = files.timeline(key.file, key.run);
          return area_flame(timeline, area.time, ranks, [&files] { return files.stopped(); });
        },
        [this](std::shared_ptr<const std::vector<FlameNode>> flame) { panel_->set_flame(std::move(flame)); }, failed);
  }
}

void TimelineView::ask_search() {
  shown_hit_ = -1;
  if (state_.search.empty() || !loader_.catalog()) {
    context_.pool.cancel(this, "search");
    hits_.reset();
    found_->clear();
    canvas_->set_hits({});
    minimap_->set_hits({});
    panel_->set_table(TimelinePanel::kHits, {});
    return;
  }
  found_->setText(QStringLiteral("searching the whole run…"));
  context_.pool.ask<SearchHits>(
      this, "search",
      [key = *loader_.key(), words = state_.search](QueryFiles& files) {
        return search(files.timeline(key.file, key.run), words, kMinimapColumns, [&files] { return files.stopped(); });
      },
      [this](const std::shared_ptr<const SearchHits>& hits) {
        hits_ = hits;
        const auto listed = static_cast<std::int64_t>(hits->first.size());
        QString text = count_text(hits->total, "hit in the whole run", "hits in the whole run");
        if (listed < hits->total) text += QStringLiteral(", the first %L1 listed").arg(listed);
        found_->setText(text);
        canvas_->set_hits(hits->by_rank);
        minimap_->set_hits(hits->columns);
        panel_->set_table(TimelinePanel::kHits, hits_table(*hits, *loader_.catalog()));
        panel_->show_tab(TimelinePanel::kHits);
      },
      [this](const QString& text) {
        found_->clear();
        Q_EMIT problem(text);
      });
}

/// Enter goes on from the last one, around the end; Shift+Enter back.
void TimelineView::show_hit(int row) {
  if (!hits_ || hits_->first.empty()) return;
  const int count = static_cast<int>(hits_->first.size());
  shown_hit_ = ((row % count) + count) % count;
  look_at(hits_->first[static_cast<std::size_t>(shown_hit_)]);
  found_->setText(QStringLiteral("hit %L1 of %L2").arg(shown_hit_ + 1).arg(hits_->total));
  panel_->show_tab(TimelinePanel::kHits);
}

void TimelineView::ask_minimap() {
  if (!loader_.catalog() || loader_.catalog()->tracks.empty()) return;
  context_.pool.ask<std::vector<Stack>>(
      this, "minimap",
      [key = *loader_.key()](QueryFiles& files) {
        return load_activity(files.timeline(key.file, key.run), kMinimapColumns, kMinimapRanks);
      },
      [this](const std::shared_ptr<const std::vector<Stack>>& activity) {
        minimap_->set_run(loader_.catalog()->extent, *activity);
      },
      [this](const QString& text) { Q_EMIT problem(text); });
}

// ---- along the lanes

void TimelineView::select_neighbour(bool forward) {
  const TimelineScene& scene = canvas_->scene();
  if (!scene.catalog || scene.catalog->tracks.empty()) return;
  const TimelineSelection from = state_.selection.value_or(TimelineSelection{});
  const bool fresh = !state_.selection;
  context_.pool.ask<Found>(
      this, "neighbour",
      [key = *loader_.key(), from, fresh, forward, at = canvas_->cursor_ns()](QueryFiles& files) {
        const Timeline& timeline = files.timeline(key.file, key.run);
        Found found;
        for (std::size_t i = 0; i < timeline.tracks().size() && !found.hit; ++i) {
          const TimelineTrack& track = timeline.tracks()[i];
          if (fresh) {  // nothing is selected: what the first lane does in the middle of the view
            found.hit = hit(timeline, {track.rank, false, {i}}, at, track.extent.length());
            break;
          }
          if (track.rank != from.rank || track.lane != from.lane) continue;
          for (const Span& span : timeline.spans(track, {from.begin_ns, from.begin_ns + 1})) {
            if (span.op != from.op) continue;
            if (const auto next = neighbour(timeline, i, span, forward)) found.hit = {i, *next};
          }
        }
        return found;
      },
      [this](const std::shared_ptr<const Found>& found) {
        if (found->hit) select(found->hit->track, found->hit->span, false);
      },
      [this](const QString& text) { Q_EMIT problem(text); });
}

/// The same collective on the next rank that runs it.
void TimelineView::select_tied(bool forward) {
  const auto& tile = canvas_->scene().tile;
  if (!state_.selection || !tile || tile->selected.size() < 2) return;
  std::vector<TiedSpan> all = tile->selected;
  const std::size_t now = all.front().track;
  std::sort(all.begin(), all.end(), [](const TiedSpan& a, const TiedSpan& b) { return a.track < b.track; });
  const auto self = std::find_if(all.begin(), all.end(), [&](const TiedSpan& t) { return t.track == now; });
  const auto index = static_cast<std::size_t>(self - all.begin());
  look_at(all[(index + (forward ? 1 : all.size() - 1)) % all.size()]);
}

}  // namespace shardscope::gui
