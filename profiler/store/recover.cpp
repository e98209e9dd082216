#include "profiler/store/recover.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <tuple>

#include "core/error.h"
#include "profiler/store/event_file.h"
#include "profiler/store/levels.h"
#include "profiler/store/open_store.h"
#include "profiler/store/profile.h"
#include "profiler/store/rank_recorder.h"
#include "profiler/store/run_store.h"

namespace shardscope {
namespace {

using Queue = std::tuple<int, EventKind, int>;  ///< rank, kind, lane

/// Activity of each op of a rank's program, as the rows tell it.
std::vector<Activity> load_activities(Connection& db, std::int64_t run, int rank) {
  Rows rows(db.handle(), db.path(),
            "SELECT o.op, o.kind, o.lane, o.phase, o.communication FROM op o JOIN rank r ON r.program = o.program "
            "WHERE r.run = ? AND r.rank = ? ORDER BY o.op",
            {Value(run), Value(std::int64_t{rank})});
  std::vector<Activity> activities;
  while (rows.next()) {
    const std::string kind = rows.text(1);
    const bool works = kind != op_name(Alloc{}) && kind != op_name(Free{}) && kind != op_name(Hold{});
    const WorkClass work = work_class(rows.text(2), rows.text(3), rows.integer(4) != 0);
    activities.push_back(works ? activity_of(work) : Activity::kNone);
  }
  return activities;
}

/// Brings a killed run's events into the profile, rank by rank.
class Recovery {
 public:
  Recovery(Connection db, std::int64_t run, EventFile& file)
      : path_(db.path()), run_(run), file_(file), store_(std::move(db), run) {
    control_.wake = [] {};
    load_collected();
  }
  void run();

 private:
  void load_collected();
  void replay(RankRecorder& recorder);
  void take(RankRecorder& recorder);
  template <class Event, class Add>
  void take(EventBlock& block, const Add& add);
  Rows rows(std::string_view sql, std::initializer_list<Value> values) {
    return {store_.connection().handle(), path_, sql, values};
  }

