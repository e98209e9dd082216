#include "gui/models/timeline_flow.h"

#include <algorithm>
#include <map>
#include <set>

namespace shardscope::gui {
namespace {

constexpr std::int64_t kFurthestNs = 20'000'000'000;  ///< before the selected op: a step may be that long

/// Executions in the selected one's step, by op.
std::map<std::int32_t, TiedSpan> spans_of_step(const Timeline& timeline, const TiedSpan& selected,
                                               const std::set<std::int32_t>& ops) {
  std::map<std::int32_t, TiedSpan> found;
  const int rank = timeline.tracks()[selected.track].rank;
  for (std::size_t i = 0; i < timeline.tracks().size(); ++i) {
    const TimelineTrack& track = timeline.tracks()[i];
    if (track.rank != rank) continue;
    const TimeWindow before{selected.span.begin_ns - kFurthestNs, selected.span.begin_ns + 1};
    for (const Span& span : timeline.spans(track, before)) {
      if (span.step == selected.span.step && ops.count(span.op) != 0) found[span.op] = {i, span};
    }
  }
  found[selected.span.op] = selected;
  return found;
}

}  // namespace

std::vector<FlowArrow> load_flow(const Timeline& timeline, const TiedSpan& selected,
                                 const std::vector<FlowEdge>& flow) {
  std::vector<FlowArrow> arrows;
  std::set<std::int32_t> ops;
  for (const FlowEdge& edge : flow) ops.insert({edge.from, edge.to});
  if (!ops.empty()) {
    const std::map<std::int32_t, TiedSpan> spans = spans_of_step(timeline, selected, ops);
    for (const FlowEdge& edge : flow) {
      const auto from = spans.find(edge.from), to = spans.find(edge.to);
      if (from != spans.end() && to != spans.end()) arrows.push_back({from->second, to->second});
    }
  }
  for (const TiedSpan& other : timeline.launched(selected.track, selected.span)) {
    const bool later = other.span.begin_ns >= selected.span.begin_ns;
    arrows.push_back(later ? FlowArrow{selected, other} : FlowArrow{other, selected});
  }
  return arrows;
}

}  // namespace shardscope::gui
