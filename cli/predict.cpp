// shardscope predict: what a job would take, in memory and in time, without running it.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/job_options.h"
#include "cli/memory_json.h"
#include "cli/predict_explain.h"
#include "cli/predict_like.h"
#include "core/engine/arena.h"
#include "core/engine/suggest_fit.h"
#include "core/error.h"
#include "core/program/gpu_memory.h"
#include "core/program/lower.h"
#include "core/spec/hardware.h"
#include "profiler/store/profile_writer.h"
#include "simulator/fold/device_peak.h"
#include "simulator/like/measured_run.h"
#include "simulator/predict.h"

namespace shardscope::cli {
namespace {

struct Options {
  JobOptions job;
  std::string name, like, run, framework;
  std::vector<std::string> settings;
  std::int64_t device_memory = 0;
  bool json = false, explain = false;
  double expert_imbalance = 1;
};

std::string_view name_of(Precision precision) {
  constexpr std::array<std::string_view, 3> kNames{"fp32", "bf16", "fp16"};
  return kNames[static_cast<std::size_t>(precision)];
}

/// How many of a rank's matrix products are in fp8: not the head's, and none of odd sizes.
struct Fp8Products {
  int narrow = 0, all = 0;
};
Fp8Products fp8_products(const Program& program) {
  Fp8Products count;
  for (const Instruction& in : program.instructions) {
    const auto* product = std::get_if<MatMul>(&in.op);
    if (product == nullptr) continue;
    ++count.all;
    count.narrow += product->in_fp8() ? 1 : 0;
  }
  return count;
}

std::int64_t device_peak(const MemoryPeak& peak) { return peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]; }

/// What takes this machine's memory: every space but the drive.
std::int64_t all_memory(const MemoryPeak& peak) {
  std::int64_t sum = 0;
  for (std::int64_t bytes : peak.peak_bytes) sum += bytes;
  return sum - peak.peak_bytes[static_cast<std::size_t>(Space::kNvme)];
}

std::int64_t machine_memory() {
  return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
}

/// Whether it fits: the fullest device against its limit or, without one, all ranks against this machine's memory.
struct Fit {
  std::int64_t needed_bytes = 0, limit_bytes = 0;
  std::string of;          ///< whose limit
  bool of_device = false;  ///< of one rank's device
  bool fits() const { return needed_bytes <= limit_bytes; }
};

class Predict {
 public:
  explicit Predict(const Options& options)
      : options_(options), job_(load_job(options.job.file, options.job.overrides)) {
    if (options.device_memory > 0) job_.device_memory_bytes = options.device_memory;
    if (!job_.cluster.empty()) {
      refuse_machine();
      cluster_ = load_cluster(default_catalog(), job_.cluster);
      check_ranks();
    } else {
      refuse_without_cluster();
      machine_ = job_.machine.empty() ? default_machine() : load_machine(job_.machine);
    }
    flops_per_token_ = training_flops_per_token(job_.model, job_.data.seq_len);
  }

  void run() {
    if (!options_.framework.empty()) {
      return predict_framework(job_, {options_.framework, options_.json, options_.explain, options_.expert_imbalance});
    }
    if (options_.explain) why_ = explain(plan_case_of(job_, default_catalog()));
    std::unique_ptr<ProfileWriter> writer;
    // Ranks of a cluster are folded, unless each is to have its rows.
    prediction_ = cluster_ && job_.profile.empty() ? predict(job_, *cluster_) : simulate_into(nullptr);
    if (!job_.profile.empty()) {
      writer = std::make_unique<ProfileWriter>(job_.profile, run_info());
      simulate_into(writer.get());
      writer->finish();
      if (!writer->problem().empty()) throw Error(ErrorKind::kIo, writer->problem());
    }
    if (cluster_) {
      const char* framework = job_.zero_mode == ZeroMode::kDeepSpeed ? "deepspeed" : "shardscope";
      interval_ = interval_of(framework, job_.parallel.ranks(), prediction_.step_time_s);
      if (job_.device_memory_bytes == 0) beside_bytes_ = largest_beside();
    }
    options_.json ? print_json() : print_text();
  }

