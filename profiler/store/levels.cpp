#include "profiler/store/levels.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "core/error.h"
#include "profiler/store/chunk_rows.h"
#include "profiler/store/chunks.h"
#include "profiler/store/profile.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, kWorkClasses> kNames = {"load",      "forward",       "recompute", "backward",
                                                               "optimizer", "communication", "wait",      "offload",
                                                               "compute",   "host_api",      "other"};
constexpr int kBucketsAtTheTop = 16;
constexpr std::int64_t kLargestBucket = std::int64_t{1} << 60;

/// What one slice adds to one bucket.
struct Part {
  std::int64_t bucket;
  WorkClass work;
  std::int32_t op;
  std::int64_t ns;
  auto key() const { return std::tuple(bucket, work, op); }
};

void divide(std::vector<Part>& parts, std::int64_t begin, std::int64_t end, int level, WorkClass work, OpId op) {
  while (begin < end) {
    const std::int64_t bucket = begin >> (2 * level), stop = std::min(end, (bucket + 1) << (2 * level));
    parts.push_back({bucket, work, op.index, stop - begin});
    begin = stop;
  }
}

/// Parts of one bucket, class and op become one, then the ops of a class one entry.
std::vector<LevelEntry> merge(std::vector<Part> parts) {
  const auto before = [](const Part& a, const Part& b) { return a.key() < b.key(); };
  if (!std::is_sorted(parts.begin(), parts.end(), before)) std::sort(parts.begin(), parts.end(), before);
  std::vector<LevelEntry> entries;
  for (std::size_t i = 0; i < parts.size();) {
    const Part& first = parts[i];
    std::int64_t ns = 0;
    for (; i < parts.size() && parts[i].key() == first.key(); ++i) ns += parts[i].ns;
    const bool same = !entries.empty() && entries.back().bucket == first.bucket && entries.back().work == first.work;
    if (!same) entries.push_back({first.bucket, first.work, 0, first.op, 0});
    LevelEntry& entry = entries.back();
    entry.busy_ns += ns;
    if (ns > entry.op_ns) std::tie(entry.op, entry.op_ns) = std::tuple(first.op, ns);
  }
  return entries;
}

std::vector<SliceEvent> load_slices(Connection& connection, std::int64_t track) {
  std::vector<SliceEvent> slices;
  Rows rows(connection.handle(), connection.path(),
            "SELECT start_ns, data FROM slice_chunk WHERE track = ? ORDER BY start_ns, id", {Value(track)});
  while (rows.next()) decode_slices(rows.bytes(1), rows.integer(0), [&](const SliceEvent& e) { slices.push_back(e); });
  return slices;
}

void write_level(Statement& insert, std::int64_t track, int level, std::span<const LevelEntry> entries) {
  for (std::size_t first = 0; first < entries.size(); first += kChunkRows) {
    const auto chunk = entries.subspan(first, std::min(kChunkRows, entries.size() - first));
    const std::string data = pack(chunk);
    insert.run(track, level, static_cast<std::int64_t>(chunk.size()), chunk.front().bucket << (2 * level),
               (chunk.back().bucket + 1) << (2 * level), Blob{data});
  }
}

struct TrackFacts {
  std::int64_t id, program, slices, start_ns, end_ns;
};

std::vector<TrackFacts> tracks_without_levels(Connection& connection, std::int64_t run) {
  std::vector<TrackFacts> tracks;
  Rows rows(connection.handle(), connection.path(),
            "SELECT t.id, k.program, sum(c.slices), min(c.start_ns), max(c.end_ns) FROM track t JOIN rank k ON "
            "k.run = t.run AND k.rank = t.rank JOIN slice_chunk c ON c.track = t.id WHERE t.run = ? AND NOT EXISTS "
            "(SELECT 1 FROM level_chunk l WHERE l.track = t.id) GROUP BY t.id",
            {Value(run)});
  while (rows.next())
    tracks.push_back({rows.integer(0), rows.integer(1), rows.integer(2), rows.integer(3), rows.integer(4)});
  return tracks;
}

}  // namespace

std::string_view to_string(WorkClass work) { return kNames[static_cast<std::size_t>(work)]; }

WorkClass work_class(std::string_view lane, std::string_view phase, bool communication) {
  if (communication) return WorkClass::kCommunication;
  if (lane == kHostApiLane) return WorkClass::kHostApi;
  if (lane == kOtherLane) return WorkClass::kOther;
  if (lane != to_string(Lane::kCompute)) return WorkClass::kOffload;
  if (phase.empty()) return WorkClass::kCompute;
  for (WorkClass work : {WorkClass::kLoad, WorkClass::kRecompute, WorkClass::kBackward, WorkClass::kOptimizer}) {
    if (phase == to_string(work)) return work;
  }
  return WorkClass::kForward;
}

Activity activity_of(WorkClass work) {
  switch (work) {
    case WorkClass::kLoad:
      return Activity::kLoad;
    case WorkClass::kForward:
    case WorkClass::kRecompute:
    case WorkClass::kBackward:
    case WorkClass::kCompute:
      return Activity::kCompute;
    case WorkClass::kOptimizer:
      return Activity::kOptimizer;
    case WorkClass::kCommunication:
      return Activity::kCommunication;
    case WorkClass::kOffload:
      return Activity::kOffload;
    case WorkClass::kWait:
    case WorkClass::kHostApi:
    case WorkClass::kOther:
      return Activity::kNone;
  }
  return Activity::kNone;
}

