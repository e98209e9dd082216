// Reads a job file. Flags are put over its keys before anything is interpreted, so a flag and a key mean the same.

#include "core/spec/job.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <filesystem>

#include "core/check.h"
#include "core/spec/hardware.h"
#include "core/spec/model_catalog.h"
#include "core/spec/spec_nodes.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMostRanks = 1 << 24;

constexpr std::array<std::string_view, 6> kSchedules = {"gpipe", "1f1b", "interleaved", "zb-h1", "zbv", "dualpipev"};
constexpr std::array<std::string_view, 3> kPartitions = {"uniform", "parameters", "balanced"};
constexpr std::array<std::string_view, 3> kRecomputes = {"none", "selective", "full"};
constexpr std::array<std::string_view, 2> kFp8Formats = {"hybrid", "e4m3"};
constexpr std::array<std::string_view, 3> kLaunchers = {"auto", "threads", "mpi"};
constexpr std::array<std::string_view, 2> kZeroModes = {"textbook", "deepspeed"};

const std::vector<std::string_view> kJobKeys = {"model",
                                                "deepspeed",
                                                "parallel",
                                                "recompute",
                                                "zero_mode",
                                                "data",
                                                "steps",
                                                "seed",
                                                "backend",
                                                "launcher",
                                                "hang_timeout_s",
                                                "machine",
                                                "device_memory_bytes",
                                                "cluster",
                                                "profile",
                                                "checkpoint",
                                                "weights",
                                                "moe",
                                                "fp8"};
const std::vector<std::string_view> kParallelKeys = {
    "dp", "tp", "pp", "cp", "ep", "sp", "ulysses", "schedule", "virtual_stages", "partition"};
const std::vector<std::string_view> kRecomputeKeys = {"mode", "every"};
const std::vector<std::string_view> kCheckpointKeys = {"path", "every", "keep", "resume"};
const std::vector<std::string_view> kFp8Keys = {"enabled", "format"};
const std::vector<std::string_view> kMoeKeys = {"capacity_factor"};
const std::vector<std::string_view> kDataKeys = {"path", "tokenizer", "seq_len"};

/// The index of a word among the words that a key may hold.
template <std::size_t N>
std::size_t choice(const JsonReader& reader, std::string_view key, const std::array<std::string_view, N>& words,
                   std::size_t absent) {
  if (!reader.has(key)) return absent;
  const std::string word = reader.text(key);
  for (std::size_t i = 0; i < N; ++i) {
    if (words[i] == word) return i;
  }
  reader.fail(key, fmt::format("is \"{}\"; it must be one of {}", printable(word), fmt::join(words, ", ")));
}

std::string beside(const std::string& file, const std::string& path) {
  const std::filesystem::path given(path);
  if (path.empty() || given.is_absolute()) return path;
  return (std::filesystem::path(file).parent_path() / given).string();
}

JsonNode from_flag(const char* flag, JsonNode value) {
  value.flag = flag;
  return value;
}

/// A member object, made if it is absent.
JsonNode& block(JsonNode& root, const char* key) {
  JsonNode* node = root.find(key);
  if (node == nullptr || node->type == JsonNode::Type::kNull) {
    root.set(key, json_object());
    node = root.find(key);
  }
  return *node;
}

/// Reads the job's keys one part at a time. Paths in the file are relative to it, paths in flags to where we are.
class JobReader {
 public:
  JobReader(JsonNode root, const std::string& file, const JobOverrides& flags)
      : root_(std::move(root)), file_(file), flags_(flags) {}

  Job read() {
    const JsonReader top(root_, file_, "");
    top.refuse_unknown(kJobKeys);
    Job job;
    job.model = model(top);
    job.parallel = parallel(top);
    if (const auto reader = top.object("moe")) {
      reader->refuse_unknown(kMoeKeys);
      job.moe.capacity_factor = reader->real("capacity_factor", {0, 1e6, true}, 0);
    }
    if (const auto reader = top.object("fp8")) {
      reader->refuse_unknown(kFp8Keys);
      job.fp8.enabled = reader->boolean("enabled", false);
      job.fp8.format = static_cast<Fp8Spec::Format>(choice(*reader, "format", kFp8Formats, 0));
    }
    read_run(top, job);
    job.data = data(top, job.model);
    job.checkpoint = checkpoint(top);
    job.training = training(top, job);
    job.text = written_out(job);
    return job;
  }

