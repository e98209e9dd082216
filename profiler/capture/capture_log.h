#pragma once
// What was read from the spool of one process, in a file that only grows: the room in the spool is given back, and
// nothing waits in memory. Killed at any moment, it can be read up to its last whole record.
//
//   CaptureLog log("out/1234.capture", spool.header());  log.add(spool);       // beside the running job
//   CaptureLogReader reader("out/1234.capture");                                // afterwards
//   reader.read([&](std::uint32_t thread, const RecordHead& head) { ... reader.text(id) ... });

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "profiler/capture/slow_steps.h"
#include "profiler/capture/spool_reader.h"

namespace shardscope::capture {

/// What a log knows of its process besides the records.
struct ProcessFacts {
  std::int32_t pid = 0, parent = 0, rank = -1, world = -1, local_rank = -1;
  std::int64_t started_ns = 0;
  std::string program;
  bool ended = false;  ///< it said goodbye
  std::uint64_t lost_records = 0, lost_strings = 0, lost_activities = 0, overwritten_chunks = 0;
  std::int64_t first_step = 0, last_step = -1;  ///< that were chosen; -1: none
  std::uint64_t thinned = 0;                    ///< records of steps that were not slow
  std::uint64_t over_budget = 0;                ///< records for which the log was full
};
ProcessFacts facts_of(const SpoolHeader& header);

class CaptureLog {
 public:
  /// A new log; `append`: goes on with one that is there. Throws Error{kIo}.
  CaptureLog(const std::string& path, const SpoolHeader& header, bool append = false);
  ~CaptureLog();
  CaptureLog(const CaptureLog&) = delete;
  CaptureLog& operator=(const CaptureLog&) = delete;

  /// Everything that came in since the last call, and how much was lost. Returns the number of records, of which `also`
  /// is told. Once the disk is full nothing more is taken and problem() says so.
  std::int64_t add(SpoolReader& spool, const SpoolReader::Visit& also = {});
  /// Of a ring, which stays as it is: only what later records cannot be read without (names, communicators, devices).
  std::int64_t add_identities(SpoolReader& spool, const SpoolReader::Visit& also = {});
  /// From now on, the details of slow steps only, and at most so many bytes.
  void keep_slow_steps(double percent, std::int64_t budget_bytes);
  void add_rest(SpoolReader& spool);  ///< what still waited for the end of its step: that step was not finished
  const std::string& problem() const { return problem_; }
  std::int64_t records() const { return records_; }

 private:
  struct Pending;
  void write(std::uint32_t kind, std::uint32_t thread, std::string_view bytes);
  void write_facts(const SpoolHeader& header);
  void flush(Pending& pending);
  void take(SpoolReader& spool, std::uint32_t thread, const RecordHead& head, Pending& pending);
  void put(SpoolReader& spool, std::uint32_t thread, const RecordHead& head, Pending& pending);
  void settle_held(SpoolReader& spool, Pending& pending);
  int file_ = -1;
  std::string path_, problem_, buffer_;
  std::unordered_map<std::uint64_t, bool> texts_;  ///< that the log has
  std::int64_t records_ = 0, bytes_ = 0, budget_bytes_ = INT64_MAX;
  std::uint64_t thinned_ = 0, over_budget_ = 0;
  std::optional<SlowSteps> slow_;
  std::deque<std::pair<std::uint32_t, std::string>> held_;  ///< thread and record, while their step is under way
  std::size_t held_bytes_ = 0;
};

class CaptureLogReader {
 public:
  /// Throws Error{kConfig} if it cannot be opened, {kParse} if it is no log.
  explicit CaptureLogReader(const std::string& path);
  ~CaptureLogReader();
  CaptureLogReader(const CaptureLogReader&) = delete;
  CaptureLogReader& operator=(const CaptureLogReader&) = delete;

  using Visit = std::function<void(std::uint32_t thread, const RecordHead& head)>;
  /// All records, each thread's in order. False if the file ends within a block: it was cut off. `position` (if given)
  /// is told how far it is, in bytes, and may end the reading by answering false.
  bool read(const Visit& visit, const std::function<bool(std::int64_t)>& position = {});
  std::string_view text(std::uint64_t id) const;
  const ProcessFacts& facts() const { return facts_; }  ///< complete after read()
  std::int64_t damaged() const { return damaged_; }

 private:
  bool read_block(const Visit& visit);
  void take_texts(std::string_view bytes);
  std::string path_, block_;
  void* file_ = nullptr;
  ProcessFacts facts_;
  std::unordered_map<std::uint64_t, std::string> texts_;
  std::int64_t damaged_ = 0, position_ = 0;
  bool at_end_ = false;
};

/// How a log begins, for whoever must tell files apart.
inline constexpr std::string_view kCaptureLogMagic = "SSCAPT01";

}  // namespace shardscope::capture
