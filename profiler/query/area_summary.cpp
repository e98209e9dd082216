#include "profiler/query/area_summary.h"

#include <algorithm>
#include <optional>

#include "profiler/store/level_builder.h"

namespace shardscope {
namespace {

constexpr int kBuckets = 256;  ///< of an area: more are slower, fewer have more slices at the edges
/// Levels and two edges of a lane cost about as much as to read so many slices.
constexpr std::int64_t kFewSlices = 2 * static_cast<std::int64_t>(kChunkRows);
constexpr std::size_t kMostLanes = 256;  ///< that one statement reads: a recorder may wait for its end

using Busy = std::array<std::int64_t, kWorkClasses>;
using Classes = std::vector<WorkClass>;  ///< of the ops of a program

void add(Busy& busy, WorkClass work, std::int64_t ns) { busy[static_cast<std::size_t>(work)] += ns; }
void add(Busy& busy, const Busy& other) {
  for (std::size_t c = 0; c < busy.size(); ++c) busy[c] += other[c];
}

/// Slices that overlap, as calls within calls: divided as LevelBuilder does it, so that edges and levels agree.
Busy sum_of_nested(const Timeline& timeline, const TimelineTrack& track, TimeWindow time, const Classes& classes) {
  Busy sum{};
  LevelBuilder builder(kMaxLevel, kMaxLevel, classes, [&](int, std::span<const LevelEntry> entries) {
    for (const LevelEntry& e : entries) add(sum, e.work, e.busy_ns);
  });
  std::vector<Span> spans = timeline.spans(track, time);
  set_depths(spans);  // callers before what they call
  for (const Span& s : spans) {
    const std::int64_t begin = std::max(s.begin_ns, time.begin_ns), end = std::min(s.end_ns, time.end_ns),
                       waited = std::clamp(s.begin_ns + s.wait_ns, begin, end);
    builder.add({OpId{s.op}, s.step, Lane::kCompute, begin, end - begin, waited - begin});
  }
  builder.finish();
  return sum;
}

/// Adds up the slices of one lane in a stretch of time.
class LaneSum {
 public:
  LaneSum(TimeWindow time, const Classes& classes) : time_(time), classes_(classes), until_(time.begin_ns) {}

  void add_block(const SliceBlock& block) {
    const std::int64_t first = time_.begin_ns - block.base_ns, last = time_.end_ns - block.base_ns;
    std::int64_t until = until_ - block.base_ns, waiting = 0, working = 0, op = -1;
    for (std::size_t i = 0; i < block.rows; ++i) {
      std::int64_t begin = block.start[i], end = begin + block.duration[i];
      const std::int64_t wait_end = begin + block.wait[i];
      if (begin < until || end > last) {  // few: at the edges, or one in another
        begin = std::max(begin, first);
        end = std::min(end, last);
        if (begin >= end) continue;
        apart_ = apart_ && begin >= until;
      }
      if (block.op[i] != op) add_op(op, waiting, working);
      op = block.op[i];
      const std::int64_t waited = std::clamp(wait_end, begin, end);
      waiting += waited - begin;
      working += end - waited;
      until = std::max(until, end);
    }
    add_op(op, waiting, working);
    until_ = until + block.base_ns;
  }

  /// Of a lane whose slices do not overlap in that time.
  std::optional<Busy> sum() const { return apart_ ? std::optional(sum_) : std::nullopt; }

 private:
  void add_op(std::int64_t op, std::int64_t& waiting, std::int64_t& working) {
    if (op >= 0 && op < static_cast<std::int64_t>(classes_.size())) {
      add(sum_, WorkClass::kWait, waiting);
      add(sum_, classes_[static_cast<std::size_t>(op)], working);
    }
    waiting = working = 0;
  }

