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
#include <string>
#include <utility>
#include <vector>

#include "profiler/capture/capture_log.h"

namespace shardscope::capture {

struct RecordOptions {
  std::string library;  ///< libshardscope-capture.so
  std::uint32_t sources = kSourceNvtx | kSourceNccl | kSourceKernels | kSourceApi | kSourceMemory;
  int spool_mb = 64;  ///< of each process
};

/// "kernels,api,nccl,nvtx,memory,graph,proxy,sync" to Source bits. Throws Error{kConfig} naming the word.
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

  std::vector<RecordedProcess> processes() const;
  std::vector<std::string> problems() const;

 private:
  struct Watched;
  void find_processes();
  std::string folder_;
  RecordOptions options_;
  std::map<std::string, std::unique_ptr<Watched>> watched_;
  std::vector<std::string> problems_;
};

}  // namespace shardscope::capture
