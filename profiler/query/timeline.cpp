#include "profiler/query/timeline.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/check.h"
#include "core/error.h"
#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

constexpr int kSpansPerPixel = 2;

int lane_order(const std::string& lane) {
  const auto known = from_name<Lane>(lane);
  return known ? static_cast<int>(*known) : kLanes;
}

/// Lanes of our own programs meet under one name; streams of other programs' devices under any number.
bool may_meet(const std::string& a, const std::string& b) {
  const auto is_stream = [](const std::string& lane) {
    return lane.starts_with("gpu") && lane.find(" stream ") != std::string::npos;
  };
  return a == b || (is_stream(a) && is_stream(b));
}

bool same_collective(const TimelineOp& a, const TimelineOp& b) {
  return std::tie(a.kind, a.phase, a.name, a.group, a.layer, a.micro_batch) ==
         std::tie(b.kind, b.phase, b.name, b.group, b.layer, b.micro_batch);
}

/// Neighbours of the same value become one band. `texts` gives its name and mark.
template <class Value, class Texts>
std::vector<Band> bands_of(const std::vector<Span>& spans, Value&& value, Texts&& texts) {
  std::vector<Band> bands;
  int step = -1;
  for (const Span& span : spans) {
    const int number = value(span);
    if (!bands.empty() && bands.back().number == number && step == span.step) {
      bands.back().time.end_ns = std::max(bands.back().time.end_ns, span.end_ns);
    } else if (number >= 0) {
      auto [name, mark] = texts(number);
      bands.push_back({{span.begin_ns, span.end_ns}, std::move(name), std::move(mark), number});
      step = span.step;
    }
  }
  return bands;
}

}  // namespace

Timeline::Timeline(const Profile& profile, std::int64_t run) : profile_(profile), run_(run) {
  load_tracks(run);
  load_levels(run);
  for (const TimelineTrack& track : tracks_) {
    if (ops_.find(track.program) == ops_.end()) load_ops(track.program);
  }
}

void Timeline::load_tracks(std::int64_t run) {
  Rows rows = profile_.rows(
      "SELECT t.id, k.program, t.rank, t.lane, sum(c.slices), min(c.start_ns), max(c.end_ns) FROM track t JOIN rank k "
      "ON k.run = t.run AND k.rank = t.rank JOIN slice_chunk c ON c.track = t.id WHERE t.run = ? GROUP BY t.id",
      {Value(run)});
  while (rows.next()) {
    TimelineTrack track{rows.integer(0), rows.integer(1), rows.small(2), rows.text(3), rows.integer(4), {}};
    track.extent = {std::max<std::int64_t>(0, rows.integer(5)), std::min(rows.integer(6), bucket_ns(kMaxLevel))};
    if (track.extent.length() < 0) continue;
    extent_.begin_ns = tracks_.empty() ? track.extent.begin_ns : std::min(extent_.begin_ns, track.extent.begin_ns);
    extent_.end_ns = std::max(extent_.end_ns, track.extent.end_ns);
    tracks_.push_back(std::move(track));
  }
  std::stable_sort(tracks_.begin(), tracks_.end(), [](const TimelineTrack& a, const TimelineTrack& b) {
    return std::tuple(a.rank, lane_order(a.lane)) < std::tuple(b.rank, lane_order(b.lane));
  });
}

void Timeline::load_levels(std::int64_t run) {
  if (profile_.schema_version() < 2) return;
  Rows rows = profile_.rows(
      "SELECT l.track, min(l.level), max(l.level) FROM level_chunk l JOIN track t ON t.id = l.track WHERE t.run = ? "
      "GROUP BY l.track",
      {Value(run)});
  while (rows.next()) {
    const int finest = rows.small(1), coarsest = rows.small(2);
    if (finest >= 0 && coarsest <= kMaxLevel) levels_[rows.integer(0)] = {finest, coarsest, {}};
  }
}

