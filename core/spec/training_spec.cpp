// Second half of reading ds_config.json: a clean configuration (training_clean.cpp) becomes a TrainingSpec. Types and
// ranges of single keys are settled by then; what several keys say together is checked here and in training_rules.cpp.

#include "core/spec/training_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/spec/spec_nodes.h"

namespace shardscope {
namespace {

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return out;
}

OffloadDevice device_of(const JsonReader& offload) {
  const std::string device = lower_case(offload.text("device", "none"));
  if (device == "cpu") return OffloadDevice::kCpu;
  return device == "nvme" ? OffloadDevice::kNvme : OffloadDevice::kNone;
}

void read_offload(const JsonReader& zero, std::string_view key, OffloadSpec& spec) {
  const auto offload = zero.object(key);
  if (!offload) return;
  spec.device = device_of(*offload);
  spec.nvme_path = offload->text("nvme_path", "");
  spec.buffer_count = offload->integer("buffer_count", {}, spec.buffer_count);
  spec.buffer_size = offload->integer("buffer_size", {}, spec.buffer_size);
  spec.max_in_cpu = offload->integer("max_in_cpu", {}, spec.max_in_cpu);
  spec.pin_memory = offload->boolean("pin_memory", spec.pin_memory);
  spec.pipeline_read = offload->boolean("pipeline_read", spec.pipeline_read);
  spec.pipeline_write = offload->boolean("pipeline_write", spec.pipeline_write);
  spec.fast_init = offload->boolean("fast_init", spec.fast_init);
  spec.ratio = offload->real("ratio", {}, spec.ratio);
}

ZeroSpec read_zero(const JsonReader& config) {
  ZeroSpec spec;
  spec.offload_param.buffer_count = 5;
  const auto zero = config.object("zero_optimization");
  if (!zero) return spec;
  spec.stage = static_cast<int>(zero->integer("stage", {0, 3}, 0));
  spec.reduce_bucket_size = zero->integer("reduce_bucket_size", {}, spec.reduce_bucket_size);
  spec.allgather_bucket_size = zero->integer("allgather_bucket_size", {}, spec.allgather_bucket_size);
  spec.reduce_scatter = zero->boolean("reduce_scatter", spec.reduce_scatter);
  spec.contiguous_gradients = zero->boolean("contiguous_gradients", spec.contiguous_gradients);
  spec.overlap_comm = zero->boolean("overlap_comm", spec.stage == 3);
  spec.round_robin_gradients = zero->boolean("round_robin_gradients", false);
  spec.sub_group_size = zero->integer("sub_group_size", {}, spec.sub_group_size);
  spec.prefetch_bucket_size = zero->integer("stage3_prefetch_bucket_size", {}, spec.prefetch_bucket_size);
  spec.max_live_parameters = zero->integer("stage3_max_live_parameters", {}, spec.max_live_parameters);
  spec.max_reuse_distance = zero->integer("stage3_max_reuse_distance", {}, spec.max_reuse_distance);
  spec.param_persistence_threshold =
      zero->integer("stage3_param_persistence_threshold", {}, spec.param_persistence_threshold);
  spec.model_persistence_threshold =
      zero->integer("stage3_model_persistence_threshold", {}, spec.model_persistence_threshold);
  spec.hpz_partition_size = zero->integer("zero_hpz_partition_size", {}, spec.hpz_partition_size);
  spec.quantized_weights = zero->boolean("zero_quantized_weights", false);
  spec.quantized_gradients = zero->boolean("zero_quantized_gradients", false);
  spec.mics_shard_size = zero->integer("mics_shard_size", {-1}, spec.mics_shard_size);
  read_offload(*zero, "offload_optimizer", spec.offload_optimizer);
  read_offload(*zero, "offload_param", spec.offload_param);
  return spec;
}

void read_betas(const JsonReader& params, OptimizerSpec& spec) {
  const JsonNode* betas = params.find("betas");
  if (betas == nullptr) return;
  const auto beta = [&](std::size_t i) {
    const auto value = i < betas->items.size() ? as_real(betas->items[i]) : std::nullopt;
    if (betas->items.size() != 2 || !value || *value < 0 || *value >= 1) {
      params.fail("betas", "must be two numbers of at least 0 and below 1, such as [0.9, 0.999]");
    }
    return *value;
  };
  spec.beta1 = beta(0);
  spec.beta2 = beta(1);
}

OptimizerSpec read_optimizer(const JsonReader& config) {
  OptimizerSpec spec;
  const auto optimizer = config.object("optimizer");
  if (!optimizer) return spec;
  const auto params = optimizer->object("params");
  const bool adam_w_mode = !params || params->boolean("adam_w_mode", true);
  if (lower_case(optimizer->text("type", "adamw")) == "adam" && !adam_w_mode) spec.kind = OptimizerKind::kAdam;
  if (!params) return spec;
  spec.lr = params->real("lr", {}, spec.lr);
  spec.eps = params->real("eps", {}, spec.eps);
  spec.weight_decay = params->real("weight_decay", {}, spec.weight_decay);
  spec.bias_correction = params->boolean("bias_correction", true);
  read_betas(*params, spec);
  return spec;
}

ScheduleKind schedule_kind(const std::string& type) {
  if (type == "WarmupLR") return ScheduleKind::kWarmupLR;
  if (type == "WarmupDecayLR") return ScheduleKind::kWarmupDecayLR;
  if (type == "WarmupCosineLR") return ScheduleKind::kWarmupCosineLR;
  return type == "OneCycle" ? ScheduleKind::kOneCycle : ScheduleKind::kConstant;
}

ScheduleSpec read_schedule(const JsonReader& config, double optimizer_lr) {
  ScheduleSpec spec;
  const auto scheduler = config.object("scheduler");
  if (!scheduler) return spec;
  spec.kind = schedule_kind(scheduler->text("type", ""));
  if (spec.kind != ScheduleKind::kWarmupDecayLR) spec.warmup_max_lr = optimizer_lr;
  const auto params = scheduler->object("params");
  if (!params) return spec;
  spec.warmup_min_lr = params->real("warmup_min_lr", {}, 0);
  spec.warmup_max_lr = params->real("warmup_max_lr", {}, spec.warmup_max_lr);
  spec.warmup_num_steps = std::max<std::int64_t>(2, params->integer("warmup_num_steps", {}, spec.warmup_num_steps));
  spec.warmup_log = lower_case(params->text("warmup_type", "log")) == "log";
  spec.total_num_steps = params->integer("total_num_steps", {}, 0);
  spec.warmup_min_ratio = params->real("warmup_min_ratio", {}, 0);
  spec.cos_min_ratio = params->real("cos_min_ratio", {}, spec.cos_min_ratio);
  spec.cycle_min_lr = params->real("cycle_min_lr", {}, 0);
  spec.cycle_max_lr = params->real("cycle_max_lr", {}, 0);
  spec.decay_lr_rate = params->real("decay_lr_rate", {}, 0);
  spec.cycle_first_step_size = params->integer("cycle_first_step_size", {}, spec.cycle_first_step_size);
  spec.cycle_second_step_size = params->integer("cycle_second_step_size", {-1}, -1);
  spec.decay_step_size = params->integer("decay_step_size", {}, 0);
  return spec;
}

PrecisionSpec read_precision(const JsonReader& config) {
  PrecisionSpec spec;
  const auto fp16 = config.object("fp16"), bf16 = config.object("bf16");
  const bool use_fp16 = fp16 && fp16->boolean("enabled", false), use_bf16 = bf16 && bf16->boolean("enabled", false);
  if (use_fp16 && use_bf16) {
    config.fail("bf16", "and fp16 are both enabled, which DeepSpeed refuses too; enable one of them");
  }
  if (use_fp16) spec.kind = Precision::kFp16;
  if (use_bf16) spec.kind = Precision::kBf16;
  if (fp16) {
    spec.loss_scale = fp16->real("loss_scale", {}, 0);
    spec.initial_scale_power = static_cast<int>(fp16->integer("initial_scale_power", {}, 16));
    spec.loss_scale_window = fp16->integer("loss_scale_window", {}, spec.loss_scale_window);
    spec.hysteresis = static_cast<int>(fp16->integer("hysteresis", {}, 2));
    spec.consecutive_hysteresis = fp16->boolean("consecutive_hysteresis", false);
    spec.min_loss_scale = static_cast<double>(fp16->integer("min_loss_scale", {}, 1));
  }
  if (bf16) spec.check_grad_overflow = bf16->boolean("check_grad_overflow", true);
  if (const auto types = config.object("data_types")) {
    spec.grad_accum_dtype = lower_case(types->text("grad_accum_dtype", ""));
  }
  spec.communication_data_type = lower_case(config.text("communication_data_type", ""));
  return spec;
}

CheckpointingSpec read_checkpointing(const JsonReader& config) {
  CheckpointingSpec spec;
  const auto block = config.object("activation_checkpointing");
  if (!block) return spec;
  spec.partition_activations = block->boolean("partition_activations", false);
  spec.cpu_checkpointing = block->boolean("cpu_checkpointing", false);
  spec.contiguous_memory_optimization = block->boolean("contiguous_memory_optimization", false);
  spec.number_checkpoints = block->integer("number_checkpoints", {}, 0);
  return spec;
}

AioSpec read_aio(const JsonReader& config) {
  AioSpec spec;
  const auto block = config.object("aio");
  if (!block) return spec;
  spec.block_size = block->integer("block_size", {}, spec.block_size);
  spec.queue_depth = block->integer("queue_depth", {}, spec.queue_depth);
  spec.intra_op_parallelism = block->integer("intra_op_parallelism", {}, spec.intra_op_parallelism);
  spec.single_submit = block->boolean("single_submit", spec.single_submit);
  spec.overlap_events = block->boolean("overlap_events", spec.overlap_events);
  spec.use_gds = block->boolean("use_gds", spec.use_gds);
  return spec;
}

/// What DeepSpeed refuses when it reads the file, beyond single keys.
void refuse_what_deepspeed_refuses(const JsonReader& config, const TrainingSpec& spec) {
  const ZeroSpec& zero = spec.zero;
  if (zero.offload_optimizer.ratio < 1 && zero.stage != 3) {
    config.object("zero_optimization")
        ->object("offload_optimizer")
        ->fail("ratio", fmt::format("is {} at stage {}; a partial offload needs stage 3", zero.offload_optimizer.ratio,
                                    zero.stage));
  }
  if (lower_case(config.text("gradient_allreduce_op", "mean")) == "sum" && zero.stage == 3) {
    config.fail("gradient_allreduce_op", "is \"sum\", which stage 3 refuses; it must be \"mean\"");
  }
}

}  // namespace

