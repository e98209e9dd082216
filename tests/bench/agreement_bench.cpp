// Does predict say what train takes? Calibrates this machine, then trains and predicts configurations that calibration
// has not seen, side by side, and prints each with its error and the median over all.
//
//   ./dev bench agreement [--machine machine.json | --save machine.json] [--steps N] [--only TEXT] [--ops] [--json]
//   ./dev bench agreement --matrix 60 [--seed N]    # a random sample of every mix there is, and a table by feature
//
// The machine should be idle: other load slows training and not the prediction.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/engine/trainer.h"
#include "core/error.h"
#include "core/program/lower.h"
#include "kernels/cpu/cpu_backend.h"
#include "simulator/calibrate/calibrate.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

struct Config {
  std::string name;
  Job job;
  std::vector<std::string> features;  ///< what is special about it
};

std::string gpt2(int hidden, int layers, int heads, int vocab) {
  return fmt::format(
      R"({{"model_type":"gpt2","vocab_size":{},"n_positions":512,"n_embd":{},"n_layer":{},"n_head":{}}})", vocab,
      hidden, layers, heads);
}

std::string llama(int hidden, int layers, int heads, int kv_heads, int intermediate, int vocab) {
  return fmt::format(
      R"({{"model_type":"llama","vocab_size":{},"hidden_size":{},"intermediate_size":{},"num_hidden_layers":{},)"
      R"("num_attention_heads":{},"num_key_value_heads":{},"max_position_embeddings":512,"hidden_act":"silu",)"
      R"("rms_norm_eps":1e-5,"rope_theta":10000.0,"tie_word_embeddings":false}})",
      vocab, hidden, intermediate, layers, heads, kv_heads);
}

// None of these shapes is one that calibrate measures.
std::vector<Config> configs() {
  const std::string gpt_s = gpt2(192, 4, 6, 256), gpt_m = gpt2(320, 8, 5, 256), gpt_l = gpt2(448, 6, 7, 1000);
  const std::string llama_s = llama(160, 4, 5, 5, 432, 300), llama_m = llama(288, 6, 9, 3, 768, 300);
  const std::string llama_l = llama(384, 6, 6, 2, 1024, 1200);
  std::vector<Config> all;
  const auto add = [&](const char* name, const std::string& model, int ranks, int stage, int micro, int accumulation,
                       int seq) {
    const std::string text = fmt::format(
        R"({{"model":{},"deepspeed":{{"train_micro_batch_size_per_gpu":{},"gradient_accumulation_steps":{},)"
        R"("zero_optimization":{{"stage":{},"overlap_comm":true}},)"
        R"("optimizer":{{"type":"AdamW","params":{{"lr":1e-4}}}}}},"parallel":{{"dp":{}}},"data":{{"seq_len":{}}}}})",
        model, micro, accumulation, stage, ranks, seq);
    const std::string title = fmt::format("{} r{} z{} mb{}x{} s{}", name, ranks, stage, micro, accumulation, seq);
    all.push_back({title, parse_job(text, title, {}), {fmt::format("zero-{}", stage)}});
  };
  add("gpt-2M", gpt_s, 1, 0, 3, 1, 96), add("gpt-2M", gpt_s, 2, 1, 3, 1, 96), add("gpt-2M", gpt_s, 2, 3, 1, 2, 96);
  add("gpt-2M", gpt_s, 3, 2, 2, 1, 96), add("gpt-2M", gpt_s, 4, 0, 2, 1, 96), add("gpt-2M", gpt_s, 4, 3, 5, 1, 96);
  add("gpt-10M", gpt_m, 1, 1, 2, 1, 160), add("gpt-10M", gpt_m, 2, 0, 2, 1, 160);
  add("gpt-10M", gpt_m, 2, 2, 4, 1, 96), add("gpt-10M", gpt_m, 3, 1, 1, 2, 160);
  add("gpt-10M", gpt_m, 4, 2, 2, 1, 160), add("gpt-10M", gpt_m, 4, 3, 1, 1, 200);
  add("gpt-16M", gpt_l, 1, 0, 3, 1, 112), add("gpt-16M", gpt_l, 2, 3, 2, 1, 144);
  add("gpt-16M", gpt_l, 3, 0, 1, 1, 200), add("gpt-16M", gpt_l, 4, 1, 1, 1, 144);
  add("llama-1M", llama_s, 1, 0, 6, 1, 96), add("llama-1M", llama_s, 2, 0, 3, 2, 80);
  add("llama-1M", llama_s, 3, 3, 3, 1, 96), add("llama-1M", llama_s, 4, 2, 3, 1, 96);
  add("llama-6M", llama_m, 1, 0, 2, 2, 144), add("llama-6M", llama_m, 2, 2, 3, 1, 144);
  add("llama-6M", llama_m, 2, 3, 2, 1, 176), add("llama-6M", llama_m, 4, 1, 2, 1, 112);
  add("llama-10M", llama_l, 1, 3, 3, 1, 112), add("llama-10M", llama_l, 2, 1, 2, 1, 176);
  add("llama-10M", llama_l, 3, 2, 1, 1, 176), add("llama-10M", llama_l, 4, 3, 1, 2, 112);
  return all;
}