void Timeline::load_ops(std::int64_t program) {
  std::vector<TimelineOp>& ops = ops_[program];
  Rows rows = profile_.rows(
      "SELECT op, kind, phase, name, group_name, layer, micro_batch, group_size, lane, communication, flops, bytes "
      "FROM op WHERE program = ? ORDER BY op",
      {Value(program)});
  while (rows.next()) {
    if (rows.integer(0) != static_cast<std::int64_t>(ops.size()))
      throw Error(ErrorKind::kParse, profile_.path() + ": damaged (ops of a program have gaps)");
    TimelineOp op{rows.text(1), rows.text(2), rows.text(3), {}, rows.small(5), rows.small(6)};
    if (!rows.is_null(4)) op.group = rows.text(4);
    if (!rows.is_null(7)) op.group_size = rows.small(7);
    op.work = work_class(rows.text(8), op.phase, rows.integer(9) != 0);
    op.flops = rows.real(10);
    op.bytes = rows.integer(11);
    ops.push_back(std::move(op));
  }
}

const TimelineOp& Timeline::op(const TimelineTrack& track, std::int32_t op) const {
  static const TimelineOp kUnknown{"unknown op", "", "", ""};
  const auto& ops = ops_.at(track.program);
  return op >= 0 && static_cast<std::size_t>(op) < ops.size() ? ops[static_cast<std::size_t>(op)] : kUnknown;
}

void Timeline::for_each_slice(const TimelineTrack& track, TimeWindow window,
                              const std::function<void(const SliceEvent&)>& f) const {
  Rows rows = profile_.rows(
      "SELECT start_ns, data FROM slice_chunk WHERE track = ? AND start_ns < ? AND end_ns > ? ORDER BY start_ns, id",
      {Value(track.id), Value(window.end_ns), Value(window.begin_ns)});
  while (rows.next()) {
    const bool good = decode_slices(rows.bytes(1), rows.integer(0), [&](const SliceEvent& e) {
      if (e.start_ns < window.end_ns && e.start_ns + e.duration_ns > window.begin_ns) f(e);
    });
    if (!good) fail_damaged(track);
  }
}

void Timeline::blocks(std::size_t first, std::size_t last, TimeWindow window,
                      const std::function<void(std::size_t, const SliceBlock&)>& f) const {
  SS_CHECK(first <= last && tracks_[last].id - tracks_[first].id == static_cast<std::int64_t>(last - first), first);
  Rows rows = profile_.rows(
      "SELECT track, start_ns, data FROM slice_chunk WHERE track BETWEEN ? AND ? AND start_ns < ? AND end_ns > ? "
      "ORDER BY track, start_ns",
      {Value(tracks_[first].id), Value(tracks_[last].id), Value(window.end_ns), Value(window.begin_ns)});
  while (rows.next()) {
    const std::size_t track = first + static_cast<std::size_t>(rows.integer(0) - tracks_[first].id);
    const bool good =
        decode_blocks(rows.bytes(2), rows.integer(1), window.end_ns, [&](const SliceBlock& block) { f(track, block); });
    if (!good) fail_damaged(tracks_[track]);
  }
}

void Timeline::fail_damaged(const TimelineTrack& track) const {
  throw Error(ErrorKind::kParse,
              profile_.path() + ": damaged (slices of track " + std::to_string(track.id) + " cannot be read)");
}

std::vector<Span> Timeline::spans(const TimelineTrack& track, TimeWindow window) const {
  std::vector<Span> spans;
  for_each_slice(track, window, [&](const SliceEvent& e) {
    spans.push_back({e.start_ns, e.start_ns + e.duration_ns, std::min(e.wait_ns, e.duration_ns), e.op.index, e.step});
  });
  const auto before = [](const Span& a, const Span& b) { return a.begin_ns < b.begin_ns; };
  if (!std::is_sorted(spans.begin(), spans.end(), before)) std::stable_sort(spans.begin(), spans.end(), before);
  return spans;
}

