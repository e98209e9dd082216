// From what an import gathered to rows: ranks get their numbers, times become those of the run, slices their steps, and
// everything is written once, in order.

#include <algorithm>
#include <limits>
#include <random>
#include <set>

#include "core/error.h"
#include "profiler/import/hang_finder.h"
#include "profiler/import/import_state.h"
#include "profiler/import/step_finder.h"
#include "profiler/store/level_builder.h"
#include "profiler/store/memory_levels.h"

namespace shardscope {
namespace {

constexpr std::int64_t kDay = 86'400'000'000'000;
constexpr std::int64_t kFarTime = 30 * kDay;         ///< from the middle of a rank's slices: a broken clock
constexpr std::int64_t kLongestRun = kDay;           ///< ranks that start further apart do not share a clock
constexpr std::size_t kSlicesPerDivision = 100'000;  ///< of a step: more are divided piece by piece

std::string some_key() {
  std::random_device random;
  return "import" + std::to_string(random()) + std::to_string(random());
}

/// Time of the middle block of a rank: whatever lies far from it has a broken time.
std::optional<std::int64_t> middle_of(const ImportedRank& rank, const SliceSpool& spool) {
  std::vector<std::int64_t> starts;
  const auto add = [&](std::size_t track) {
    for (const SliceSpool::Block& block : spool.track(track).blocks) starts.push_back(block.start_ns);
  };
  for (const StoredTrack& track : rank.tracks) add(track.spool);
  if (rank.memory) add(*rank.memory);
  if (starts.empty()) return std::nullopt;
  const auto middle = starts.begin() + static_cast<std::ptrdiff_t>(starts.size() / 2);
  std::nth_element(starts.begin(), middle, starts.end());
  return *middle;
}

/// Start of the earliest slice or sample that is not far from the middle: all of them are looked at.
std::int64_t first_near(const ImportedRank& rank, SliceSpool& spool, std::int64_t middle) {
  std::vector<std::size_t> tracks;
  for (const StoredTrack& track : rank.tracks) tracks.push_back(track.spool);
  if (rank.memory) tracks.push_back(*rank.memory);
  SliceEvent slice;
  for (SliceMerge merge(spool, tracks); merge.next(slice);) {
    if (slice.start_ns > middle - kFarTime) return slice.start_ns;
  }
  return middle;
}

std::optional<std::string_view> known(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional<std::string_view>(text);
}
std::optional<std::int64_t> known(std::int64_t value) {
  return value < 0 ? std::nullopt : std::optional<std::int64_t>(value);
}

/// Divides a rank's steps into their parts from its device slices, which come in order.
class StepDivider {
 public:
  StepDivider(const std::vector<StoredStep>& steps, std::vector<OpTotal>& totals) : steps_(steps), totals_(totals) {
    parts_.resize(steps.size());
    if (!steps_.empty()) from_ns_ = steps_.front().start_ns;
  }
  void add(const ActiveSlice& slice) {
    while (at_ < steps_.size() && slice.start_ns >= end_ns()) divide(end_ns());
    if (at_ == steps_.size()) return;
    if (slices_.size() >= kSlicesPerDivision && slice.start_ns > from_ns_) divide(slice.start_ns);
    slices_.push_back(slice);
  }
  const std::vector<DividedStep>& finish() {
    while (at_ < steps_.size()) divide(end_ns());
    return parts_;
  }

 private:
  std::int64_t end_ns() const { return steps_[at_].start_ns + steps_[at_].duration_ns; }