// ---------------------------------------------------------------- a random sample of the whole matrix

/// One draw: a job of at most 4 ranks with a few features switched on. Empty if the draw is an illegal mix.
class MatrixDraw {
 public:
  MatrixDraw(std::mt19937_64& random, const std::string& folder) : random_(random), folder_(folder) {}

  std::optional<Config> draw() {
    const bool moe = one_in(8);
    choose_axes(moe);
    choose_zero();
    const std::string text = job_text(moe);
    try {
      Config config{name(), parse_job(text, "matrix", {}), features_};
      for (int r = 0; r < config.job.parallel.ranks(); ++r) lower(config.job, r);
      return config;
    } catch (const Error&) {
      return std::nullopt;
    }
  }

 private:
  bool one_in(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)) == 0; }
  template <class T>
  T pick(std::initializer_list<T> choices) {
    return *(choices.begin() + static_cast<std::ptrdiff_t>(random_() % choices.size()));
  }
  void note(const std::string& feature) { features_.push_back(feature); }

  void choose_axes(bool moe) {
    accumulation_ = pick({1, 2});
    micro_ = pick({1, 2, 3});
    seq_ = pick({96, 144, 192});
    switch (moe ? 5 : static_cast<int>(random_() % 5)) {
      case 0:
        dp_ = pick({1, 2, 3, 4});
        break;
      case 1:
        tp_ = 2, dp_ = pick({1, 2});
        note("tensor");
        if (one_in(2)) sp_ = true, note("sequence");
        break;
      case 2: {
        pp_ = 2, dp_ = pick({1, 2}), accumulation_ = pick({4, 6});
        schedule_ = pick({"gpipe", "1f1b", "interleaved", "zb-h1", "zbv", "dualpipev"});
        note("pipeline"), note(schedule_);
        break;
      }
      case 3:
        cp_ = 2, dp_ = pick({1, 2}), ulysses_ = pick({1, 2});
        note(ulysses_ == 2 ? "ulysses" : "ring");
        break;
      case 4:
        tp_ = 2, pp_ = 2, accumulation_ = 4;
        note("tensor"), note("pipeline");
        break;
      default:
        dp_ = pick({1, 2, 4}), ep_ = dp_ > 1 ? 2 : 1;
        note("experts");
    }
  }

  void choose_zero() {
    stage_ = dp_ * cp_ > 1 ? static_cast<int>(random_() % 4) : 0;
    note(fmt::format("zero-{}", stage_));
    if (stage_ > 0 && one_in(4)) offload_ = "cpu", note("offload");
    if (stage_ == 3 && one_in(6)) offload_ = "nvme", note("nvme");
    if (stage_ == 3 && one_in(6)) offload_param_ = true, note("offload-param");
    if (stage_ == 3 && one_in(5))
      zeropp_ = R"(,"zero_quantized_weights":true,"zero_quantized_gradients":true)", note("zero++");
    if (one_in(4)) recompute_ = pick({"selective", "full"}), note("recompute");
    if (one_in(4)) precision_ = R"(,"bf16":{"enabled":true})", note("bf16");
    if (precision_.empty() && one_in(8))
      precision_ = R"(,"fp16":{"enabled":true,"initial_scale_power":8})", note("fp16");
  }

  std::string model_text(bool moe) {
    const int layers = pp_ > 1 ? 8 : pick({4, 6});
    if (moe) {
      return fmt::format(
          R"({{"model_type":"mixtral","vocab_size":300,"hidden_size":192,"intermediate_size":384,"num_hidden_layers":4,)"
          R"("num_attention_heads":6,"num_key_value_heads":2,"max_position_embeddings":512,"num_local_experts":4,)"
          R"("num_experts_per_tok":2}})");
    }
    return one_in(2) ? gpt2(pick({192, 256, 320}), layers, 8, 256) : llama(pick({256, 320}), layers, 8, 4, 768, 300);
  }

  std::string job_text(bool moe) {
    std::string zero = fmt::format(R"("stage":{},"overlap_comm":true)", stage_);
    if (!offload_.empty()) {
      zero += fmt::format(
          R"(,"offload_optimizer":{{"device":"{}","nvme_path":"{}","pipeline_read":true,"pipeline_write":true}})",
          offload_, folder_);
    }
    if (offload_param_) zero += R"(,"offload_param":{"device":"cpu"})";
    return fmt::format(
        R"({{"model":{},"deepspeed":{{"train_micro_batch_size_per_gpu":{},"gradient_accumulation_steps":{},)"
        R"("zero_optimization":{{{}{}}}{},"optimizer":{{"type":"AdamW","params":{{"lr":1e-4}}}}}},)"
        R"("parallel":{{"dp":{},"tp":{},"sp":{},"pp":{},"cp":{},"ulysses":{},"ep":{},"schedule":"{}"}},)"
        R"("recompute":"{}","data":{{"seq_len":{}}}}})",
        model_text(moe), micro_, accumulation_, zero, zeropp_, precision_, dp_, tp_, sp_, pp_, cp_, ulysses_, ep_,
        schedule_, recompute_, seq_);
  }

  std::string name() const {
    return fmt::format("d{}t{}p{}c{} mb{}x{} s{} {}", dp_, tp_, pp_, cp_, micro_, accumulation_, seq_,
                       fmt::join(features_, " "));
  }

  std::mt19937_64& random_;
  std::string folder_;
  std::vector<std::string> features_;
  int dp_ = 1, tp_ = 1, pp_ = 1, cp_ = 1, ulysses_ = 1, ep_ = 1, micro_ = 1, accumulation_ = 1, seq_ = 96, stage_ = 0;
  bool sp_ = false, offload_param_ = false;
  std::string schedule_ = "1f1b", offload_, zeropp_, recompute_ = "none", precision_;
};

