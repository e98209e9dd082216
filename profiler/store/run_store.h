#pragma once
// Writes the rows of one run into an open profile. Not thread-safe: the writer's background thread owns it.
//
//   RunStore store(open_for_writing(path), info, key);
//   store.add_rank(0, store.add_program(op_records(program), op_buffer_records(program), hash));
//   { Transaction t(store.connection()); store.write(0, batch); t.commit(); }

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "profiler/store/profile_writer.h"
#include "profiler/store/program_rows.h"
#include "profiler/store/rank_recorder.h"
#include "profiler/store/sqlite.h"

namespace shardscope {

/// Row of `meta` with what set_collected() was given last.
inline std::string collected_key(const std::string& run_key) { return "collected " + run_key; }

class RunStore {
 public:
  /// Adds the run's row, in a transaction of its own.
  RunStore(Connection connection, const RunInfo& info, const std::string& key);
  /// Of a run that is there already.
  RunStore(Connection connection, std::int64_t run);

  Connection& connection() { return connection_; }
  std::int64_t run() const { return run_; }

  // The following need a transaction around them.
  std::int64_t add_program(const std::vector<OpRecord>& records, const std::vector<OpBufferRecord>& buffers,
                           std::int64_t hash, const std::vector<OpAfterRecord>& after = {});  ///< id of the program
  void add_rank(int rank, std::int64_t program);
  void add_groups(int rank, const std::vector<GroupRecord>& groups);
  std::int64_t add_track(int rank, std::string_view lane);  ///< id of the track
  void add_slices(std::int64_t track, const EventChunk& chunk);
  void add_memory(int rank, const EventChunk& chunk);
  void add_step(int rank, const StepRow& row);
  void write(int rank, const RankBatch& batch);
  void write_peak(int rank, const MemoryPeak& peak);  ///< in place of an earlier one
  void write_totals(int rank, const std::vector<OpTotal>& totals);
  void finish_rank(int rank, std::int64_t rss_bytes);
  void add_diagnostic(int rank, const std::string& kind, std::int64_t count, const std::string& text);
  void set_status(RunStatus status);
  /// How much of what waits in a run's EventFile is in the profile: a list as RankRecorder::collected() has it.
  void set_collected(const std::string& key, const std::string& list);
  void forget_collected(const std::string& key);
  std::int64_t intern(const std::string& text);  ///< string.id

 private:
  std::int64_t track(int rank, Lane lane);

  Connection connection_;
  std::int64_t run_ = 0;
  std::unordered_map<std::string, std::int64_t> strings_;
  std::map<std::pair<int, Lane>, std::int64_t> tracks_;
  Statement insert_slices_, insert_memory_, insert_step_, insert_peak_;
};

}  // namespace shardscope