  const std::string path_;
  const std::int64_t run_;
  EventFile& file_;
  RunStore store_;
  RecorderControl control_;
  std::map<Queue, std::int64_t> collected_;  ///< events of each queue that the profile has, or that are lost
  std::int64_t lost_ = 0;                    ///< of the rank: they were in memory, between those that are in the file
};

void Recovery::load_collected() {
  Rows counts = rows(
      "SELECT json_extract(e.value, '$[0]'), json_extract(e.value, '$[1]'), json_extract(e.value, '$[2]'), "
      "json_extract(e.value, '$[3]') FROM meta m, json_each(m.value) e WHERE m.key = ?",
      {Value(collected_key(file_.run_key()))});
  while (counts.next())
    collected_[{counts.small(0), static_cast<EventKind>(counts.small(1)), counts.small(2)}] = counts.integer(3);
}

void Recovery::run() {
  std::vector<int> ranks;
  for (Rows row = rows("SELECT rank FROM rank WHERE run = ?", {Value(run_)}); row.next();)
    ranks.push_back(row.small(0));
  Transaction transaction(store_.connection());
  for (const int number : ranks) {
    RankRecorder recorder(number, load_activities(store_.connection(), run_, number), control_);
    replay(recorder);
    lost_ = 0;
    take(recorder);
    RankBatch batch;
    recorder.collect(batch);
    store_.write(number, batch);
    store_.write_peak(number, recorder.peak());
    if (lost_ == 0) continue;
    Statement(store_.connection(), "INSERT INTO loss (run, rank, what, count, why) VALUES (?, ?, ?, ?, ?)")
        .run(run_, number, "events", lost_, "they came faster than the disk took them, and the process was killed");
  }
  store_.forget_collected(file_.run_key());
  transaction.commit();
}

/// What the profile has already: live memory, and the slices of the step that was under way.
void Recovery::replay(RankRecorder& recorder) {
  const Value rank = std::int64_t{recorder.rank()};
  Rows last =
      rows("SELECT coalesce(max(step), -1), coalesce(max(start_ns + dur_ns), 0) FROM step WHERE run = ? AND rank = ?",
           {Value(run_), rank});
  if (!last.next()) return;
  const int last_step = last.small(0);
  recorder.resume_after(last_step);
  RankBatch known;
  Rows samples =
      rows("SELECT start_ns, data FROM memory_chunk WHERE run = ? AND rank = ? ORDER BY id", {Value(run_), rank});
  while (samples.next()) {
    decode_memory(samples.bytes(1), samples.integer(0), [&](const MemoryEvent& event) { recorder.memory(event); });
    recorder.collect(known);
    known = {};
  }
  Rows slices = rows(
      "SELECT c.start_ns, c.data FROM slice_chunk c JOIN track t ON t.id = c.track WHERE t.run = ? AND t.rank = ? AND "
      "c.end_ns > ? ORDER BY c.id",
      {Value(run_), rank, Value(last.integer(1))});
  while (slices.next()) {
    decode_slices(slices.bytes(1), slices.integer(0), [&](const SliceEvent& event) {
      if (event.step > last_step) recorder.slice(event);
    });
    recorder.collect(known);
  }
}

void Recovery::take(RankRecorder& recorder) {
  for (EventBlock* block : file_.used()) {
    if (block->source.rank != recorder.rank() || block->source.first < 0) continue;
    switch (block->source.kind) {
      case EventKind::kSlice:
        if (block->source.lane >= kLanes) break;
        take<SliceEvent>(*block, [&](SliceEvent event) {
          event.lane = static_cast<Lane>(block->source.lane);
          recorder.slice(event);
        });
        break;
      case EventKind::kMemory:
        take<MemoryEvent>(*block, [&](const MemoryEvent& event) { recorder.memory(event); });
        break;
      case EventKind::kStep:
        take<StepEvent>(*block, [&](const StepEvent& event) { recorder.step(event); });
        break;
    }
  }
}

/// Those of a block that the profile does not have.
template <class Event, class Add>
void Recovery::take(EventBlock& block, const Add& add) {
  std::int64_t& have = collected_[{block.source.rank, block.source.kind, block.source.lane}];
  const std::int64_t first = block.source.first;
  const auto published = std::min(block.published.load(std::memory_order_acquire), EventBlock::capacity<Event>());
  if (published == 0 || first > std::numeric_limits<std::int64_t>::max() / 2 || first + published <= have) return;
  lost_ += std::max<std::int64_t>(0, first - have);
  for (std::int64_t i = std::max<std::int64_t>(0, have - first); i < published; ++i) {
    Event event;
    std::memcpy(&event, block.events() + static_cast<std::size_t>(i) * sizeof event, sizeof event);
    add(event);
  }
  have = first + published;
}

/// 0 if the profile does not hold the run, or all of it.
std::int64_t find_run(Connection& db, const std::string& key) {
  Statement find(db, "SELECT coalesce(max(r.id), 0) FROM run r JOIN meta m ON m.key = ? WHERE r.key = ?");
  return find.integer(collected_key(key), key);
}

void recover(const std::string& path, EventFile& file) {
  Connection db = open_for_writing(path);
  const std::int64_t run = find_run(db, file.run_key());
  if (run != 0) Recovery(std::move(db), run, file).run();
  file.forget();
}

}  // namespace

void recover_events(const std::string& path) {
  for (const std::string& name : EventFile::beside(path)) {
    if (access(path.c_str(), W_OK) != 0) return;
    try {
      if (const auto file = EventFile::open_abandoned(name)) recover(path, *file);
    } catch (const Error&) {  // locked, or a full disk: whoever opens the profile next tries again
    }
  }
}

}  // namespace shardscope
