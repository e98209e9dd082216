// Rules about a configuration as a whole, and about a configuration and a model together. Each rule is one function;
// kRules lists them. Facts: DeepSpeed 0.19.6, runtime/engine.py, runtime/zero/, ops/adam, runtime/lr_schedules.py.

#include <fmt/format.h>

#include <algorithm>

#include "core/spec/spec_nodes.h"

namespace shardscope {
namespace {

using Kind = Finding::Kind;

struct Facts {
  const JsonReader& config;
  const TrainingSpec& spec;
  const ModelSpec* model;  ///< may be null
  int ranks;               ///< data-parallel; 0: not known
};

class Hits {
 public:
  void note(Kind kind, std::string key, std::string text) {
    hits_.push_back({{kind, std::move(key), std::move(text)}});
  }
  void fatal(Kind kind, std::string key, std::string text) {
    hits_.push_back({{kind, std::move(key), std::move(text)}, true});
  }
  std::vector<RuleHit> take() { return std::move(hits_); }

 private:
  std::vector<RuleHit> hits_;
};

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return text;
}

bool zero_has(const Facts& f, std::string_view key) {
  const auto zero = f.config.object("zero_optimization");
  return zero && zero->has(key);
}

void optimizer_type(const Facts& f, Hits& hits) {
  const auto optimizer = f.config.object("optimizer");
  if (!optimizer) return;
  const std::string type = lower_case(optimizer->text("type", "adamw"));
  if (type == "adam" || type == "adamw") return;
  const std::vector<std::string_view> deepspeed = {"lion",        "adagrad",    "lamb",   "onebitadam",
                                                   "zerooneadam", "onebitlamb", "muadam", "muadamw",
                                                   "musgd",       "muon",       "sgd"};
  const bool known = std::find(deepspeed.begin(), deepspeed.end(), type) != deepspeed.end();
  if ((type == "onebitadam" || type == "zerooneadam" || type == "onebitlamb") && f.spec.zero.stage > 0) {
    hits.fatal(Kind::kWouldAssert, "optimizer.type", "the 1-bit optimizers cannot be used with ZeRO; use AdamW");
    return;
  }
  const std::string name = printable(optimizer->text("type"));
  if (known) {
    hits.fatal(Kind::kNotRunHere, "optimizer.type", fmt::format("\"{}\" is not run here; use Adam or AdamW", name));
  } else {
    hits.fatal(Kind::kWouldAssert, "optimizer.type",
               fmt::format("\"{}\" is no optimizer that is known; use Adam or AdamW", name));
  }
}

struct Schedule {
  std::string_view type;
  std::vector<std::string_view> required, optional;
};

const std::vector<Schedule>& schedules() {
  static const std::vector<Schedule> kSchedules = {
      {"WarmupLR", {}, {"warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "warmup_type"}},
      {"WarmupDecayLR", {"total_num_steps"}, {"warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "warmup_type"}},
      {"WarmupCosineLR", {"total_num_steps"}, {"warmup_min_ratio", "warmup_num_steps", "cos_min_ratio", "warmup_type"}},
      {"OneCycle",
       {"cycle_min_lr", "cycle_max_lr"},
       {"decay_lr_rate", "cycle_first_step_size", "cycle_second_step_size", "cycle_first_stair_count",
        "cycle_second_stair_count", "decay_step_size", "cycle_momentum", "cycle_min_mom", "cycle_max_mom",
        "decay_mom_rate"}},
  };
  return kSchedules;
}

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void schedule_params(const Facts& f, const Schedule& schedule, const JsonReader& scheduler, Hits& hits) {
  const auto params = scheduler.object("params");
  for (const std::string_view key : schedule.required) {
    if (params && params->has(key)) continue;
    hits.fatal(Kind::kWouldAssert, fmt::format("scheduler.params.{}", key),
               fmt::format("{} needs it, and it is missing", schedule.type));
  }
  if (!params) return;
  for (const auto& [key, value] : params->node().members) {
    if (contains(schedule.required, key) || contains(schedule.optional, key) || key == "last_batch_iteration") continue;
    hits.fatal(Kind::kWouldAssert, fmt::format("scheduler.params.{}", printable(key)),
               fmt::format("{} does not take it, DeepSpeed raises TypeError; remove it", schedule.type));
  }
  const ScheduleSpec& spec = f.spec.schedule;
  if (spec.kind == ScheduleKind::kOneCycle && spec.cycle_max_lr < spec.cycle_min_lr) {
    hits.note(Kind::kDefeatsPurpose, "scheduler.params.cycle_max_lr",
              "the middle of the cycle is below its ends; it should be the larger rate");
  }
  if (schedule.required.size() == 1 && spec.total_num_steps < spec.warmup_num_steps) {
    hits.note(Kind::kDefeatsPurpose, "scheduler.params.total_num_steps",
              fmt::format("{} steps end before the warm-up of {} does; it should be larger", spec.total_num_steps,
                          spec.warmup_num_steps));
  }
}

void scheduler_type(const Facts& f, Hits& hits) {
  const auto scheduler = f.config.object("scheduler");
  if (!scheduler || !scheduler->has("type")) return;
  const std::string type = scheduler->text("type");
  std::vector<std::string_view> names;
  for (const Schedule& schedule : schedules()) {
    names.push_back(schedule.type);
    if (schedule.type == type) return schedule_params(f, schedule, *scheduler, hits);
  }
  if (type == "LRRangeTest") {
    hits.fatal(Kind::kNotRunHere, "scheduler.type", "LRRangeTest is not run here; use one of the other four schedules");
  } else {
    hits.fatal(Kind::kWouldAssert, "scheduler.type",
               fmt::format("\"{}\" is no schedule that is known{}", printable(type), suggestion(type, names)));
  }
}

void offload_blocks(const Facts& f, Hits& hits) {
  const ZeroSpec& zero = f.spec.zero;
  const auto path_missing = [&](const char* key, const OffloadSpec& offload) {
    if (offload.device != OffloadDevice::kNvme || !offload.nvme_path.empty()) return;
    hits.fatal(Kind::kWouldAssert, fmt::format("zero_optimization.{}.nvme_path", key),
               "is missing, but the device is nvme; it must name a folder on the drive");
  };
  path_missing("offload_optimizer", zero.offload_optimizer);
  path_missing("offload_param", zero.offload_param);
  if (zero.offload_param.device != OffloadDevice::kNone && zero.stage != 3) {
    hits.fatal(Kind::kIgnoredByDeepSpeed, "zero_optimization.offload_param",
               fmt::format("stage {} keeps whole parameters on the device; offloading them needs stage 3", zero.stage));
  }
  if (zero.offload_optimizer.device != OffloadDevice::kNone && zero.stage == 0) {
    hits.fatal(Kind::kIgnoredByDeepSpeed, "zero_optimization.offload_optimizer",
               "stage 0 has no ZeRO optimizer to offload; use stage 1, 2 or 3");
  }
  if (zero.offload_optimizer.device == OffloadDevice::kNvme && (zero.stage == 1 || zero.stage == 2)) {
    hits.fatal(Kind::kIgnoredByDeepSpeed, "zero_optimization.offload_optimizer.device",
               fmt::format("stage {} can offload to cpu only; nvme needs stage 3", zero.stage));
  }
}

void swap_buffers(const Facts& f, Hits& hits) {
  const OffloadSpec& offload = f.spec.zero.offload_optimizer;
  if (offload.device != OffloadDevice::kNvme || f.spec.zero.stage != 3) return;
  const std::int64_t needed = 4 * (1 + (offload.pipeline_read ? 1 : 0) + (offload.pipeline_write ? 1 : 0));
  if (offload.buffer_count >= needed) return;
  hits.note(
      Kind::kWouldAssert, "zero_optimization.offload_optimizer.buffer_count",
      fmt::format("{} swap buffers, but the step holds {} at once{}: DeepSpeed stops with \"ran out of swap "
                  "buffers\"; it must be at least {} (here the step's own need is taken, {} beside the gradients)",
                  offload.buffer_count, needed, needed > 4 ? " with pipelining" : "", needed, needed / 4 * 3));
}

void reductions(const Facts& f, Hits& hits) {
  const ZeroSpec& zero = f.spec.zero;
  const bool multi_rank = !zero_has(f, "use_multi_rank_bucket_allreduce") ||
                          f.config.object("zero_optimization")->boolean("use_multi_rank_bucket_allreduce", true);
  if (zero_has(f, "reduce_scatter") && zero.reduce_scatter && multi_rank && (zero.stage == 1 || zero.stage == 2)) {
    hits.note(Kind::kDefeatsPurpose, "zero_optimization.reduce_scatter",
              "stages 1 and 2 of DeepSpeed all-reduce each bucket and keep their slice: twice the volume of a "
              "reduce-scatter (zero_mode \"textbook\" here does scatter)");
  }
}

void unused_at_stage(const Facts& f, Hits& hits) {
  const auto zero = f.config.object("zero_optimization");
  if (!zero) return;
  const int stage = f.spec.zero.stage;
  for (const auto& [key, value] : zero->node().members) {
    const bool stage3_only = key.starts_with("stage3_") || key == "sub_group_size" || key.starts_with("zero_hpz");
    const bool save_only =
        key.find("16bit_weights") != std::string::npos || key.find("fp16_weights") != std::string::npos;
    if (stage3_only && !save_only && stage < 3) {
      hits.note(Kind::kDead, fmt::format("zero_optimization.{}", key),
                fmt::format("read by stage 3 only; this is stage {}", stage));
    }
    const bool any_stage = key == "stage" || stage3_only || key == "offload_optimizer" || key == "offload_param" ||
                           key == "allgather_bucket_size" || key == "allgather_partitions";
    if (stage == 0 && !any_stage) {
      hits.note(Kind::kDead, fmt::format("zero_optimization.{}", key), "read by stages 1 to 3 only; this is stage 0");
    }
  }
}

void precision(const Facts& f, Hits& hits) {
  const TrainingSpec& spec = f.spec;
  const bool offloads = spec.zero.offload_optimizer.device != OffloadDevice::kNone;
  if (spec.precision.kind == Precision::kBf16 && spec.precision.grad_accum_dtype == "fp32" && spec.zero.stage == 1 &&
      !offloads) {
    hits.note(Kind::kDefeatsPurpose, "data_types.grad_accum_dtype",
              "bf16 with fp32 accumulation at stage 1 makes DeepSpeed choose BF16_Optimizer, which keeps a full fp32 "
              "gradient (4 bytes per parameter) on every rank; stage 2, or bf16 accumulation, does not");
  }
}

void clipping(const Facts& f, Hits& hits) {
  const auto zero = f.config.object("zero_optimization");
  const auto offload = zero ? zero->object("offload_optimizer") : std::nullopt;
  const bool super = offload && offload->boolean("super_offload", false);
  if (super && f.spec.gradient_clipping != 0) {
    hits.note(Kind::kDefeatsPurpose, "gradient_clipping",
              fmt::format("{}{}: with clipping SuperOffload never takes its asynchronous path; only 0 allows it",
                          f.spec.gradient_clipping, f.config.has("gradient_clipping") ? "" : " (DeepSpeed's default)"));
  }
}

void pipeline(const Facts& f, Hits& hits) {
  const auto block = f.config.object("pipeline");
  if (!block || f.spec.zero.stage < 2) return;
  const JsonNode* stages = block->find("stages");
  if (stages == nullptr || as_integer(*stages).value_or(0) < 2) return;
  hits.note(Kind::kWouldAssert, "pipeline.stages",
            fmt::format("DeepSpeed's pipeline engine refuses ZeRO stage {}; it must be 0 or 1", f.spec.zero.stage));
}

void measuring(const Facts& f, Hits& hits) {
  const auto logger = f.config.object("comms_logger");
  if (logger && logger->boolean("enabled", false) && f.spec.zero.overlap_comm) {
    hits.note(Kind::kDefeatsPurpose, "comms_logger.enabled",
              "it waits for every collective to time it, so overlap_comm does not overlap");
  }
  const auto flops = f.config.object("flops_profiler");
  const bool timers = f.config.boolean("wall_clock_breakdown", false) || (flops && flops->boolean("enabled", false));
  if (timers && f.spec.zero.overlap_comm) {
    hits.note(Kind::kDefeatsPurpose,
              f.config.boolean("wall_clock_breakdown", false) ? "wall_clock_breakdown" : "flops_profiler.enabled",
              "its timers synchronise the device several times per step, so overlap_comm overlaps less");
  }
}

void pinned_memory(const Facts& f, Hits& hits) {
  const ZeroSpec& zero = f.spec.zero;
  if (zero.offload_optimizer.device != OffloadDevice::kCpu || !zero.offload_optimizer.pin_memory) return;
  hits.note(
      Kind::kDefeatsPurpose, "zero_optimization.offload_optimizer.pin_memory",
      "PyTorch rounds each pinned tensor up to a power of two: host memory can be up to twice what the states need");
}

std::int64_t elements_of(const TensorSpec& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= extent;
  return count;
}

/// A parameter used in forward at position x is used again in backward at 2 * total - x or so: the farthest reuse is
/// two passes over the model, and everything nearer than the distance stays.
void reuse_distance(const Facts& f, Hits& hits) {
  const ZeroSpec& zero = f.spec.zero;
  if (zero.stage != 3 || f.model == nullptr) return;
  const std::int64_t total = parameter_count(*f.model);
  if (total > zero.max_reuse_distance / 2) return;
  hits.note(
      Kind::kDefeatsPurpose, "zero_optimization.stage3_max_reuse_distance",
      fmt::format("{}{} elements reach over forward and backward of this model ({} parameters): nothing is released, "
                  "and stage 3 holds the whole model like stage 2; {} would release",
                  zero.max_reuse_distance, zero_has(f, "stage3_max_reuse_distance") ? "" : " (DeepSpeed's default)",
                  total, std::max<std::int64_t>(0, total / 10)));
}

void persistence(const Facts& f, Hits& hits) {
  const ZeroSpec& zero = f.spec.zero;
  if (zero.stage != 3 || f.model == nullptr) return;
  std::int64_t kept = 0;
  for (const TensorSpec& tensor : list_tensors(*f.model)) {
    const std::int64_t count = elements_of(tensor);
    if (count <= zero.param_persistence_threshold && kept + count <= zero.model_persistence_threshold) kept += count;
  }
  const std::int64_t total = parameter_count(*f.model);
  if (kept < total / 5) return;
  hits.note(Kind::kDefeatsPurpose, "zero_optimization.stage3_param_persistence_threshold",
            fmt::format("parameters of up to {} elements are never sharded out: {} of {} here; hidden * 10 = {} keeps "
                        "norms and biases only",
                        zero.param_persistence_threshold, kept, total, f.model->hidden * 10));
}

void bucket_and_model(const Facts& f, Hits& hits) {
  const ZeroSpec& zero = f.spec.zero;
  if (zero.stage != 3 || f.model == nullptr) return;
  const std::int64_t total = parameter_count(*f.model);
  if (zero.reduce_bucket_size <= total) return;
  const int bytes = f.spec.precision.kind == Precision::kFp32 ? 4 : 2;
  hits.note(Kind::kDefeatsPurpose, "zero_optimization.reduce_bucket_size",
            fmt::format("stage 3 holds a bucket of {} elements ({:.2f} GB) for good, larger than the model's {} "
                        "parameters; hidden * hidden = {} is what Hugging Face takes",
                        zero.reduce_bucket_size, static_cast<double>(zero.reduce_bucket_size) * bytes / 1e9, total,
                        f.model->hidden * f.model->hidden));
}

void parameter_swap(const Facts& f, Hits& hits) {
  const OffloadSpec& offload = f.spec.zero.offload_param;
  if (offload.device != OffloadDevice::kNvme || f.model == nullptr || f.ranks < 1) return;
  std::int64_t largest = 0;
  for (const TensorSpec& tensor : list_tensors(*f.model)) largest = std::max(largest, elements_of(tensor));
  const std::int64_t shard = (largest + f.ranks - 1) / f.ranks;
  if (shard <= offload.buffer_size) return;
  hits.note(Kind::kWouldAssert, "zero_optimization.offload_param.buffer_size",
            fmt::format("{} elements, but the largest shard has {}: it fits no swap buffer; it must be at least {}",
                        offload.buffer_size, shard, shard));
}

void auto_prefetch(const Facts& f, Hits& hits) {
  if (f.model == nullptr || f.spec.zero.stage != 3 || f.model->hidden % 10 == 0) return;
  const auto zero = f.config.object("zero_optimization");
  const std::int64_t h = f.model->hidden;
  if (!zero || f.spec.zero.prefetch_bucket_size != h * h / 10 * 9 + h * h % 10 * 9 / 10) return;
  hits.note(Kind::kWouldAssert, "zero_optimization.stage3_prefetch_bucket_size",
            fmt::format("if this is \"auto\": Hugging Face Trainer fills in 0.9 * {0} * {0}, which is no integer, and "
                        "DeepSpeed refuses it (Accelerate rounds down); give {1}",
                        h, f.spec.zero.prefetch_bucket_size));
}

constexpr void (*kRules[])(const Facts&, Hits&) = {
    optimizer_type, scheduler_type,   offload_blocks, swap_buffers,  reductions,    unused_at_stage,
    precision,      clipping,         pipeline,       measuring,     pinned_memory, reuse_distance,
    persistence,    bucket_and_model, parameter_swap, auto_prefetch,
};

}  // namespace

std::vector<RuleHit> find_rule_hits(const JsonReader& config, const TrainingSpec& spec, const ModelSpec* model,
                                    int data_parallel) {
  const Facts facts{config, spec, model, data_parallel};
  Hits hits;
  for (const auto rule : kRules) rule(facts, hits);
  return hits.take();
}

}  // namespace shardscope
