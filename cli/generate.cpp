// shardscope generate: continues prompts on this machine's cores, and sets the prediction of the same run beside it.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "cli/backends.h"
#include "cli/command.h"
#include "cli/generate_report.h"
#include "cli/run_json.h"
#include "core/engine/checkpoint/resume.h"
#include "core/error.h"
#include "core/program/text.h"
#include "core/spec/hardware.h"
#include "core/spec/model_catalog.h"
#include "profiler/store/profile_writer.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string model, weights, tokenizer, prompt, prompts, dtype = "fp32", machine, cluster, profile, name = "generate",
                                                          lower;
  std::vector<std::int32_t> prompt_tokens;
  SamplingSpec sampling;
  std::optional<std::int64_t> new_tokens;
  std::int64_t device_memory = 0;
  std::uint64_t seed = 0;
  int tp = 1, threads = 0;
  BackendChoice backend;
  bool json = false, quiet = false, begin = false, ignore_end = false, predict = false;
};

constexpr std::int64_t kMostPromptBytes = 64 << 20, kDefaultNewTokens = 64;

// A signal handler can reach nothing else. The first Ctrl-C finishes the step; the second ends the process.
std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void request_stop(int /*signal*/) {
  stop_requested = true;
  std::signal(SIGINT, SIG_DFL);
}

void say(const std::string& line) { fmt::print(stderr, "shardscope: {}\n", line); }
void say_nothing(const std::string& /*line*/) {}

/// One prompt a line; empty lines are none.
std::vector<std::string> read_prompts(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorKind::kConfig, path + ": cannot be read; --prompts takes a text file, one prompt a line");
  std::vector<std::string> lines;
  std::int64_t bytes = 0;
  for (std::string line; std::getline(file, line);) {
    bytes += static_cast<std::int64_t>(line.size());
    if (bytes > kMostPromptBytes) throw Error(ErrorKind::kConfig, path + ": is larger than 64 MiB");
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  if (lines.empty()) throw Error(ErrorKind::kConfig, path + ": holds no prompt; it should have one a line");
  return lines;
}

/// One run of the command.
class Generate {
 public:
  explicit Generate(const Options& options) : options_(options) {
    load_weights();
    tokenizer_ = open_tokenizer(options.tokenizer, spec_.model.vocab_size);
    stream_ = std::make_unique<TextStream>(*tokenizer_);
    read_all_prompts();
    fill_spec();
    check_prompts(spec_, prompts_);
    for (int rank = 0; rank < spec_.tp; ++rank) programs_.push_back(lower_inference(spec_, rank));
    if (options.cluster.empty()) {
      machine_ = options.machine.empty() ? default_machine() : load_machine(options.machine);
    } else {
      cluster_ = load_cluster(default_catalog(), options.cluster);
    }
  }

  int run() {
    if (!options_.lower.empty()) return print_program();
    prediction_ = predict();
    if (!options_.predict) measure();
    if (!options_.profile.empty()) predict_into_profile();
    report();
    if (result_ && result_->interrupted) say("interrupted; what was generated is kept");
    if (!problem_.empty()) say(problem_);
    return (result_ && result_->interrupted) || !problem_.empty() ? kRunFailed : kDone;
  }

 private:
  void load_weights() {
    if (options_.weights.empty()) {
      if (options_.model.empty())
        throw Error(ErrorKind::kConfig, "model: give --model, or --weights with a config.json");
      spec_.model = open_model(options_.model);
      return;
    }
    spec_.model = open_stored_state(options_.weights, options_.model, say).model;
  }

  void read_all_prompts() {
    const int ways = !options_.prompt.empty() + !options_.prompts.empty() + !options_.prompt_tokens.empty();
    if (ways != 1) {
      throw Error(ErrorKind::kConfig, "prompt: give one of --prompt, --prompts and --prompt-tokens");
    }
    if (!options_.prompt_tokens.empty()) {
      prompts_.push_back(options_.prompt_tokens);
      return;
    }
    const std::vector<std::string> texts =
        options_.prompts.empty() ? std::vector{options_.prompt} : read_prompts(options_.prompts);
    for (const std::string& text : texts) prompts_.push_back(encode(text));
  }

