#pragma once
// Counts, beside the recording of a run, what the processor does in each op: cycles, instructions and cache misses
// where the kernel lets us count them (perf_event_open), and in any case processor time and page faults.
//
//   OpCounters counters(writer);                              // hands all on to the ProfileWriter
//   train(job, backends, {.trace = &counters});
//   writer.finish();
//   counters.write("run.db", writer.run());                   // table op_counter
//
// Counted are the threads that run lanes, from the end of one op to that of the next, while they run: waiting counts
// nothing. What further threads of a rank do for an op is not in it; with one thread a rank, as train --threads 1 has,
// nothing is missing. A read of each counter costs some hundred ns an op.

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/trace.h"

namespace shardscope {

class OpCounters : public TraceSink {
 public:
  explicit OpCounters(TraceSink& sink);
  ~OpCounters() override;
  OpCounters(const OpCounters&) = delete;
  OpCounters& operator=(const OpCounters&) = delete;

  RankTrace* open_rank(int rank, const Program& program) override;

  /// No RankTrace may be in use. Throws Error{kIo} as open_for_writing().
  void write(const std::string& path, std::int64_t run) const;
  /// Which counters there are none of here, and why, in one line; empty if there are all.
  std::string missing() const;

  static constexpr std::array<const char*, 5> kNames = {"cycles", "instructions", "cache_misses", "cpu_ns",
                                                        "page_faults"};

 private:
  class Rank;
  TraceSink& sink_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

}  // namespace shardscope