std::vector<Config> matrix(int count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Config> all;
  const std::string folder = std::filesystem::temp_directory_path().string();
  for (int tries = 0; static_cast<int>(all.size()) < count && tries < 100 * count; ++tries) {
    if (std::optional<Config> config = MatrixDraw(random, folder).draw()) all.push_back(std::move(*config));
  }
  return all;
}

/// Seconds by kind of op over all ranks and steps, waiting for late ranks left out.
class OpTimes : public TraceSink {
 public:
  RankTrace* open_rank(int /*rank*/, const Program& program) override {
    const std::lock_guard lock(mutex_);
    ranks_.push_back(std::make_unique<Rank>(program));
    return ranks_.back().get();
  }
  /// By "kind phase"; the first step left out if there are several. Seconds per step of a rank.
  std::map<std::string, double> totals() const {
    std::map<std::string, double> sum;
    std::int32_t last = 0;
    for (const auto& rank : ranks_) {
      for (const auto& lane : rank->lanes) {
        for (const SliceEvent& e : lane) last = std::max(last, e.step);
      }
    }
    const int first = last > 0 ? 1 : 0;
    const double share = 1.0 / (static_cast<double>(ranks_.size()) * (last + 1 - first));
    for (const auto& rank : ranks_) {
      for (const auto& lane : rank->lanes) {
        for (const SliceEvent& e : lane) {
          if (e.step < first) continue;
          const Instruction& i = rank->program->instruction(e.op);
          std::string kind = fmt::format("{} {}", op_name(i.op), to_string(i.label.phase));
          if (const auto* m = std::get_if<MatMul>(&i.op))
            kind += fmt::format(" {}{}", m->trans_a ? 'T' : 'N', m->trans_b ? 'T' : 'N');
          sum[kind] += share * 1e-9 * static_cast<double>(e.duration_ns - e.wait_ns);
        }
      }
    }
    return sum;
  }