 private:
  std::string path(const JsonReader& reader, std::string_view key, const std::optional<std::string>& flag) const {
    return flag ? *flag : beside(file_, reader.text(key, ""));
  }

  /// Names do not count as a difference, but tables show them.
  ModelSpec read_named(const ModelText& file) {
    model_ = parse_json(file.text, file.file_name);
    ModelSpec model = parse_model(file.text, file.file_name);
    model_.set("_name_or_path", json_string(model.name));
    return model;
  }

  ModelSpec model(const JsonReader& top) {
    if (flags_.model) return read_named(open_model_text(*flags_.model));
    const JsonNode* node = top.find("model");
    if (node == nullptr) {
      top.fail("model",
               "is missing; it must be a Hugging Face config.json (path or object) or a model's name, or give --model");
    }
    if (node->is_string()) {
      return read_named(open_model_text(node->text, std::filesystem::path(file_).parent_path().string()));
    }
    model_ = *node;
    return read_model(JsonReader(*node, file_, "model"), "");
  }

  ParallelSpec parallel(const JsonReader& top) const {
    ParallelSpec spec;
    if (const auto reader = top.object("parallel")) {
      reader->refuse_unknown(kParallelKeys);
      const auto size = [&](const char* key) { return static_cast<int>(reader->integer(key, {1, 1 << 20}, 1)); };
      spec.dp = size("dp");
      spec.tp = size("tp");
      spec.pp = size("pp");
      spec.cp = size("cp");
      spec.ep = size("ep");
      spec.sp = reader->boolean("sp", false);
      spec.ulysses = size("ulysses");
      spec.schedule = static_cast<PipelineSchedule>(choice(*reader, "schedule", kSchedules, 1));
      spec.virtual_stages = size("virtual_stages");
      spec.partition = static_cast<Partition>(choice(*reader, "partition", kPartitions, 2));
    }
    const std::int64_t others = std::int64_t{spec.tp} * spec.pp * spec.cp;
    if (others > kMostRanks || others * spec.dp > kMostRanks)
      top.fail("parallel", fmt::format("makes more than {} ranks; dp*tp*pp*cp must be smaller", kMostRanks));
    if (flags_.ranks) set_ranks(*flags_.ranks, others, spec);
    return spec;
  }

