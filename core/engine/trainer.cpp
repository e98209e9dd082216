#include "core/engine/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "core/engine/arena.h"
#include "core/engine/data/open_sequences.h"
#include "core/engine/executor.h"
#include "core/engine/hub.h"
#include "core/engine/initialize.h"
#include "core/engine/loss_scaler.h"
#include "core/engine/lr_schedule.h"
#include "core/engine/nvme/open_swap_file.h"
#include "core/engine/rank_watch.h"
#include "core/engine/region_io.h"
#include "core/engine/run_ranks.h"
#include "core/engine/thread_communicator.h"
#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

double scalar_at(const Memory& memory, const Region& region) {
  if (region.empty()) return std::numeric_limits<double>::quiet_NaN();
  float value = 0;
  read_region(memory, region, &value);
  return static_cast<double>(value);
}

bool flag_at(const Memory& memory, const Region& region) {
  std::int32_t value = 0;
  if (!region.empty()) read_region(memory, region, &value);
  return value != 0;
}

/// "an infinity or NaN in h.3.d_act.mb0, written by op 512 (matmul transformer.h.3.mlp.c_fc, backward, micro-batch 0)"
std::string describe(const Program& program, const Executor::Overflow& overflow) {
  const Instruction& in = program.instruction(overflow.op);
  return fmt::format("an infinity or NaN in {}, written by op {} ({} {}, {}, micro-batch {})",
                     program.buffer(overflow.buffer).name, overflow.op.index, op_name(in.op),
                     program.name(in.label.name), to_string(in.label.phase), in.label.micro_batch);
}

/// One run, as far as it lives in this process: all ranks of a ThreadHub, one of a ProcessHub. The ranks meet before
/// and after every step, so that the first of them can time the slowest and all agree whether there is a next one.
class Run {
 public:
  Run(const Job& job, const BackendFactory& make_backend, const TrainOptions& options, Hub& hub)
      : job_(job),
        make_backend_(make_backend),
        options_(options),
        hub_(hub),
        local_ranks_(hub.local_ranks()),
        lead_(local_ranks_.front()) {
    SS_CHECK(hub.world() == job.parallel.ranks(), hub.world(), job.parallel.ranks());
    prepare_programs();
    if (options.data == nullptr) own_data_ = open_sequences(job);
    result_.tokens_per_step = program(lead_).tokens_per_step;
  }

  TrainResult run() {
    RankWatch watch(hub_, options_.on_stuck);
    run_ranks(hub_, [&](int rank) { run_rank(rank, watch); });
    return std::move(result_);
  }

 private:
  const Program& program(int rank) const {
    return options_.programs == nullptr ? own_programs_.at(rank) : (*options_.programs)[static_cast<std::size_t>(rank)];
  }
  const SequenceSource& data() const { return options_.data == nullptr ? *own_data_ : *options_.data; }

  void prepare_programs() {
    if (options_.programs != nullptr) {
      SS_CHECK(static_cast<int>(options_.programs->size()) == hub_.world(), options_.programs->size(), hub_.world());
      return;
    }
    for (int rank : local_ranks_) own_programs_.emplace(rank, lower(job_, rank));
  }