 private:
  struct Rank : RankTrace {
    explicit Rank(const Program& p) : program(&p) {}
    void slice(const SliceEvent& e) override { lanes[static_cast<std::size_t>(e.lane)].push_back(e); }
    void memory(const MemoryEvent&) override {}
    void step(const StepEvent&) override {}
    void finish(const MemoryPeak&, std::int64_t) override {}
    const Program* program;
    std::array<std::vector<SliceEvent>, kLanes> lanes;
  };
  std::mutex mutex_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

struct Options {
  std::string machine, save, only;
  int steps = 12, matrix = 0;
  std::uint64_t seed = 1;
  bool ops = false, json = false;
};

struct Row {
  std::string name;
  std::vector<std::string> features;
  double measured = 0, p10 = 0, p90 = 0, predicted = 0;
  bool memory_equal = false;
  double error() const { return predicted / measured - 1; }
};

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&] { return ++i < argc ? std::string(argv[i]) : std::string(); };
    if (flag == "--save") {
      options.save = value();
    } else if (flag == "--machine") {
      options.machine = value();
    } else if (flag == "--only") {
      options.only = value();
    } else if (flag == "--steps") {
      options.steps = std::max(3, std::atoi(value().c_str()));
    } else if (flag == "--matrix") {
      options.matrix = std::max(1, std::atoi(value().c_str()));
    } else if (flag == "--seed") {
      options.seed = static_cast<std::uint64_t>(std::atoll(value().c_str()));
    } else if (flag == "--ops") {
      options.ops = true;
    } else if (flag == "--json") {
      options.json = true;
    } else {
      throw Error(ErrorKind::kConfig,
                  flag + ": unknown; known are --machine --save --only --steps --matrix --seed --ops --json");
    }
  }
  return options;
}

const BackendFactory kBackends = [](int /*rank*/, int threads) { return make_cpu_backend(threads); };

Machine calibrated(const Options& options) {
  if (!options.machine.empty()) return load_machine(options.machine);
  const auto begin = std::chrono::steady_clock::now();
  Machine machine =
      calibrate(kBackends, {.progress = [](const std::string& what) { fmt::print(stderr, "{}\n", what); }});
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print(stderr, "calibrated in {:.0f} s\n", took.count());
  if (!options.save.empty()) save_machine(machine, options.save);
  return machine;
}

void print_ops(const OpTimes& measured, const OpTimes& predicted) {
  const auto a = measured.totals(), b = predicted.totals();
  std::vector<std::pair<double, std::string>> lines;
  for (const auto& [kind, seconds] : a) {
    const auto found = b.find(kind);
    const double other = found == b.end() ? 0 : found->second;
    lines.emplace_back(other - seconds, fmt::format("    {:<32} {:9.3f} ms {:9.3f} ms  {:+8.3f}", kind, seconds * 1e3,
                                                    other * 1e3, (other - seconds) * 1e3));
  }
  std::sort(lines.begin(), lines.end(),
            [](const auto& x, const auto& y) { return std::abs(x.first) > std::abs(y.first); });
  for (std::size_t i = 0; i < std::min<std::size_t>(lines.size(), 12); ++i) fmt::print("{}\n", lines[i].second);
}

