// shardscope train: runs a job on this machine's cores and sets the prediction of the same run beside it.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "cli/backends.h"
#include "cli/command.h"
#include "cli/job_options.h"
#include "cli/launches.h"
#include "cli/memory_json.h"
#include "cli/ranks.h"
#include "cli/train_checkpoints.h"
#include "cli/train_dumps.h"
#include "cli/train_progress.h"
#include "core/engine/arena.h"
#include "core/engine/data/open_sequences.h"
#include "core/engine/suggest_fit.h"
#include "core/engine/trainer.h"
#include "core/error.h"
#include "core/program/gpu_memory.h"
#include "core/program/lower.h"
#include "core/spec/hardware.h"
#include "profiler/store/merge.h"
#include "profiler/store/op_counters.h"
#include "profiler/store/profile_writer.h"
#include "simulator/calibrate/calibrate.h"
#include "simulator/like/measured_run.h"
#include "simulator/simulate.h"

namespace shardscope::cli {
namespace {

struct Options {
  JobOptions job;
  std::string dump_weights, dump_batches, name;
  int threads = 0;
  bool json = false, quiet = false, share_gpu = false, tf32 = false, graphs = true, counters = false;
};

// A signal handler can reach nothing else. The first Ctrl-C finishes the step; the second ends the process.
std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void request_stop(int signal) {
  stop_requested = true;
  if (signal == SIGINT) std::signal(SIGINT, SIG_DFL);  // mpirun may send SIGTERM twice, and kills soon anyway
}

/// While it lives, Ctrl-C and what mpirun and Slurm send before they kill finish the step under way.
class StopSignals {
 public:
  StopSignals() { set(request_stop); }
  ~StopSignals() { set(SIG_DFL); }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  static void set(void (*handler)(int)) {
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, handler);
  }
};

std::int64_t device_peak(const MemoryPeak& peak) { return peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]; }

/// Value at a share of the sorted list, between neighbours by straight line.
double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

/// Step times that count: the first one pays for cold caches and is left out of three or more.
std::vector<double> settled_times(const TrainResult& result) {
  const std::ptrdiff_t skip = result.step_times_s.size() >= 3 ? 1 : 0;
  return {result.step_times_s.begin() + skip, result.step_times_s.end()};
}

double tokens_per_second(const TrainResult& result) {
  const double time = result.median_step_time_s();
  return time > 0 ? static_cast<double>(result.tokens_per_step) / time : 0;
}

/// One run of the command: the job, its programs, its prediction, and what came out. If ranks are processes each runs
/// one of these; all but the first keep quiet.
class Train {
 public:
  Train(const Options& options, Job job, const Ranks& ranks) : options_(options), ranks_(ranks), job_(std::move(job)) {
    ranks.check_world(job_.parallel.ranks());
    const BackendChoice backend{
        .name = job_.backend, .share_gpu = options.share_gpu, .tf32 = options.tf32, .graphs = options.graphs};
    backends_ = backend_factory(backend);
    gpu_ = gpu_of(backend);
    find_cluster();
    if (options_.counters && job_.profile.empty())
      throw Error(ErrorKind::kConfig, "--counters: counts go into a profile; give --profile");
    if (job_.data.path.empty()) job_.data.path = default_text_path();
    for (int rank = 0; rank < job_.parallel.ranks(); ++rank) programs_.push_back(lower(job_, rank));
    data_ = open_sequences(job_);
    machine_ = job_.machine.empty() ? default_machine() : load_machine(job_.machine);
    checkpoints_ = std::make_unique<TrainCheckpoints>(job_, programs_, ranks);
    flops_per_token_ = training_flops_per_token(job_.model, job_.data.seq_len);
  }

  int run() {
    const bool first = ranks_.rank() == 0;
    if (first) write_dumps();
    if (first) prediction_ = predict(nullptr);
    measure();
    if (first && !job_.profile.empty()) finish_profile();
    if (first) print_outcome();
    return result_.interrupted || !problem_.empty() ? kRunFailed : kDone;
  }

 private:
  /// GPUs are predicted as the cluster given, or as the usual system of the one that is here; cores as the machine
  /// file. The run's record names what it was.
  void find_cluster() {
    const std::string given = std::exchange(job_.cluster, "");
    if (!gpu_) return;
    const std::string wanted = given.empty() ? fmt::format("{}:{}", gpu_->name, job_.parallel.ranks()) : given;
    try {
      cluster_ = load_cluster(default_catalog(), wanted);
      job_.cluster = wanted;
    } catch (const Error&) {
      if (!given.empty()) throw;  // else prediction_note() says so
    }
  }