TrainingSpec fill_training(const JsonReader& config) {
  TrainingSpec spec;
  spec.gradient_clipping = config.real("gradient_clipping", {}, spec.gradient_clipping);
  spec.zero = read_zero(config);
  spec.optimizer = read_optimizer(config);
  spec.schedule = read_schedule(config, spec.optimizer.lr);
  spec.precision = read_precision(config);
  spec.checkpointing = read_checkpointing(config);
  spec.aio = read_aio(config);
  refuse_what_deepspeed_refuses(config, spec);
  return spec;
}

void apply_batch_rule(const JsonReader& config, int data_parallel, TrainingSpec& spec) {
  constexpr const char *kTrain = "train_batch_size", *kMicro = "train_micro_batch_size_per_gpu",
                       *kAccumulation = "gradient_accumulation_steps";
  const bool has_train = config.has(kTrain), has_micro = config.has(kMicro), has_acc = config.has(kAccumulation);
  if (!has_train && !has_micro) {
    config.fail(kTrain,
                "and train_micro_batch_size_per_gpu are both missing; one of them is needed, such as "
                "\"train_micro_batch_size_per_gpu\": 1");
  }
  std::int64_t train = config.integer(kTrain, {1}, 0), micro = config.integer(kMicro, {1}, 0),
               acc = config.integer(kAccumulation, {1}, 0);
  std::int64_t ranks = data_parallel;
  if (ranks <= 0) ranks = has_train && has_micro && has_acc ? std::max<std::int64_t>(1, train / (micro * acc)) : 1;
  if (!has_micro) micro = has_acc ? train / ranks / acc : train / ranks;
  if (!has_acc) acc = has_train && has_micro ? train / micro / ranks : 1;
  std::int64_t product = 0;
  if (__builtin_mul_overflow(micro, acc, &product) || __builtin_mul_overflow(product, ranks, &product)) {
    config.fail(kMicro, "times accumulation times ranks is more than 2^63; it must be smaller");
  }
  if (!has_train) train = product;
  if (train != product || product == 0) {
    config.fail(kTrain,
                fmt::format("is {}, which is not micro batch {} * accumulation {} * data-parallel size {} = {}; "
                            "they must be equal and above 0",
                            train, micro, acc, ranks, product));
  }
  spec.train_batch_size = train;
  spec.micro_batch = micro;
  spec.accumulation = acc;
}

