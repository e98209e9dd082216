// The rows of training_keys.h. Names, defaults and ranges: DeepSpeed 0.19.6 (its configuration classes and
// docs/_pages/config-json.md); what a key does here is ours.

#include "core/spec/training_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"

namespace shardscope {
namespace {

using enum KeyType;
using enum KeyUse;

// clang-format off
constexpr KeyRow kRows[] = {
    // batch
    {"train_batch_size", kInteger, kUsed, "derived", "sequences per step over all ranks = micro * accumulation * data-parallel size", 1, 1000000000000.0},
    {"train_micro_batch_size_per_gpu", kInteger, kUsed, "derived", "sequences of one forward pass of one rank", 1, 1000000000.0},
    {"gradient_accumulation_steps", kInteger, kUsed, "1", "micro-batches per step", 1, 1000000000.0},
    {"managed_gradient_accumulation", kBool, kRefused, "true", "the engine always counts micro-batches itself; false hands that to the training script"},
    // optimizer and schedule
    {"optimizer", kOpen, kUsed, "none", ""},
    {"optimizer.type", kText, kUsed, "none", "Adam and AdamW; Adam means AdamW unless adam_w_mode is false"},
    {"optimizer.legacy_fusion", kBool, kNoEffect, "false", "chooses an old fused fp16 optimizer of DeepSpeed"},
    {"optimizer.params", kPassedOn, kUsed, "{}", ""},
    {"optimizer.params.lr", kReal, kUsed, "1e-3", "learning rate", 0, 1000000.0},
    {"optimizer.params.betas", kList, kUsed, "[0.9, 0.999]", "decay of the two moments, each in [0, 1)"},
    {"optimizer.params.eps", kReal, kUsed, "1e-8", "added to the root of the second moment", 0, 1},
    {"optimizer.params.weight_decay", kReal, kUsed, "0", "decoupled for AdamW, added to the gradient for Adam", 0, 1000000.0},
    {"optimizer.params.bias_correction", kBool, kUsed, "true", "divide the moments by 1 - beta^step"},
    {"optimizer.params.adam_w_mode", kBool, kUsed, "true", "false with type Adam: weight decay goes into the gradient"},
    {"optimizer.params.torch_adam", kBool, kNoEffect, "false", "chooses between implementations of the same update"},
    {"optimizer.params.fused", kBool, kNoEffect, "none", "chooses between implementations of the same update"},
    {"optimizer.params.foreach", kBool, kNoEffect, "none", "chooses between implementations of the same update"},
    {"optimizer.params.amsgrad", kBool, kRefused, "false", "the AMSGrad variant; DeepSpeed's fused Adam has none either"},
    {"optimizer.params.set_grad_none", kBool, kNoEffect, "true", "buffers of a program have fixed lifetimes"},
    {"optimizer.params.fp32_optimizer_states", kBool, kRefused, "true", "optimizer states are fp32 here"},
    {"optimizer.params.max_grad_norm", kReal, kGone, "none", "use the top-level gradient_clipping"},
    {"optimizer.params.freeze_step", kInteger, kRefused, "none", "1-bit optimizers", 0},
    {"optimizer.params.cuda_aware", kBool, kRefused, "none", "1-bit optimizers"},
    {"optimizer.params.comm_backend_name", kText, kRefused, "none", "1-bit optimizers"},
    {"optimizer.params.var_freeze_step", kInteger, kRefused, "none", "0/1 Adam", 0},
    {"optimizer.params.momentum", kReal, kRefused, "none", "Muon and SGD", 0},
    {"scheduler", kOpen, kUsed, "constant lr", "learning rate as a function of the number of applied steps"},
    {"scheduler.type", kText, kUsed, "none", "WarmupLR, WarmupDecayLR, WarmupCosineLR, OneCycle; LRRangeTest is refused: it searches a rate, it does not train"},
    {"scheduler.params", kPassedOn, kUsed, "{}", ""},
    {"scheduler.params.warmup_min_lr", kReal, kUsed, "0", "WarmupLR, WarmupDecayLR: rate of step 0", 0, 1000000.0},
    {"scheduler.params.warmup_max_lr", kReal, kUsed, "optimizer lr (WarmupLR), 1e-3 (WarmupDecayLR)", "rate after the warm-up", 0, 1000000.0},
    {"scheduler.params.warmup_num_steps", kInteger, kUsed, "1000", "steps of the warm-up; 1 is raised to 2", 1, 1000000000000.0},
    {"scheduler.params.warmup_type", kText, kUsed, "log", "log: rate grows with the logarithm of the step; linear", -1e300, 1e300, "log|linear"},
    {"scheduler.params.total_num_steps", kInteger, kUsed, "required by WarmupDecayLR, WarmupCosineLR", "step at which the decay ends", 1, 1000000000000.0},
    {"scheduler.params.warmup_min_ratio", kReal, kUsed, "0", "WarmupCosineLR: fraction of the rate at step 0", 0, 1},
    {"scheduler.params.cos_min_ratio", kReal, kUsed, "1e-4", "WarmupCosineLR: fraction of the rate at the end", 0, 1},
    {"scheduler.params.cycle_min_lr", kReal, kUsed, "required by OneCycle", "rate at both ends of the cycle", 0, 1000000.0},
    {"scheduler.params.cycle_max_lr", kReal, kUsed, "required by OneCycle", "rate in the middle of the cycle", 0, 1000000.0},
    {"scheduler.params.decay_lr_rate", kReal, kUsed, "0", "OneCycle: decay after the cycle", 0, 1000000.0},
    {"scheduler.params.cycle_first_step_size", kInteger, kUsed, "2000", "OneCycle: steps up", 1, 1000000000000.0},
    {"scheduler.params.cycle_second_step_size", kInteger, kUsed, "as the first", "OneCycle: steps down", 1, 1000000000000.0},
    {"scheduler.params.decay_step_size", kInteger, kUsed, "0", "OneCycle: steps between decays after the cycle; 0: no decay", 0, 1000000000000.0},
    {"scheduler.params.cycle_first_stair_count", kInteger, kRefused, "0", "stairs in OneCycle; only the straight cycle is done here", 0},
    {"scheduler.params.cycle_second_stair_count", kInteger, kRefused, "none", "stairs in OneCycle; only the straight cycle is done here", 0},
    {"scheduler.params.cycle_momentum", kBool, kNoEffect, "true", "OneCycle would also cycle Adam's beta1; here the momentum stays as the optimizer has it"},
    {"scheduler.params.cycle_min_mom", kReal, kPart, "0.8", "see cycle_momentum"},
    {"scheduler.params.cycle_max_mom", kReal, kPart, "0.9", "see cycle_momentum"},
    {"scheduler.params.decay_mom_rate", kReal, kPart, "0", "see cycle_momentum"},
    {"scheduler.params.last_batch_iteration", kInteger, kRefused, "-1", "a schedule starts at step 0; resuming is the checkpoint's work", -1},
    {"scheduler.params.lr_range_test_min_lr", kReal, kPart, "", "LRRangeTest"},
    {"scheduler.params.lr_range_test_step_rate", kReal, kPart, "", "LRRangeTest"},
    {"scheduler.params.lr_range_test_step_size", kInteger, kPart, "2000", "LRRangeTest"},
    {"scheduler.params.lr_range_test_staircase", kBool, kPart, "false", "LRRangeTest"},
    {"gradient_clipping", kReal, kUsed, "1.0", "largest global L2 norm of the gradients; 0: none (absent meant none until June 2026)", 0, 1e30},
    // precision
    {"fp16", kClosed, kUsed, "", ""},
    {"fp16.enabled", kBool, kUsed, "false", "fp16 weights, gradients and activations with loss scaling"},
    {"fp16.auto_cast", kBool, kNoEffect, "false", "inputs are token numbers; there is nothing to cast"},
    {"fp16.loss_scale", kReal, kUsed, "0", "0: dynamic", 0, 1e30},
    {"fp16.initial_scale_power", kInteger, kUsed, "16", "first dynamic scale is 2 to this", 0, 100},
    {"fp16.loss_scale_window", kInteger, kUsed, "1000", "good steps before the scale doubles", 1, 1000000000000.0},
    {"fp16.hysteresis", kInteger, kUsed, "2", "overflows before the scale is halved", 1, 1000000000.0},
    {"fp16.consecutive_hysteresis", kBool, kUsed, "false", "a good step refills the hysteresis"},
    {"fp16.min_loss_scale", kInteger, kUsed, "1", "the scale never falls below", 1, 1e18},
    {"fp16.fp16_master_weights_and_grads", kBool, kRefused, "false", "master weights are fp32 here"},
    {"bf16", kClosed, kUsed, "", "also spelled bfloat16"},
    {"bf16.enabled", kBool, kUsed, "false", "bf16 weights, gradients and activations"},
    {"bf16.immediate_grad_update", kBool, kNoEffect, "false", "when BF16_Optimizer adds a gradient to its fp32 copy"},
    {"bf16.check_grad_overflow", kBool, kUsed, "true", "a step whose gradients are not finite is skipped"},
    {"bf16.bf16_master_weights_and_grads", kBool, kRefused, "false", "master weights are fp32 here"},
    {"bf16.bf16_optimizer_states", kBool, kRefused, "false", "optimizer states are fp32 here"},
    {"data_types", kOpen, kUsed, "", ""},
    {"data_types.grad_accum_dtype", kText, kUsed, "model dtype", "dtype in which gradients of micro-batches are added up", -1e300, 1e300, "fp32|fp16|bf16"},
    {"data_types.param_dtype", kText, kRefused, "none", "dtype of the weights follows fp16 and bf16", -1e300, 1e300, "fp32|fp16|bf16"},
    {"data_types.buffer_dtype", kText, kNoEffect, "none", "the model families here have no buffers", -1e300, 1e300, "fp32|fp16|bf16"},
    {"communication_data_type", kText, kUsed, "model dtype", "dtype of gradient reductions", -1e300, 1e300, "fp32|fp16|bf16"},
    {"seq_parallel_communication_data_type", kText, kNoEffect, "fp32", "dtype of reductions between sequence-parallel ranks", -1e300, 1e300, "fp32|fp16|bf16"},
    {"amp", kOpen, kRefused, "", "NVIDIA apex; use bf16 or fp16"},
    {"amp.enabled", kBool, kPart, "false", ""},
    {"amp.opt_level", kText, kPart, "", ""},
    {"torch_autocast", kOpen, kRefused, "", "casts op by op at run time; use bf16 or fp16"},
    {"torch_autocast.enabled", kBool, kPart, "false", ""},
    {"torch_autocast.dtype", kText, kPart, "", ""},
    {"torch_autocast.lower_precision_safe_modules", kList, kPart, "", ""},
    // ZeRO
    {"zero_optimization", kClosed, kUsed, "", ""},
    {"zero_optimization.stage", kInteger, kUsed, "0", "0: replicas; 1: optimizer states sharded; 2: gradients too; 3: parameters too", 0, 3},
    {"zero_optimization.reduce_bucket_size", kInteger, kUsed, "5e8", "elements per gradient reduction", 0, 9.2e18},
    {"zero_optimization.allgather_bucket_size", kInteger, kDead, "5e8", "nothing uses it wherever the backend has all_gather_into_tensor (NCCL and gloo do): the whole flat buffer is gathered in one call", 0, 9.2e18},
    {"zero_optimization.allgather_partitions", kBool, kDead, "true", "nothing uses it wherever the backend has all_gather_into_tensor (NCCL and gloo do)"},
    {"zero_optimization.reduce_scatter", kBool, kUsed, "true", "true: textbook mode scatters; DeepSpeed all-reduces and keeps a slice"},
    {"zero_optimization.use_multi_rank_bucket_allreduce", kBool, kNoEffect, "true", "zero_mode deepspeed does as true does"},
    {"zero_optimization.contiguous_gradients", kBool, kUsed, "true", "gradients are copied into a bucket as they appear"},
    {"zero_optimization.overlap_comm", kBool, kUsed, "stage 3: true, else false", "reduce while backward still runs"},
    {"zero_optimization.round_robin_gradients", kBool, kUsed, "false", "parameters are dealt to owners one by one, so that neighbours in backward have different owners"},
    {"zero_optimization.sub_group_size", kInteger, kUsed, "1e9", "stage 3: elements per tile of the optimizer step", 0, 9.2e18},
    {"zero_optimization.stage3_prefetch_bucket_size", kInteger, kUsed, "5e7", "stage 3: elements gathered ahead", 0, 9.2e18},
    {"zero_optimization.stage3_max_live_parameters", kInteger, kUsed, "1e9", "stage 3: prefetch stops beyond this many gathered elements", 0, 9.2e18},
    {"zero_optimization.stage3_max_reuse_distance", kInteger, kUsed, "1e9", "stage 3: a parameter needed again within this many elements is kept", 0, 9.2e18},
    {"zero_optimization.stage3_param_persistence_threshold", kInteger, kUsed, "1e5", "stage 3: parameters of up to this many elements are never sharded out", 0, 9.2e18},
    {"zero_optimization.stage3_model_persistence_threshold", kInteger, kUsed, "2^63-1", "stage 3: at most this many elements persist in all", 0, 9.2e18},
    {"zero_optimization.stage3_gather_16bit_weights_on_model_save", kBool, kNoEffect, "false", "checkpoints gather on reading"},
    {"zero_optimization.stage3_module_granularity_threshold", kInteger, kNoEffect, "0", "programs gather by layer already", 0},
    {"zero_optimization.stage3_use_all_reduce_for_fetch_params", kBool, kNoEffect, "false", "another way to do the same gather"},
    {"zero_optimization.stage3_allgather_sequential", kBool, kNoEffect, "false", "another way to do the same gather"},
    {"zero_optimization.load_from_fp32_weights", kBool, kNoEffect, "true", "where master weights come from when a checkpoint is read"},
    {"zero_optimization.elastic_checkpoint", kBool, kNoEffect, "false", "layout of DeepSpeed's checkpoints"},
    {"zero_optimization.ignore_unused_parameters", kBool, kNoEffect, "true", "every parameter of these models has a gradient"},
    {"zero_optimization.legacy_stage1", kBool, kRefused, "false", "an implementation DeepSpeed has removed"},
    {"zero_optimization.grad_hooks", kBool, kGone, "none", "it is in the documentation only"},
    {"zero_optimization.zero_hpz_partition_size", kInteger, kUsed, "1", "ZeRO++: ranks that hold a second copy of the parameters", 0, 1000000000.0},
    {"zero_optimization.zero_quantized_weights", kBool, kUsed, "false", "ZeRO++: gathers in int8"},
    {"zero_optimization.zero_quantized_nontrainable_weights", kBool, kRefused, "false", "frozen weights; every parameter is trained here"},
    {"zero_optimization.zero_quantized_gradients", kBool, kUsed, "false", "ZeRO++: gradients in int4, two hops"},
    {"zero_optimization.zeropp_loco_param", kAny, kRefused, "none", "ZeRO++ LoCo error feedback"},
    {"zero_optimization.mics_shard_size", kInteger, kUsed, "-1", "MiCS: ranks per shard group; -1: off", -1, 1000000000.0},
    {"zero_optimization.mics_hierarchical_params_gather", kBool, kRefused, "false", "MiCS: two-level gathers"},
    {"zero_optimization.memory_efficient_linear", kBool, kNoEffect, "true", "a way to write torch's Linear"},
    {"zero_optimization.pipeline_loading_checkpoint", kBool, kNoEffect, "false", "how a checkpoint is read"},
    {"zero_optimization.override_module_apply", kBool, kNoEffect, "true", "a matter of torch modules"},
    {"zero_optimization.log_trace_cache_warnings", kBool, kNoEffect, "false", "the order of layers is fixed by the program"},
    {"zero_optimization.enable_sanity_checks", kBool, kNoEffect, "false", "programs are verified before they run"},
    {"zero_optimization.save_muon_momentum_buffer_in_memory", kBool, kNoEffect, "false", "Muon only"},
    {"zero_optimization.cpu_offload", kBool, kUsed, "none", "deprecated: offload_optimizer {device: cpu}"},
    {"zero_optimization.cpu_offload_param", kBool, kUsed, "none", "deprecated: offload_param {device: cpu}"},
    {"zero_optimization.cpu_offload_use_pin_memory", kBool, kNoEffect, "none", "deprecated; DeepSpeed reads it and drops it: use pin_memory in the offload blocks"},
    {"zero_optimization.stage3_gather_fp16_weights_on_model_save", kBool, kNoEffect, "false", "deprecated name of stage3_gather_16bit_weights_on_model_save"},
    {"zero_optimization.leaf_module", kClosed, kNoEffect, "", "modules whose parameters stage 3 gathers as one; programs gather by layer already"},
    {"zero_optimization.leaf_module.classes", kList, kPart, "", ""},
    {"zero_optimization.leaf_module.names", kList, kPart, "", ""},
    {"zero_optimization.leaf_module.name_suffixes", kList, kPart, "", ""},
    {"zero_optimization.offload_optimizer", kClosed, kUsed, "none", "where master weights and optimizer states live, and where the step runs"},
    {"zero_optimization.offload_optimizer.device", kText, kUsed, "none", "", -1e300, 1e300, "none|cpu|nvme"},
    {"zero_optimization.offload_optimizer.nvme_path", kText, kUsed, "none", "folder of the swap files; required for nvme"},
    {"zero_optimization.offload_optimizer.buffer_count", kInteger, kUsed, "4", "swap buffers of DeepSpeed, whose step needs 4, 8 with pipeline_read or pipeline_write, 12 with both; here it takes its need", 0, 1000000.0},
    {"zero_optimization.offload_optimizer.pin_memory", kBool, kUsed, "true", "page-locked host memory (false until August 2026)"},
    {"zero_optimization.offload_optimizer.pipeline_read", kBool, kUsed, "false", "read the next sub-group while this one is updated"},
    {"zero_optimization.offload_optimizer.pipeline_write", kBool, kUsed, "false", "write the last sub-group while this one is updated"},
    {"zero_optimization.offload_optimizer.fast_init", kBool, kUsed, "false", "do not read what was just initialised"},
    {"zero_optimization.offload_optimizer.ratio", kReal, kUsed, "1.0", "share of the optimizer step done on the host (Twin-Flow, stage 3)", 0, 1},
    {"zero_optimization.offload_optimizer.super_offload", kBool, kRefused, "false", "SuperOffload"},
    {"zero_optimization.offload_optimizer.cpuadam_cores_perc", kReal, kPart, "0.8", "SuperOffload", 0, 1},
    {"zero_optimization.offload_param", kClosed, kUsed, "none", "stage 3: where the shards of the parameters live"},
    {"zero_optimization.offload_param.device", kText, kUsed, "none", "", -1e300, 1e300, "none|cpu|nvme"},
    {"zero_optimization.offload_param.nvme_path", kText, kUsed, "none", "folder of the swap files; required for nvme"},
    {"zero_optimization.offload_param.buffer_count", kInteger, kUsed, "5", "swap buffers", 0, 1000000.0},
    {"zero_optimization.offload_param.buffer_size", kInteger, kUsed, "1e8", "elements of a swap buffer; the largest shard must fit", 0, 9.2e18},
    {"zero_optimization.offload_param.max_in_cpu", kInteger, kUsed, "1e9", "elements kept in host memory before NVMe is used", 0, 9.2e18},
    {"zero_optimization.offload_param.pin_memory", kBool, kUsed, "true", "page-locked host memory (false until August 2026)"},
    {"zero_optimization.zenflow", kClosed, kRefused, "none", "ZenFlow: importance-aware asynchronous updates"},
    {"zero_optimization.zenflow.topk_ratio", kReal, kPart, "", ""},
    {"zero_optimization.zenflow.select_strategy", kText, kPart, "", ""},
    {"zero_optimization.zenflow.select_interval", kAny, kPart, "", ""},
    {"zero_optimization.zenflow.update_interval", kAny, kPart, "", ""},
    {"zero_optimization.zenflow.overlap_step", kBool, kPart, "", ""},
    {"zero_optimization.zenflow.offload", kBool, kPart, "", ""},
    {"zero_optimization.zenflow.auto_ratio", kReal, kPart, "", ""},
    {"zero_optimization.zenflow.full_warm_up_rounds", kInteger, kPart, "", ""},
    {"zero_optimization.zenflow.pt_reserved_cores_perc", kReal, kPart, "", ""},
    {"zero_optimization.zenflow.steps_per_epoch", kInteger, kPart, "", ""},
    {"zero_allow_untested_optimizer", kBool, kNoEffect, "false", "only Adam and AdamW are run here"},
    {"zero_force_ds_cpu_optimizer", kBool, kNoEffect, "true", "there is one CPU Adam here"},
    {"aio", kOpen, kUsed, "", "NVMe reads and writes"},
    {"aio.block_size", kInteger, kUsed, "1048576", "bytes of one request", 512, 1000000000000.0},
    {"aio.queue_depth", kInteger, kUsed, "8", "requests in flight", 1, 1000000.0},
    {"aio.intra_op_parallelism", kInteger, kUsed, "1", "threads that share one file", 1, 10000},
    {"aio.single_submit", kBool, kUsed, "false", "submit requests one by one"},
    {"aio.overlap_events", kBool, kUsed, "true", "submit while waiting"},
    {"aio.thread_count", kInteger, kIgnored, "1", "it is in the documentation only; use intra_op_parallelism", 1, 10000},
    {"aio.use_gds", kBool, kUsed, "false", "GPUDirect Storage"},
    // communication
    {"prescale_gradients", kBool, kRefused, "false", "gradients are averaged after the reduction"},
    {"gradient_predivide_factor", kReal, kRefused, "1.0", "gradients are averaged after the reduction", 0},
    {"gradient_allreduce_op", kText, kRefused, "mean", "losses are means over the global batch, so gradients are averaged", -1e300, 1e300, "mean|sum"},
    {"sparse_gradients", kBool, kRefused, "false", "embedding gradients are dense here"},
    {"disable_allgather", kBool, kDead, "false", "nothing in DeepSpeed 0.19 uses it"},
    // activations
    {"activation_checkpointing", kOpen, kUsed, "", "the job's \"recompute\" switches it on; these say how"},
    {"activation_checkpointing.partition_activations", kBool, kUsed, "false", "split kept inputs over tensor-parallel ranks"},
    {"activation_checkpointing.cpu_checkpointing", kBool, kUsed, "false", "keep inputs in host memory; needs the job's recompute"},
    {"activation_checkpointing.contiguous_memory_optimization", kBool, kUsed, "false", "one buffer for all kept inputs; needs number_checkpoints"},
    {"activation_checkpointing.number_checkpoints", kInteger, kUsed, "none", "how many inputs that buffer holds", 0, 1000000000.0},
    {"activation_checkpointing.synchronize_checkpoint_boundary", kBool, kNoEffect, "false", "a wait for measurements"},
    {"activation_checkpointing.profile", kBool, kNoEffect, "false", "the profile shows recompute as its own phase"},
    // parallelism that the job file describes
    {"pipeline", kOpen, kNoEffect, "", "stages, partition and schedule come from the job's \"parallel\" block"},
    {"pipeline.stages", kAny, kPart, "auto", ""},
    {"pipeline.partition", kText, kPart, "best", ""},
    {"pipeline.seed_layers", kBool, kPart, "false", ""},
    {"pipeline.activation_checkpoint_interval", kInteger, kPart, "0", ""},
    {"pipeline.pipe_partitioned", kBool, kPart, "true", ""},
    {"pipeline.grad_partitioned", kBool, kPart, "true", ""},
    {"pipeline.use_reentrant", kBool, kPart, "true", ""},
    {"sequence_parallel_size", kInteger, kNoEffect, "1", "use \"ulysses\" in the job's \"parallel\" block", 1, 1000000000.0},
    {"use_data_before_expert_parallelism", kBool, kNoEffect, "false", "order of ranks of expert parallelism"},
    {"tensor_parallel", kClosed, kNoEffect, "", "use \"tp\" in the job's \"parallel\" block"},
    {"tensor_parallel.autotp_size", kInteger, kPart, "0", ""},
    {"tensor_parallel.tp_overlap_comm", kBool, kPart, "false", ""},
    {"tensor_parallel.preset_model", kText, kPart, "none", ""},
    {"tensor_parallel.partition_config", kAny, kPart, "none", ""},
    {"tensor_parallel.tensor_parallel", kAny, kPart, "", ""},
    {"tensor_parallel.tp", kAny, kPart, "", ""},
    {"tensor_parallel.dtype", kAny, kPart, "", ""},
    {"tensor_parallel.injection_policy_tuple", kAny, kPart, "", ""},
    {"tensor_parallel.keep_module_on_host", kBool, kPart, "false", ""},
    {"tensor_parallel.replace_with_kernel_inject", kBool, kPart, "false", ""},
    {"tensor_parallel.kernel_inject", kBool, kPart, "false", ""},
    {"expert_parallel", kAny, kRefused, "", "say it with \"ep\" in the job's \"parallel\" block"},
    {"hybrid_engine", kClosed, kRefused, "", "switches between training and inference"},
    {"hybrid_engine.enabled", kBool, kPart, "false", ""},
    {"hybrid_engine.max_out_tokens", kInteger, kPart, "512", ""},
    {"hybrid_engine.inference_tp_size", kInteger, kPart, "1", ""},
    {"hybrid_engine.release_inference_cache", kBool, kPart, "false", ""},
    {"hybrid_engine.pin_parameters", kBool, kPart, "true", ""},
    {"hybrid_engine.tp_gather_partition_size", kInteger, kPart, "8", ""},
    {"hybrid_engine.enable_cuda_graph", kBool, kPart, "false", ""},
    {"compile", kClosed, kNoEffect, "", "programs are lowered ahead of time; DeepCompile has no counterpart"},
    {"compile.deepcompile", kBool, kRefused, "false", "programs are lowered ahead of time; DeepCompile has no counterpart"},
    {"compile.free_activation", kBool, kPart, "false", ""},
    {"compile.free_activation_threshold", kInteger, kPart, "10485760", ""},
    {"compile.offload_activation", kBool, kPart, "false", ""},
    {"compile.offload_activation_pin_memory", kBool, kPart, "true", ""},
    {"compile.offload_opt_states", kBool, kPart, "false", ""},
    {"compile.double_buffer", kBool, kPart, "true", ""},
    {"compile.symmetric_memory", kBool, kPart, "false", ""},
    {"compile.debug_log", kBool, kPart, "false", ""},
    {"compile.offload_parameters", kBool, kPart, "false", ""},
    {"compile.sync_before_reduce", kBool, kPart, "false", ""},
    {"compile.sync_after_reduce", kBool, kPart, "false", ""},
    {"compile.sync_before_allgather", kBool, kPart, "false", ""},
    {"compile.sync_after_allgather", kBool, kPart, "false", ""},
    {"compile.keep_int_input_tensors", kBool, kPart, "true", ""},
    {"compile.keep_all_input_tensors", kBool, kPart, "false", ""},
    {"compile.passes", kList, kPart, "none", ""},
    {"graph_harvesting", kBool, kNoEffect, "false", "CUDA graphs around the optimizer step"},
    // what is printed and measured
    {"steps_per_print", kInteger, kNoEffect, "none", "progress is printed every step", 0},
    {"wall_clock_breakdown", kBool, kNoEffect, "false", "the profile always has it, without synchronising"},
    {"memory_breakdown", kBool, kNoEffect, "false", "the profile always has it"},
    {"dump_state", kBool, kNoEffect, "false", "`shardscope lower` prints the program"},
    {"log_level", kAny, kNoEffect, "none", "verbosity of DeepSpeed"},
    {"timers", kOpen, kNoEffect, "", "throughput comes from the trace"},
    {"timers.throughput", kClosed, kPart, "", ""},
    {"timers.throughput.enabled", kBool, kPart, "true", ""},
    {"timers.throughput.synchronized", kBool, kPart, "true", ""},
    {"flops_profiler", kOpen, kNoEffect, "", "FLOPs are counted from the program"},
    {"flops_profiler.enabled", kBool, kPart, "false", ""},
    {"flops_profiler.recompute_fwd_factor", kReal, kPart, "0", ""},
    {"flops_profiler.profile_step", kInteger, kPart, "1", ""},
    {"flops_profiler.module_depth", kInteger, kPart, "-1", ""},
    {"flops_profiler.top_modules", kInteger, kPart, "1", ""},
    {"flops_profiler.detailed", kBool, kPart, "true", ""},
    {"flops_profiler.output_file", kText, kPart, "none", ""},
    {"comms_logger", kClosed, kNoEffect, "", "the profile has every collective with its bandwidth"},
    {"comms_logger.enabled", kBool, kPart, "false", ""},
    {"comms_logger.verbose", kBool, kPart, "false", ""},
    {"comms_logger.prof_all", kBool, kPart, "true", ""},
    {"comms_logger.debug", kBool, kPart, "false", ""},
    {"comms_logger.prof_ops", kList, kPart, "[]", ""},
    {"tensorboard", kClosed, kNoEffect, "", "runs are kept in the profile"},
    {"tensorboard.enabled", kBool, kPart, "false", ""},
    {"tensorboard.output_path", kText, kPart, "", ""},
    {"tensorboard.job_name", kText, kPart, "DeepSpeedJobName", ""},
    {"wandb", kClosed, kNoEffect, "", "runs are kept in the profile"},
    {"wandb.enabled", kBool, kPart, "false", ""},
    {"wandb.group", kText, kPart, "none", ""},
    {"wandb.team", kText, kPart, "none", ""},
    {"wandb.project", kText, kPart, "deepspeed", ""},
    {"comet", kClosed, kNoEffect, "", "runs are kept in the profile"},
    {"comet.enabled", kBool, kPart, "false", ""},
    {"comet.samples_log_interval", kInteger, kPart, "100", ""},
    {"comet.project", kText, kPart, "none", ""},
    {"comet.workspace", kText, kPart, "none", ""},
    {"comet.api_key", kText, kPart, "none", ""},
    {"comet.experiment_name", kText, kPart, "none", ""},
    {"comet.experiment_key", kText, kPart, "none", ""},
    {"comet.online", kBool, kPart, "none", ""},
    {"comet.mode", kText, kPart, "none", ""},
    {"csv_monitor", kClosed, kNoEffect, "", "runs are kept in the profile"},
    {"csv_monitor.enabled", kBool, kPart, "false", ""},
    {"csv_monitor.output_path", kText, kPart, "", ""},
    {"csv_monitor.job_name", kText, kPart, "DeepSpeedJobName", ""},
    // checkpoints and data
    {"checkpoint", kOpen, kNoEffect, "", "how DeepSpeed writes and checks its own checkpoints"},
    {"checkpoint.tag_validation", kText, kPart, "Warn", "", -1e300, 1e300, "ignore|warn|fail"},
    {"checkpoint.load_universal", kBool, kPart, "false", ""},
    {"checkpoint.use_node_local_storage", kBool, kPart, "false", ""},
    {"checkpoint.checkpoint_serialization", kBool, kPart, "true", ""},
    {"checkpoint.parallel_write", kOpen, kPart, "", ""},
    {"checkpoint.parallel_write.pipeline_stage", kBool, kPart, "false", ""},
    {"checkpoint.writer", kAny, kPart, "none", ""},
    {"datastates_ckpt", kAny, kNoEffect, "none", "a checkpoint engine of DeepSpeed"},
    {"nebula", kOpen, kNoEffect, "", "a checkpoint service"},
    {"nebula.enabled", kBool, kPart, "false", ""},
    {"nebula.enable_nebula_load", kBool, kPart, "true", ""},
    {"nebula.nebula_load_path", kText, kPart, "none", ""},
    {"nebula.load_path", kText, kPart, "none", ""},
    {"nebula.persistent_storage_path", kText, kPart, "none", ""},
    {"nebula.persistent_time_interval", kInteger, kPart, "100", ""},
    {"nebula.num_of_version_in_retention", kInteger, kPart, "2", ""},
    {"dataloader_drop_last", kBool, kNoEffect, "false", "an epoch's incomplete last batch is never used here"},
    {"vocabulary_size", kInteger, kNoEffect, "none", "comes from the model"},
    {"data_efficiency", kOpen, kRefused, "", "curriculum sampling and random layer-token dropping"},
    {"data_efficiency.enabled", kBool, kPart, "false", ""},
    {"data_efficiency.seed", kInteger, kPart, "1234", ""},
    {"data_efficiency.data_routing", kAny, kPart, "", ""},
    {"data_efficiency.data_sampling", kAny, kPart, "", ""},
    {"curriculum_learning", kOpen, kRefused, "", "sequences have one length"},
    {"curriculum_learning.enabled", kBool, kPart, "false", ""},
    {"curriculum_learning.curriculum_type", kText, kPart, "", ""},
    {"curriculum_learning.min_difficulty", kInteger, kPart, "", ""},
    {"curriculum_learning.max_difficulty", kInteger, kPart, "", ""},
    {"curriculum_learning.schedule_type", kText, kPart, "", ""},
    {"curriculum_learning.schedule_config", kAny, kPart, "", ""},
    // what changes the model or the run
    {"elasticity", kOpen, kRefused, "", "the number of ranks is fixed for a run"},
    {"elasticity.enabled", kBool, kPart, "false", ""},
    {"elasticity.max_train_batch_size", kInteger, kPart, "2000", ""},
    {"elasticity.micro_batch_sizes", kList, kPart, "[2, 4, 6]", ""},
    {"elasticity.min_gpus", kInteger, kPart, "1", ""},
    {"elasticity.max_gpus", kInteger, kPart, "10000", ""},
    {"elasticity.num_gpus_per_node", kInteger, kPart, "1", ""},
    {"elasticity.model_parallel_size", kInteger, kPart, "1", ""},
    {"elasticity.min_time", kInteger, kPart, "0", ""},
    {"elasticity.prefer_larger_batch", kBool, kPart, "true", ""},
    {"elasticity.ignore_non_elastic_batch_info", kBool, kPart, "false", ""},
    {"elasticity.version", kReal, kPart, "0.2", ""},
    {"autotuning", kOpen, kRefused, "", "runs the job many times; `shardscope predict` answers without running"},
    {"autotuning.enabled", kBool, kPart, "false", ""},
    {"autotuning.fast", kBool, kPart, "true", ""},
    {"autotuning.results_dir", kText, kPart, "autotuning_results", ""},
    {"autotuning.exps_dir", kText, kPart, "autotuning_exps", ""},
    {"autotuning.overwrite", kBool, kPart, "true", ""},
    {"autotuning.metric", kText, kPart, "throughput", ""},
    {"autotuning.metric_path", kText, kPart, "none", ""},
    {"autotuning.start_profile_step", kInteger, kPart, "3", ""},
    {"autotuning.end_profile_step", kInteger, kPart, "5", ""},
    {"autotuning.tuner_type", kText, kPart, "gridsearch", ""},
    {"autotuning.tuner_early_stopping", kInteger, kPart, "5", ""},
    {"autotuning.tuner_num_trials", kInteger, kPart, "50", ""},
    {"autotuning.arg_mappings", kAny, kPart, "none", ""},
    {"autotuning.max_train_batch_size", kInteger, kPart, "none", ""},
    {"autotuning.min_train_batch_size", kInteger, kPart, "1", ""},
    {"autotuning.max_train_micro_batch_size_per_gpu", kInteger, kPart, "1024", ""},
    {"autotuning.min_train_micro_batch_size_per_gpu", kInteger, kPart, "1", ""},
    {"autotuning.num_tuning_micro_batch_sizes", kInteger, kPart, "3", ""},
    {"autotuning.mp_size", kInteger, kPart, "1", ""},
    {"autotuning.model_info", kAny, kPart, "none", ""},
    {"autotuning.model_info_path", kText, kPart, "none", ""},
    {"autotuning.template", kAny, kPart, "none", ""},
    {"progressive_layer_drop", kOpen, kRefused, "", "leaves out layers at random"},
    {"progressive_layer_drop.enabled", kBool, kPart, "false", ""},
    {"progressive_layer_drop.theta", kReal, kPart, "1.0", ""},
    {"progressive_layer_drop.gamma", kReal, kPart, "0.001", ""},
    {"eigenvalue", kOpen, kRefused, "", "second-order estimates for quantization"},
    {"eigenvalue.enabled", kBool, kPart, "false", ""},
    {"eigenvalue.verbose", kBool, kPart, "false", ""},
    {"eigenvalue.max_iter", kInteger, kPart, "100", ""},
    {"eigenvalue.tol", kReal, kPart, "1e-2", ""},
    {"eigenvalue.stability", kReal, kPart, "1e-6", ""},
    {"eigenvalue.gas_boundary_resolution", kInteger, kPart, "1", ""},
    {"eigenvalue.layer_name", kText, kPart, "bert.encoder.layer", ""},
    {"eigenvalue.layer_num", kInteger, kPart, "0", ""},
    {"sparse_attention", kAny, kRefused, "", "attention is causal and dense here"},
    {"compression_training", kAny, kRefused, "", "pruning and quantization during training"},
    {"quantize_training", kAny, kRefused, "", "quantization during training"},
    {"weight_quantization", kAny, kRefused, "", "quantized weights"},
};
// clang-format on

}  // namespace

std::span<const KeyRow> training_keys() { return kRows; }

const KeyRow* find_training_key(std::string_view path) {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows), [&](const KeyRow& r) { return r.path == path; });
  return row == std::end(kRows) ? nullptr : row;
}