  /// What the prediction rests on, where that is less than a calibrated machine.
  std::string prediction_note() const {
    if (cluster_) return fmt::format(" (as {})", cluster_->name);
    if (gpu_) return fmt::format(" (for this machine's cores: the catalog has no {}; give --cluster)", gpu_->name);
    return prediction_.calibrated ? "" : " (a guess: calibrate this machine and give --machine)";
  }

  double peak_flops() const {
    return cluster_ ? prediction_.peak_flops_per_rank : machine_.peak_per_rank(job_.parallel.ranks()).value;
  }

  void write_dumps() const {
    if (!options_.dump_weights.empty()) dump_weights(job_, options_.dump_weights);
    if (!options_.dump_batches.empty()) dump_batches(*data_, job_, options_.dump_batches);
  }

  Prediction predict(TraceSink* sink) const {
    const int steps = static_cast<int>(std::clamp<std::int64_t>(job_.steps, 1, 3));
    const SimulateOptions simulation{.sink = sink, .steps = steps, .flops_per_token = flops_per_token_};
    return cluster_ ? simulate(programs_, *cluster_, simulation) : simulate(programs_, machine_, simulation);
  }

  RunInfo run_info(bool predicted) const {
    const int stage = job_.training.zero.stage;
    return {.name = options_.name.empty() ? fmt::format("zero-{}", stage) : options_.name,
            .predicted = predicted,
            .framework = "shardscope",
            .model = job_.model.name,
            .world = job_.parallel.ranks(),
            .zero_stage = stage,
            .job_json = job_record(job_, {machine_cores(), threads_per_rank(), processor_name(), machine_text()}),
            .parameters = parameter_count(job_.model),
            .tokens_per_step = programs_.front().tokens_per_step,
            .flops_per_token = flops_per_token_,
            .peak_flops_per_rank = peak_flops(),
            .device_memory_limit = job_.device_memory_bytes};
  }

  /// Kept with the run where it was measured and not guessed.
  std::string machine_text() const { return machine_.calibrated ? to_json(machine_) : ""; }

  static int machine_cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

  /// As the trainer gives them out.
  int threads_per_rank() const {
    if (options_.threads > 0) return options_.threads;
    if (ranks_.hub() != nullptr) return ranks_.hub()->threads_per_rank();
    return std::max(1, machine_cores() / job_.parallel.ranks());
  }

  void measure() {
    const bool shows = ranks_.rank() == 0 && !options_.quiet;
    const std::unique_ptr<ProfileWriter> writer = open_profile();
    std::optional<OpCounters> counters;
    if (writer != nullptr && options_.counters) counters.emplace(*writer);
    if (counters && shows && !counters->missing().empty()) fmt::print("{}\n", counters->missing());
    if (shows) print_header();
    warn_of_mixed_gpus();
    TrainProgress progress(job_.steps);
    TrainOptions train_options{.hub = ranks_.hub(),
                               .trace = counters ? static_cast<TraceSink*>(&*counters) : writer.get(),
                               .stop = &stop_requested,
                               .data = data_.get(),
                               .programs = &programs_,
                               .threads_per_rank = options_.threads,
                               .on_stuck = [this](const RankFailure& failure) { end_stuck(failure); }};
    checkpoints_->attach(train_options);
    if (shows) train_options.on_step = [&](const StepReport& report) { progress.show(report); };
    const StopSignals signals;
    try {
      train_or_suggest(train_options);
    } catch (const Error& error) {
      ranks_.say(error);  // now: a launcher may kill us before all is put away
      throw;
    }
    progress.end();
    problem_ = checkpoints_->problem();
    if (writer != nullptr) {
      writer->finish(result_.interrupted ? RunStatus::kInterrupted : RunStatus::kFinished);
      if (problem_.empty()) problem_ = writer->problem();
      if (counters && problem_.empty()) write_counters(*counters, writer->run());
    }
    gather_problems();
  }

  /// They work together, so this is no reason to stop.
  void warn_of_mixed_gpus() const {
    if (!gpu_) return;
    const BackendChoice backend{.name = job_.backend};
    std::vector<std::string> gpus = ranks_.gather(gpu_text(backend, ranks_.rank()));
    for (int rank = 1; ranks_.hub() == nullptr && rank < job_.parallel.ranks(); ++rank)
      gpus.push_back(gpu_text(backend, rank));
    const std::string mixed = describe_mixed_gpus(gpus);
    if (ranks_.rank() == 0 && !mixed.empty()) fmt::print(stderr, "shardscope: {}\n", mixed);
  }

