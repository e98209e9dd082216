#include "core/engine/trainer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <limits>
#include <mutex>
#include <thread>

#include "core/check.h"
#include "core/engine/arena.h"
#include "core/engine/data/open_sequences.h"
#include "core/engine/executor.h"
#include "core/engine/initialize.h"
#include "core/engine/lr_schedule.h"
#include "core/engine/nvme/open_swap_file.h"
#include "core/engine/thread_communicator.h"
#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

/// Bytes of this process in RAM now; 0 if the system does not say.
std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t pages = 0, resident = 0;
  return statm >> pages >> resident ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

double scalar_at(const Memory& memory, const Region& region) {
  return region.empty() ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(*memory.as<float>(region));
}

/// One run: what its ranks share. The ranks meet before and after every step, so that rank 0 can time the slowest and
/// decide alone whether there is a next one.
class Run {
 public:
  Run(const Job& job, const BackendFactory& make_backend, const TrainOptions& options)
      : job_(job), make_backend_(make_backend), options_(options), ranks_(job.parallel.ranks()), hub_(ranks_) {
    prepare_programs();
    if (options.data == nullptr) own_data_ = open_sequences(job);
    failures_.resize(static_cast<std::size_t>(ranks_));
    result_.ranks.resize(static_cast<std::size_t>(ranks_));
    result_.tokens_per_step = programs().front().tokens_per_step;
  }

  TrainResult run() {
    start_ns_ = steady_now_ns();
    std::vector<std::thread> threads;
    threads.reserve(static_cast<std::size_t>(ranks_));
    for (int rank = 0; rank < ranks_; ++rank) threads.emplace_back([this, rank] { rank_main(rank); });
    for (std::thread& thread : threads) thread.join();
    rethrow_first_cause();
    return std::move(result_);
  }

 private:
  const std::vector<Program>& programs() const {
    return options_.programs == nullptr ? own_programs_ : *options_.programs;
  }
  const SequenceSource& data() const { return options_.data == nullptr ? *own_data_ : *options_.data; }

  void prepare_programs() {
    if (options_.programs == nullptr) {
      for (int rank = 0; rank < ranks_; ++rank) own_programs_.push_back(lower(job_, rank));
    }
    SS_CHECK(static_cast<int>(programs().size()) == ranks_, programs().size(), ranks_);
  }

