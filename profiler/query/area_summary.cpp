#include "profiler/query/area_summary.h"

#include <algorithm>

#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

constexpr int kBuckets = 256;  ///< of an area: more are slower, fewer have more slices at the edges

void add_spans(AreaRow& row, const Timeline& timeline, const TimelineTrack& track, TimeWindow time,
               const std::vector<Span>& spans) {
  const auto inside = [&](std::int64_t begin, std::int64_t end) {
    return std::max<std::int64_t>(0, std::min(end, time.end_ns) - std::max(begin, time.begin_ns));
  };
  for (const Span& span : spans) {
    const std::int64_t waited = span.begin_ns + span.wait_ns;
    row.busy_ns[static_cast<std::size_t>(WorkClass::kWait)] += inside(span.begin_ns, waited);
    row.busy_ns[static_cast<std::size_t>(timeline.op(track, span.op).work)] += inside(waited, span.end_ns);
  }
}

void add_edge(AreaRow& row, const Timeline& timeline, const TimelineTrack& track, TimeWindow time) {
  if (time.length() > 0) add_spans(row, timeline, track, time, timeline.spans(track, time));
}

void add_track(AreaRow& row, const Timeline& timeline, const TimelineTrack& track, TimeWindow time) {
  // Each edge costs a chunk: a lane of one chunk is read once, as it is.
  if (track.slices <= static_cast<std::int64_t>(kChunkRows)) return add_edge(row, timeline, track, time);
  const TrackView view = timeline.look(track, time, kBuckets);
  if (view.bucket_ns == 0) {
    add_spans(row, timeline, track, time, view.spans);
    return;
  }
  const std::int64_t first = (time.begin_ns + view.bucket_ns - 1) / view.bucket_ns, last = time.end_ns / view.bucket_ns;
  for (const LevelEntry& e : view.buckets) {
    if (e.bucket >= first && e.bucket < last) row.busy_ns[static_cast<std::size_t>(e.work)] += e.busy_ns;
  }
  add_edge(row, timeline, track, {time.begin_ns, std::min(first * view.bucket_ns, time.end_ns)});
  add_edge(row, timeline, track, {std::max(last, first) * view.bucket_ns, time.end_ns});
}

}  // namespace

std::vector<AreaRow> area_summary(const Timeline& timeline, TimeWindow time, const RankSet& ranks) {
  const LockHold locks = timeline.hold();
  std::vector<AreaRow> rows;
  for (const TimelineTrack& track : timeline.tracks()) {
    if (!ranks.has(track.rank)) continue;
    if (rows.empty() || rows.back().rank != track.rank) rows.push_back({track.rank, {}});
    add_track(rows.back(), timeline, track, time);
  }
  return rows;
}

}  // namespace shardscope