TrainingSpec read_training(JsonNode root, const std::string& file, const std::string& prefix, int data_parallel,
                           const AutoValues& autos) {
  CleanConfig clean = clean_config(std::move(root), file, prefix, autos, ConfigMode::kRead);
  const JsonReader config(clean.root, file, prefix);
  TrainingSpec spec = fill_training(config);
  apply_batch_rule(config, std::max(1, data_parallel), spec);
  spec.findings = std::move(clean.findings);
  for (RuleHit& hit : find_rule_hits(config, spec, nullptr, data_parallel)) {
    if (hit.fatal) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("{}: {}: {}", file, config.path_of(hit.finding.key), hit.finding.text));
    }
    spec.findings.push_back(std::move(hit.finding));
  }
  return spec;
}

TrainingSpec parse_training(std::string_view json_text, const std::string& file_name, int data_parallel,
                            const AutoValues& autos) {
  return read_training(parse_json(json_text, file_name), file_name, "", data_parallel, autos);
}

TrainingSpec load_training(const std::string& path, int data_parallel, const AutoValues& autos) {
  return parse_training(read_text_file(path), path, data_parallel, autos);
}

std::vector<Finding> check_training(std::string_view json_text, const std::string& file_name, const ModelSpec* model,
                                    int data_parallel) {
  return check_training(parse_json(json_text, file_name), file_name, "", model, data_parallel);
}

