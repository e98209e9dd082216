#pragma once
// Random small jobs for property tests: any legal mix of what the engine runs, with models of a few thousand
// parameters.

#include <fmt/format.h>
#include <rapidcheck.h>

#include <algorithm>
#include <ostream>
#include <string>

#include "core/program/schedule.h"
#include "core/spec/job.h"

namespace shardscope {

/// What varies. Shrinks towards the first value of each.
struct JobChoice {
  bool llama = false;
  int layers = 1, heads = 1, kv_divisor = 1, head_dim = 4, mlp = 8, vocab = 11, tied = 1;
  int seq = 4, micro_batch = 1, accumulation = 1, dp = 1, stage = 0, deepspeed_mode = 0, overlap = 0;
  int bucket = 1000, prefetch = 0, persistence = 0, reuse = 0, max_live = 1000000, sub_group = 1000000;
  int pp = 1, schedule = 0, virtual_stages = 1, partition = 0;
  int tp = 1, sp = 0, cp = 1, ulysses = 1;
  int hpz = 1, quantized_weights = 0, quantized_gradients = 0;
  double clipping = 0;
  int adam_w = 1, recompute = 0, offload = 0, copies = 1, ratio = 10;
  int offload_param = 0, swap_buffers = 5, max_in_cpu = 0;
  int recompute_every = 1, cpu_checkpointing = 0, partition_activations = 0;
  int experts = 0, top_k = 1, capacity = 0, ep = 1;  ///< of llama; capacity in percent, 0: for all
  int pipelined = 0;                                 ///< bits: reads, writes of the optimizer's sub-groups
  int precision = 0;                                 ///< 0 fp32, 1 bf16, 2 fp16
  int fp32_gradients = 0, communication = 0;         ///< communication: 0 the model's dtype, 1 fp32, 2 bf16
  int fp8 = 0;                                       ///< products of blocks: 1 hybrid, 2 e4m3
};

/// For counterexamples: what differs from the defaults says what matters.
inline std::ostream& operator<<(std::ostream& out, const JobChoice& c) {
  const JobChoice plain;
  out << "{llama=" << c.llama << ", clipping=" << c.clipping;
  const auto show = [&](const char* name, int JobChoice::*field) {
    if (c.*field != plain.*field) out << ", " << name << "=" << c.*field;
  };
  show("layers", &JobChoice::layers);
  show("heads", &JobChoice::heads);
  show("kv_divisor", &JobChoice::kv_divisor);
  show("head_dim", &JobChoice::head_dim);
  show("mlp", &JobChoice::mlp);
  show("vocab", &JobChoice::vocab);
  show("tied", &JobChoice::tied);
  show("seq", &JobChoice::seq);
  show("micro_batch", &JobChoice::micro_batch);
  show("accumulation", &JobChoice::accumulation);
  show("dp", &JobChoice::dp);
  show("stage", &JobChoice::stage);
  show("deepspeed_mode", &JobChoice::deepspeed_mode);
  show("overlap", &JobChoice::overlap);
  show("bucket", &JobChoice::bucket);
  show("prefetch", &JobChoice::prefetch);
  show("persistence", &JobChoice::persistence);
  show("reuse", &JobChoice::reuse);
  show("max_live", &JobChoice::max_live);
  show("sub_group", &JobChoice::sub_group);
  show("pp", &JobChoice::pp);
  show("schedule", &JobChoice::schedule);
  show("virtual_stages", &JobChoice::virtual_stages);
  show("partition", &JobChoice::partition);
  show("tp", &JobChoice::tp);
  show("sp", &JobChoice::sp);
  show("cp", &JobChoice::cp);
  show("ulysses", &JobChoice::ulysses);
  show("hpz", &JobChoice::hpz);
  show("quantized_weights", &JobChoice::quantized_weights);
  show("quantized_gradients", &JobChoice::quantized_gradients);
  show("adam_w", &JobChoice::adam_w);
  show("recompute", &JobChoice::recompute);
  show("offload", &JobChoice::offload);
  show("copies", &JobChoice::copies);
  show("ratio", &JobChoice::ratio);
  show("pipelined", &JobChoice::pipelined);
  show("offload_param", &JobChoice::offload_param);
  show("swap_buffers", &JobChoice::swap_buffers);
  show("max_in_cpu", &JobChoice::max_in_cpu);
  show("recompute_every", &JobChoice::recompute_every);
  show("cpu_checkpointing", &JobChoice::cpu_checkpointing);
  show("experts", &JobChoice::experts);
  show("top_k", &JobChoice::top_k);
  show("capacity", &JobChoice::capacity);
  show("ep", &JobChoice::ep);
  show("partition_activations", &JobChoice::partition_activations);
  show("precision", &JobChoice::precision);
  show("fp32_gradients", &JobChoice::fp32_gradients);
  show("communication", &JobChoice::communication);
  show("fp8", &JobChoice::fp8);
  return out << "}";
}

inline ModelSpec model_of(const JobChoice& c) {
  const int hidden = c.heads * c.head_dim;
  if (!c.llama) {
    return parse_model(
        fmt::format(R"({{"model_type": "gpt2", "vocab_size": {}, "n_embd": {}, "n_layer": {}, "n_head": {},
                                      "n_positions": {}, "n_inner": {}}})",
                    c.vocab, hidden, c.layers, c.heads, std::max(64, c.seq), c.mlp),
        "random model");
  }
  // Large initial weights of experts, so that what they answer counts in the loss.
  const std::string experts = fmt::format(R"("num_local_experts": {}, "num_experts_per_tok": {},
                                             "router_aux_loss_coef": 0.05, "initializer_range": 0.2,)",
                                          c.experts, c.top_k);
  return parse_model(
      fmt::format(R"({{"model_type": "{}", {} "vocab_size": {}, "hidden_size": {}, "num_hidden_layers": {},
                     "num_attention_heads": {}, "num_key_value_heads": {}, "intermediate_size": {},
                     "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 1e4,
                     "tie_word_embeddings": {}}})",
                  c.experts > 0 ? "mixtral" : "llama", c.experts > 0 ? experts : "", c.vocab, hidden, c.layers, c.heads,
                  c.heads / c.kv_divisor, c.mlp, c.tied ? "true" : "false"),
      "random model");
}

