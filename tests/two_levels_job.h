#pragma once
// Random jobs on clusters of the catalog, and how far the closed form is from the event level on each: any legal mix of
// what the planner may propose for our own engine, and of what a job file may say beside it.
//
//   std::mt19937 random(seed);
//   const LevelsChoice choice = draw_levels(random);
//   const LevelsErrors errors = errors_of(choice);

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <random>
#include <string>

#include "core/program/schedule.h"
#include "simulator/planner/plan_case.h"
#include "simulator/predict.h"

namespace shardscope {

enum class LevelsModel : std::uint8_t { kGpt2, kLlama, kMixtral };

struct LevelsChoice {
  LevelsModel model = LevelsModel::kGpt2;
  int layers = 8, hidden = 2048, kv_divisor = 1, experts = 0, top_k = 2, vocab = 32000, seq = 2048, tied = 0;
  double capacity = 0;
  int dp = 1, tp = 1, pp = 1, cp = 1, ulysses = 1, ep = 1, sp = 0, zero = 0, shard = 0;
  PipelineSchedule schedule = PipelineSchedule::k1F1B;
  int vpp = 1, recompute = 0, micro_batch = 1, accumulation = 1, overlap = 1;
  int hpz = 1, quantized_weights = 0, quantized_gradients = 0;
  Offload offload = Offload::kNone;
  Precision precision = Precision::kBf16;
  std::string gradients, communication;  ///< types; empty: the model's
  std::int64_t bucket = 500'000'000;
  std::string system = "dgx-h100";
};

inline std::ostream& operator<<(std::ostream& out, const LevelsChoice& c) {
  constexpr const char* kModels[] = {"gpt2", "llama", "mixtral"};
  out << kModels[static_cast<int>(c.model)] << " layers " << c.layers << " hidden " << c.hidden << " kv/"
      << c.kv_divisor << " vocab " << c.vocab << " tied " << c.tied << " seq " << c.seq << " dp " << c.dp << " tp "
      << c.tp << " pp " << c.pp << " sp " << c.sp << " cp " << c.cp << " ulysses " << c.ulysses << " zero " << c.zero
      << " recompute " << c.recompute << " micro-batch " << c.micro_batch << " x " << c.accumulation << " precision "
      << static_cast<int>(c.precision) << " gradients '" << c.gradients << "' communication '" << c.communication
      << "' overlap " << c.overlap << " bucket " << c.bucket << " system " << c.system;
  if (c.experts > 0) {
    out << " experts " << c.experts << " top " << c.top_k << " ep " << c.ep << " capacity " << c.capacity;
  }
  if (c.pp > 1) out << " schedule " << to_string(c.schedule) << " vpp " << c.vpp;
  if (c.shard > 0) out << " shard " << c.shard;
  if (c.hpz > 1) out << " hpz " << c.hpz;
  if (c.quantized_weights != 0) out << " qwz";
  if (c.quantized_gradients != 0) out << " qgz";
  if (c.offload != Offload::kNone) out << " offload " << static_cast<int>(c.offload);
  return out;
}

inline ModelSpec model_of(const LevelsChoice& c) {
  ModelSpec m;
  m.name = "two-levels";
  const bool llama = c.model != LevelsModel::kGpt2;
  m.family = c.model == LevelsModel::kGpt2    ? ModelFamily::kGpt2
             : c.model == LevelsModel::kLlama ? ModelFamily::kLlama
                                              : ModelFamily::kMixtral;
  m.vocab_size = c.vocab, m.hidden = c.hidden, m.layers = c.layers;
  m.heads = c.hidden / 128, m.kv_heads = llama ? m.heads / c.kv_divisor : m.heads, m.head_dim = 128;
  m.intermediate = llama ? c.hidden * 11 / 4 / 128 * 128 : 4 * c.hidden;
  m.max_positions = c.seq, m.embedding_dim = m.hidden;
  m.tied_embeddings = c.tied != 0;
  m.experts = c.experts, m.experts_per_token = c.experts > 0 ? c.top_k : 0;
  m.router_aux_coefficient = c.experts > 0 ? 0.02 : 0;
  if (llama) {
    m.norm = NormKind::kRmsNorm, m.mlp = MlpKind::kSwiGlu, m.positions = PositionKind::kRope;
    m.qkv_bias = m.attention_out_bias = m.mlp_bias = false;
  }
  return m;
}

/// What the planner's ds_config.json says of an offload (simulator/planner/files.cpp).
inline void set_offload(ZeroSpec& zero, Offload offload) {
  const bool nvme = offload == Offload::kOptimizerNvme || offload == Offload::kParametersNvme;
  const OffloadDevice device = nvme ? OffloadDevice::kNvme : OffloadDevice::kCpu;
  const bool parameters = offload == Offload::kParameters || offload == Offload::kParametersNvme;
  if (offload != Offload::kNone) zero.offload_optimizer.device = device;
  if (parameters) zero.offload_param.device = device, zero.offload_param.buffer_count = 5;
  zero.offload_optimizer.nvme_path = zero.offload_param.nvme_path = "/local_nvme";
}

inline Job job_of(const LevelsChoice& c) {
  Job job;
  job.model = model_of(c);
  job.data.seq_len = c.seq;
  job.moe.capacity_factor = c.capacity;
  ParallelSpec& p = job.parallel;
  p.dp = c.dp, p.tp = c.tp, p.pp = c.pp, p.cp = c.cp * c.ulysses, p.ulysses = c.ulysses, p.ep = c.ep, p.sp = c.sp != 0;
  p.schedule = c.schedule, p.virtual_stages = c.vpp;
  ZeroSpec& zero = job.training.zero;
  zero.stage = c.zero;
  zero.overlap_comm = c.overlap != 0;
  zero.reduce_bucket_size = c.bucket;
  if (c.shard > 0) zero.mics_shard_size = c.shard;
  zero.hpz_partition_size = c.hpz;
  zero.quantized_weights = c.quantized_weights != 0, zero.quantized_gradients = c.quantized_gradients != 0;
  set_offload(zero, c.offload);
  job.training.precision.kind = c.precision;
  job.training.precision.grad_accum_dtype = c.gradients;
  job.training.precision.communication_data_type = c.communication;
  job.training.micro_batch = c.micro_batch, job.training.accumulation = c.accumulation;
  job.training.train_batch_size = static_cast<std::int64_t>(c.micro_batch) * c.accumulation * c.dp;
  job.recompute = static_cast<Recompute>(c.recompute);
  job.cluster = fmt::format("{}:{}", c.system, p.ranks());
  return job;
}

template <class T>
T one_of(std::mt19937& random, std::initializer_list<T> values) {
  return values.begin()[random() % values.size()];
}

inline void draw_pipeline(LevelsChoice& c, std::mt19937& random) {
  if (c.pp == 1) return;
  using enum PipelineSchedule;
  c.schedule = one_of(random, {k1F1B, k1F1B, k1F1B, kInterleaved, kInterleaved, kGpipe, kZbH1, kZbv, kDualPipeV});
  if (c.schedule == kInterleaved) c.vpp = one_of(random, {2, 3, 4});
  if (c.schedule == kInterleaved) c.pp = std::min(c.pp, 4);
  while (c.pp * chunks_of(c.schedule, c.vpp) > c.layers) c.layers *= 2;
  c.accumulation = c.schedule == kZbv || c.schedule == kDualPipeV ? 2 * c.pp + one_of(random, {0, 1, 8})
                   : c.schedule == kInterleaved                   ? c.pp * one_of(random, {1, 2, 4})
                   : c.schedule == kGpipe                         ? one_of(random, {4, 8})
                                                                  : one_of(random, {4, 8, 16, 32});
}

inline void draw_experts(LevelsChoice& c, std::mt19937& random) {
  if (c.model != LevelsModel::kMixtral) return;
  c.hidden = std::min(c.hidden, 4096);
  c.layers = std::min(c.layers, c.pp * chunks_of(c.schedule, c.vpp) > 8 ? 16 : 8);
  c.experts = one_of(random, {4, 8}), c.top_k = one_of(random, {1, 2});
  c.capacity = one_of(random, {0.0, 1.0, 1.25});
  c.ep = one_of(random, {1, 2, c.experts});
  while (c.dp % c.ep != 0) c.ep /= 2;
}

inline void draw_sequence(LevelsChoice& c, std::mt19937& random) {
  if (c.model == LevelsModel::kMixtral || random() % 3 != 0) return;
  c.cp = one_of(random, {1, 2, 4}), c.ulysses = one_of(random, {1, 2, 4});
  while (c.cp * c.ulysses > 1 && c.tp * c.pp * c.cp * c.ulysses > 32) (c.cp > c.ulysses ? c.cp : c.ulysses) /= 2;
  const int kv_heads = c.hidden / 128 / (c.model == LevelsModel::kGpt2 ? 1 : c.kv_divisor);
  while (kv_heads / c.tp % c.ulysses != 0) c.ulysses /= 2;
  c.seq = std::max(c.seq, 2048 * c.cp * c.ulysses);
  c.dp = std::min(c.dp, std::max(1, 32 / (c.tp * c.pp * c.cp * c.ulysses)));
}

inline void draw_state(LevelsChoice& c, std::mt19937& random) {
  c.zero = c.pp > 1 ? one_of(random, {0, 1}) : one_of(random, {0, 1, 2, 3});
  if (c.zero > 0 && random() % 3 == 0) {
    using enum Offload;
    c.offload = c.zero < 3 ? kOptimizer : one_of(random, {kOptimizer, kOptimizerNvme, kParameters, kParametersNvme});
  }
  const int copies = c.dp * c.cp * c.ulysses;
  if (c.zero != 3 || c.ep > 1 || copies < 4 || random() % 2 != 0) return;
  c.shard = copies / 2;
}

inline LevelsChoice draw_levels(std::mt19937& random) {
  LevelsChoice c;
  c.model = one_of(random, {LevelsModel::kGpt2, LevelsModel::kLlama, LevelsModel::kLlama, LevelsModel::kMixtral});
  c.layers = one_of(random, {4, 6, 8, 16});
  c.hidden = one_of(random, {2048, 4096, 8192});
  c.kv_divisor = one_of(random, {1, 2});
  c.vocab = one_of(random, {32000, 128256});
  c.seq = one_of(random, {2048, 4096});
  c.tp = one_of(random, {1, 1, 2, 8});
  c.pp = one_of(random, {1, 1, 2, 4, 8});
  c.dp = std::min(one_of(random, {1, 2, 8, 16}), std::max(1, 32 / (c.tp * c.pp)));
  c.sp = c.tp > 1 ? one_of(random, {0, 1}) : 0;
  if (c.hidden / 128 / c.kv_divisor % c.tp != 0) c.kv_divisor = 1;
  c.recompute = one_of(random, {0, 1, 2});
  c.micro_batch = one_of(random, {1, 2, 4});
  c.accumulation = one_of(random, {1, 2, 8});
  c.overlap = one_of(random, {0, 1});
  c.bucket = one_of(random, {50'000'000, 500'000'000});
  c.precision = one_of(random, {Precision::kFp32, Precision::kBf16, Precision::kBf16, Precision::kFp16});
  if (c.precision != Precision::kFp32) {
    c.gradients = one_of(random, {"", "", "fp32"});
    c.communication = one_of(random, {"", "", "fp32"});
  }
  c.system = one_of(random, {"dgx-h100", "dgx-a100"});
  draw_pipeline(c, random);
  draw_experts(c, random);
  draw_sequence(c, random);
  draw_state(c, random);
  return c;
}

/// ZeRO-3 with ZeRO++, beside whatever else. Apart, so that what is drawn above stays as it is.
inline LevelsChoice draw_zero_plus_plus(std::mt19937& random) {
  for (;;) {
    LevelsChoice c = draw_levels(random);
    const int copies = c.dp * c.cp * c.ulysses;
    if (c.pp > 1 || copies == 1) continue;
    c.zero = 3, c.shard = 0;
    c.hpz = one_of(random, {1, copies / 2, std::min(copies, 8)});
    c.quantized_weights = one_of(random, {0, 1}), c.quantized_gradients = one_of(random, {0, 1});
    if (c.hpz > 1 || c.quantized_weights + c.quantized_gradients > 0) return c;
  }
}

struct LevelsErrors {
  double time = 0, memory = 0;  ///< closed form over event level, less 1
  Estimate closed;
  Prediction events;
  std::int64_t peak = 0;  ///< of the events
};

inline LevelsErrors errors_of(const LevelsChoice& choice) {
  const Job job = job_of(choice);
  const PlanCase c = plan_case_of(job, default_catalog());
  LevelsErrors e;
  e.closed = Estimator(c.workload, c.target, c.framework).estimate(c.plan);
  e.events = predict(job, load_cluster(default_catalog(), job.cluster));
  for (const RankPrediction& rank : e.events.ranks) e.peak = std::max(e.peak, rank.peak.peak_bytes[0]);
  e.time = e.closed.step_time_s / e.events.step_time_s - 1;
  e.memory = e.closed.allocated / static_cast<double>(e.peak) - 1;
  return e;
}

}  // namespace shardscope