int finest_level(std::int64_t slices, std::int64_t extent_ns) {
  constexpr int kSlicesPerBucket = 4;
  const std::int64_t wanted = extent_ns / std::max<std::int64_t>(1, slices / kSlicesPerBucket);
  int level = 0;
  while (level < kMaxLevel && bucket_ns(level) < wanted) ++level;
  return level;
}

int coarsest_level(std::int64_t end_ns) {
  int level = 0;
  while (level < kMaxLevel && bucket_ns(level + 1) * kBucketsAtTheTop <= end_ns) ++level;
  return level;
}

std::vector<LevelEntry> add_up(std::span<const SliceEvent> slices, int level, std::span<const WorkClass> classes) {
  std::vector<Part> parts;
  parts.reserve(slices.size() + slices.size() / 2);
  for (const SliceEvent& s : slices) {
    if (s.op.index < 0 || static_cast<std::size_t>(s.op.index) >= classes.size()) continue;
    const std::int64_t waited = s.start_ns + std::min(s.wait_ns, s.duration_ns);
    divide(parts, s.start_ns, waited, level, WorkClass::kWait, s.op);
    divide(parts, waited, s.start_ns + s.duration_ns, level, classes[static_cast<std::size_t>(s.op.index)], s.op);
  }
  return merge(std::move(parts));
}

std::vector<LevelEntry> coarsen(std::span<const LevelEntry> entries) {
  std::vector<LevelEntry> coarse;
  for (std::size_t i = 0; i < entries.size();) {
    const std::int64_t bucket = entries[i].bucket / kLevelFactor;
    std::array<LevelEntry, kWorkClasses> sums{};
    for (; i < entries.size() && entries[i].bucket / kLevelFactor == bucket; ++i) {
      LevelEntry& sum = sums[static_cast<std::size_t>(entries[i].work)];
      sum.busy_ns += entries[i].busy_ns;
      if (entries[i].op_ns > sum.op_ns) std::tie(sum.op, sum.op_ns) = std::tuple(entries[i].op, entries[i].op_ns);
    }
    for (std::size_t c = 0; c < kWorkClasses; ++c) {
      if (sums[c].busy_ns == 0) continue;
      coarse.push_back({bucket, static_cast<WorkClass>(c), sums[c].busy_ns, sums[c].op, sums[c].op_ns});
    }
  }
  return coarse;
}

std::string pack(std::span<const LevelEntry> entries) {
  return pack<5>(entries.size(), [&](std::size_t i) {
    const LevelEntry& e = entries[i];
    return std::array<std::int64_t, 5>{e.bucket, static_cast<std::int64_t>(e.work), e.busy_ns, e.op, e.op_ns};
  });
}

bool decode_levels(std::string_view data, std::vector<LevelEntry>& entries) {
  return read_any<5>(data, [&](const std::array<std::int64_t, 5>& v) {
    const bool valid = v[0] >= 0 && v[0] < kLargestBucket && v[1] >= 0 && v[1] < kWorkClasses && v[2] > 0 &&
                       v[3] >= 0 && v[3] <= INT32_MAX && v[4] >= 0 && v[4] <= v[2];
    if (valid) entries.push_back({v[0], static_cast<WorkClass>(v[1]), v[2], static_cast<std::int32_t>(v[3]), v[4]});
    return valid;
  });
}

std::vector<WorkClass> load_work_classes(sqlite3* database, const std::string& file, std::int64_t program) {
  std::vector<WorkClass> classes;
  Rows rows(database, file, "SELECT op, lane, phase, communication FROM op WHERE program = ? ORDER BY op",
            {Value(program)});
  while (rows.next()) {
    if (rows.integer(0) != static_cast<std::int64_t>(classes.size()))
      throw Error(ErrorKind::kParse, file + ": damaged (ops of program " + std::to_string(program) + " have gaps)");
    classes.push_back(work_class(rows.text(1), rows.text(2), rows.integer(3) != 0));
  }
  return classes;
}

void write_levels(Connection& connection, std::int64_t run) {
  Transaction transaction(connection);
  Statement insert(connection,
                   "INSERT INTO level_chunk (track, level, entries, start_ns, end_ns, data) VALUES (?, ?, ?, ?, ?, ?)");
  std::map<std::int64_t, std::vector<WorkClass>> programs;
  for (const TrackFacts& track : tracks_without_levels(connection, run)) {
    if (track.slices < kMinLevelSlices) continue;
    const auto [classes, is_new] = programs.try_emplace(track.program);
    if (is_new) classes->second = load_work_classes(connection.handle(), connection.path(), track.program);
    int level = finest_level(track.slices, track.end_ns - track.start_ns);
    std::vector<LevelEntry> entries = add_up(load_slices(connection, track.id), level, classes->second);
    for (;; ++level, entries = coarsen(entries)) {
      write_level(insert, track.id, level, entries);
      if (level >= coarsest_level(track.end_ns)) break;
    }
  }
  transaction.commit();
}

}  // namespace shardscope