  void run_rank(int rank, RankWatch& watch) {
    const Program& program = this->program(rank);
    const std::unique_ptr<Communicator> world = hub_.connect(world_group(hub_.world(), rank), Lane::kHost, rank);
    const std::unique_ptr<Backend> backend = make_backend_(rank, threads_per_rank(options_.threads_per_rank, hub_));
    const std::unique_ptr<NvmeFile> nvme = open_swap_file(job_, program);
    Arena arena(program, *backend, {.device_limit_bytes = job_.device_memory_bytes, .nvme = nvme.get()});
    if (nvme != nullptr) register_pinned(*nvme, arena.memory());
    if (options_.poison_memory) arena.poison();
    if (options_.fill_state) {
      options_.fill_state(rank, program, arena.memory());
    } else {
      initialize_state(program, arena.memory(), job_.seed);
    }
    BatchSource batches(data(), program.replicas, program.replica, job_.training.micro_batch,
                        job_.training.accumulation, options_.start);
    RankTrace* const trace = options_.trace == nullptr ? nullptr : options_.trace->open_rank(rank, program);
    const std::int64_t start_ns = agree_on_start(*world);
    Executor executor(program, *backend, arena,
                      {.connect = [&](const Group& group,
                                      Lane lane) { return backend->on_device(hub_.connect(group, lane, rank), lane); },
                       .batches = &batches,
                       .trace = trace,
                       .trace_start_ns = start_ns,
                       .on_failure = [&](const Error& error) { hub_.abort(rank, error); }});
    try {
      const RankWatch::Look look(watch, rank, executor);
      run_steps(rank, executor, arena, *world, trace, start_ns);
    } catch (const std::exception& error) {
      if (dynamic_cast<const PeerStopped*>(&error) == nullptr) hub_.abort(rank, as_error(error));
      wait_for_lanes(*backend);
      throw;
    }
    if (options_.at_end) options_.at_end(rank, program, arena.memory());
    const RankResult measured{
        .rank = rank, .peak = arena.peak(), .rss_bytes = resident_bytes(), .launches = executor.launches()};
    if (trace != nullptr) trace->finish(measured.peak, measured.rss_bytes);
    share_result(*world, measured);
  }

  /// Nobody's memory goes before everybody has counted what is resident: the gather waits for all.
  void share_result(Communicator& world, const RankResult& measured) {
    static_assert(std::is_trivially_copyable_v<RankResult>);
    std::vector<RankResult> all(static_cast<std::size_t>(hub_.world()));
    world.all_gather(&measured, all.data(), sizeof(RankResult), DType::kI8);
    if (measured.rank == lead_) result_.ranks = std::move(all);
  }

  /// What the drive will read and write straight from: all swap buffers are in pinned memory.
  static void register_pinned(NvmeFile& nvme, const Memory& memory) {
    constexpr auto kPinned = static_cast<std::size_t>(Space::kPinned);
    nvme.register_memory(memory.bases[kPinned], memory.program->arena_bytes[kPinned]);
  }

  /// When the run begins, by this process's clock: rank 0's now, for all.
  std::int64_t agree_on_start(Communicator& world) const {
    std::int64_t now_ns = steady_now_ns() - hub_.clock_ahead_ns();
    world.broadcast(&now_ns, sizeof now_ns, DType::kI8, 0);
    return now_ns + hub_.clock_ahead_ns();
  }

  /// Whether anybody was told to stop. All ranks get the same answer, and meet.
  bool stop_wanted(Communicator& world) const {
    std::int32_t wanted = options_.stop != nullptr && options_.stop->load() ? 1 : 0;
    world.all_reduce(&wanted, 1, DType::kI32, ReduceOp::kMax);
    return wanted != 0;
  }