  Tokens encode(const std::string& text) const {
    Tokens tokens = tokenizer_->encode(text);
    if (options_.begin) {
      if (!tokenizer_->begin_token()) {
        throw Error(ErrorKind::kConfig, "begin: the tokenizer has no piece for the beginning of a sequence");
      }
      tokens.insert(tokens.begin(), *tokenizer_->begin_token());
    }
    if (tokens.empty()) throw Error(ErrorKind::kConfig, "prompt: has no tokens; it must have at least one");
    return tokens;
  }

  void fill_spec() {
    spec_.tp = options_.tp;
    if (spec_.tp < 1) throw Error(ErrorKind::kConfig, fmt::format("--tp {}: it must be at least 1", spec_.tp));
    spec_.batch = static_cast<std::int64_t>(prompts_.size());
    for (const Tokens& prompt : prompts_)
      spec_.prompt = std::max(spec_.prompt, static_cast<std::int64_t>(prompt.size()));
    spec_.new_tokens = options_.new_tokens.value_or(default_new_tokens());
    spec_.sampling = options_.sampling;
    const std::optional<WeightFormat> format = weight_format_from_name(options_.dtype);
    if (!format) {
      throw Error(ErrorKind::kConfig, fmt::format("dtype: is {}; it must be one of {}", options_.dtype,
                                                  fmt::join(weight_format_names(), ", ")));
    }
    spec_.weights = *format;
  }

  /// As far as the model goes.
  std::int64_t default_new_tokens() const {
    const std::int64_t positions = spec_.model.max_positions;
    return positions > 0 ? std::clamp<std::int64_t>(positions - spec_.prompt + 1, 1, kDefaultNewTokens)
                         : kDefaultNewTokens;
  }

  int print_program() const {
    if (options_.lower != "prefill" && options_.lower != "decode") {
      throw Error(ErrorKind::kConfig, "lower: is " + options_.lower + "; it must be prefill or decode");
    }
    const InferencePrograms& p = programs_.front();
    fmt::print("{}", to_string(options_.lower == "prefill" ? p.prefill : p.decode));
    return kDone;
  }

  // ------------------------------------------------ prediction

  std::vector<Program> phase(bool prefill) const {
    std::vector<Program> programs;
    for (const InferencePrograms& p : programs_) programs.push_back(prefill ? p.prefill : p.decode);
    return programs;
  }

  Prediction simulate_phase(bool prefill, TraceSink* sink) const {
    const std::vector<Program> programs = phase(prefill);
    const SimulateOptions options{.sink = sink, .steps = prefill ? 1 : 2};
    return cluster_ ? simulate(programs, *cluster_, options) : simulate(programs, machine_, options);
  }

  GeneratePrediction predict() const { return {simulate_phase(true, nullptr), simulate_phase(false, nullptr)}; }

  void predict_into_profile() {
    for (const bool prefill : {true, false}) {
      if (!problem_.empty() || (!prefill && spec_.new_tokens == 1)) return;
      ProfileWriter writer(options_.profile, run_info(prefill, true));
      simulate_phase(prefill, &writer);
      writer.finish();
      problem_ = writer.problem();
    }
  }

  RunInfo run_info(bool prefill, bool predicted) const {
    const Program& program = prefill ? programs_.front().prefill : programs_.front().decode;
    return {.name = options_.name + (prefill ? ".prefill" : ".decode"),
            .predicted = predicted,
            .framework = "shardscope",
            .model = spec_.model.name,
            .world = spec_.tp,
            .job_json = fmt::format(R"({{"ranks":{},"batch":{},"prompt":{},"new_tokens":{},"weights":"{}"}})", spec_.tp,
                                    spec_.batch, spec_.prompt, spec_.new_tokens, to_string(spec_.weights)),
            .parameters = parameter_count(spec_.model),
            .tokens_per_step = program.tokens_per_step,
            .flops_per_token = training_flops_per_token(spec_.model, spec_.prompt) / 3,  // forward only
            .peak_flops_per_rank = machine_.peak_per_rank(spec_.tp).value,
            .device_memory_limit = options_.device_memory};
  }

  // ------------------------------------------------ the run