  /// From from_ns_ to there; parts add up. Slices that go on are kept.
  void divide(std::int64_t to_ns) {
    const DividedStep piece = divide_step(slices_, from_ns_, to_ns - from_ns_, [&](std::int32_t op, std::int64_t ns) {
      totals_[static_cast<std::size_t>(op)].exposed_ns += ns;
    });
    DividedStep& sum = parts_[at_];
    for (std::size_t a = 0; a < kActivities; ++a) sum.part_ns[a] += piece.part_ns[a];
    sum.idle_ns += piece.idle_ns;
    sum.communication_ns += piece.communication_ns;
    std::erase_if(slices_, [&](const ActiveSlice& s) { return s.end_ns <= to_ns; });
    from_ns_ = to_ns;
    if (to_ns < end_ns() || ++at_ == steps_.size()) return;
    from_ns_ = steps_[at_].start_ns;
  }

  const std::vector<StoredStep>& steps_;
  std::vector<OpTotal>& totals_;
  std::vector<DividedStep> parts_;
  std::vector<ActiveSlice> slices_;
  std::size_t at_ = 0;
  std::int64_t from_ns_ = 0;
};

class Settler {
 public:
  Settler(ImportState& state, RunStore& store) : state_(state), store_(store) {}
  void number_ranks();
  const std::vector<int>& numbers() const { return numbers_; }
  void find_origins();
  void write_rank(std::size_t index);
  void write_diagnostics(ImportStatus status);

 private:
  const std::string& text(std::int32_t id) const { return state_.texts.text(id); }
  std::vector<OpRecord> records(const ImportedRank& rank) const;
  std::int64_t write_program(const ImportedRank& rank);
  void write_tracks(const ImportedRank& rank, StepFinder& finder);
  void write_slices(const StoredTrack& track, std::int64_t id, StepFinder& finder);
  void write_steps(const ImportedRank& rank, const StepFinder& finder);
  void write_memory(const ImportedRank& rank);
  void write_calls(const ImportedRank& rank);
  void write_facts(const ImportedRank& rank);
  void write_samples(const ImportedRank& rank);
  bool to_run_time(SliceEvent& slice);

  ImportState& state_;
  RunStore& store_;
  std::vector<std::int64_t> origins_;
  std::vector<int> numbers_;