TrackView Timeline::look(const TimelineTrack& track, TimeWindow window, int pixels) const {
  SS_CHECK(pixels > 0, pixels);
  const std::int64_t begin = std::max(window.begin_ns, track.extent.begin_ns),
                     end = std::min(window.end_ns, track.extent.end_ns);
  if (begin >= end || window.length() <= 0) return {};
  // How many slices the window would show if they were spread evenly.
  const double share =
      static_cast<double>(end - begin) / static_cast<double>(std::max<std::int64_t>(1, track.extent.length()));
  const double wide = static_cast<double>(end - begin) / static_cast<double>(window.length()) * pixels;
  const bool few = share * static_cast<double>(track.slices) <= std::max(kMinLevelSlices * 1.0, kSpansPerPixel * wide);
  const Levels& available = levels(track);
  int level = available.finest;
  const std::int64_t pixel_ns = window.length() / pixels;
  if (few || bucket_ns(level) > pixel_ns) return {spans(track, {begin, end}), 0, {}};
  while (level < available.coarsest && bucket_ns(level + 1) <= pixel_ns) ++level;
  return {{}, bucket_ns(level), entries(track, level, {begin, end})};
}

std::vector<LevelEntry> Timeline::entries(const TimelineTrack& track, int level, TimeWindow window) const {
  const std::int64_t first = window.begin_ns >> (2 * level), last = (window.end_ns - 1) >> (2 * level);
  const auto by_bucket = [](const LevelEntry& e, std::int64_t bucket) { return e.bucket < bucket; };
  const Levels& known = levels(track);
  if (const auto made = known.made.find(level); made != known.made.end()) {
    const std::vector<LevelEntry>& all = made->second;
    return {std::lower_bound(all.begin(), all.end(), first, by_bucket),
            std::lower_bound(all.begin(), all.end(), last + 1, by_bucket)};
  }
  std::vector<LevelEntry> found;
  Rows rows = profile_.rows(
      "SELECT data FROM level_chunk WHERE track = ? AND level = ? AND start_ns < ? AND end_ns > ? ORDER BY start_ns",
      {Value(track.id), Value(std::int64_t{level}), Value(window.end_ns), Value(window.begin_ns)});
  while (rows.next()) {
    if (!decode_levels(rows.bytes(0), found)) {
      throw Error(ErrorKind::kParse, profile_.path() + ": damaged (level " + std::to_string(level) + " of track " +
                                         std::to_string(track.id) + " cannot be read)");
    }
  }
  std::erase_if(found, [&](const LevelEntry& e) { return e.bucket < first || e.bucket > last; });
  return found;
}

const Timeline::Levels& Timeline::levels(const TimelineTrack& track) const {
  Levels& levels = levels_[track.id];
  if (levels.finest < 0) make_levels(track, levels);
  return levels;
}

void Timeline::make_levels(const TimelineTrack& track, Levels& levels) const {
  std::vector<SliceEvent> slices;
  for (const Span& s : spans(track, {0, track.extent.end_ns + 1}))
    slices.push_back({OpId{s.op}, s.step, Lane::kCompute, s.begin_ns, s.end_ns - s.begin_ns, s.wait_ns});
  std::vector<WorkClass> classes;
  for (const TimelineOp& op : ops_.at(track.program)) classes.push_back(op.work);
  levels.finest = finest_level(track.slices, track.extent.length());
  levels.coarsest = std::max(levels.finest, coarsest_level(track.extent.end_ns));
  std::vector<LevelEntry> entries = add_up(slices, levels.finest, classes);
  for (int level = levels.finest; level <= levels.coarsest; ++level) {
    std::vector<LevelEntry> coarser = coarsen(entries);
    levels.made[level] = std::move(entries);
    entries = std::move(coarser);
  }
}

void set_depths(std::vector<Span>& spans) {
  std::stable_sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) {
    return std::pair(a.begin_ns, -a.end_ns) < std::pair(b.begin_ns, -b.end_ns);
  });
  std::vector<std::int64_t> open;  // ends of those around
  for (Span& span : spans) {
    while (!open.empty() && open.back() <= span.begin_ns) open.pop_back();
    span.depth = static_cast<std::int32_t>(open.size());
    open.push_back(span.end_ns);
  }
}

