#pragma once
// What both interpreters write while a program runs, measured or predicted: the same rows under the same op ids, so
// that one can be laid over the other. profiler/store keeps them; a null sink costs nothing.

#include <cstdint>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// What a run is, written once before its first row.
struct RunInfo {
  std::string name;  ///< "zero-2", shown in tables
  bool predicted = false;
  std::string framework;  ///< "shardscope"
  std::string model;      ///< name of the model
  int world = 1, zero_stage = 0;
  std::string job_json;  ///< the whole job: simulator/like/measured_run.h reads what `train` writes
  std::int64_t parameters = 0, tokens_per_step = 0;
  double flops_per_token = 0;
  double peak_flops_per_rank = 0;        ///< FLOP/s that MFU is measured against; 0: unknown
  std::int64_t device_memory_limit = 0;  ///< bytes; 0: none
};

/// An op that ran, or that the simulator says would have. Times are ns since the start of the run.
struct SliceEvent {
  OpId op;
  std::int32_t step = 0;
  Lane lane = Lane::kCompute;
  std::int64_t start_ns = 0, duration_ns = 0;
  std::int64_t wait_ns = 0;      ///< collectives: part of the duration spent waiting for the last rank to arrive
  std::int64_t correlation = 0;  ///< of a rank's slices: equal for a launch and what it launched; 0: none
};

/// Live bytes of one category in one space after an Alloc or Free.
struct MemoryEvent {
  OpId op;
  std::int32_t step = 0;
  std::int64_t time_ns = 0;
  Space space = Space::kDevice;
  Category category = Category::kWorkspace;
  std::int64_t live_bytes = 0;
};

struct StepEvent {
  std::int32_t step = 0;
  std::int64_t start_ns = 0, duration_ns = 0;
  double loss = 0, grad_norm = 0, learning_rate = 0;  ///< NaN where not known (predicted runs)
};

/// Rows of one rank. slice() is called from each lane's thread (one thread per lane), the others from the rank's
/// thread.
class RankTrace {
 public:
  virtual ~RankTrace() = default;
  virtual void slice(const SliceEvent& event) = 0;
  virtual void memory(const MemoryEvent& event) = 0;
  virtual void step(const StepEvent& event) = 0;
  /// At the end: measured (or predicted) peaks, and the process's resident memory (0 if unknown).
  virtual void finish(const MemoryPeak& peak, std::int64_t rss_bytes) = 0;
};

/// Gives out one RankTrace per rank of a run.
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  /// `program` is the rank's program: its ops become rows that slices refer to. Thread-safe. Null: nothing is recorded.
  virtual RankTrace* open_rank(int rank, const Program& program) = 0;
};

}  // namespace shardscope