  // of the rank that is being written
  int number_ = 0;
  std::int64_t program_ = 0, origin_ = 0, middle_ = 0, far_ = 0;
  std::vector<WorkClass> classes_;
  std::vector<Activity> activities_;
  std::vector<OpTotal> totals_;
  std::vector<std::int64_t> track_ids_;  ///< by track of the rank; 0: it has no slices
};

/// The numbers that the files say, if they say different ones; the order for the rest.
void Settler::number_ranks() {
  std::set<std::int64_t> taken;
  numbers_.assign(state_.ranks.size(), -1);
  for (std::size_t i = 0; i < state_.ranks.size(); ++i) {
    const auto& said = state_.ranks[i].facts.rank;
    if (said && *said >= 0 && *said < (1 << 24) && taken.insert(*said).second) numbers_[i] = static_cast<int>(*said);
  }
  std::int64_t next = 0;
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    if (numbers_[i] >= 0) continue;
    while (!taken.insert(next).second) ++next;
    numbers_[i] = static_cast<int>(next);
    const auto& said = state_.ranks[i].facts.rank;
    if (!said) continue;
    const bool known = taken.contains(*said);
    state_.ranks[i].diagnostics[known ? "same_rank" : "bad_rank"] = {
        "the file says that it is rank " + std::to_string(*said) +
            (known ? ", as another one does; it was stored as this one" : ", which is none; it was stored as this one"),
        1};
  }
}

/// What a file's time is when the run starts. Ranks that say when their time 0 was share the clock.
void Settler::find_origins() {
  std::vector<std::optional<std::int64_t>> wall;
  std::optional<std::int64_t> first, last;
  for (ImportedRank& rank : state_.ranks) {
    const auto middle = middle_of(rank, state_.spool);
    const bool near = middle && rank.first_ns && *middle - *rank.first_ns < kFarTime;
    std::int64_t start = near ? *rank.first_ns : middle ? first_near(rank, state_.spool, *middle) : 0;
    if (rank.facts.origin_ns) start = std::min(start, *rank.facts.origin_ns);
    origins_.push_back(start);
    wall.emplace_back();
    if (!middle || !rank.facts.base_ns) continue;
    wall.back() = *rank.facts.base_ns + start;
    first = std::min(first.value_or(*wall.back()), *wall.back());
    last = std::max(last.value_or(*wall.back()), *wall.back());
  }
  if (state_.ranks.size() < 2 || !first) return;
  const bool all = std::all_of(wall.begin(), wall.end(), [](const auto& w) { return w.has_value(); });
  if (!all || *last - *first > kLongestRun) {
    state_.diagnostics["clocks"] = {"the files do not share a clock, so each rank begins at time 0", 1};
    return;
  }
  for (std::size_t i = 0; i < wall.size(); ++i) origins_[i] -= *wall[i] - *first;
}

std::vector<OpRecord> Settler::records(const ImportedRank& rank) const {
  std::vector<OpRecord> records;
  records.reserve(rank.ops.size());
  for (const StoredOp& op : rank.ops) {
    OpRecord& r = records.emplace_back();
    r.kind = text(op.kind), r.lane = text(op.lane), r.phase = text(op.phase), r.name = text(op.name);
    r.flops = op.flops, r.bytes = op.bytes;
    if (op.collective < 0) continue;
    const StoredCollective& c = rank.collectives[static_cast<std::size_t>(op.collective)];
    r.communication = true;
    r.group_name = text(c.group), r.group_size = c.ranks, r.collective_bytes = c.bytes;
  }
  return records;
}

std::int64_t Settler::write_program(const ImportedRank& rank) {
  const std::vector<OpRecord> all = records(rank);
  classes_.clear();
  activities_.clear();
  for (const OpRecord& r : all) {
    classes_.push_back(work_class(r.lane, r.phase, r.communication));
    activities_.push_back(activity_of(work_class(r.lane, r.phase, r.communication)));
  }
  const std::int64_t program = store_.add_program(all, {}, hash_of(all));
  Connection& db = store_.connection();
  Statement launch(db, "INSERT INTO op_launch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      collective(db, "INSERT INTO op_collective VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (std::size_t i = 0; i < rank.ops.size(); ++i) {
    const auto op = static_cast<std::int64_t>(i);
    if (rank.ops[i].launch >= 0) {
      const ForeignLaunch& l = rank.launches[static_cast<std::size_t>(rank.ops[i].launch)];
      launch.run(program, op, l.grid[0], l.grid[1], l.grid[2], l.block[0], l.block[1], l.block[2], known(l.registers),
                 known(l.shared_bytes));
    }
    if (rank.ops[i].collective >= 0) {
      const StoredCollective& c = rank.collectives[static_cast<std::size_t>(rank.ops[i].collective)];
      collective.run(program, op, known(text(c.dtype)), known(c.elements_in), known(c.elements_out),
                     known(text(c.description)), known(text(c.group_ranks)), known(c.peer), known(text(c.split_in)),
                     known(text(c.split_out)), known(text(c.algorithm)), known(text(c.protocol)), known(c.channels));
    }
  }
  return program;
}

/// False, and counted, if the time is a broken one.
bool Settler::to_run_time(SliceEvent& slice) {
  if (slice.start_ns < origin_ || slice.start_ns > middle_ + kFarTime || slice.duration_ns > 2 * kFarTime) {
    ++far_;
    return false;
  }
  slice.start_ns -= origin_;
  return true;
}

void Settler::write_slices(const StoredTrack& track, std::int64_t id, StepFinder& finder) {
  const SliceSpool::Track& spooled = state_.spool.track(track.spool);
  const std::int64_t end_ns = std::clamp<std::int64_t>(spooled.end_ns - origin_, 1, 2 * kFarTime);
  const std::int64_t start_ns = std::clamp<std::int64_t>(spooled.start_ns - origin_, 0, end_ns);
  const int finest = finest_level(spooled.slices, end_ns - start_ns);
  Statement insert(store_.connection(),
                   "INSERT INTO level_chunk (track, level, entries, start_ns, end_ns, data) VALUES (?, ?, ?, ?, ?, ?)");
  LevelBuilder levels(
      finest, std::max(finest, coarsest_level(end_ns)), classes_, [&](int level, std::span<const LevelEntry> entries) {
        const std::string data = pack(entries);
        insert.run(id, level, static_cast<std::int64_t>(entries.size()), entries.front().bucket << (2 * level),
                   (entries.back().bucket + 1) << (2 * level), Blob{data});
      });
  const bool with_levels = spooled.slices >= kMinLevelSlices;
  std::vector<SliceEvent> chunk;
  SliceEvent slice;
  const std::size_t tracks[] = {track.spool};
  for (SliceMerge merge(state_.spool, tracks); merge.next(slice);) {
    const SliceEvent in_file = slice;
    if (!to_run_time(slice)) continue;
    if (slice.step == kStepNotSaid)
      slice.step = track.kind == TrackKind::kDevice ? finder.of_device(in_file) : finder.of_host(in_file);
    if (with_levels) levels.add(slice);
    OpTotal& total = totals_[static_cast<std::size_t>(slice.op.index)];
    total.min_ns = total.count == 0 ? slice.duration_ns : std::min(total.min_ns, slice.duration_ns);
    total.max_ns = std::max(total.max_ns, slice.duration_ns);
    total.total_ns += slice.duration_ns;
    total.wait_ns += slice.wait_ns;
    ++total.count;
    chunk.push_back(slice);
    if (chunk.size() < kChunkRows) continue;
    store_.add_slices(id, pack(std::span<const SliceEvent>(chunk)));
    chunk.clear();
  }
  if (!chunk.empty()) store_.add_slices(id, pack(std::span<const SliceEvent>(chunk)));
  if (with_levels) levels.finish();
}

/// Streams come first, as one looks at them first; but threads are written first, since they say which launch belongs
/// to which step.
void Settler::write_tracks(const ImportedRank& rank, StepFinder& finder) {
  track_ids_.assign(rank.tracks.size(), 0);
  for (bool device : {true, false}) {
    for (std::size_t t = 0; t < rank.tracks.size(); ++t) {
      const StoredTrack& track = rank.tracks[t];
      if ((track.kind == TrackKind::kDevice) != device || state_.spool.track(track.spool).slices == 0) continue;
      track_ids_[t] = store_.add_track(number_, track.name);
    }
  }
  for (bool device : {false, true}) {
    for (std::size_t t = 0; t < rank.tracks.size(); ++t) {
      if (track_ids_[t] == 0 || (rank.tracks[t].kind == TrackKind::kDevice) != device) continue;
      write_slices(rank.tracks[t], track_ids_[t], finder);
    }
    if (!device) finder.finish_host();
  }
}

void Settler::write_steps(const ImportedRank& rank, const StepFinder& finder) {
  StepDivider divider(finder.steps(), totals_);
  std::vector<std::size_t> tracks;
  for (const StoredTrack& track : rank.tracks) {
    if (track.kind == TrackKind::kDevice) tracks.push_back(track.spool);
  }
  SliceEvent slice;
  if (!finder.steps().empty()) {
    for (SliceMerge merge(state_.spool, tracks); merge.next(slice);) {
      const Activity activity = activities_[static_cast<std::size_t>(slice.op.index)];
      if (activity == Activity::kNone) continue;
      divider.add({slice.op.index, activity, slice.start_ns, slice.start_ns + slice.duration_ns});
    }
  }
  const std::vector<DividedStep>& parts = divider.finish();
  for (std::size_t s = 0; s < parts.size(); ++s) {
    const StoredStep& step = finder.steps()[s];
    if (step.start_ns < origin_) continue;
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    store_.add_step(number_, {{static_cast<std::int32_t>(step.number), step.start_ns - origin_, step.duration_ns,
                               unknown, unknown, unknown},
                              parts[s]});
  }
}

void Settler::write_memory(const ImportedRank& rank) {
  if (!rank.memory) return;
  MemoryTable live;
  MemoryPeak peak;
  std::vector<MemoryEvent> chunk;
  SliceEvent sample;
  const auto flush = [&] {
    if (!chunk.empty()) store_.add_memory(number_, pack(std::span<const MemoryEvent>(chunk)));
    chunk.clear();
  };
  const std::size_t tracks[] = {*rank.memory};
  for (SliceMerge merge(state_.spool, tracks); merge.next(sample);) {
    const auto space = static_cast<std::size_t>(sample.op.index / kCategories),
               category = static_cast<std::size_t>(sample.op.index % kCategories);
    const std::int64_t bytes = sample.wait_ns;
    if (!to_run_time(sample)) continue;
    chunk.push_back(
        {OpId{rank.memory_op}, -1, sample.start_ns, static_cast<Space>(space), static_cast<Category>(category), bytes});
    live.bytes[space][category] = bytes;
    std::int64_t& own = peak.peak_by_category.bytes[space][category];
    own = std::max(own, bytes);
    if (live.total(static_cast<Space>(space)) > peak.peak_bytes[space]) {
      peak.peak_bytes[space] = live.total(static_cast<Space>(space));
      peak.at_peak.bytes[space] = live.bytes[space];
    }
    if (chunk.size() == kChunkRows) flush();
  }
  flush();
  store_.write_peak(number_, peak);
}

void Settler::write_calls(const ImportedRank& rank) {
  Statement insert(store_.connection(), "INSERT INTO collective_call VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const auto moved = [&](const std::optional<std::int64_t>& time) {
    return time ? std::optional<std::int64_t>(*time - origin_) : std::nullopt;
  };
  std::int64_t id = 0;
  for (const StoredCall& call : rank.calls) {
    const std::int64_t track = call.track < 0 ? 0 : track_ids_[static_cast<std::size_t>(call.track)];
    insert.run(store_.run(), number_, id++, call.op, track == 0 ? std::nullopt : std::optional<std::int64_t>(track),
               call.sequence, call.communicator, moved(call.created_ns), moved(call.start_ns), moved(call.end_ns),
               text(call.state));
  }
}

/// Rows of source, source_count, device, loss and diagnostic.
void Settler::write_facts(const ImportedRank& rank) {
  Connection& db = store_.connection();
  const SourceFacts& f = rank.facts;
  Statement(db,
            "INSERT INTO source (run, rank, file, format, tool, version, known_rank, world, base_ns, origin_ns, "
            "first_ns, last_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .run(store_.run(), number_, f.file, f.format, known(f.tool), known(f.version), f.rank, f.world, f.base_ns,
           origin_, rank.first_ns, rank.last_ns);
  const std::int64_t source = db.last_id();
  Statement count(db, "INSERT INTO source_count VALUES (?, ?, ?)");
  for (const auto& [name, value] : rank.counts) count.run(source, name, value);
  Statement device(db, "INSERT INTO device VALUES (?, ?, ?, ?, ?, ?, ?)");
  for (const ForeignDevice& d : rank.devices)
    device.run(store_.run(), number_, d.device, d.name, d.memory_bytes, d.processors, known(d.capability));
  Statement loss(db, "INSERT INTO loss (run, rank, what, count, why) VALUES (?, ?, ?, ?, ?)");
  for (const StoredLoss& l : rank.losses) loss.run(store_.run(), number_, l.what, l.count, l.why);
  for (const auto& [kind, d] : rank.diagnostics) store_.add_diagnostic(number_, kind, d.count, d.text);
  if (far_ > 0) store_.add_diagnostic(number_, "far_time", far_, "events a month away from the others were not kept");
}

void Settler::write_samples(const ImportedRank& rank) {
  Connection& db = store_.connection();
  Statement sample(db, "INSERT OR IGNORE INTO device_sample VALUES (?, ?, ?, ?, ?, ?)");
  for (const StoredSample& s : rank.samples) {
    if (s.time_ns < origin_ || s.time_ns > middle_ + kFarTime) {
      ++far_;
      continue;
    }
    sample.run(store_.run(), number_, s.device, text(s.name), s.time_ns - origin_, s.value);
  }
  Statement id(db, "INSERT OR IGNORE INTO external_id VALUES (?, ?, ?, ?, ?)");
  for (const StoredExternalId& e : rank.external_ids) id.run(store_.run(), number_, e.correlation, text(e.kind), e.id);
  Statement loss(db, "INSERT INTO loss (run, rank, what, count, why) VALUES (?, ?, ?, ?, ?)");
  if (rank.further_samples > 0)
    loss.run(store_.run(), number_, "device_samples", rank.further_samples, "more than an import keeps");
  if (rank.further_ids > 0)
    loss.run(store_.run(), number_, "external_ids", rank.further_ids, "more than an import keeps");
}

void Settler::write_rank(std::size_t index) {
  ImportedRank& rank = state_.ranks[index];
  number_ = numbers_[index];
  origin_ = origins_[index];
  middle_ = middle_of(rank, state_.spool).value_or(origin_);
  far_ = 0;
  program_ = write_program(rank);
  store_.add_rank(number_, program_);
  totals_.assign(rank.ops.size(), {});
  StepFinder finder(rank.steps, rank.device_steps);
  write_tracks(rank, finder);
  write_steps(rank, finder);
  write_memory(rank);
  write_calls(rank);
  store_.write_totals(number_, totals_);
  store_.finish_rank(number_, 0);
  write_samples(rank);
  write_facts(rank);
}

void Settler::write_diagnostics(ImportStatus status) {
  for (const auto& [kind, d] : state_.diagnostics) store_.add_diagnostic(-1, kind, d.count, d.text);
  if (status == ImportStatus::kCancelled)
    store_.add_diagnostic(-1, "cancelled", 1, "the import was stopped early; what had been read by then is here");
}

/// Pages are only appended, so that a rollback journal stays small, and a write-ahead log would write them twice. Where
/// somebody reads the profile meanwhile it stays as it is.
void leave_log(Connection& connection) {
  try {
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
  } catch (const Error&) {
    if (!is_busy(connection.handle())) throw;
  }
}

RunInfo info_of(const ImportState& state, const std::string& name) {
  RunInfo info;
  info.name = name;
  info.job_json = "{}";
  info.model = "imported";
  info.world = std::max(1, static_cast<int>(state.ranks.size()));
  for (const ImportedRank& rank : state.ranks) {
    if (info.framework.empty()) info.framework = rank.facts.tool.empty() ? rank.facts.format : rank.facts.tool;
    const std::int64_t world = rank.facts.world.value_or(0);
    if (world > info.world && world < (1 << 24)) info.world = static_cast<int>(world);
  }
  return info;
}

}  // namespace

std::int64_t settle(ImportState& state, Connection connection, const std::string& name, ImportStatus status) {
  state.spool.flush();
  leave_log(connection);
  RunStore store(std::move(connection), info_of(state, name), some_key());
  Settler settler(state, store);
  settler.number_ranks();
  find_hangs(state, settler.numbers());
  settler.find_origins();
  try {
    Transaction transaction(store.connection());
    for (std::size_t i = 0; i < state.ranks.size(); ++i) settler.write_rank(i);
    settler.write_diagnostics(status);
    store.set_status(status == ImportStatus::kComplete ? RunStatus::kFinished : RunStatus::kInterrupted);
    transaction.commit();
  } catch (const Error&) {
    store.connection().execute("DELETE FROM run WHERE id = " + std::to_string(store.run()));
    throw;
  }
  write_memory_levels(store.connection(), store.run());
  leave_log(store.connection());
  return store.run();
}

}  // namespace shardscope