 private:
  /// The job file may name both: which counts is then said by the cluster.
  void refuse_machine() const {
    if (!options_.job.overrides.machine) return;
    throw Error(ErrorKind::kConfig, fmt::format("--machine {}: changes nothing on cluster {}, whose seconds come from "
                                                "the hardware catalog; leave one out",
                                                *options_.job.overrides.machine, job_.cluster));
  }

  void refuse_without_cluster() const {
    const char* flag = !options_.framework.empty() ? "--framework" : options_.explain ? "--explain" : nullptr;
    if (flag == nullptr) return;
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: rests on the closed form, which knows GPUs and not this machine; add --cluster "
                            "dgx-h100:8 (see 'shardscope hardware')",
                            flag));
  }

  void check_ranks() const {
    if (job_.parallel.ranks() <= cluster_->ranks()) return;
    throw Error(ErrorKind::kConfig, fmt::format("{}: has {} devices; the job's {} ranks need one each", job_.cluster,
                                                cluster_->ranks(), job_.parallel.ranks()));
  }

  /// The first and the last stage multiply most: they have the vocabulary. Products of all micro-batches are alike.
  std::int64_t largest_beside() const {
    const int few = 2 * job_.parallel.pp;
    const LowerOptions options{.micro_batches = few < job_.training.accumulation ? few : 0};
    const auto of_rank = [&](int rank) { return gpu_memory_beside(lower(job_, rank, options)); };
    return std::max(of_rank(0), of_rank(job_.parallel.ranks() - 1));
  }

  Prediction simulate_into(TraceSink* sink) {
    for (auto rank = static_cast<int>(programs_.size()); rank < job_.parallel.ranks(); ++rank) {
      programs_.push_back(lower(job_, rank));
    }
    const SimulateOptions options{.sink = sink, .steps = 1, .flops_per_token = flops_per_token_};
    return cluster_ ? simulate(programs_, *cluster_, options) : simulate(programs_, machine_, options);
  }

  std::int64_t tokens_per_step() const { return job_.training.train_batch_size * job_.data.seq_len; }

  RunInfo run_info() const {
    const int stage = job_.training.zero.stage;
    return {.name = options_.name.empty() ? fmt::format("zero-{}", stage) : options_.name,
            .predicted = true,
            .framework = "shardscope",
            .model = job_.model.name,
            .world = job_.parallel.ranks(),
            .zero_stage = stage,
            .job_json = job_record(job_, {machine_.cores, machine_.threads_per_rank(job_.parallel.ranks())}),
            .parameters = parameter_count(job_.model),
            .tokens_per_step = tokens_per_step(),
            .flops_per_token = flops_per_token_,
            .peak_flops_per_rank = prediction_.peak_flops_per_rank,
            .device_memory_limit = job_.device_memory_bytes};
  }

  Fit fit() const {
    Fit result;
    std::int64_t fullest = 0, everything = 0;
    for (const RankPrediction& rank : prediction_.ranks) {
      fullest = std::max(fullest, device_peak(rank.peak));
      everything += rank.count * all_memory(rank.peak);
    }
    if (job_.device_memory_bytes > 0) return {fullest, job_.device_memory_bytes, "device memory given", true};
    if (cluster_) {
      const auto memory = static_cast<std::int64_t>(cluster_->device.memory.value);
      return {fullest + beside_bytes_, memory, cluster_->device.name, true};
    }
    return {everything, machine_memory(), "this machine's memory, all ranks together"};
  }

  std::vector<FitSuggestion> suggestions(const Fit& memory) const {
    return suggest_fit(job_, memory.limit_bytes - beside_bytes_, folded_device_peak);
  }

  const RankPrediction& fullest_rank() const {
    return *std::max_element(prediction_.ranks.begin(), prediction_.ranks.end(),
                             [](const auto& a, const auto& b) { return device_peak(a.peak) < device_peak(b.peak); });
  }

  std::string source() const {
    if (cluster_)
      return cluster_->name + ": peaks and bandwidths as stated, efficiencies of data/calibration/constants.csv";
    return machine_.source;
  }

  void print_json() const {
    const Fit memory = fit();
    const StepBreakdown& b = prediction_.breakdown;
    nlohmann::ordered_json out;
    out["model"] = {
        {"name", job_.model.name}, {"parameters", parameter_count(job_.model)}, {"flops_per_token", flops_per_token_}};
    out["precision"] = name_of(job_.training.precision.kind);
    out["fp8"] = nullptr;
    if (job_.fp8.enabled) {
      const Fp8Products count = fp8_products(lower(job_, 0));
      out["fp8"] = {{"format", to_string(job_.fp8.format)}, {"products", count.narrow}, {"of", count.all}};
    }
    out["zero_stage"] = job_.training.zero.stage;
    out["tokens_per_step"] = tokens_per_step();
    out["step_time_s"] = prediction_.step_time_s;
    out["interval"] = interval_ ? nlohmann::json{interval_->low_s, interval_->high_s} : nlohmann::json(nullptr);
    out["interval_median"] = interval_ ? nlohmann::json(interval_->median_s) : nlohmann::json(nullptr);
    out["interval_source"] = interval_ ? nlohmann::json(interval_->source) : nlohmann::json(nullptr);
    out["breakdown_s"] = {{"compute", b.compute_s},
                          {"exposed_communication", b.exposed_communication_s},
                          {"bubble", b.bubble_s},
                          {"offload", b.offload_s},
                          {"optimizer", b.optimizer_s}};
    out["tokens_per_s"] = prediction_.tokens_per_s;
    out["mfu"] = prediction_.mfu;
    out["fits"] = memory.fits();
    out["memory_limit_bytes"] = memory.limit_bytes;
    out["headroom_bytes"] = memory.limit_bytes - memory.needed_bytes;
    out["memory_limit_of"] = memory.of;
    out["beside_bytes"] = beside_bytes_;
    const bool is_too_full = !memory.fits() && memory.of_device;
    out["suggestions"] = suggestions_json(is_too_full ? suggestions(memory) : std::vector<FitSuggestion>());
    out["peak_bytes_per_rank"] = nlohmann::json::array();
    const int ranks = job_.parallel.ranks();
    for (int rank = 0; rank < ranks; ++rank) {
      out["peak_bytes_per_rank"].push_back(device_peak(prediction_of(prediction_, rank).peak));
    }
    out["memory_by_category"] = memory_by_category_json(fullest_rank().peak);
    out["ranks"] = ranks_json();
    out["calibrated"] = prediction_.calibrated;
    out["source"] = source();
    out["profile"] = job_.profile.empty() ? nlohmann::json(nullptr) : nlohmann::json(job_.profile);
    if (why_) {
      out["explain"] = explanation_json(*why_);
      out["explain"]["difference"] = difference();
      out["explain"]["memory_difference"] = memory_difference();
    }
    fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

  /// Each rank, or of many one of each kind, with its `count`.
  nlohmann::json ranks_json() const {
    constexpr int kFew = 64;
    nlohmann::json list = nlohmann::json::array();
    if (job_.parallel.ranks() <= kFew) {
      for (int rank = 0; rank < job_.parallel.ranks(); ++rank) {
        list.push_back(rank_json(rank, prediction_of(prediction_, rank).peak, 0));
      }
      return list;
    }
    for (const RankPrediction& rank : prediction_.ranks) {
      list.push_back(rank_json(rank.rank, rank.peak, 0));
      list.back()["count"] = rank.count;
    }
    return list;
  }

  void print_text() const {
    fmt::print("{}: {:.1f} M parameters, ZeRO {} ({}), {} rank{}, {} tokens a step\n", job_.model.name,
               static_cast<double>(parameter_count(job_.model)) * 1e-6, job_.training.zero.stage,
               to_string(job_.zero_mode), job_.parallel.ranks(), job_.parallel.ranks() == 1 ? "" : "s",
               tokens_per_step());
    print_time();
    print_memory();
    fmt::print("precision   {}{}\n", name_of(job_.training.precision.kind), in_fp8());
    fmt::print("source      {}\n", source());
    if (!job_.profile.empty()) fmt::print("profile     {}\n", job_.profile);
    if (!why_) return;
    fmt::print(
        "closed form step {:+.1f} %, tensors {:+.1f} % from the events'; what follows explains the closed form\n{}",
        100 * difference(), 100 * memory_difference(), explanation_text(*why_));
  }

  std::string in_fp8() const {
    if (!job_.fp8.enabled) return {};
    const Fp8Products count = fp8_products(lower(job_, 0));
    return fmt::format("; in fp8 ({}) {} of rank 0's {} matrix products", to_string(job_.fp8.format), count.narrow,
                       count.all);
  }

  /// Of the closed form from the events: the step, and the bytes of the fullest rank's tensors.
  double difference() const { return why_->estimate.step_time_s / prediction_.step_time_s - 1; }
  double memory_difference() const {
    return why_->estimate.allocated / static_cast<double>(device_peak(fullest_rank().peak)) - 1;
  }

  void print_time() const {
    const StepBreakdown& b = prediction_.breakdown;
    const auto part = [&](const char* name, double seconds) {
      if (seconds <= 0) return;
      fmt::print("  {:<24}{:10.4f} s  {:5.1f} %\n", name, seconds, 100 * seconds / prediction_.step_time_s);
    };
    fmt::print("step        {:.4f} s, {:.0f} tokens/s, MFU {:.1f} %\n", prediction_.step_time_s,
               prediction_.tokens_per_s, 100 * prediction_.mfu);
    if (interval_) fmt::print("{}", interval_text(*interval_));
    part("compute", b.compute_s);
    part("exposed communication", b.exposed_communication_s);
    part("optimizer", b.optimizer_s);
    part("offload", b.offload_s);
    part("bubble", b.bubble_s);
  }

  void print_memory() const {
    const Fit memory = fit();
    const MemoryPeak& peak = fullest_rank().peak;
    const std::string beside =
        beside_bytes_ > 0 ? fmt::format(" and up to {} beside its program", format_bytes(beside_bytes_)) : "";
    fmt::print("memory      {} on the fullest rank{}, {}; {} of {} ({})\n", format_bytes(device_peak(peak)), beside,
               memory.fits() ? "fits" : "DOES NOT FIT", format_bytes(memory.needed_bytes),
               format_bytes(memory.limit_bytes), memory.of);
    if (!memory.fits()) {
      fmt::print("  over by                 {}\n", format_bytes(memory.needed_bytes - memory.limit_bytes));
      if (memory.of_device) fmt::print("  {}\n", describe(suggestions(memory)));
    }
    for (int s = 0; s < kSpaces; ++s) {
      const auto space = static_cast<Space>(s);
      const std::int64_t bytes = peak.peak_bytes[static_cast<std::size_t>(s)];
      if (bytes > 0) fmt::print("  {:<8} {:>14} bytes: {}\n", to_string(space), bytes, describe(peak.at_peak, space));
    }
  }

  const Options& options_;
  Job job_;
  std::optional<ClusterSpec> cluster_;
  Machine machine_;
  std::vector<Program> programs_;
  double flops_per_token_ = 0;
  std::int64_t beside_bytes_ = 0;  // what our CUDA backend takes of a GPU beside the program
  Prediction prediction_;
  std::optional<Explanation> why_;    ///< with --explain
  std::optional<Interval> interval_;  ///< of a cluster
};

}  // namespace