  /// Without them the profile is whole.
  void write_counters(const OpCounters& counters, std::int64_t run) {
    try {
      counters.write(writer_path(), run);
    } catch (const Error& error) {
      problem_ = error.what();
    }
  }

  std::string writer_path() const { return ranks_.rank() == 0 ? job_.profile : part_path(job_.profile, ranks_.rank()); }

  /// Each process writes a file of its own; they become one when all are done. The first makes room for the others.
  std::unique_ptr<ProfileWriter> open_profile() const {
    if (job_.profile.empty()) return nullptr;
    const int rank = ranks_.rank();
    const std::string path = writer_path();
    if (rank != 0) ranks_.meet();
    auto writer = std::make_unique<ProfileWriter>(path, run_info(false), WriterOptions{.run_key = ranks_.run_key()});
    if (rank == 0) ranks_.meet();
    return writer;
  }

  /// The first problem of any rank. All are done with their files then.
  void gather_problems() {
    const std::vector<std::string> problems = ranks_.gather(problem_);
    for (std::size_t rank = 0; rank < problems.size() && problem_.empty(); ++rank) {
      if (!problems[rank].empty()) problem_ = fmt::format("rank {}: {}", rank, problems[rank]);
    }
  }

  /// On another thread, with ours in an op that does not return.
  void end_stuck(const RankFailure& failure) const {
    ranks_.say(Error(failure.cause.kind(), fmt::format("rank {}: {}", failure.rank, failure.cause.what())));
    std::fflush(nullptr);
    ::_exit(kRunFailed);
  }

  void finish_profile() {
    if (ranks_.hub() != nullptr) merge_parts(job_.profile);
    predict_into_profile();
  }

  /// A job that needs more device memory than its limit fails at the op that asks for it; the message says what to
  /// change.
  void train_or_suggest(const TrainOptions& train_options) {
    try {
      result_ = train(job_, backends_, train_options);
    } catch (const Error& error) {
      const bool all_of_gpu = job_.device_memory_bytes == 0 && gpu_;
      const std::int64_t limit = all_of_gpu ? gpu_->memory_bytes - memory_beside() : job_.device_memory_bytes;
      if (error.kind() != ErrorKind::kDevice || (limit == 0 && !all_of_gpu) || largest_predicted() <= limit) throw;
      const std::string problem = error.what();
      const bool has_table = problem.find("at its fullest") != std::string::npos;
      throw Error(error.kind(), fmt::format("{}{}; {}", problem, has_table ? "" : fullest_text(),
                                            describe(suggest_fit(job_, limit, peak_device_bytes))));
    }
  }

  /// Where it is not the program's own memory that is not to be had.
  std::string fullest_text() const {
    const auto fullest =
        std::max_element(prediction_.ranks.begin(), prediction_.ranks.end(),
                         [](const auto& a, const auto& b) { return device_peak(a.peak) < device_peak(b.peak); });
    return fmt::format("; the program takes {}, at its fullest: {}", format_bytes(device_peak(fullest->peak)),
                       describe(fullest->peak.at_peak, Space::kDevice));
  }

  void predict_into_profile() {
    if (!problem_.empty()) return;  // the disk is full: one message is enough
    ProfileWriter writer(job_.profile, run_info(true));
    predict(&writer);
    writer.finish();
    problem_ = writer.problem();
  }

  void print_outcome() const {
    options_.json ? print_json() : print_summary();
    if (result_.interrupted) {
      fmt::print(stderr, "shardscope: interrupted after step {} of {}; what was done is kept\n",
                 checkpoints_->first_step() + static_cast<std::int64_t>(result_.losses.size()), job_.steps);
    }
    if (!problem_.empty()) fmt::print(stderr, "shardscope: {}\n", problem_);
  }

  void print_header() const {
    fmt::print(stderr, "{}: {:.1f} M parameters, ZeRO {} ({}) on {} rank{}, {} tokens a step\n", job_.model.name,
               static_cast<double>(parameter_count(job_.model)) * 1e-6, job_.training.zero.stage,
               to_string(job_.zero_mode), job_.parallel.ranks(), job_.parallel.ranks() == 1 ? "" : "s",
               programs_.front().tokens_per_step);
    fmt::print(stderr, "data {}: {}\n", job_.data.path, data_->describe());
    if (!checkpoints_->start_line().empty()) fmt::print(stderr, "{}\n", checkpoints_->start_line());
    fmt::print(stderr, "predicted: {:.3f} s a step{}, {} per rank{}\n", prediction_.step_time_s, prediction_note(),
               format_bytes(largest_predicted()),
               gpu_ ? fmt::format(", up to {} of the GPU beside it", format_bytes(memory_beside())) : "");
  }

