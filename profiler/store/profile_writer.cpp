#include "profiler/store/profile_writer.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "profiler/store/compact.h"
#include "profiler/store/levels.h"
#include "profiler/store/memory_levels.h"
#include "profiler/store/merge.h"
#include "profiler/store/open_store.h"
#include "profiler/store/program_rows.h"
#include "profiler/store/rank_recorder.h"
#include "profiler/store/recover.h"
#include "profiler/store/run_store.h"

namespace shardscope {
namespace {

/// Encoded rows that may wait while another process holds the file's lock.
constexpr std::size_t kMaxPendingBytes = 256 << 20;
constexpr int kFinalAttempts = 3;  ///< of some seconds each, if the file is locked at the end

std::string random_key() {
  std::random_device random;
  std::string key;
  for (int i = 0; i < 4; ++i) key += "0123456789abcdefghijklmnopqrstuv"[random() % 32];
  return key + std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
}

void add_to_list(std::string& list, const std::string& items) {
  if (!list.empty() && !items.empty()) list += ',';
  list += items;
}

std::size_t bytes_of(const RankBatch& batch) {
  std::size_t bytes = batch.steps.size() * sizeof(StepRow);
  for (const auto& [lane, chunk] : batch.slices) bytes += chunk.data.size();
  for (const EventChunk& chunk : batch.memory) bytes += chunk.data.size();
  return bytes;
}

}  // namespace

class ProfileWriter::Impl {
 public:
  Impl(const std::string& path, const RunInfo& info, const WriterOptions& options)
      : path_(path),
        key_(options.run_key.empty() ? random_key() : options.run_key),
        flush_interval_(options.flush_seconds),
        store_(std::make_unique<RunStore>(open_recovered(path), info, key_)),
        run_(store_->run()),
        events_(info.predicted ? nullptr : EventFile::create(path, key_)) {
    control_.wait_when_full = info.predicted;
    control_.wake = [this] {
      {
        const std::lock_guard asleep_or_not_yet(wake_mutex_);  // else the thread may sleep through it
        wake_.store(true);
      }
      condition_.notify_one();
    };
    thread_ = std::thread([this] { work(); });
  }

  RankTrace* open_rank(int rank, const Program& program) {
    NewRank opened{
        rank, op_records(program), op_buffer_records(program), op_after_records(program), group_records(program), 0, 0};
    opened.hash = hash_of(opened.records);
    opened.hash_of_all = hash_of_all(opened.hash, opened.buffers, opened.after);
    std::unique_lock lock(mutex_);
    for (const auto& recorder : ranks_) SS_CHECK(recorder->rank() != rank, rank);
    ranks_.push_back(std::make_unique<RankRecorder>(rank, program, control_, events_.get()));
    if (!hashes_.insert(opened.hash_of_all).second) {  // known already
      opened.records.clear();
      opened.buffers.clear();
      opened.after.clear();
    }
    new_ranks_.push_back(std::move(opened));
    RankTrace* const trace = ranks_.back().get();
    if (events_ != nullptr) wait_until_written(lock, ranks_.size());
    return trace;
  }

  void finish(RunStatus status);
  bool every_rank_finished();
  bool is_finished() const { return store_ == nullptr; }
  std::int64_t run() const { return run_; }
  std::string problem() const {
    const std::lock_guard lock(problem_mutex_);
    return problem_;
  }

 private:
  struct NewRank {
    int rank;
    std::vector<OpRecord> records;  ///< empty if a rank opened before has the same
    std::vector<OpBufferRecord> buffers;
    std::vector<OpAfterRecord> after;
    std::vector<GroupRecord> groups;
    std::int64_t hash;         ///< of its ops
    std::int64_t hash_of_all;  ///< and of all else that the profile has of its program
  };

  static Connection open_recovered(const std::string& path) {
    recover_events(path);
    merge_parts(path);
    return open_for_writing(path);
  }
  void wait_until_written(std::unique_lock<std::mutex>& lock, std::size_t ranks);
  void work();
  void collect();
  bool write_pending();
  void flush_guarded(int attempts);
  void write_rows();
  void write_end(RunStatus status);
  void write_problems(RankRecorder& recorder);
  void pack_and_add_levels();
  void stop_recording(const std::string& reason);
  void leave_one_file();

  const std::string path_, key_;
  const std::chrono::duration<double> flush_interval_;
  RecorderControl control_;
  std::unique_ptr<RunStore> store_;  ///< the background thread's, and finish()'s when that has ended
  const std::int64_t run_;
  std::unique_ptr<EventFile> events_;  ///< null: events wait in memory