void add_predict(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("predict", "Memory and time of a job, without running it.");
  add_job_options(*command, options->job);
  command->add_option("--device-memory", options->device_memory, "Limit of a rank's device memory, e.g. 80GiB")
      ->type_name("BYTES")
      ->transform(CLI::AsSizeValue(false))
      ->transform(CLI::Validator(
          [](std::string& text) { return text.find('-') == 0 ? text + " is below 0" : std::string(); }, ""))
      ->check(CLI::Validator(
          [](std::string& bytes) {
            return std::stod(bytes) < 1 << 20 ? bytes + " bytes are less than 1MiB; a unit is missing?" : std::string();
          },
          ""))
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 60));
  auto* like =
      command
          ->add_option("--like", options->like, "The job of a measured run of this profile, in the seconds of that run")
          ->type_name("RUN.db");
  command->add_option("--run", options->run, "With --like: name or number of the run; else the last that was measured")
      ->needs(like);
  command->add_option("--set", options->settings, like_settings_help())->type_name("KEY=VALUE")->needs(like);
  command->add_option("--name", options->name, "Name of the run in the profile; zero-STAGE without it")->excludes(like);
  like->excludes(command->get_option("job"));
  command
      ->add_option("--framework", options->framework,
                   "As this framework would run it, by the closed form alone: megatron, fsdp2, deepspeed, ...")
      ->type_name("NAME")
      ->excludes(like);
  command
      ->add_option("--expert-imbalance", options->expert_imbalance,
                   "With --framework, mixture of experts: tokens of the fullest rank over the mean; 1: routed evenly.\n"
                   "Our own engine computes all slots of an expert whatever comes")
      ->type_name("FACTOR")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e3))
      ->needs(command->get_option("--framework"));
  command
      ->add_flag("--explain", options->explain,
                 "Also each term of time and memory with the numbers that make it, constants, and what faster\n"
                 "hardware would change (needs --cluster)")
      ->excludes(like);
  command->add_flag(
      "--json", options->json,
      "One JSON object: step_time_s, breakdown_s, tokens_per_s, mfu, fits, ranks, ... (docs/simulator.md)");
  command->footer(
      "Without --cluster it speaks of the ranks as threads of this machine, in the seconds that --machine measured\n"
      "('shardscope calibrate'), or in guesses without it. What does not fit is an answer, not an error.\n"
      "With --cluster, P10-P90 of the step is what published runs of the framework and size took over what was "
      "predicted\n"
      "for them; where nearly all were slower (or faster), it begins (or ends) at the prediction. The median says by "
      "how\n"
      "much predictions were off on the whole.\n"
      "Examples:\n"
      "  shardscope predict --model data/models/gpt-10m.json --ranks 4 --stage 3 --seq 128 --machine machine.json\n"
      "  shardscope predict job.json --profile run.db --json\n"
      "  shardscope predict --model gpt2/config.json --ranks 32 --cluster dgx-h100:32\n"
      "  shardscope predict --like run.db                        its own run: how near is it?\n"
      "  shardscope predict --like run.db --set zero.stage=3 --set parallel.dp=4 --set micro_batch=2\n"
      "  shardscope predict --model llama-2-7b --ranks 16 --stage 3 --cluster dgx-h100:16 --explain\n"
      "  shardscope predict --model llama-2-7b --ranks 16 --stage 1 --cluster dgx-h100:16 --framework megatron\n"
      "  shardscope predict --model mixtral-8x7b --ranks 16 --cluster dgx-h100:16 --framework megatron "
      "--expert-imbalance 1.3\n"
      "  shardscope predict --model gpt2/config.json --ranks 8 --cluster data/clusters/dgx-a100-2.json --device-memory "
      "40GiB\n");
  command->callback([options, &exit_code] {
    if (options->like.empty()) {
      Predict(*options).run();
    } else {
      predict_like({options->like, options->run, options->settings, options->job.overrides, options->device_memory,
                    options->json});
    }
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