  void set_ranks(std::int64_t ranks, std::int64_t others, ParallelSpec& spec) const {
    if (ranks < 1 || ranks > kMostRanks || ranks % others != 0) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("--ranks {}: it must be a positive multiple of tp*pp*cp = {}, at most {}", ranks, others,
                              kMostRanks));
    }
    spec.dp = static_cast<int>(ranks / others);
  }

  DataSpec data(const JsonReader& top, const ModelSpec& model) const {
    DataSpec spec;
    const auto reader = top.object("data");
    if (reader) {
      reader->refuse_unknown(kDataKeys);
      spec.path = path(*reader, "path", {});
      spec.tokenizer = path(*reader, "tokenizer", {});
      spec.seq_len = reader->integer("seq_len", {1, INT32_MAX}, 0);
    }
    if (flags_.data) spec.path = *flags_.data;
    if (flags_.tokenizer) spec.tokenizer = *flags_.tokenizer;
    if (flags_.seq_len) spec.seq_len = checked("--seq", *flags_.seq_len);
    if (spec.seq_len == 0) spec.seq_len = std::min<std::int64_t>(model.max_positions, 1024);
    if (spec.seq_len < 1 || (model.positions == PositionKind::kLearned && spec.seq_len > model.max_positions)) {
      throw Error(ErrorKind::kConfig, fmt::format("{}: data.seq_len is {}; the model has positions 1 to {}",
                                                  flags_.seq_len ? "--seq" : file_, spec.seq_len, model.max_positions));
    }
    return spec;
  }

  CheckpointSpec checkpoint(const JsonReader& top) const {
    CheckpointSpec spec;
    std::optional<std::string> resume = flags_.resume;
    if (const auto reader = top.object("checkpoint")) {
      reader->refuse_unknown(kCheckpointKeys);
      spec.path = path(*reader, "path", {});
      spec.every = reader->integer("every", {0, INT32_MAX}, 0);
      spec.keep = reader->integer("keep", {0, INT32_MAX}, 2);
      if (!resume && reader->has("resume")) {
        resume = reader->text("resume");
        if (resume != "auto") *resume = beside(file_, *resume);
      }
    }
    if (flags_.checkpoint) spec.path = *flags_.checkpoint;
    if (flags_.checkpoint_every) spec.every = *flags_.checkpoint_every;
    if (flags_.checkpoint_keep) spec.keep = *flags_.checkpoint_keep;
    spec.weights = path(top, "weights", flags_.weights);
    complete_resume(resume, spec);
    return spec;
  }

  void complete_resume(const std::optional<std::string>& resume, CheckpointSpec& spec) const {
    const auto fail = [&](const std::string& what) { throw Error(ErrorKind::kConfig, file_ + ": " + what); };
    if (spec.every < 0 || spec.keep < 0) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("--checkpoint-{} {}: it must not be negative", spec.every < 0 ? "every" : "keep",
                              spec.every < 0 ? spec.every : spec.keep));
    }
    if (spec.path.empty() && (spec.every > 0 || flags_.checkpoint_keep)) {
      fail("checkpoint.every and checkpoint.keep need checkpoint.path (--checkpoint), a folder to write into");
    }
    if (!resume) return;
    spec.resume_if_any = *resume == "auto";
    spec.resume = resume->empty() || spec.resume_if_any ? spec.path : *resume;
    if (!spec.weights.empty()) fail("weights: a run that goes on from a checkpoint has weights; leave it out");
    if (spec.resume.empty())
      fail("checkpoint.resume: needs a checkpoint to go on from, or checkpoint.path (--checkpoint)");
  }

  /// "full", "full/2" or {"mode": "full", "every": 2}.
  static void read_recompute(const JsonReader& top, Job& job) {
    const JsonNode* node = top.find("recompute");
    JsonNode block = json_object();
    if (node != nullptr && node->is_object()) {
      block = *node;
    } else if (node != nullptr) {
      const std::string text = top.text("recompute");
      const std::size_t slash = text.find('/');
      const auto set = [&](const char* key, JsonNode value) {
        value.line = node->line;
        value.flag = node->flag;
        block.set(key, std::move(value));
      };
      set("mode", json_string(text.substr(0, slash)));
      if (slash != std::string::npos) set("every", json_integer(whole_number(text.substr(slash + 1))));
    }
    const JsonReader reader(block, top.file(), "recompute");
    reader.refuse_unknown(kRecomputeKeys);
    job.recompute = static_cast<Recompute>(choice(reader, "mode", kRecomputes, 0));
    job.recompute_every = reader.integer("every", {1, 1 << 20}, 1);
    if (job.recompute_every > 1 && job.recompute != Recompute::kFull) {
      reader.fail("every", fmt::format("is {}; only full recomputation goes by groups of blocks", job.recompute_every));
    }
  }

  /// 0, which no range takes, where the text is no number.
  static std::int64_t whole_number(const std::string& text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? value : 0;
  }

  static std::int64_t checked(const char* flag, std::int64_t value) {
    if (value >= 1 && value <= INT32_MAX) return value;
    throw Error(ErrorKind::kConfig, fmt::format("{} {}: it must be from 1 to {}", flag, value, INT32_MAX));
  }

  void read_run(const JsonReader& top, Job& job) const {
    job.zero_mode = static_cast<ZeroMode>(choice(top, "zero_mode", kZeroModes, 0));
    read_recompute(top, job);
    job.steps = flags_.steps ? checked("--steps", *flags_.steps) : top.integer("steps", {1, INT32_MAX}, job.steps);
    job.seed = flags_.seed ? *flags_.seed : static_cast<std::uint64_t>(top.integer("seed", {}, 42));
    job.backend = choice(top, "backend", std::array<std::string_view, 2>{"cpu", "cuda"}, 0) == 0 ? "cpu" : "cuda";
    job.launcher = kLaunchers.at(choice(top, "launcher", kLaunchers, 0));
    job.hang_timeout_s = flags_.hang_timeout_s ? *flags_.hang_timeout_s : top.real("hang_timeout_s", {0, 1e9}, 30);
    job.device_memory_bytes = top.integer("device_memory_bytes", {}, 0);
    job.machine = path(top, "machine", flags_.machine);
    job.cluster = path(top, "cluster", flags_.cluster);
    if (!flags_.cluster && names_catalog_cluster(top.text("cluster", ""))) job.cluster = top.text("cluster");
    job.profile = path(top, "profile", flags_.profile);
  }

  TrainingSpec training(const JsonReader& top, const Job& job) {
    AutoValues autos;
    autos.hidden = job.model.hidden;
    autos.total_steps = job.steps;
    std::string file = file_, prefix = "deepspeed";
    JsonNode config = json_object();
    const JsonNode* node = top.find("deepspeed");
    if (flags_.deepspeed || (node != nullptr && node->is_string())) {
      file = flags_.deepspeed ? *flags_.deepspeed : beside(file_, node->text);
      prefix.clear();
      config = parse_json(read_text_file(file), file);
    } else if (node != nullptr) {
      config = *node;
    } else {
      config.set("train_micro_batch_size_per_gpu", json_integer(1));
    }
    if (config.is_object()) apply_flags(config);
    training_ = config;
    return read_training(std::move(config), file, prefix, job.parallel.dp, autos);
  }

  void apply_flags(JsonNode& config) const {
    const auto set = [](JsonNode& node, const char* key, const char* flag, std::int64_t value) {
      node.set(key, from_flag(flag, json_integer(value)));
    };
    if (flags_.micro_batch) set(config, "train_micro_batch_size_per_gpu", "--micro-batch", *flags_.micro_batch);
    if (flags_.accumulation) set(config, "gradient_accumulation_steps", "--accumulation", *flags_.accumulation);
    if (flags_.micro_batch || flags_.accumulation) {
      std::erase_if(config.members, [](const auto& member) { return member.first == "train_batch_size"; });
    }
    if (flags_.stage) {
      JsonNode& zero = block(config, "zero_optimization");
      if (zero.type == JsonNode::Type::kBool) zero = json_object();
      if (zero.is_object()) set(zero, "stage", "--stage", *flags_.stage);
    }
  }

  std::string written_out(const Job& job) const {
    JsonNode text = root_;
    for (const char* where : {"launcher", "hang_timeout_s", "machine", "cluster", "profile", "checkpoint", "weights"}) {
      std::erase_if(text.members, [&](const JsonMember& member) { return member.first == where; });
    }
    text.set("model", model_);
    text.set("deepspeed", training_);
    block(text, "parallel").set("dp", json_integer(job.parallel.dp));
    JsonNode& data = block(text, "data");
    data.set("path", json_string(job.data.path));
    data.set("tokenizer", json_string(job.data.tokenizer));
    data.set("seq_len", json_integer(job.data.seq_len));
    text.set("steps", json_integer(job.steps));
    text.set("seed", json_integer(static_cast<std::int64_t>(job.seed)));
    return to_json_text(text);
  }

  JsonNode root_, model_, training_;
  const std::string& file_;
  const JobOverrides& flags_;
};

