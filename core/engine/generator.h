#pragma once
// generate(): continues prompts, for real. Gives each rank a thread, a backend and its memory, runs prefill once and
// decode for every further token.
//
//   GenerateResult result = generate(spec, prompts, [](int, int threads) { return make_cpu_backend(threads); });
//   result.continuations[0].tokens

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/engine/sequence_batch.h"
#include "core/engine/trainer.h"
#include "core/program/lower_inference.h"

namespace shardscope {

struct GenerateResult {
  std::vector<Continuation> continuations;  ///< by prompt
  double prefill_time_s = 0;
  std::vector<double> decode_times_s;       ///< one per step
  std::vector<RankResult> prefill, decode;  ///< by rank: measured peaks of each program
  bool interrupted = false;                 ///< stopped by GenerateOptions::stop

  double median_decode_time_s() const { return median_step_time(decode_times_s); }
};

struct GenerateOptions {
  Hub* hub = nullptr;                  ///< null: all ranks are threads of this process
  TraceSink* prefill_trace = nullptr;  ///< null: nothing is recorded. Two programs are two runs in a profile
  TraceSink* decode_trace = nullptr;
  std::uint64_t seed = 0;                   ///< of sampling
  std::optional<std::int32_t> end_token;    ///< a sequence that gets it is finished
  std::int64_t device_memory_bytes = 0;     ///< limit of a rank's device arena; 0: none
  int threads_per_rank = 0;                 ///< 0: cores / ranks, at least 1
  bool poison_memory = false;               ///< NaN-fill all memory at the start; for tests
  const std::atomic<bool>* stop = nullptr;  ///< set, in any process, to return after the step under way
  const std::vector<InferencePrograms>* programs = nullptr;  ///< already lowered, of every rank; null: lowered here
  /// On each rank's thread: fills weights. Null: initialize_state() with seed 42, as `train` begins.
  std::function<void(int rank, const Program&, const Memory&)> fill_state;
  /// On the first local rank's thread, after each step.
  std::function<void(const SequenceBatch&)> on_step;
};

/// Throws Error{kConfig} for a token outside the vocabulary.
void check_prompts(const InferenceSpec& spec, std::span<const Tokens> prompts);

/// `prompts`: spec.batch of them, none empty or longer than spec.prompt. Throws Error: what lower_inference() and
/// check_prompts() refuse; what a rank met while running (as train() does).
GenerateResult generate(const InferenceSpec& spec, std::span<const Tokens> prompts, const BackendFactory& make_backend,
                        const GenerateOptions& options = {});

}  // namespace shardscope