  void run_steps(int rank, Executor& executor, const Arena& arena, Communicator& world, RankTrace* trace,
                 std::int64_t start_ns) {
    const Program& program = this->program(rank);
    RunPosition position = options_.start;
    LossScaler scaler(job_.training.precision);
    scaler.restore(position.scalars);
    while (position.steps < job_.steps) {
      const std::int64_t step = position.steps;
      if (stop_wanted(world)) {
        if (rank == lead_) result_.interrupted = true;
        return;
      }
      const double rate = learning_rate(job_.training.schedule, job_.training.optimizer.lr, position.applied);
      const std::int64_t start = steady_now_ns();
      const StepScalars scalars{
          .applied_steps = position.applied + 1, .learning_rate = rate, .loss_scale = scaler.scale()};
      executor.run_step(step, scalars);
      const bool overflowed = flag_at(arena.memory(), program.overflow);
      if (!scaler.update(overflowed)) stop_at_least_scale(executor, program, world, step, scalars);
      StepReport report{.step = step,
                        .loss = scalar_at(arena.memory(), program.loss),
                        .grad_norm = scalar_at(arena.memory(), program.grad_norm),
                        .learning_rate = rate,
                        .loss_scale = scalars.loss_scale,
                        .is_applied = !overflowed,
                        .device_peak_bytes = arena.peak().peak_bytes[static_cast<std::size_t>(Space::kDevice)]};
      if (trace != nullptr) write_step(*trace, report, start, start_ns);
      hub_.barrier();
      if (rank == lead_) finish_step(report, start);
      ++position.steps;
      if (!overflowed) ++position.applied;
      scaler.save(position.scalars);
      position.sequences += job_.training.train_batch_size;
      if (options_.at_boundary) options_.at_boundary(rank, arena.memory(), position);
    }
  }

  /// All ranks come here together. The one whose op comes first says where the overflow began.
  [[noreturn]] void stop_at_least_scale(Executor& executor, const Program& program, Communicator& world,
                                        std::int64_t step, const StepScalars& scalars) const {
    const auto found = executor.find_overflow(step, scalars);
    const std::int32_t mine = found ? found->op.index : std::numeric_limits<std::int32_t>::max();
    std::vector<std::int32_t> all(static_cast<std::size_t>(hub_.world()));
    world.all_gather(&mine, all.data(), 1, DType::kI32);
    const auto first = std::min_element(all.begin(), all.end()) - all.begin();
    while (first != program.rank) world.all_gather(&mine, all.data(), 1, DType::kI32);  // until that rank stops us
    throw Error(ErrorKind::kDevice,
                fmt::format("step {}: the gradients overflow although the loss scale is at its minimum of {}; first "
                            "{}. A lower learning rate, gradient_clipping or bf16 would help",
                            step, scalars.loss_scale, found ? describe(program, *found) : "where was not found"));
  }

  static void write_step(RankTrace& trace, const StepReport& report, std::int64_t start, std::int64_t start_ns) {
    trace.step({.step = static_cast<std::int32_t>(report.step),
                .start_ns = start - start_ns,
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
    if (!report.is_applied) ++result_.skipped_steps;
    result_.step_times_s.push_back(report.step_time_s);
    if (options_.on_step) options_.on_step(report);
  }

  const Job& job_;
  const BackendFactory& make_backend_;
  const TrainOptions& options_;
  Hub& hub_;
  const std::vector<int> local_ranks_;
  const int lead_;  // the local rank that writes the result
  std::map<int, Program> own_programs_;
  std::unique_ptr<SequenceSource> own_data_;
  TrainResult result_;  // the lead's, between two meetings
};

}  // namespace

double median_step_time(const std::vector<double>& times_s) {
  if (times_s.empty()) return 0;
  std::vector<double> times(times_s.begin() + (times_s.size() >= 3 ? 1 : 0), times_s.end());
  std::sort(times.begin(), times.end());
  const std::size_t middle = times.size() / 2;
  return times.size() % 2 == 1 ? times[middle] : (times[middle - 1] + times[middle]) / 2;
}

TrainResult train(const Job& job, const BackendFactory& make_backend, const TrainOptions& options) {
  if (job.steps < 1) throw Error(ErrorKind::kConfig, fmt::format("steps: {}; it must be at least 1", job.steps));
  if (options.hub != nullptr) return Run(job, make_backend, options, *options.hub).run();
  if (job.launcher == "mpi") {
    throw Error(ErrorKind::kConfig,
                "launcher is \"mpi\", but this process was started alone; start one per rank (docs/launch.md), or say "
                "\"threads\"");
  }
  ThreadHub threads(job.parallel.ranks(), job.hang_timeout_s);
  return Run(job, make_backend, options, threads).run();
}

}  // namespace shardscope