  TimeWindow time_;
  const Classes& classes_;
  std::int64_t until_;  ///< end of the latest so far
  bool apart_ = true;
  Busy sum_{};
};

class AreaSum {
 public:
  AreaSum(const Timeline& timeline, TimeWindow time) : timeline_(timeline), time_(time) {
    for (const auto& [program, ops] : timeline.ops()) {
      for (const TimelineOp& op : ops) classes_[program].push_back(op.work);
    }
  }

  void add_track(std::size_t track) {
    const TimelineTrack& t = timeline_.tracks()[track];
    if (rows_.empty() || rows_.back().rank != t.rank) rows_.push_back({t.rank, {}});
    const TimeWindow inside{std::max(time_.begin_ns, t.extent.begin_ns), std::min(time_.end_ns, t.extent.end_ns)};
    if (inside.length() <= 0) return;
    const double share = static_cast<double>(inside.length()) / static_cast<double>(t.extent.length());
    if (share * static_cast<double>(t.slices) > static_cast<double>(kFewSlices) && add_levels(track, inside)) return;
    const bool follows =
        !lanes_.empty() && track == lanes_.back().track + 1 && t.id == timeline_.tracks()[lanes_.back().track].id + 1;
    if (!follows || lanes_.size() >= kMostLanes) read_lanes();
    lanes_.push_back({track, rows_.size() - 1});
  }

  std::vector<AreaRow> take() {
    read_lanes();
    return std::move(rows_);
  }

 private:
  struct Lane {
    std::size_t track, row;
  };

  /// Of a lane of many slices: whole buckets and, slice by slice, both edges. False if it has no buckets so fine.
  bool add_levels(std::size_t track, TimeWindow time) {
    const TrackView view = timeline_.look(timeline_.tracks()[track], time, kBuckets);
    if (view.bucket_ns == 0) return false;
    const std::int64_t first = (time.begin_ns + view.bucket_ns - 1) / view.bucket_ns,
                       last = std::max(first, time.end_ns / view.bucket_ns);
    Busy& busy = rows_.back().busy_ns;
    for (const LevelEntry& e : view.buckets) {
      if (e.bucket >= first && e.bucket < last) add(busy, e.work, e.busy_ns);
    }
    read({{track, rows_.size() - 1}}, {time.begin_ns, std::min(first * view.bucket_ns, time.end_ns)});
    read({{track, rows_.size() - 1}}, {last * view.bucket_ns, time.end_ns});
    return true;
  }

  void read_lanes() {
    read(lanes_, time_);
    lanes_.clear();
  }

  void read(const std::vector<Lane>& lanes, TimeWindow time) {
    if (lanes.empty() || time.length() <= 0) return;
    const std::size_t first = lanes.front().track;
    std::vector<LaneSum> sums;
    for (const Lane& lane : lanes) sums.emplace_back(time, classes_of(lane));
    timeline_.blocks(first, lanes.back().track, time,
                     [&](std::size_t track, const SliceBlock& block) { sums[track - first].add_block(block); });
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      const std::optional<Busy> sum = sums[i].sum();
      const TimelineTrack& track = timeline_.tracks()[lanes[i].track];
      add(rows_[lanes[i].row].busy_ns, sum ? *sum : sum_of_nested(timeline_, track, time, classes_of(lanes[i])));
    }
  }

  const Classes& classes_of(const Lane& lane) { return classes_[timeline_.tracks()[lane.track].program]; }

  const Timeline& timeline_;
  const TimeWindow time_;
  std::map<std::int64_t, Classes> classes_;
  std::vector<AreaRow> rows_;
  std::vector<Lane> lanes_;  ///< to be read with one statement
};

}  // namespace

std::vector<AreaRow> area_summary(const Timeline& timeline, TimeWindow time, const RankSet& ranks) {
  const LockHold locks = timeline.hold();
  AreaSum sum(timeline, time);
  for (std::size_t t = 0; t < timeline.tracks().size(); ++t) {
    if (ranks.has(timeline.tracks()[t].rank)) sum.add_track(t);
  }
  return sum.take();
}

}  // namespace shardscope