  GenerateOptions generate_options() {
    GenerateOptions g{.seed = options_.seed,
                      .device_memory_bytes = options_.device_memory,
                      .threads_per_rank = options_.threads,
                      .stop = &stop_requested,
                      .programs = &programs_};
    if (!options_.ignore_end) g.end_token = tokenizer_->end_token();
    if (!options_.weights.empty()) {
      g.fill_state = [this](int, const Program& program, const Memory& memory) {
        restore_state(program, memory, *open_stored_state(options_.weights, options_.model, say_nothing).source);
      };
    }
    if (spec_.batch == 1 && !options_.json) {
      g.on_step = [this](const SequenceBatch& batch) { show(stream_->next(batch.continuations()[0].tokens)); };
    }
    return g;
  }

  static void show(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  void measure() {
    if (cluster_) throw Error(ErrorKind::kConfig, "cluster: only predicts; add --predict, or leave it out");
    if (!options_.quiet) print_header();
    GenerateOptions g = generate_options();
    std::unique_ptr<ProfileWriter> prefill, decode;
    if (!options_.profile.empty()) {
      prefill = std::make_unique<ProfileWriter>(options_.profile, run_info(true, false));
      g.prefill_trace = prefill.get();
      if (spec_.new_tokens > 1) {
        decode = std::make_unique<ProfileWriter>(options_.profile, run_info(false, false));
        g.decode_trace = decode.get();
      }
    }
    std::signal(SIGINT, request_stop);
    result_ = generate(spec_, prompts_, backend_factory(options_.backend), g);
    std::signal(SIGINT, SIG_DFL);
    for (ProfileWriter* writer : {prefill.get(), decode.get()}) {
      if (writer == nullptr) continue;
      writer->finish(result_->interrupted ? RunStatus::kInterrupted : RunStatus::kFinished);
      if (problem_.empty()) problem_ = writer->problem();
    }
  }

  void print_header() const {
    fmt::print(stderr, "{}: {:.1f} M parameters in {}, {} sequence{}, prompts of up to {} tokens, {} rank{}{}\n",
               spec_.model.name, static_cast<double>(parameter_count(spec_.model)) * 1e-6, to_string(spec_.weights),
               spec_.batch, spec_.batch == 1 ? "" : "s", spec_.prompt, spec_.tp, spec_.tp == 1 ? "" : "s",
               options_.weights.empty() ? "; weights are random: give --weights" : "");
  }

  // ------------------------------------------------ what came out

  void report() {
    const GenerateReport report{spec_, programs_, prompts_, result_ ? &*result_ : nullptr, prediction_};
    std::vector<std::string> texts;
    if (result_) {
      for (const Continuation& c : result_->continuations) texts.push_back(tokenizer_->decode(c.tokens));
    }
    if (options_.json) {
      nlohmann::ordered_json out = report_json(report, texts);
      out["profile"] = options_.profile.empty() ? nlohmann::json(nullptr) : nlohmann::json(options_.profile);
      fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      return;
    }
    if (result_ && spec_.batch == 1) show(stream_->finish(result_->continuations[0].tokens) + "\n");
    if (result_ && spec_.batch > 1) print_sequences(texts);
    if (!options_.quiet) fmt::print(options_.predict ? stdout : stderr, "{}", report_text(report));
  }

  void print_sequences(const std::vector<std::string>& texts) const {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      show(fmt::format("--- {}\n{}{}\n", i, tokenizer_->decode(prompts_[i]), texts[i]));
    }
  }

  const Options& options_;
  InferenceSpec spec_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<Tokens> prompts_;
  std::vector<InferencePrograms> programs_;
  Machine machine_;
  std::optional<ClusterSpec> cluster_;
  GeneratePrediction prediction_;
  std::optional<GenerateResult> result_;
  std::unique_ptr<TextStream> stream_;
  std::string problem_;
};

