#include "core/spec/job_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/spec/json_reader.h"

namespace shardscope {
namespace {

constexpr const char *kTrainBatch = "train_batch_size", *kMicroBatch = "train_micro_batch_size_per_gpu",
                     *kAccumulation = "gradient_accumulation_steps";

/// What settings work on.
struct Change {
  JsonNode job;
  std::set<std::string, std::less<>> set;  ///< names of settings that were made
  std::int64_t ranks = 1;
};

/// A value as JSON, or else as a word.
JsonNode value_of(std::string_view text) {
  try {
    return parse_json(text, "--set");
  } catch (const Error&) {
    return json_string(std::string(text));
  }
}

/// The object at `path` ("deepspeed.zero_optimization"), made where there is none.
JsonNode& object_at(JsonNode& root, std::string_view path) {
  JsonNode* node = &root;
  while (!path.empty()) {
    const std::string key(path.substr(0, path.find('.')));
    path.remove_prefix(std::min(path.size(), key.size() + 1));
    const JsonNode* next = node->find(key);
    if (next == nullptr || !next->is_object()) node->set(key, json_object());
    node = node->find(key);
  }
  return *node;
}

void set_at(JsonNode& root, std::string_view path, JsonNode value) {
  const std::size_t dot = path.rfind('.');
  const std::string_view parent = dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
  const std::string_view key = dot == std::string_view::npos ? path : path.substr(dot + 1);
  object_at(root, parent).set(std::string(key), std::move(value));
}

void erase(JsonNode& object, std::string_view key) {
  std::erase_if(object.members, [&](const JsonMember& member) { return member.first == key; });
}

void set_precision(Change& c, std::string_view value) {
  constexpr std::string_view kKinds[] = {"bf16", "fp16"};
  const bool fp8 = value == "fp8";
  if (value != "fp32" && value != kKinds[0] && value != kKinds[1] && !fp8) {
    throw Error(ErrorKind::kConfig,
                fmt::format("--set precision={}: a job has fp32, bf16, fp16 and fp8", printable(value)));
  }
  if (fp8 || c.job.find("fp8") != nullptr) object_at(c.job, "fp8").set("enabled", value_of(fp8 ? "true" : "false"));
  if (fp8) value = "bf16";  // what the rest is in
  JsonNode& training = object_at(c.job, "deepspeed");
  for (const std::string_view kind : kKinds) {
    if (kind == value || training.find(kind) != nullptr) {
      object_at(training, kind).set("enabled", value_of(kind == value ? "true" : "false"));
    }
  }
}

/// The names of `whatif --set offload`.
void set_offload(Change& c, std::string_view value) {
  const std::size_t dash = value.find('-');
  const std::string_view what = value.substr(0, dash),
                         device = dash == std::string_view::npos ? "" : value.substr(dash + 1);
  const bool parameters = what == "parameters",
             known = (parameters || what == "optimizer") && (device == "cpu" || device == "nvme");
  if (!known && value != "none") {
    throw Error(ErrorKind::kConfig, fmt::format("--set offload={}: there are none, optimizer-cpu, optimizer-nvme, "
                                                "parameters-cpu, parameters-nvme",
                                                printable(value)));
  }
  JsonNode& zero = object_at(c.job, "deepspeed.zero_optimization");
  for (const char* key : {"offload_optimizer", "offload_param"}) erase(zero, key);
  if (!known) return;
  const auto move = [&](const char* key) {
    JsonNode& block = object_at(zero, key);
    block.set("device", json_string(std::string(device)));
    if (device == "nvme") block.set("nvme_path", json_string("/nvme"));  // never opened by a prediction
  };
  move("offload_optimizer");
  if (parameters) move("offload_param");
}

/// A file is one from where we are.
void set_model(Change& c, std::string_view value) {
  std::error_code code;
  const bool is_file = std::filesystem::exists(value, code);
  c.job.set("model", json_string(is_file ? std::filesystem::absolute(value).string() : std::string(value)));
}

struct Setting {
  std::string_view name, meaning, path;  ///< path: of the job's key; empty: `apply`
  void (*apply)(Change&, std::string_view) = nullptr;
};

constexpr Setting kSettings[] = {
    {"zero.stage", "0 to 3", "deepspeed.zero_optimization.stage"},
    {"zero.mode", "textbook or deepspeed", "zero_mode"},
    {"zero.hpz", "ZeRO++: ranks that share a second copy of the parameters; 1: none",
     "deepspeed.zero_optimization.zero_hpz_partition_size"},
    {"zero.quantized_weights", "ZeRO++: gathers in int8", "deepspeed.zero_optimization.zero_quantized_weights"},
    {"zero.quantized_gradients", "ZeRO++: reductions in int4", "deepspeed.zero_optimization.zero_quantized_gradients"},
    {"parallel.dp", "data-parallel ranks", "parallel.dp"},
    {"parallel.tp", "tensor-parallel ranks", "parallel.tp"},
    {"parallel.pp", "pipeline stages", "parallel.pp"},
    {"parallel.vpp", "chunks of the model per stage", "parallel.virtual_stages"},
    {"parallel.cp", "ranks of a ring of keys", "parallel.cp"},
    {"parallel.ulysses", "ranks that swap sequence for heads", "parallel.ulysses"},
    {"parallel.ep", "ranks that share the experts", "parallel.ep"},
    {"parallel.sp", "sequence parallelism beside tp", "parallel.sp"},
    {"parallel.schedule", "of the pipeline", "parallel.schedule"},
    {"ranks", "all of them; dp follows", "",
     [](Change& c, std::string_view v) {
       const JsonNode value = value_of(v);
       if (as_integer(value).value_or(0) < 1) {
         throw Error(ErrorKind::kConfig,
                     fmt::format("--set ranks={}: it must be a whole number from 1 on", printable(v)));
       }
       c.ranks = *as_integer(value);
     }},
    {"micro_batch", "sequences", "deepspeed.train_micro_batch_size_per_gpu"},
    {"accumulation", "micro-batches of a step", "deepspeed.gradient_accumulation_steps"},
    {"global_batch", "sequences of a step", "deepspeed.train_batch_size"},
    {"seq", "tokens of a sequence", "data.seq_len"},
    {"recompute", "none, selective, full, full/2", "recompute"},
    {"precision", "fp32, bf16, fp16, fp8 (with bf16)", "", set_precision},
    {"offload", "none, optimizer-cpu, optimizer-nvme, parameters-cpu, parameters-nvme", "", set_offload},
    {"device_memory", "bytes of a rank's device; 0: no limit", "device_memory_bytes"},
    {"model", "a name or config.json", "", set_model},
};

constexpr std::string_view kPaths[] = {"deepspeed.", "parallel.", "data.", "moe.", "fp8.", "model.", "recompute."};

const Setting* find_setting(std::string_view key) {
  for (const Setting& s : kSettings) {
    if (s.name == key || (s.name.starts_with("parallel.") && s.name.substr(9) == key)) return &s;
  }
  return key == "zero" ? find_setting("zero.stage") : key == "gpus" ? find_setting("ranks") : nullptr;
}

[[noreturn]] void refuse_key(std::string_view key) {
  std::vector<std::string_view> known;
  for (const Setting& s : kSettings) known.push_back(s.name);
  throw Error(ErrorKind::kConfig,
              fmt::format("--set {}: there is no such key{}; there are {}, and paths of the job "
                          "file's keys ({})",
                          printable(key), suggestion(key, known), fmt::join(known, ", "), fmt::join(kPaths, ", ")));
}

void apply_one(Change& c, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw Error(ErrorKind::kConfig, fmt::format("--set {}: it must be KEY=VALUE", printable(assignment)));
  }
  const std::string_view key = assignment.substr(0, equals), value = assignment.substr(equals + 1);
  if (const Setting* setting = find_setting(key)) {
    c.set.insert(std::string(setting->name));
    return setting->path.empty() ? setting->apply(c, value) : set_at(c.job, setting->path, value_of(value));
  }
  const bool is_path =
      std::any_of(std::begin(kPaths), std::end(kPaths), [&](std::string_view p) { return key.starts_with(p); });
  if (!is_path || key.ends_with('.') || key.find("..") != std::string_view::npos) refuse_key(key);
  set_at(c.job, key, value_of(value));
}

std::int64_t size_of(Change& c, const char* key) {
  const JsonNode* node = object_at(c.job, "parallel").find(key);
  return node == nullptr ? 1 : std::clamp<std::int64_t>(as_integer(*node).value_or(1), 1, 1 << 20);
}

std::int64_t others(Change& c) { return size_of(c, "tp") * size_of(c, "pp") * size_of(c, "cp"); }

void close_sizes(Change& c) {
  if (c.set.contains("parallel.dp")) {
    if (!c.set.contains("ranks") || c.ranks == size_of(c, "dp") * others(c)) return;
  } else if (c.ranks % others(c) == 0) {
    return object_at(c.job, "parallel").set("dp", json_integer(c.ranks / others(c)));
  }
  throw Error(ErrorKind::kConfig,
              fmt::format("--set: tp {} x pp {} x cp {} do not divide {} ranks; set ranks or dp too", size_of(c, "tp"),
                          size_of(c, "pp"), size_of(c, "cp"), c.ranks));
}

void close_batch(Change& c, std::int64_t dp_before) {
  JsonNode& training = object_at(c.job, "deepspeed");
  const bool micro = c.set.contains("micro_batch"), accumulation = c.set.contains("accumulation"),
             global = c.set.contains("global_batch");
  if ((micro || accumulation) && !global) return erase(training, kTrainBatch);
  const bool changed = global || size_of(c, "dp") != dp_before;
  if (!changed || training.find(kTrainBatch) == nullptr) return;
  if (training.find(kMicroBatch) != nullptr && !accumulation) erase(training, kAccumulation);
}

}  // namespace

std::string apply_job_settings(std::string_view job_text, const std::vector<std::string>& assignments) {
  Change change{parse_json(job_text, "job"), {}};
  const std::int64_t dp = size_of(change, "dp");
  change.ranks = dp * others(change);
  for (const std::string& assignment : assignments) apply_one(change, assignment);
  close_sizes(change);
  close_batch(change, dp);
  return to_json_text(change.job);
}

std::vector<JobSettingKey> job_setting_keys() {
  std::vector<JobSettingKey> keys;
  for (const Setting& s : kSettings) keys.push_back({s.name, s.meaning});
  return keys;
}

}  // namespace shardscope
