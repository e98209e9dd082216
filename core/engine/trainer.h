#pragma once
// train(): runs a job for real. Lowers it once per rank, gives each rank of this process a thread, a backend and its
// memory, and runs the steps. The caller says which backend (kernels are above core) and what to do with what comes
// out.
//
//   TrainResult result = train(job, [](int, int threads) { return make_cpu_backend(threads); }, {.trace = &profile});

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/engine/backend.h"
#include "core/engine/hub.h"
#include "core/engine/run_position.h"
#include "core/engine/sequence_source.h"
#include "core/program/program.h"
#include "core/spec/job.h"
#include "core/trace.h"

namespace shardscope {

/// Makes the backend of one rank, on that rank's thread; `threads` is its share of the cores (at least 1).
using BackendFactory = std::function<std::unique_ptr<Backend>(int rank, int threads)>;

/// One finished step. Loss, norm and rate are of the step itself; the loss is from before its update.
struct StepReport {
  std::int64_t step = 0;  ///< from 0
  double loss = 0;
  double grad_norm = 0;  ///< before clipping; NaN where the program does not compute it
  double learning_rate = 0;
  double loss_scale = 1;   ///< that the step ran with (fp16)
  bool is_applied = true;  ///< false: a gradient overflowed, and nothing was updated
  double step_time_s = 0, tokens_per_s = 0;
  std::int64_t device_peak_bytes = 0;  ///< first local rank's peak of the device space so far
};

struct RankResult {
  int rank = 0;
  MemoryPeak peak;             ///< measured by the arena
  std::int64_t rss_bytes = 0;  ///< resident memory of its whole process at the end: ranks that are threads share it
  LaunchCounts launches;       ///< of a step
};

/// Middle step time, the first step (cold caches) left out when there are at least three. 0 if there was none.
double median_step_time(const std::vector<double>& times_s);

struct TrainResult {
  std::vector<double> losses, grad_norms, learning_rates, step_times_s;  ///< one per finished step
  std::vector<RankResult> ranks;
  std::int64_t tokens_per_step = 0;
  std::int64_t skipped_steps = 0;  ///< not applied, because a gradient overflowed
  bool interrupted = false;        ///< stopped by TrainOptions::stop before the last step

  double median_step_time_s() const { return median_step_time(step_times_s); }
};

struct TrainOptions {
  Hub* hub = nullptr;          ///< null: all ranks are threads of this process; its world must be the job's ranks
  TraceSink* trace = nullptr;  ///< null: nothing is recorded, at no cost
  std::function<void(const StepReport&)> on_step;  ///< on the first local rank's thread, after each step
  const std::atomic<bool>* stop = nullptr;         ///< set, in any process, to finish the step under way and return
  const SequenceSource* data = nullptr;            ///< null: opened from job.data
  const std::vector<Program>* programs = nullptr;  ///< already lowered, of every rank; null: lower(job, rank)
  bool poison_memory = false;                      ///< NaN-fill all memory at the start; for tests
  int threads_per_rank = 0;                        ///< 0: cores / ranks, at least 1
  /// Called, on a thread of its own, if the run has failed and does not end, because an op never returns; may end the
  /// process. Null: train() waits for it.
  std::function<void(const RankFailure&)> on_stuck;
  RunPosition start;  ///< where the run goes on; job.steps counts from the very first step
  /// On each rank's thread: the state to start from. Null: initialize_state().
  std::function<void(int rank, const Program&, const Memory&)> fill_state;
  /// On each rank's thread after every step, all its lanes idle: checkpoints.
  std::function<void(int rank, const Memory&, const RunPosition&)> at_boundary;
  /// On each rank's thread after the last step, before its memory goes: checkpoints, tests of final weights.
  std::function<void(int rank, const Program&, const Memory&)> at_end;
};

/// Throws Error: what lower() refuses; kConfig for data that does not fit; what a rank met while running (every other
/// rank is stopped, and the first real cause is thrown with its rank in the text; PeerStopped in processes that do not
/// speak()).
TrainResult train(const Job& job, const BackendFactory& make_backend, const TrainOptions& options = {});

}  // namespace shardscope