Row run_config(const Config& config, const Machine& machine, const Options& options) {
  Job job = config.job;
  job.steps = options.steps;
  std::vector<Program> programs;
  for (int r = 0; r < job.parallel.ranks(); ++r) programs.push_back(lower(job, r));
  OpTimes measured_ops, predicted_ops;
  const Prediction p = simulate(programs, machine, {.sink = options.ops ? &predicted_ops : nullptr});
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 1);
  const TrainResult t = train(
      job, kBackends, {.trace = options.ops ? &measured_ops : nullptr, .data = data.get(), .programs = &programs});
  std::vector<double> times(t.step_times_s.begin() + 2, t.step_times_s.end());  // caches and pages are warm
  Row row{config.name,          config.features,      quantile(times, 0.5),
          quantile(times, 0.1), quantile(times, 0.9), p.step_time_s};
  row.memory_equal = true;
  for (std::size_t r = 0; r < programs.size(); ++r) {
    row.memory_equal = row.memory_equal && t.ranks[r].peak.peak_bytes == p.ranks[r].peak.peak_bytes;
  }
  fmt::print("{:<28} {:9.2f} {:9.2f} {:9.2f} {:9.2f}   {:+7.1f} %  {}\n", row.name, row.measured * 1e3, row.p10 * 1e3,
             row.p90 * 1e3, row.predicted * 1e3, row.error() * 100, row.memory_equal ? "equal" : "DIFFERS");
  std::fflush(stdout);
  if (options.ops) print_ops(measured_ops, predicted_ops);
  return row;
}

void print_summary(const std::vector<Row>& rows, const Options& options) {
  std::vector<double> absolute, errors, spread, best;
  bool memory = true;
  for (const Row& row : rows) {
    absolute.push_back(std::abs(row.error()));
    errors.push_back(row.error());
    spread.push_back(row.p90 / row.p10 - 1);
    best.push_back(std::abs(row.predicted / row.p10 - 1));
    memory = memory && row.memory_equal;
  }
  fmt::print(
      "\n{} configurations: median absolute error {:.1f} %, p90 {:.1f} %, largest {:.1f} %; median signed {:+.1f} %\n",
      rows.size(), 100 * quantile(absolute, 0.5), 100 * quantile(absolute, 0.9), 100 * quantile(absolute, 1),
      100 * quantile(errors, 0.5));
  fmt::print(
      "the measured steps themselves spread by {:.1f} % (p90 / p10, median); against their p10 the error is {:.1f} %\n",
      100 * quantile(spread, 0.5), 100 * quantile(best, 0.5));
  fmt::print("memory of every rank {}\n", memory ? "equal to the byte" : "DIFFERS somewhere");
  if (options.json) {
    fmt::print("{{\"configurations\":{},\"median_absolute_error\":{},\"p90_absolute_error\":{},\"memory_equal\":{}}}\n",
               rows.size(), quantile(absolute, 0.5), quantile(absolute, 0.9), memory);
  }
}

/// Median and largest error of the configurations with each feature, the worst first.
void print_features(const std::vector<Row>& rows) {
  std::map<std::string, std::vector<double>> errors;
  for (const Row& row : rows) {
    for (const std::string& feature : row.features) errors[feature].push_back(row.error());
  }
  std::vector<std::pair<double, std::string>> lines;
  for (const auto& [feature, signed_errors] : errors) {
    std::vector<double> absolute;
    for (double e : signed_errors) absolute.push_back(std::abs(e));
    const double median = quantile(absolute, 0.5);
    lines.emplace_back(
        median, fmt::format("{:<14} {:>4} {:8.1f} % {:8.1f} % {:+8.1f} %", feature, absolute.size(), 100 * median,
                            100 * quantile(absolute, 1), 100 * quantile(signed_errors, 0.5)));
  }
  std::sort(lines.rbegin(), lines.rend());
  fmt::print("\n{:<14} {:>4} {:>10} {:>10} {:>10}\n", "feature", "runs", "median", "largest", "signed");
  for (const auto& [median, line] : lines) fmt::print("{}\n", line);
}

int run(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const Machine machine = calibrated(options);
  fmt::print("{:<28} {:>9} {:>9} {:>9} {:>9}   {:>9}  {}\n", "configuration", "median ms", "p10", "p90", "predicted",
             "error", "memory");
  std::vector<Row> rows;
  for (const Config& config : options.matrix > 0 ? matrix(options.matrix, options.seed) : configs()) {
    if (config.name.find(options.only) != std::string::npos) rows.push_back(run_config(config, machine, options));
  }
  if (rows.empty())
    throw Error(ErrorKind::kConfig, "--only " + options.only + ": no configuration has this in its name");
  print_summary(rows, options);
  if (options.matrix > 0) print_features(rows);
  return std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.memory_equal; }) ? 0 : 1;
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  try {
    return shardscope::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "agreement_bench: {}\n", error.what());
    return 2;
  }
}