/// What DeepSpeed does not do, or this engine does not do as DeepSpeed, is left out.
inline PrecisionSpec precision_of(const JobChoice& c) {
  PrecisionSpec spec;
  spec.kind = static_cast<Precision>(c.precision);
  spec.initial_scale_power = 6;  // low enough for no step to overflow
  const bool as_deepspeed_does = c.stage >= 2 || (c.stage == 1 && spec.kind == Precision::kBf16);
  if (c.fp32_gradients && (!c.deepspeed_mode || as_deepspeed_does)) spec.grad_accum_dtype = "fp32";
  if (c.communication > 0) spec.communication_data_type = c.communication == 1 ? "fp32" : "bf16";
  return spec;
}

inline Job job_of(const JobChoice& c) {
  Job job;
  job.model = model_of(c);
  job.parallel.dp = c.dp;
  job.parallel.pp = c.pp;
  job.parallel.tp = c.tp;
  job.parallel.sp = c.sp != 0;
  job.parallel.cp = c.cp;
  job.parallel.ulysses = c.ulysses;
  job.parallel.ep = c.ep;
  job.moe.capacity_factor = c.capacity / 100.0;
  job.parallel.schedule = static_cast<PipelineSchedule>(c.schedule);
  job.parallel.virtual_stages = c.virtual_stages;
  job.parallel.partition = static_cast<Partition>(c.partition);
  job.data.seq_len = c.seq;
  job.zero_mode = c.deepspeed_mode ? ZeroMode::kDeepSpeed : ZeroMode::kTextbook;
  job.seed = 7;
  TrainingSpec& t = job.training;
  if (c.offload && c.stage > 0 && !c.deepspeed_mode) {
    OffloadSpec& offload = job.training.zero.offload_optimizer;
    offload.device = c.offload >= 3 && c.stage == 3 ? OffloadDevice::kNvme : OffloadDevice::kCpu;
    offload.nvme_path = "/tmp";
    offload.pin_memory = c.offload != 2;
    offload.pipeline_read = (c.pipelined & 1) != 0;
    offload.pipeline_write = (c.pipelined & 2) != 0;
    if (c.stage == 3) offload.ratio = c.ratio / 10.0;
  }
  const bool whole_copies = c.copies > 1 && c.copies == c.dp;  // no shards are left
  if (c.offload_param && c.stage == 3 && !c.deepspeed_mode && !whole_copies) {
    OffloadSpec& offload = job.training.zero.offload_param;
    offload.device = c.offload_param == 3 ? OffloadDevice::kNvme : OffloadDevice::kCpu;
    offload.nvme_path = "/tmp";
    offload.pin_memory = c.offload_param != 2;
    offload.buffer_count = c.swap_buffers;
    offload.max_in_cpu = c.max_in_cpu;
  }
  job.recompute = static_cast<Recompute>(c.recompute);
  if (job.recompute == Recompute::kFull) job.recompute_every = c.recompute_every;
  job.training.checkpointing.partition_activations = c.partition_activations != 0 && job.recompute != Recompute::kNone;
  job.training.checkpointing.cpu_checkpointing = c.cpu_checkpointing != 0 && job.recompute != Recompute::kNone;
  if (c.copies > 1 && c.stage == 3 && !c.deepspeed_mode && c.dp % c.copies == 0 && c.ep == 1)
    t.zero.mics_shard_size = c.dp / c.copies;
  t.micro_batch = c.micro_batch;
  t.accumulation = c.accumulation;
  t.train_batch_size = t.micro_batch * t.accumulation * c.dp;
  t.gradient_clipping = c.clipping;
  t.precision = precision_of(c);
  const bool has_fp8_sizes = job.model.hidden % 16 == 0 && c.micro_batch * (c.seq / c.cp) % 16 == 0;
  job.fp8.enabled = c.fp8 > 0 && c.precision > 0 && has_fp8_sizes;
  job.fp8.format = c.fp8 == 2 ? Fp8Spec::Format::kE4M3 : Fp8Spec::Format::kHybrid;
  t.optimizer.lr = 1e-3;
  t.optimizer.eps = 1e-6;  // keeps Adam from blowing up the rounding of gradients that are really zero
  t.optimizer.weight_decay = 0.1;
  t.optimizer.kind = c.adam_w ? OptimizerKind::kAdamW : OptimizerKind::kAdam;
  t.zero.stage = c.stage;
  t.zero.overlap_comm = c.overlap != 0;
  t.zero.reduce_bucket_size = c.bucket;
  t.zero.prefetch_bucket_size = c.prefetch;
  t.zero.param_persistence_threshold = c.persistence;
  t.zero.max_reuse_distance = c.reuse;
  t.zero.max_live_parameters = c.max_live;
  t.zero.sub_group_size = c.sub_group;
  if (c.stage == 3 && t.zero.mics_shard_size <= 0) {
    if (c.dp % c.hpz == 0) t.zero.hpz_partition_size = c.hpz;
    t.zero.quantized_weights = c.quantized_weights != 0;
    t.zero.quantized_gradients = c.quantized_gradients != 0 && !c.deepspeed_mode;
  }
  return job;
}