std::vector<std::string_view> keys_inside(std::string_view block) {
  std::vector<std::string_view> names;
  for (const KeyRow& row : kRows) {
    const std::size_t dot = row.path.rfind('.');
    const std::string_view parent = dot == std::string_view::npos ? std::string_view() : row.path.substr(0, dot);
    if (parent == block) names.push_back(row.name());
  }
  return names;
}

std::string training_keys_markdown() {
  std::string out = "| key | type | default | here | meaning |\n|---|---|---|---|---|\n";
  for (const KeyRow& row : kRows) {
    std::string type(row.choices.empty() ? to_string(row.type) : row.choices);
    std::replace(type.begin(), type.end(), '|', '/');
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", row.path, type, row.absent, to_string(row.use), row.what);
  }
  return out;
}

std::string_view to_string(KeyType type) {
  switch (type) {
    case kBool:
      return "true or false";
    case kInteger:
      return "integer";
    case kReal:
      return "number";
    case kText:
      return "string";
    case kList:
      return "list";
    case kAny:
      return "any";
    case kOpen:
    case kClosed:
    case kPassedOn:
      return "block";
  }
  SS_CHECK(false, static_cast<int>(type));
}

std::string_view to_string(KeyUse use) {
  switch (use) {
    case kUsed:
      return "used";
    case kPart:
      return "part of its block";
    case kNoEffect:
      return "no effect";
    case kRefused:
      return "refused";
    case kGone:
      return "refused by DeepSpeed too";
    case kIgnored:
      return "ignored by DeepSpeed";
    case kDead:
      return "dead in DeepSpeed";
  }
  SS_CHECK(false, static_cast<int>(use));
}

}  // namespace shardscope
