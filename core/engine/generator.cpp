#include "core/engine/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/check.h"
#include "core/engine/executor.h"
#include "core/engine/initialize.h"
#include "core/engine/region_io.h"
#include "core/engine/run_ranks.h"
#include "core/engine/thread_communicator.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::uint64_t kWeightSeed = 42;  // the default of a job

/// One generation, as far as it lives in this process.
class Generation {
 public:
  Generation(const InferenceSpec& spec, std::span<const Tokens> prompts, const BackendFactory& make_backend,
             const GenerateOptions& options, Hub& hub)
      : spec_(spec),
        prompts_(prompts),
        make_backend_(make_backend),
        options_(options),
        hub_(hub),
        lead_(hub.local_ranks().front()) {
    SS_CHECK(hub.world() == spec.tp, hub.world(), spec.tp);
    if (options.programs != nullptr) return;
    for (int rank : hub.local_ranks()) own_programs_.emplace(rank, lower_inference(spec, rank));
  }

  GenerateResult run() {
    start_ns_ = steady_now_ns();
    run_ranks(hub_, [this](int rank) { run_rank(rank); });
    return std::move(result_);
  }

 private:
  /// What a rank's two programs share.
  struct Rank {
    int number;
    Backend& backend;
    Arena& arena;
    Communicator& world;
    SequenceBatch& sequences;
  };

  const InferencePrograms& programs(int rank) const {
    return options_.programs == nullptr ? own_programs_.at(rank) : (*options_.programs)[static_cast<std::size_t>(rank)];
  }

  void run_rank(int number) {
    const InferencePrograms& programs = this->programs(number);
    const auto world = hub_.connect(world_group(hub_.world(), number), Lane::kHost, number);
    const auto backend = make_backend_(number, threads_per_rank(options_.threads_per_rank, hub_));
    Arena arena(programs.prefill, *backend, {.device_limit_bytes = options_.device_memory_bytes});
    if (options_.poison_memory) arena.poison();
    if (options_.fill_state) {
      options_.fill_state(number, programs.prefill, arena.memory());
    } else {
      initialize_state(programs.prefill, arena.memory(), kWeightSeed);
    }
    SequenceBatch sequences(prompts_, {spec_.new_tokens, options_.end_token});
    const Rank rank{number, *backend, arena, *world, sequences};
    run_phase(rank, programs.prefill, options_.prefill_trace, 1);
    arena.serve(programs.decode);
    run_phase(rank, programs.decode, options_.decode_trace, std::numeric_limits<std::int64_t>::max());
    if (number == lead_) result_.continuations = sequences.continuations();
  }

  /// Runs a program up to `most_steps` times, while there are tokens to add.
  void run_phase(const Rank& rank, const Program& program, TraceSink* sink, std::int64_t most_steps) {
    RankTrace* const trace = sink == nullptr ? nullptr : sink->open_rank(rank.number, program);
    Executor executor(
        program, rank.backend, rank.arena,
        {.connect = [&](const Group& g,
                        Lane lane) { return rank.backend.on_device(hub_.connect(g, lane, rank.number), lane); },
         .tokens = &rank.sequences,
         .trace = trace,
         .trace_start_ns = start_ns_,
         .on_failure = [&](const Error& error) { hub_.abort(rank.number, error); }});
    try {
      for (std::int64_t step = 0; step < most_steps && goes_on(rank); ++step)
        run_step(rank, program, executor, trace, step);
    } catch (const std::exception& error) {
      if (dynamic_cast<const PeerStopped*>(&error) == nullptr) hub_.abort(rank.number, as_error(error));
      wait_for_lanes(rank.backend);
      throw;
    }
    const RankResult measured{
        .rank = rank.number, .peak = rank.arena.peak(), .rss_bytes = resident_bytes(), .launches = executor.launches()};
    if (trace != nullptr) trace->finish(measured.peak, measured.rss_bytes);
    share_result(rank, measured, most_steps == 1 ? result_.prefill : result_.decode);
  }

  /// All ranks have the same tokens, so they agree without asking; but not on whether somebody was told to stop.
  bool goes_on(const Rank& rank) {
    if (rank.sequences.finished()) return false;
    std::int32_t stop = options_.stop != nullptr && options_.stop->load() ? 1 : 0;
    rank.world.all_reduce(&stop, 1, DType::kI32, ReduceOp::kMax);
    if (stop != 0 && rank.number == lead_) result_.interrupted = true;
    return stop == 0;
  }

  void run_step(const Rank& rank, const Program& program, Executor& executor, RankTrace* trace, std::int64_t step) {
    const std::int64_t start = steady_now_ns();
    executor.run_step(step, {.seed = options_.seed});
    const Memory& memory = rank.arena.memory();
    const auto batch = static_cast<std::size_t>(spec_.batch);
    std::vector<std::int32_t> tokens(batch);
    std::vector<float> logprobs(batch);
    read_region(memory, program.next_tokens, tokens.data());
    read_region(memory, program.logprobs, logprobs.data());
    rank.sequences.append(tokens, logprobs);
    const std::int64_t duration = steady_now_ns() - start;
    if (trace != nullptr) {
      constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
      trace->step({static_cast<std::int32_t>(step), start - start_ns_, duration, kNone, kNone, kNone});
    }
    if (rank.number != lead_) return;
    const double seconds = static_cast<double>(duration) * 1e-9;
    if (&program == &programs(lead_).prefill) {
      result_.prefill_time_s = seconds;
    } else {
      result_.decode_times_s.push_back(seconds);
    }
    if (options_.on_step) options_.on_step(rank.sequences);
  }

  /// Nobody goes on before everybody has counted.
  void share_result(const Rank& rank, const RankResult& measured, std::vector<RankResult>& results) {
    std::vector<RankResult> all(static_cast<std::size_t>(hub_.world()));
    rank.world.all_gather(&measured, all.data(), sizeof(RankResult), DType::kI8);
    if (rank.number == lead_) results = std::move(all);
  }

  const InferenceSpec& spec_;
  const std::span<const Tokens> prompts_;
  const BackendFactory& make_backend_;
  const GenerateOptions& options_;
  Hub& hub_;
  const int lead_;  // the local rank that writes the result
  std::map<int, InferencePrograms> own_programs_;
  std::int64_t start_ns_ = 0;
  GenerateResult result_;
};

}  // namespace

void check_prompts(const InferenceSpec& spec, std::span<const Tokens> prompts) {
  SS_CHECK(static_cast<std::int64_t>(prompts.size()) == spec.batch, prompts.size(), spec.batch);
  for (const Tokens& prompt : prompts) {
    SS_CHECK(static_cast<std::int64_t>(prompt.size()) <= spec.prompt, prompt.size(), spec.prompt);
    for (const std::int32_t token : prompt) {
      if (token >= 0 && token < spec.model.vocab_size) continue;
      throw Error(ErrorKind::kConfig, fmt::format("prompt: token {} is outside the vocabulary of model {}, {} tokens",
                                                  token, spec.model.name, spec.model.vocab_size));
    }
  }
}

GenerateResult generate(const InferenceSpec& spec, std::span<const Tokens> prompts, const BackendFactory& make_backend,
                        const GenerateOptions& options) {
  check_inference(spec);
  check_prompts(spec, prompts);
  if (options.hub != nullptr) return Generation(spec, prompts, make_backend, options, *options.hub).run();
  ThreadHub threads(spec.tp);
  return Generation(spec, prompts, make_backend, options, threads).run();
}

}  // namespace shardscope
