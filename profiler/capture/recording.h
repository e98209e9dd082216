#pragma once
// A job that is being recorded: its environment, and the processes that showed up. Whoever started it calls poll() some
// twenty times a second; the job never waits for us.
//
//   Recording recording("run.db.capture", options);
//   for (const auto& [name, value] : recording.environment()) setenv(...);   // in the child, before exec
//   while (running) recording.poll();
//   std::vector<std::string> logs = recording.finish();                       // for profiler/import

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "profiler/capture/capture_log.h"
#include "profiler/capture/hang_watch.h"

namespace shardscope::capture {

/// Steps first to last.
struct Steps {
  std::int64_t first = 0, last = 0;
};
/// "10-20" or "7". Throws Error{kConfig}.
Steps parse_steps(const std::string& text);

struct RecordOptions {
  std::string library;  ///< libshardscope-capture.so
  std::uint32_t sources = kSourceNvtx | kSourceNccl | kSourceKernels | kSourceApi | kSourceMemory;
  int spool_mb = 64;                   ///< of each process
  bool idle = false;                   ///< nothing is recorded until control says so
  std::optional<Steps> steps;          ///< only these
  std::optional<double> slow_percent;  ///< only steps that take so much longer than usual
  int budget_mb = 512;                 ///< with slow_percent: of the log of each process
  bool ring = false;                   ///< spools keep the newest records, read when the job ends or hangs
  double hang_seconds = 60;            ///< 0: hangs are not looked for
};

/// "kernels,api,nccl,nvtx,memory,graph,proxy,sync,environment" to Source bits. Throws Error{kConfig} naming the word.
std::uint32_t parse_sources(const std::string& text);

struct RecordedProcess {
  ProcessFacts facts;
  std::string log;
  std::int64_t records = 0;
};

class Recording {
 public:
  /// Makes the folder. Throws Error{kIo} if it cannot, {kConfig} if it holds another recording.
  Recording(std::string folder, RecordOptions options);
  ~Recording();

  /// Variables for the job. Those that the job's environment has already are in conflicts().
  std::vector<std::pair<std::string, std::string>> environment() const;
  /// "CUDA_INJECTION64_PATH is set to ...: that tool gives way": one line each.
  static std::vector<std::string> conflicts();

  /// Finds new processes and takes what came in. Returns the number of records.
  std::int64_t poll();
  /// The last poll; processes that are gone or will not be watched any more. Their logs, in order of their start.
  std::vector<std::string> finish();

  /// Hangs that were not told yet: "rank 2 is late: ..."
  std::vector<std::string> hangs();
  /// What rings hold now, into the logs. Links to these, in a new folder without spools that the caller removes.
  std::vector<std::string> dump(const std::string& folder);
  bool take_dump_wish() { return std::exchange(dump_wished_, false); }  ///< control asked for one
  /// Why there is less than was asked for: "no steps were seen ..."; empty if there is not.
  std::string remark() const;

  std::vector<RecordedProcess> processes() const;
  std::vector<std::string> problems() const;

 private:
  struct Watched;
  void find_processes();
  void read_control();
  void apply(SpoolHeader& header) const;
  std::string folder_;
  RecordOptions options_;
  std::map<std::string, std::unique_ptr<Watched>> watched_;
  std::vector<std::string> problems_;
  bool on_ = true, dump_wished_ = false, controlled_ = false;
  HangWatch hangs_;
};

/// Asks whoever records into `folder`: "start", "stop", "dump", or "steps 10-20". Throws Error{kConfig} if nobody does.
void control_recording(const std::string& folder, const std::string& wish);

}  // namespace shardscope::capture