  mutable std::mutex mutex_;  ///< guards ranks_, new_ranks_, hashes_, written_ranks_
  std::vector<std::unique_ptr<RankRecorder>> ranks_;
  std::vector<NewRank> new_ranks_;
  std::set<std::int64_t> hashes_;  ///< hash_of_all
  std::size_t written_ranks_ = 0;
  std::condition_variable written_;

  // the background thread's, and finish()'s when that has ended
  std::vector<RankRecorder*> known_ranks_;
  std::vector<NewRank> pending_ranks_;
  std::map<std::int64_t, std::int64_t> programs_;  ///< id by hash_of_all
  std::map<int, RankBatch> pending_;
  std::map<int, MemoryPeak> written_peaks_;

  mutable std::mutex problem_mutex_;
  std::string problem_;

  std::mutex wake_mutex_;
  std::condition_variable condition_;
  std::atomic<bool> wake_{false}, ending_{false};
  std::thread thread_;
};

/// Events that a killed run leaves behind are worth nothing without its program. Where the file is another process's
/// for so long, the run does not wait for it.
void ProfileWriter::Impl::wait_until_written(std::unique_lock<std::mutex>& lock, std::size_t ranks) {
  control_.wake();
  written_.wait_for(lock, std::chrono::seconds(1), [&] { return written_ranks_ >= ranks || control_.stopped.load(); });
}

void ProfileWriter::Impl::work() {
  while (!ending_.load()) {
    {
      std::unique_lock lock(wake_mutex_);
      condition_.wait_for(lock, flush_interval_, [this] { return wake_.load() || ending_.load(); });
      wake_.store(false);
    }
    flush_guarded(1);
  }
}

void ProfileWriter::Impl::collect() {
  {
    const std::lock_guard lock(mutex_);
    for (NewRank& opened : new_ranks_) pending_ranks_.push_back(std::move(opened));
    new_ranks_.clear();
    known_ranks_.clear();
    for (const auto& recorder : ranks_) known_ranks_.push_back(recorder.get());
  }
  for (RankRecorder* recorder : known_ranks_) recorder->collect(pending_[recorder->rank()]);
}

/// Takes what came in and writes it. Whatever goes wrong ends the recording, not the run.
void ProfileWriter::Impl::flush_guarded(int attempts) {
  if (control_.stopped.load()) return;
  try {
    collect();
    while (!write_pending()) {
      if (--attempts == 0) break;
    }
    std::size_t waiting = 0;
    for (const auto& [rank, batch] : pending_) waiting += bytes_of(batch);
    if (waiting > kMaxPendingBytes || (ending_.load() && attempts == 0))
      stop_recording("it stayed locked by another process");
  } catch (const std::exception& error) {
    stop_recording(error.what());
  }
}

/// False if another process holds the file's lock: the rows are kept for the next time.
bool ProfileWriter::Impl::write_pending() {
  try {
    Transaction transaction(store_->connection());
    write_rows();
    transaction.commit();
  } catch (const Error&) {
    if (is_busy(store_->connection().handle())) return false;
    throw;
  }
  for (RankRecorder* recorder : known_ranks_) recorder->release();
  {
    const std::lock_guard lock(mutex_);
    written_ranks_ += pending_ranks_.size();
  }
  written_.notify_all();
  pending_ranks_.clear();
  pending_.clear();
  return true;
}

void ProfileWriter::Impl::write_rows() {
  for (const NewRank& opened : pending_ranks_) {
    auto known = programs_.find(opened.hash_of_all);
    if (known == programs_.end()) {
      const std::int64_t id = store_->add_program(opened.records, opened.buffers, opened.hash, opened.after);
      known = programs_.emplace(opened.hash_of_all, id).first;
    }
    store_->add_rank(opened.rank, known->second);
    store_->add_groups(opened.rank, opened.groups);
  }
  for (const auto& [rank, batch] : pending_) store_->write(rank, batch);
  for (RankRecorder* recorder : known_ranks_) {
    const MemoryPeak peak = recorder->peak();
    MemoryPeak& written = written_peaks_[recorder->rank()];
    if (peak.at_peak == written.at_peak && peak.peak_by_category == written.peak_by_category) continue;
    store_->write_peak(recorder->rank(), peak);
    written = peak;
  }
  if (events_ == nullptr) return;
  std::string collected;
  for (const RankRecorder* recorder : known_ranks_) add_to_list(collected, recorder->collected());
  store_->set_collected(key_, "[" + collected + "]");
}

void ProfileWriter::Impl::write_problems(RankRecorder& recorder) {
  const RankProblems p = recorder.problems();
  const auto add = [&](std::int64_t count, const char* kind, const char* text) {
    if (count > 0) store_->add_diagnostic(recorder.rank(), kind, count, text);
  };
  add(p.dropped, "dropped", "events came faster than the disk took them, and were dropped");
  add(p.invalid_slices, "invalid_slice", "slices with an unknown op, or a negative time or wait, were not kept");
  add(p.late_slices, "late_slice", "slices came after the step they belong to; its parts lack them");
  add(p.invalid_memory, "invalid_memory", "memory samples with a negative time or size were not kept");
  add(p.invalid_steps, "invalid_step", "steps out of order, or with a negative time, were not kept");
}

void ProfileWriter::Impl::write_end(RunStatus status) {
  Transaction transaction(store_->connection());
  for (RankRecorder* recorder : known_ranks_) {
    store_->write_totals(recorder->rank(), recorder->totals());
    if (recorder->finished()) store_->finish_rank(recorder->rank(), recorder->rss_bytes());
    write_problems(*recorder);
  }
  store_->set_status(status);
  store_->forget_collected(key_);
  transaction.commit();
}

/// Views make what is missing, so a disk that just became full, or a lock, loses nothing.
void ProfileWriter::Impl::pack_and_add_levels() {
  try {
    Connection& connection = store_->connection();
    const bool pack = count_slices(connection, run_) >= kSlicesWorthPacking;
    if (pack) pack_run(connection, run_);
    write_levels(connection, run_);
    write_memory_levels(connection, run_);
    if (pack) connection.execute("VACUUM");
  } catch (const std::exception&) {
  }
}

void ProfileWriter::Impl::stop_recording(const std::string& reason) {
  control_.stopped.store(true);
  {
    const std::lock_guard lock(problem_mutex_);
    if (problem_.empty()) problem_ = "the profile is incomplete, recording stopped: " + reason;
  }
  pending_.clear();
  pending_ranks_.clear();
  try {  // a few hundred bytes may still fit
    Transaction transaction(store_->connection());
    store_->add_diagnostic(-1, "stopped", 1, problem());
    store_->set_status(RunStatus::kInterrupted);
    transaction.commit();
  } catch (const std::exception&) {  // then only problem() says so
  }
}

/// Puts the write-ahead log into the file and removes it, unless somebody else has the file open.
void ProfileWriter::Impl::leave_one_file() {
  try {
    store_->connection().execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
  } catch (const std::exception&) {  // the log stays beside the file, and is read with it
  }
}

bool ProfileWriter::Impl::every_rank_finished() {
  const std::lock_guard lock(mutex_);
  for (const auto& recorder : ranks_) {
    if (!recorder->finished()) return false;
  }
  return !ranks_.empty();
}

void ProfileWriter::Impl::finish(RunStatus status) {
  ending_.store(true);
  {
    const std::lock_guard lock(wake_mutex_);  // the thread is either before its test of ending_ or asleep
  }
  condition_.notify_one();
  if (thread_.joinable()) thread_.join();
  flush_guarded(kFinalAttempts);
  try {
    if (!control_.stopped.load()) {
      write_end(status);
      pack_and_add_levels();
    }
  } catch (const std::exception& error) {
    stop_recording(error.what());
  }
  control_.stopped.store(true);
  leave_one_file();
  store_.reset();
  events_.reset();  // the recorders, told to stop, do not look at it any more
}

ProfileWriter::ProfileWriter(const std::string& path, const RunInfo& info, const WriterOptions& options)
    : impl_(std::make_unique<Impl>(path, info, options)) {}

ProfileWriter::~ProfileWriter() {
  if (impl_->is_finished()) return;
  finish(impl_->every_rank_finished() ? RunStatus::kFinished : RunStatus::kInterrupted);
}

RankTrace* ProfileWriter::open_rank(int rank, const Program& program) { return impl_->open_rank(rank, program); }

void ProfileWriter::finish(RunStatus status) {
  if (!impl_->is_finished()) impl_->finish(status);
}

std::int64_t ProfileWriter::run() const { return impl_->run(); }
std::string ProfileWriter::problem() const { return impl_->problem(); }

}  // namespace shardscope