void add_options(CLI::App& c, Options& o) {
  c.add_option(
       "--model", o.model,
       "A name that `shardscope models` lists, or a Hugging Face config.json; not needed if the weights have one")
      ->type_name("MODEL");
  c.add_option("--weights", o.weights, "safetensors, or a checkpoint: ours or DeepSpeed's. Without it they are random")
      ->type_name("PATH");
  c.add_option("--tokenizer", o.tokenizer, "SentencePiece model; without it tokens are bytes")->type_name("PATH");
  c.add_option("--prompt", o.prompt, "Text to continue")->type_name("TEXT");
  c.add_option("--prompts", o.prompts, "A text file, one prompt a line: they are continued together")
      ->type_name("FILE");
  c.add_option("--prompt-tokens", o.prompt_tokens, "A prompt as numbers of tokens, for other tokenizers")
      ->delimiter(',')
      ->type_name("N,N,...");
  c.add_option("--max-new-tokens", o.new_tokens,
               "Tokens to add to each prompt (default 64, or as many as the model has positions for)");
  c.add_option("--temperature", o.sampling.temperature, "0 (default): the most probable token; else draws");
  c.add_option("--top-k", o.sampling.top_k, "Draw from the K most probable; 0: all");
  c.add_option("--top-p", o.sampling.top_p, "Draw from the fewest that have this much of the probability; 1: all");
  c.add_option("--seed", o.seed, "Of what is drawn: the same seed gives the same tokens");
  c.add_option("--dtype", o.dtype,
               "How weights lie in memory: fp32, bf16, fp16, or int8 (one scale per output channel)");
  c.add_option("--tp", o.tp, "Tensor-parallel ranks");
  c.add_option("--backend", o.backend.name, "cpu (default), or cuda: one GPU for each rank (docs/cuda.md)")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  c.add_flag("--share-gpu", o.backend.share_gpu,
             "Ranks may share a GPU: collectives go through host memory instead of NCCL. Slow; for tests");
  c.add_flag("--tf32", o.backend.tf32,
             "With --backend cuda: products of fp32 matrices round their operands to TF32 (10 bits)");
  c.add_flag("!--no-graphs", o.backend.graphs,
             "With --backend cuda: launch each op by itself, not the ops of a lane as CUDA graphs (docs/cuda.md); "
             "to compare, or where a driver will not have them");
  c.add_option("--threads", o.threads, "Threads per rank; 0: cores / ranks")->check(CLI::Range(0, 4096));
  c.add_option("--device-memory", o.device_memory, "Limit of a rank's device memory, e.g. 2GiB")
      ->type_name("BYTES")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 60));
  c.add_flag("--begin", o.begin, "Put the tokenizer's beginning-of-sequence piece before each prompt");
  c.add_flag("--ignore-end", o.ignore_end, "Go on after the tokenizer's end-of-sequence piece");
  c.add_option("--machine", o.machine, "Machine file written by 'shardscope calibrate'")->type_name("PATH");
  c.add_option("--cluster", o.cluster, "SYSTEM:GPUS (see 'shardscope hardware') or a file, with --predict")
      ->type_name("CLUSTER");
  c.add_flag("--predict", o.predict, "Only predict: memory and time, without running");
  c.add_option("--profile", o.profile, "Profile to write, or to add to: a run for prefill and one for decode")
      ->type_name("RUN.db");
  c.add_option("--name", o.name, "Name of the runs in the profile");
  c.add_option("--lower", o.lower, "Print the program of rank 0 and do nothing else: prefill or decode");
  c.add_flag("--quiet", o.quiet, "Nothing but the text");
  c.add_flag("--json", o.json,
             "One JSON object at the end: sequences, prefill, decode, memory, ... (docs/generate.md)");
}

}  // namespace

void add_generate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("generate", "Continue prompts, with a cache of keys and values.");
  add_options(*command, *options);
  command->footer(
      "The text goes to standard output as it comes, speed and memory to standard error, measured and predicted.\n"
      "Ctrl-C ends after the token under way and keeps what was generated.\n"
      "Examples:\n"
      "  shardscope generate --weights ckpt --prompt 'To be, or not' --max-new-tokens 100\n"
      "  shardscope generate --weights llama/ --tokenizer llama/tokenizer.model --begin --prompt 'Once' --temperature "
      "0.8 --top-p 0.95\n"
      "  shardscope generate --weights ckpt --prompts questions.txt --tp 2 --dtype int8 --json\n"
      "  shardscope generate --model data/models/llama-3-8b.json --prompt-tokens 1,2,3 --tp 4 --predict --cluster "
      "data/clusters/dgx-h100-4.json\n");
  command->callback([options, &exit_code] { exit_code = Generate(*options).run(); });
}

}  // namespace shardscope::cli