std::vector<Finding> check_training(JsonNode root, const std::string& file_name, const std::string& prefix,
                                    const ModelSpec* model, int data_parallel) {
  AutoValues autos;
  autos.hidden = model != nullptr ? model->hidden : 0;
  autos.total_steps = 1000;  // any number will do: Trainer knows its own
  CleanConfig clean = clean_config(std::move(root), file_name, prefix, autos, ConfigMode::kCheck);
  const JsonReader config(clean.root, file_name, prefix);
  TrainingSpec spec = fill_training(config);
  apply_batch_rule(config, data_parallel, spec);
  std::vector<Finding> findings = std::move(clean.findings);
  for (RuleHit& hit : find_rule_hits(config, spec, model, data_parallel)) findings.push_back(std::move(hit.finding));
  return findings;
}

std::string_view to_string(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::kNoEffectHere:
      return "no effect here";
    case Finding::Kind::kIgnoredByDeepSpeed:
      return "ignored by DeepSpeed";
    case Finding::Kind::kDead:
      return "dead in DeepSpeed";
    case Finding::Kind::kWouldAssert:
      return "would stop DeepSpeed";
    case Finding::Kind::kDefeatsPurpose:
      return "defeats its purpose";
    case Finding::Kind::kNotRunHere:
      return "not run here";
  }
  SS_CHECK(false, static_cast<int>(kind));
}

}  // namespace shardscope