  /// Of the fullest GPU; nothing where there are none.
  std::int64_t memory_beside() const {
    std::int64_t most = 0;
    for (const Program& program : programs_) most = std::max(most, gpu_ ? gpu_memory_beside(program) : 0);
    return most;
  }

  std::int64_t largest_predicted() const {
    std::int64_t largest = 0;
    for (const RankPrediction& rank : prediction_.ranks) largest = std::max(largest, device_peak(rank.peak));
    return largest;
  }

  /// Of the model's FLOP, forward and backward, against the ranks' peak.
  double mfu() const {
    const double peak = peak_flops() * job_.parallel.ranks();
    return peak > 0 ? tokens_per_second(result_) * flops_per_token_ / peak : 0;
  }

  void print_json() const {
    nlohmann::ordered_json out;
    const std::vector<double> times = settled_times(result_);
    out["losses"] = result_.losses;
    out["step_time_s"] = {
        {"median", quantile(times, 0.5)}, {"p10", quantile(times, 0.1)}, {"p90", quantile(times, 0.9)}};
    out["tokens_per_s"] = tokens_per_second(result_);
    out["mfu"] = mfu();
    nlohmann::json measured = nlohmann::json::array(), predicted = nlohmann::json::array();
    for (const RankResult& rank : result_.ranks) measured.push_back(rank_json(rank.rank, rank.peak, rank.rss_bytes));
    for (const RankPrediction& rank : prediction_.ranks) predicted.push_back(rank_json(rank.rank, rank.peak, 0));
    out["ranks"] = measured;
    out["predicted"] = {
        {"step_time_s", prediction_.step_time_s}, {"ranks", predicted}, {"beside_bytes", memory_beside()}};
    out["profile"] = job_.profile.empty() ? nlohmann::json(nullptr) : nlohmann::json(job_.profile);
    out["launches"] = launches_json(result_.ranks.front().launches);
    out["grad_norms"] = result_.grad_norms;
    out["skipped_steps"] = result_.skipped_steps;
    out["first_step"] = checkpoints_->first_step();
    const std::string checkpoint = checkpoints_->last_complete();
    out["checkpoint"] = checkpoint.empty() ? nlohmann::json(nullptr) : nlohmann::json(checkpoint);
    out["interrupted"] = result_.interrupted;
    fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

  void print_summary() const {
    if (result_.losses.empty()) return;
    const double time = result_.median_step_time_s();
    fmt::print("loss        {:.4f} -> {:.4f} in {} steps\n", result_.losses.front(), result_.losses.back(),
               result_.losses.size());
    if (result_.skipped_steps > 0) {
      fmt::print("skipped     {} steps, whose gradients overflowed\n", result_.skipped_steps);
    }
    fmt::print("step        {:.4f} s measured, {:.4f} s predicted{}\n", time, prediction_.step_time_s,
               prediction_note());
    const bool knows_peak = cluster_ || prediction_.calibrated;
    fmt::print("speed       {:.0f} tokens/s{}\n", tokens_per_second(result_),
               knows_peak ? fmt::format(", MFU {:.1f} %", 100 * mfu()) : "");
    for (const RankResult& rank : result_.ranks) {
      const std::int64_t predicted = device_peak(prediction_.ranks[static_cast<std::size_t>(rank.rank)].peak);
      fmt::print("rank {:<2}     {} bytes measured, {} predicted: {}\n", rank.rank, device_peak(rank.peak), predicted,
                 describe(rank.peak.at_peak, Space::kDevice));
    }
    fmt::print("{}", launches_text(result_.ranks.front().launches));
    print_resident();
    if (!checkpoints_->summary().empty()) fmt::print("checkpoint  {}\n", checkpoints_->summary());
    if (!job_.profile.empty()) fmt::print("profile     {}\n", job_.profile);
  }

  /// The process's own figure is another one: it counts whole pages, what ranks share, and what is no rank's.
  void print_resident() const {
    const bool processes = ranks_.hub() != nullptr;
    std::int64_t arenas = 0, resident = 0;
    for (const Program& program : programs_) {
      std::int64_t own = -program.arena_bytes[static_cast<std::size_t>(Space::kNvme)];
      for (const std::int64_t bytes : program.arena_bytes) own += bytes;
      arenas = processes ? std::max(arenas, own) : arenas + own;
    }
    for (const RankResult& rank : result_.ranks) resident = std::max(resident, rank.rss_bytes);
    fmt::print(
        "{}     {} resident; {} {}, the rest is code, libraries, the programs, lane stacks and kernels' scratch\n",
        processes ? "largest" : "process", format_bytes(resident),
        processes ? "a rank's arenas are" : "the ranks' arenas are", format_bytes(arenas));
  }

  const Options& options_;
  const Ranks& ranks_;
  Job job_;
  std::vector<Program> programs_;
  std::unique_ptr<SequenceSource> data_;
  BackendFactory backends_;
  std::unique_ptr<TrainCheckpoints> checkpoints_;
  Machine machine_;
  std::optional<ClusterSpec> cluster_;  // of GPUs; nothing: the machine's cores
  std::optional<CudaDevice> gpu_;
  double flops_per_token_ = 0;
  Prediction prediction_;
  TrainResult result_;
  std::string problem_;
};

/// An error of one process ends all of them, and one says so.
int run_train(const Options& options) {
  std::optional<Job> job;
  std::optional<Error> unreadable;
  try {
    job = load_job(options.job.file, options.job.overrides);
  } catch (const Error& error) {
    unreadable = error;
  }
  const Ranks ranks(job ? job->launcher : options.job.overrides.launcher.value_or("auto"),
                    job ? job->hang_timeout_s : 30);
  try {
    if (unreadable) throw Error(*unreadable);
    return Train(options, std::move(*job), ranks).run();
  } catch (const std::exception& error) {
    ranks.abort(as_error(error));
    ranks.say(as_error(error));
    return exit_code_of(ranks.cause_of(as_error(error)));
  }
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("train", "Train on CPU cores or GPUs: every rank a thread, or a process under mpirun.");
  add_job_options(*command, options->job);
  add_checkpoint_options(*command, options->job.overrides);
  command->add_option("--name", options->name, "Name of the run in the profile; zero-STAGE without it");
  command
      ->add_option("--backend", options->job.overrides.backend,
                   "cpu (default), or cuda: one GPU for each rank (docs/cuda.md)")
      ->type_name("cpu|cuda");
  command->add_flag("--share-gpu", options->share_gpu,
                    "Ranks may share a GPU: collectives go through host memory instead of NCCL. Slow; for tests");
  command->add_flag("--tf32", options->tf32,
                    "With --backend cuda: products of fp32 matrices round their operands to TF32 (10 bits, 8 times as "
                    "fast on a data-centre GPU)");
  command->add_flag(
      "!--no-graphs", options->graphs,
      "With --backend cuda: launch each op by itself, not the ops of a lane as CUDA graphs (docs/cuda.md); "
      "to compare, or where a driver will not have them");
  command->add_flag("--counters", options->counters,
                    "With --profile: count cycles, instructions, cache misses, processor time in each op");
  command->add_option("--threads", options->threads, "Threads per rank; 0: cores / ranks")->check(CLI::Range(0, 4096));
  command->add_option("--dump-weights", options->dump_weights, "Write the initial weights there before training")
      ->type_name("W.safetensors");
  command->add_option("--dump-batches", options->dump_batches, "Write the tokens of every step there before training")
      ->type_name("B.safetensors");
  command->add_flag("--quiet", options->quiet, "No progress on standard error");
  command->add_flag("--json", options->json,
                    "One JSON object at the end: losses, step_time_s, tokens_per_s, ranks, predicted, profile");
  command->footer(
      "Ctrl-C finishes the step under way, writes a checkpoint if there is a folder for it, and keeps what was done; "
      "a\n"
      "second one ends at once.\n"
      "Examples:\n"
      "  shardscope train --model data/models/gpt-10m.json --ranks 2 --stage 3 --seq 128 --micro-batch 2 --steps 50\n"
      "  shardscope train job.json --profile run.db --machine machine.json\n"
      "  shardscope train job.json --profile run.db --counters --threads 1\n"
      "  shardscope train job.json --checkpoint ckpt --checkpoint-every 100      # and later, on any number of ranks:\n"
      "  shardscope train job.json --checkpoint ckpt --resume --ranks 8 --stage 3\n"
      "  shardscope train --model config.json --deepspeed ds_config.json --ranks 4 --data books/ --json\n"
      "  mpirun -n 4 shardscope train job.json --ranks 4                         # ranks as processes: "
      "docs/launch.md\n");
  command->callback([options, &exit_code] { exit_code = run_train(*options); });
}

}  // namespace shardscope::cli
