#pragma once
// Records one run, measured or predicted, into a profile: an SQLite file that may already hold other runs.
//
//   ProfileWriter writer("run.db", info);             // creates run.db, or appends a run to it
//   train(job, backends, {.trace = &writer});         // open_rank() per rank, slice() from each lane's thread
//   writer.finish();                                  // or the destructor
//   if (!writer.problem().empty()) std::cerr << writer.problem();
//
// slice() appends to a buffer of its lane: no lock, no system call, some nanoseconds. One background thread writes what
// came in about every half second, in one transaction. Of a measured run what was not written yet is in a file that
// survives kill -9 (event_file.h), and is brought into the profile by whoever opens it next (recover.h). A full disk
// stops the recording, never the run: problem() then says what is missing.

#include <memory>
#include <string>

#include "core/trace.h"

namespace shardscope {

struct WriterOptions {
  double flush_seconds = 0.5;
  /// Ranks in several processes write one file each (part_path()) under the same key; merge_parts() joins them.
  /// Empty: a new one is made up.
  std::string run_key;
};

enum class RunStatus : std::uint8_t { kRunning, kFinished, kInterrupted };
std::string_view to_string(RunStatus status);  ///< "running", "finished", "interrupted"

class ProfileWriter : public TraceSink {
 public:
  /// Throws Error{kIo} if `path` cannot be created or written, Error{kParse} if it holds something that is not a
  /// profile (it is then left as it is).
  ProfileWriter(const std::string& path, const RunInfo& info, const WriterOptions& options = {});
  /// Calls finish() if nobody did: finished if every opened rank finished, else interrupted. Never throws.
  ~ProfileWriter() override;
  ProfileWriter(const ProfileWriter&) = delete;
  ProfileWriter& operator=(const ProfileWriter&) = delete;

  /// Lives as long as the writer. One call per rank; thread-safe.
  RankTrace* open_rank(int rank, const Program& program) override;

  /// Writes what is left and leaves one ordinary SQLite file. No RankTrace may be in use. Never throws: see problem().
  void finish(RunStatus status = RunStatus::kFinished);

  std::int64_t run() const;     ///< id of this run in the file
  std::string problem() const;  ///< one line saying what stopped the recording; empty while all is well

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shardscope