int Timeline::nesting(const TimelineTrack& track) const {
  if (from_name<Lane>(track.lane)) return 1;
  std::vector<Span> spans;
  Rows rows = profile_.rows("SELECT start_ns, data FROM slice_chunk WHERE track = ? ORDER BY start_ns LIMIT ?",
                            {Value(track.id), Value(std::int64_t{kNestingRows})});
  while (rows.next()) {
    decode_slices(rows.bytes(1), rows.integer(0), [&](const SliceEvent& e) {
      spans.push_back({e.start_ns, e.start_ns + e.duration_ns, 0, e.op.index, e.step});
    });
  }
  set_depths(spans);
  int deepest = 0;
  for (const Span& span : spans) deepest = std::max(deepest, span.depth);
  return std::min(deepest + 1, kDeepest);
}

std::vector<Band> Timeline::steps(int rank) const {
  std::vector<Band> bands;
  Rows rows = profile_.rows("SELECT step, start_ns, dur_ns FROM step WHERE run = ? AND rank = ? ORDER BY step",
                            {Value(run_), Value(std::int64_t{rank})});
  while (rows.next()) {
    const int step = rows.small(0);
    const std::int64_t begin = rows.integer(1), length = rows.integer(2);
    if (begin < 0 || length < 0 || begin > bucket_ns(kMaxLevel) || length > bucket_ns(kMaxLevel)) continue;
    bands.push_back({{begin, begin + length}, "step " + std::to_string(step), std::to_string(step), step});
  }
  return bands;
}

std::vector<Band> Timeline::phases(const TimelineTrack& track, const std::vector<Span>& spans) const {
  const auto value = [&](const Span& span) {
    const auto phase = from_name<Phase>(op(track, span.op).phase);
    return phase ? static_cast<int>(*phase) : -1;
  };
  return bands_of(spans, value, [](int number) {
    const auto phase = static_cast<Phase>(number);
    const std::string name(to_string(phase));
    const char* mark = phase == Phase::kForward ? "fwd" : phase == Phase::kBackward ? "bwd" : nullptr;
    return std::pair(name, mark != nullptr ? mark : name.substr(0, 3));
  });
}

std::vector<Band> Timeline::micro_batches(const TimelineTrack& track, const std::vector<Span>& spans) const {
  return bands_of(
      spans, [&](const Span& span) { return op(track, span.op).micro_batch; },
      [](int number) { return std::pair("micro-batch " + std::to_string(number), std::to_string(number)); });
}

std::vector<TiedSpan> Timeline::launched(std::size_t track, const Span& span) const {
  const TimelineTrack& own = tracks_[track];
  std::int64_t correlation = 0;
  for_each_slice(own, {span.begin_ns, span.begin_ns + 1}, [&](const SliceEvent& e) {
    if (e.start_ns == span.begin_ns && e.op.index == span.op) correlation = e.correlation;
  });
  std::vector<TiedSpan> found;
  if (correlation == 0) return found;
  for (std::size_t i = 0; i < tracks_.size(); ++i) {
    if (i == track || tracks_[i].rank != own.rank) continue;
    for_each_slice(tracks_[i], {span.begin_ns - kLaunchNs, span.end_ns + kLaunchNs}, [&](const SliceEvent& e) {
      if (e.correlation == correlation)
        found.push_back({i, {e.start_ns, e.start_ns + e.duration_ns, 0, e.op.index, e.step}});
    });
  }
  return found;
}

std::vector<TiedSpan> Timeline::tied(std::size_t track, const Span& span) const {
  std::vector<TiedSpan> found;
  const TimelineOp& wanted = op(tracks_[track], span.op);
  if (wanted.work != WorkClass::kCommunication) return found;
  const LockHold locks = hold();
  for (std::size_t i = 0; i < tracks_.size(); ++i) {
    const TimelineTrack& other = tracks_[i];
    if (i == track || other.rank == tracks_[track].rank || !may_meet(other.lane, tracks_[track].lane)) continue;
    for (const Span& s : spans(other, {span.begin_ns, span.end_ns})) {
      if (s.step == span.step && same_collective(op(other, s.op), wanted)) found.push_back({i, s});
    }
  }
  return found;
}

}  // namespace shardscope