  int threads_per_rank() const {
    if (options_.threads_per_rank > 0) return options_.threads_per_rank;
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ranks_);
  }

  void rank_main(int rank) {
    try {
      run_rank(rank);
    } catch (const PeerStopped&) {  // not the cause
    } catch (const std::exception& error) {
      stop_all(rank, std::current_exception(), error);
    }
  }

  /// On any thread of the rank. Its first failure is kept; what follows from that (its own lanes are stopped too) is
  /// not.
  void stop_all(int rank, const std::exception_ptr& cause, const std::exception& error) {
    {
      const std::lock_guard lock(failures_mutex_);
      std::exception_ptr& first = failures_[static_cast<std::size_t>(rank)];
      if (first == nullptr) first = cause;
    }
    hub_.abort(rank, error.what());
  }

  void run_rank(int rank) {
    const Program& program = programs()[static_cast<std::size_t>(rank)];
    const std::unique_ptr<Backend> backend = make_backend_(rank, threads_per_rank());
    const std::unique_ptr<NvmeFile> nvme = open_swap_file(job_, program);
    Arena arena(program, *backend, {.device_limit_bytes = job_.device_memory_bytes, .nvme = nvme.get()});
    if (nvme != nullptr) register_pinned(*nvme, arena.memory());
    if (options_.poison_memory) arena.poison();
    initialize_state(program, arena.memory(), job_.seed);
    BatchSource batches(data(), program.replicas, program.replica, job_.training.micro_batch,
                        job_.training.accumulation);
    RankTrace* const trace = options_.trace == nullptr ? nullptr : options_.trace->open_rank(rank, program);
    Executor executor(
        program, *backend, arena,
        {.connect = [&](const Group& group, Lane lane) { return hub_.connect(group, lane, rank); },
         .batches = &batches,
         .trace = trace,
         .trace_start_ns = start_ns_,
         .on_failure = [&](const Error& error) { stop_all(rank, std::make_exception_ptr(error), error); }});
    try {
      run_steps(rank, executor, arena, trace);
    } catch (const std::exception& error) {
      if (dynamic_cast<const PeerStopped*>(&error) == nullptr) stop_all(rank, std::current_exception(), error);
      wait_for_lanes(*backend);  // they still use what is about to go
      throw;
    }
    if (options_.at_end) options_.at_end(rank, program, arena.memory());
    const RankResult measured{.rank = rank, .peak = arena.peak(), .rss_bytes = resident_bytes()};
    if (trace != nullptr) trace->finish(measured.peak, measured.rss_bytes);
    result_.ranks[static_cast<std::size_t>(rank)] = measured;
    hub_.barrier();  // nobody's memory goes before everybody has counted what is resident
  }

  /// What the drive will read and write straight from: all swap buffers are in pinned memory.
  static void register_pinned(NvmeFile& nvme, const Memory& memory) {
    constexpr auto kPinned = static_cast<std::size_t>(Space::kPinned);
    nvme.register_memory(memory.bases[kPinned], memory.program->arena_bytes[kPinned]);
  }

  static void wait_for_lanes(Backend& backend) {
    try {
      backend.synchronize();
    } catch (const std::exception&) {  // the first failure is on its way already
    }
  }

  void run_steps(int rank, Executor& executor, const Arena& arena, RankTrace* trace) {
    for (std::int64_t step = 0; step < job_.steps; ++step) {
      if (rank == 0) result_.interrupted = options_.stop != nullptr && options_.stop->load();
      hub_.barrier();
      if (result_.interrupted) return;
      const double rate = learning_rate(job_.training.schedule, job_.training.optimizer.lr, step);
      const std::int64_t start = steady_now_ns();
      executor.run_step(step, {.applied_steps = step + 1, .learning_rate = rate});
      const Program& program = programs()[static_cast<std::size_t>(rank)];
      StepReport report{.step = step,
                        .loss = scalar_at(arena.memory(), program.loss),
                        .grad_norm = scalar_at(arena.memory(), program.grad_norm),
                        .learning_rate = rate,
                        .device_peak_bytes = arena.peak().peak_bytes[static_cast<std::size_t>(Space::kDevice)]};
      if (trace != nullptr) write_step(*trace, report, start);
      hub_.barrier();
      if (rank == 0) finish_step(report, start);
    }
  }

  void write_step(RankTrace& trace, const StepReport& report, std::int64_t start) const {
    trace.step({.step = static_cast<std::int32_t>(report.step),
                .start_ns = start - start_ns_,
                .duration_ns = steady_now_ns() - start,
                .loss = report.loss,
                .grad_norm = report.grad_norm,
                .learning_rate = report.learning_rate});
  }

  void finish_step(StepReport& report, std::int64_t start) {
    report.step_time_s = static_cast<double>(steady_now_ns() - start) * 1e-9;
    report.tokens_per_s = static_cast<double>(result_.tokens_per_step) / report.step_time_s;
    result_.losses.push_back(report.loss);
    result_.grad_norms.push_back(report.grad_norm);
    result_.learning_rates.push_back(report.learning_rate);
    result_.step_times_s.push_back(report.step_time_s);
    if (options_.on_step) options_.on_step(report);
  }

  void rethrow_first_cause() const {
    const std::optional<int> rank = hub_.failed_rank();
    if (!rank) return;
    const std::exception_ptr& cause = failures_[static_cast<std::size_t>(*rank)];
    SS_CHECK(cause != nullptr, *rank);
    try {
      std::rethrow_exception(cause);
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("rank {}: {}", *rank, error.what()));
    } catch (const std::exception& error) {
      throw Error(ErrorKind::kDevice, fmt::format("rank {}: {}", *rank, error.what()));
    }
  }

  const Job& job_;
  const BackendFactory& make_backend_;
  const TrainOptions& options_;
  const int ranks_;
  ThreadHub hub_;
  std::vector<Program> own_programs_;
  std::unique_ptr<SequenceSource> own_data_;
  std::int64_t start_ns_ = 0;
  std::mutex failures_mutex_;
  std::vector<std::exception_ptr> failures_;  // by rank
  TrainResult result_;                        // written by rank 0, or each rank its own entry, between two meetings
};

}  // namespace

double TrainResult::median_step_time_s() const {
  if (step_times_s.empty()) return 0;
  std::vector<double> times(step_times_s.begin() + (step_times_s.size() >= 3 ? 1 : 0), step_times_s.end());
  std::sort(times.begin(), times.end());
  const std::size_t middle = times.size() / 2;
  return times.size() % 2 == 1 ? times[middle] : (times[middle - 1] + times[middle]) / 2;
}

TrainResult train(const Job& job, const BackendFactory& make_backend, const TrainOptions& options) {
  if (job.launcher != "threads") {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("launcher: \"{}\" is not done yet; \"threads\" runs every rank as a thread", job.launcher));
  }
  if (job.steps < 1) throw Error(ErrorKind::kConfig, fmt::format("steps: {}; it must be at least 1", job.steps));
  return Run(job, make_backend, options).run();
}

}  // namespace shardscope