void put_flag_words(JsonNode& root, const JobOverrides& flags) {
  if (!root.is_object()) return;
  const auto set = [&](const char* key, const char* flag, const std::optional<std::string>& word) {
    if (word) root.set(key, from_flag(flag, json_string(*word)));
  };
  set("zero_mode", "--zero-mode", flags.zero_mode);
  set("recompute", "--recompute", flags.recompute);
  set("launcher", "--launcher", flags.launcher);
  set("backend", "--backend", flags.backend);
}

}  // namespace

Job parse_job(std::string_view json_text, const std::string& file_name, const JobOverrides& overrides) {
  JsonNode root = parse_json(json_text, file_name);
  put_flag_words(root, overrides);
  return JobReader(std::move(root), file_name, overrides).read();
}

Job load_job(const std::string& path, const JobOverrides& overrides) {
  if (path.empty()) return parse_job("{}", "command line", overrides);
  return parse_job(read_text_file(path), path, overrides);
}

std::string_view to_string(PipelineSchedule schedule) { return kSchedules.at(static_cast<std::size_t>(schedule)); }
std::string_view to_string(ZeroMode mode) { return kZeroModes.at(static_cast<std::size_t>(mode)); }
std::string_view to_string(Recompute recompute) { return kRecomputes.at(static_cast<std::size_t>(recompute)); }
std::string_view to_string(Fp8Spec::Format format) { return kFp8Formats.at(static_cast<std::size_t>(format)); }

}  // namespace shardscope