/// A pipeline of 2 to 6 ranks, deep and long enough for its schedule.
inline void choose_pipeline(JobChoice& c) {
  c.pp = *rc::gen::element(2, 3, 4, 5, 6);
  c.dp = *rc::gen::inRange(1, 3);
  c.schedule = *rc::gen::inRange(0, 6);
  const auto schedule = static_cast<PipelineSchedule>(c.schedule);
  c.virtual_stages = *rc::gen::inRange(1, 3);
  c.partition = *rc::gen::inRange(0, 3);
  const int stages = c.pp * chunks_of(schedule, c.virtual_stages);
  c.layers = stages + *rc::gen::inRange(0, 3);
  c.accumulation = *rc::gen::inRange(1, 6);
  if (schedule == PipelineSchedule::kInterleaved) c.accumulation = c.pp * *rc::gen::inRange(1, 3);
  if (chunks_of(schedule, 1) == 2) c.accumulation = 2 * c.pp + *rc::gen::inRange(0, 3);
}

/// As many tensor-parallel ranks as the model's shape allows, or fewer; at most 16 ranks in all.
inline void choose_tensor_parallel(JobChoice& c) {
  const int wanted = *rc::gen::element(1, 1, 2, 4);
  const int kv_heads = c.llama ? c.heads / c.kv_divisor : c.heads;
  for (int tp = wanted; tp > 1; tp /= 2) {
    if (kv_heads % tp != 0 || c.mlp % tp != 0 || c.dp * c.pp * tp > 16) continue;
    c.tp = tp;
    break;
  }
  if (c.tp > 1 && !c.deepspeed_mode && c.micro_batch * c.seq % c.tp == 0) c.sp = *rc::gen::inRange(0, 2);
}

/// Ranks that share each sequence, which is then as long as that takes: Ulysses neighbours, a ring, or a ring of such.
inline void choose_sequence_parallel(JobChoice& c) {
  c.cp = c.ulysses = 1;
  const int cp = *rc::gen::element(1, 2, 3, 4, 6, 8), kv_heads = (c.llama ? c.heads / c.kv_divisor : c.heads) / c.tp;
  const int ulysses = *rc::gen::element(1, 2, 4, 3);
  if (cp == 1 || c.experts > 0 || c.dp * c.pp * c.tp * cp > 16) return;
  c.cp = cp;
  if (cp % ulysses == 0 && kv_heads % ulysses == 0) c.ulysses = ulysses;
  const int parts = c.cp == c.ulysses ? c.ulysses : 2 * c.cp;
  c.seq = parts * *rc::gen::inRange(1, parts < 8 ? 4 : 3);
  if (c.micro_batch * c.seq / c.cp % c.tp != 0) c.sp = 0;
}

