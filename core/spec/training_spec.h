#pragma once
// How it is trained: DeepSpeed's ds_config.json, normalised. Keys, defaults and rules are DeepSpeed 0.19's
// (docs/ds_config.md lists every key and what it means here).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

struct ModelSpec;

enum class OffloadDevice : std::uint8_t { kNone, kCpu, kNvme };
enum class OptimizerKind : std::uint8_t { kAdam, kAdamW };
enum class ScheduleKind : std::uint8_t { kConstant, kWarmupLR, kWarmupDecayLR, kWarmupCosineLR, kOneCycle };
enum class Precision : std::uint8_t { kFp32, kBf16, kFp16 };

/// "offload_optimizer" and "offload_param".
struct OffloadSpec {
  OffloadDevice device = OffloadDevice::kNone;
  std::string nvme_path;
  std::int64_t buffer_count = 4;
  std::int64_t buffer_size = 100'000'000;   ///< elements; offload_param only
  std::int64_t max_in_cpu = 1'000'000'000;  ///< elements; offload_param only
  bool pin_memory = true, pipeline_read = false, pipeline_write = false, fast_init = false;
  double ratio = 1;  ///< offload_optimizer only (Twin-Flow)
};

/// "zero_optimization". Sizes are in elements, as in DeepSpeed.
struct ZeroSpec {
  int stage = 0;
  std::int64_t reduce_bucket_size = 500'000'000, allgather_bucket_size = 500'000'000;
  bool reduce_scatter = true, contiguous_gradients = true;
  bool overlap_comm = false;  ///< default true for stage 3
  bool round_robin_gradients = false;
  std::int64_t sub_group_size = 1'000'000'000;
  std::int64_t prefetch_bucket_size = 50'000'000;
  std::int64_t max_live_parameters = 1'000'000'000, max_reuse_distance = 1'000'000'000;
  std::int64_t param_persistence_threshold = 100'000;
  std::int64_t model_persistence_threshold = INT64_MAX;
  OffloadSpec offload_optimizer, offload_param;
  std::int64_t hpz_partition_size = 1;
  bool quantized_weights = false, quantized_gradients = false;
  std::int64_t mics_shard_size = -1;
};

struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool bias_correction = true;
};

/// "scheduler": learning rate as a function of the number of applied steps. Formulas in core/engine/lr_schedule.h.
struct ScheduleSpec {
  ScheduleKind kind = ScheduleKind::kConstant;
  double warmup_min_lr = 0, warmup_max_lr = 1e-3;
  std::int64_t warmup_num_steps = 1000;
  bool warmup_log = true;  ///< warmup_type "log" (DeepSpeed's default) or "linear"
  std::int64_t total_num_steps = 0;
  double warmup_min_ratio = 0, cos_min_ratio = 1e-4;             ///< WarmupCosineLR
  double cycle_min_lr = 0, cycle_max_lr = 0, decay_lr_rate = 0;  ///< OneCycle
  std::int64_t cycle_first_step_size = 2000, cycle_second_step_size = -1, decay_step_size = 0;
};

/// "fp16" and "bf16".
struct PrecisionSpec {
  Precision kind = Precision::kFp32;
  double loss_scale = 0;  ///< 0: dynamic
  int initial_scale_power = 16;
  std::int64_t loss_scale_window = 1000;
  int hysteresis = 2;
  bool consecutive_hysteresis = false;
  double min_loss_scale = 1;
  bool check_grad_overflow = true;                        ///< bf16: a step whose gradients overflow is skipped
  std::string grad_accum_dtype, communication_data_type;  ///< empty: the model's
};

/// "activation_checkpointing".
struct CheckpointingSpec {
  bool partition_activations = false, cpu_checkpointing = false, contiguous_memory_optimization = false;
  std::int64_t number_checkpoints = 0;
};

/// "aio".
struct AioSpec {
  std::int64_t block_size = 1 << 20, queue_depth = 8, intra_op_parallelism = 1;
  bool single_submit = false, overlap_events = true, use_gds = false;
};

/// A finding about a configuration that is legal, but not what it looks like.
struct Finding {
  enum class Kind : std::uint8_t {
    kNoEffectHere,        ///< a DeepSpeed key that this program accepts and does not need
    kIgnoredByDeepSpeed,  ///< DeepSpeed drops it without a word (a typo, an unknown top-level key)
    kDead,                ///< DeepSpeed reads it and nothing uses it (allgather_bucket_size)
    kWouldAssert,         ///< DeepSpeed would stop with an assertion
    kDefeatsPurpose,      ///< works, but undoes what was asked for
    kNotRunHere,          ///< DeepSpeed can, Shardscope refuses to run it
  };
  Kind kind = Kind::kNoEffectHere;
  std::string key;   ///< "zero_optimization.allgather_bucket_size"
  std::string text;  ///< one sentence: what happens and what would be right
};
std::string_view to_string(Finding::Kind);

struct TrainingSpec {
  std::int64_t train_batch_size = 0;  ///< sequences per step = micro_batch * accumulation * data-parallel size
  std::int64_t micro_batch = 0;       ///< train_micro_batch_size_per_gpu
  std::int64_t accumulation = 0;      ///< gradient_accumulation_steps
  double gradient_clipping = 1.0;     ///< 0: none. DeepSpeed's default is 1.0 since 2026-06
  ZeroSpec zero;
  OptimizerSpec optimizer;
  ScheduleSpec schedule;
  PrecisionSpec precision;
  CheckpointingSpec checkpointing;
  AioSpec aio;
  std::vector<Finding> findings;  ///< notes of the reader; not errors
};

/// What fills "auto", as HF Trainer does it (facts in docs/ds_config.md). hidden 0: no model known, "auto" sizes
/// refused.
struct AutoValues {
  std::int64_t hidden = 0;
  std::int64_t micro_batch = 1, accumulation = 1;
  double max_grad_norm = 1.0, learning_rate = 5e-5, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  std::int64_t warmup_steps = 0, total_steps = 0;
  Precision precision = Precision::kFp32;  ///< HF's --bf16 and --fp16
};

/// Reads ds_config.json (comments and trailing commas allowed, as HJSON). `data_parallel` closes the batch rule.
/// An unknown key is an error with the nearest known key named; a known key without effect here becomes a finding.
/// Throws Error with file, key path, and what would be right.
TrainingSpec load_training(const std::string& path, int data_parallel, const AutoValues& autos);
TrainingSpec parse_training(std::string_view json_text, const std::string& file_name, int data_parallel,
                            const AutoValues& autos);

/// Everything `shardscope check` says about a configuration (and, with a model, about the two together). Unlike
/// parse_training it does not stop at what DeepSpeed would silently ignore: it reports it. Throws Error for what
/// DeepSpeed itself would refuse. `data_parallel` 0: not known, taken from the batch keys.
std::vector<Finding> check_training(std::string_view json_text, const std::string& file_name, const ModelSpec* model,
                                    int data_parallel);

}  // namespace shardscope
