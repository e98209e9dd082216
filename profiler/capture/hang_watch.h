#pragma once
// Does a job hang in a collective, and whom do the others wait for? Told while it still hangs, from what NCCL's plugin
// says of each process: the last collective of each kind that it entered, by communicator.
//
//   HangWatch watch(60);                                              // seconds
//   watch.take(process, thread, head, spool);                         // records of all processes, as they come
//   for (const std::string& line : watch.look(now_ns)) say(line);     // each hang once
//
// Seen are processes of this machine only, and only that a rank has not entered what others have: where all have
// entered and the device or the network hangs, nobody is late.

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "profiler/capture/spool_reader.h"

namespace shardscope::capture {

class HangWatch {
 public:
  explicit HangWatch(double seconds) : patience_ns_(static_cast<std::int64_t>(seconds * 1e9)) {}

  /// `process`: a number that stays its own.
  void take(int process, std::uint32_t thread, const RecordHead& head, SpoolReader& spool);
  std::vector<std::string> look(std::int64_t now_ns);
  /// Forgets where everybody is: collectives were not recorded for a while.
  void forget();

 private:
  struct Member {
    int process = -1, rank = -1;  ///< the job's rank if the launcher says it, else the communicator's
    std::int64_t last = -1;       ///< number of the last collective that it entered
  };
  /// Collectives of one kind on one communicator; numbers are NCCL's.
  struct Line {
    std::string function;
    std::map<int, Member> members;                 ///< by rank of the communicator
    std::map<std::int64_t, std::int64_t> entered;  ///< when the first rank entered a number that some have not
    std::int64_t told = -1;
  };
  struct Communicator {
    std::string name;
    std::map<int, Member> members;        ///< by rank of the communicator
    std::map<std::uint64_t, Line> lines;  ///< by function
  };
  struct Process {
    std::uint32_t thread = 0;                                  ///< that calls collectives
    std::map<std::uint32_t, std::vector<std::string>> ranges;  ///< by thread, nested
  };

  void enter(int process, std::uint32_t thread, const NcclStartRecord& start, SpoolReader& spool);
  void look(const std::string& communicator, Line& line, std::int64_t now_ns, std::vector<std::string>& said) const;
  std::string range_of(int process) const;

  const std::int64_t patience_ns_;
  std::map<std::uint64_t, Communicator> communicators_;
  std::map<int, Process> processes_;
};

}  // namespace shardscope::capture