/// Experts instead of MLPs, dealt out among replicas, of which there are then as many as that takes.
inline void choose_experts(JobChoice& c) {
  c.experts = c.capacity = 0, c.top_k = c.ep = 1;
  if (!c.llama || (c.deepspeed_mode && c.tp > 1) || *rc::gen::element(0, 1) == 0) return;
  c.experts = *rc::gen::element(4, 2, 3);
  c.top_k = *rc::gen::element(1, 2);
  c.capacity = *rc::gen::element(0, 50, 100, 150);
  const int ep = *rc::gen::element(1, c.experts % 2 == 0 ? 2 : c.experts, c.experts), dp = (c.dp + ep - 1) / ep * ep;
  if (c.deepspeed_mode || dp * c.pp * c.tp > 16) return;
  c.ep = ep;
  c.dp = dp;
}

/// Products of blocks in fp8, of a model as wide and sequences as long as that takes; some MLPs are still too odd.
inline void choose_fp8(JobChoice& c) {
  c.fp8 = 0;
  if (c.precision == 0 || *rc::gen::inRange(0, 2) == 0) return;
  c.fp8 = *rc::gen::element(1, 1, 2);
  c.head_dim = 16;
  c.seq = 16 * c.cp;
}

inline rc::Gen<JobChoice> gen_job_of_size() {
  return rc::gen::exec([] {
    JobChoice c;
    c.llama = *rc::gen::arbitrary<bool>();
    c.layers = *rc::gen::inRange(1, 4);
    c.heads = *rc::gen::element(1, 2, 4, 3);
    c.kv_divisor = c.heads % 2 == 1 ? 1 : *rc::gen::element(1, 2);
    c.head_dim = *rc::gen::element(4, 6, 8);
    c.mlp = *rc::gen::element(8, 17, 32);
    c.vocab = *rc::gen::element(11, 64, 97);
    c.tied = *rc::gen::inRange(0, 2);
    c.seq = *rc::gen::inRange(1, 18);
    c.micro_batch = *rc::gen::inRange(1, 4);
    c.accumulation = *rc::gen::inRange(1, 4);
    c.dp = *rc::gen::inRange(1, 5);
    c.stage = *rc::gen::inRange(0, 4);
    c.deepspeed_mode = *rc::gen::inRange(0, 2);
    c.overlap = *rc::gen::inRange(0, 2);
    c.bucket = *rc::gen::element(1, 100, 1000, 5000, 1000000);
    c.prefetch = *rc::gen::element(0, 300, 3000, 1000000);
    c.persistence = *rc::gen::element(0, 10, 40, 1000, 1000000);
    c.reuse = *rc::gen::element(0, 500, 5000, 1000000);
    c.max_live = *rc::gen::element(0, 500, 5000, 1000000);
    c.sub_group = *rc::gen::element(1, 500, 1000000);
    if (!c.deepspeed_mode && *rc::gen::inRange(0, 2)) choose_pipeline(c);
    choose_tensor_parallel(c);
    c.clipping = *rc::gen::element(0.0, 1.0, 0.01);
    c.precision = *rc::gen::element(0, 0, 1, 2);
    c.fp32_gradients = *rc::gen::inRange(0, 2);
    c.communication = c.precision == 0 ? 0 : *rc::gen::inRange(0, 3);
    c.adam_w = *rc::gen::inRange(0, 2);
    c.recompute = *rc::gen::inRange(0, 3);
    c.offload = *rc::gen::inRange(0, 5);
    c.pipelined = *rc::gen::inRange(0, 4);
    c.offload_param = *rc::gen::inRange(0, 4);
    c.swap_buffers = *rc::gen::inRange(0, 6);
    c.max_in_cpu = *rc::gen::element(0, 500, 5000, 1000000);
    c.recompute_every = *rc::gen::inRange(1, 4);
    c.cpu_checkpointing = *rc::gen::inRange(0, 2);
    c.partition_activations = *rc::gen::inRange(0, 2);
    c.ratio = *rc::gen::element(10, 5, 2, 0);
    c.copies = *rc::gen::inRange(1, 4);
    c.hpz = *rc::gen::inRange(1, 5);
    choose_experts(c);
    choose_sequence_parallel(c);
    choose_fp8(c);
    return c;
  });
}

/// Always at full size: at smaller ones ranges end early, and the last stage or schedule hardly ever comes up.
inline rc::Gen<JobChoice> gen_job() { return rc::gen::resize(rc::kNominalSize, gen_job_of_size()); }

}  // namespace shardscope
