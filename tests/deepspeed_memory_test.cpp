// Two reports of DeepSpeed using far more memory than its users expected, term by term. GB are 1e9 bytes. What neither
// report says (length of sequences, how attention runs) is assumed in one place, and what is not explained is a number.

#include <gtest/gtest.h>

#include <tuple>
#include <utility>

#include "core/spec/model_catalog.h"
#include "simulator/analytic/estimate.h"

namespace shardscope {
namespace {

constexpr double kGB = 1e9, kGiB = 1024.0 * 1024 * 1024, kMiB = 1024.0 * 1024;

const FrameworkSpec& deepspeed() { return find_framework(default_frameworks(), "deepspeed"); }

double gb(const Estimate& e, MemoryTerm term) { return e[term] / kGB; }

Estimate estimate_of(const ModelSpec& model, std::int64_t seq, const FrameworkSpec& framework, const Plan& plan) {
  Workload w;
  w.model = model, w.seq = seq;
  return Estimator(w, target_of(default_catalog(), "dgx-a100-80"), framework).estimate(plan);
}

// ---------------------------------------------------------------- DeepSpeed #4527: 0.49 GB estimated, 14.7 to 21 GB
// seen
//
// 6805 M parameters are LLaMA-7B's 6738 M and 67.1 M more: adapters of rank 64 on the four products of attention (32
// blocks x 4 x 2 x 64 x 4096). 4 GPUs, stage 3, optimizer and parameters on the host. nvidia-smi, MiB: 14678 after
// initialize, 19890 after the first forward, 20148 after the first step, 1838 before the second forward (so the
// allocator's cache had been emptied), 21272 in the second step.
// Assumed: one sequence of LLaMA's 2048 tokens, nothing recomputed, attention as transformers ran it in 2023.

constexpr double kParameters4527 = 6.8055e9, kLargest4527 = 32000.0 * 4096;

ModelSpec llama_with_adapters() {
  ModelSpec model = find_model("llama-2-7b");
  model.intermediate += 171;  // 67.2 M parameters more, where they cost little else
  return model;
}

Estimate issue_4527() {
  FrameworkSpec f = deepspeed();
  f.attention = AttentionKernel::kPlain;
  f.builds_sharded = false;  // the report's estimate has a line for zero_init=0; 14678 MiB say that it was so
  const Plan plan{.gpus = 4, .dp = 4, .zero = 3, .offload = Offload::kParameters, .global_batch = 4};
  return estimate_of(llama_with_adapters(), 2048, f, plan);
}

/// estimate_zero3_model_states_mem_needs() counts the largest layer's parameters and gradients, 4 bytes each, and
/// nothing else on the device; on the host 18 bytes a parameter and half as much again.
TEST(DeepSpeedMemory, TheEstimatorCountsOneLayer) {
  EXPECT_NEAR(4 * kLargest4527 / kGiB, 0.49, 0.005);
  EXPECT_NEAR(18 * 1.5 * kParameters4527 / kGiB, 171.13, 0.1);
  EXPECT_NEAR(static_cast<double>(parameter_count(llama_with_adapters())) / kParameters4527, 1, 1e-3);
}

/// After initialize: the 16-bit model was whole on each GPU before it was sharded, 13.6 GB, and stays in the cache.
TEST(DeepSpeedMemory, AfterInitializeTheCacheHoldsTheWholeModel) {
  const Estimate e = issue_4527();
  EXPECT_NEAR(e.at_start / kGB, 13.6, 0.1);
  const double shown = e.at_start + e[MemoryTerm::kContext] + e[MemoryTerm::kCollectives];
  EXPECT_NEAR(shown / (14678 * kMiB), 1, 0.05);
}

/// With the cache empty: CUDA and NCCL, 1.3 GB, and a bucket of 5e8 elements that stage 3 keeps, 1 GB. Seen 1.9 GB,
/// so either the bucket was smaller (the report's configuration is not known) or the context was.
TEST(DeepSpeedMemory, BetweenStepsThereIsTheBucket) {
  const Estimate e = issue_4527();
  const double outside = e[MemoryTerm::kContext] + e[MemoryTerm::kCollectives], bucket = 5e8 * 2;
  EXPECT_LT(outside, 1838 * kMiB);
  EXPECT_GT(outside + bucket, 1838 * kMiB);
  EXPECT_NEAR((outside + bucket) / (1838 * kMiB), 1, 0.25);
}

/// In the second step nothing of the model's first copy is left, and still there are 22.3 GB.
TEST(DeepSpeedMemory, InAStepActivationsAreMost) {
  const Estimate e = issue_4527();
  EXPECT_EQ(e[MemoryTerm::kParameters] + e[MemoryTerm::kGradients] + e[MemoryTerm::kOptimizer],
            (2 * 32 + 1) * 4096 * 2.0);                     // norms are not sharded; the rest is on the host
  EXPECT_NEAR(gb(e, MemoryTerm::kActivations), 18.7, 1.0);  // scores and their softmax are half of it
  EXPECT_NEAR(gb(e, MemoryTerm::kGathered), 1.2, 0.01);     // 5e8 elements used again within 1e9, 2 x 5e7 ahead
  EXPECT_NEAR(gb(e, MemoryTerm::kBuckets), 2.0, 0.01);      // the bucket, and its copy by shards
  EXPECT_NEAR(gb(e, MemoryTerm::kContext) + gb(e, MemoryTerm::kCollectives), 1.3, 0.05);
  EXPECT_NEAR(e.used / (21272 * kMiB), 1, 0.12);
}

/// Per rank: moments and master 12 bytes, not pinned; pinned, each of a power of two: fp32 gradients by sub-group of
/// 1e9 elements (1.7e9 are two), 16-bit gradients, parameters. 16 + 2 bytes a parameter become 22.
TEST(DeepSpeedMemory, HostBuffersAreRoundedToPowersOfTwo) {
  const Estimate e = issue_4527();
  const double pinned = 2 * 4 * kGiB + 4 * kGiB + 4 * kGiB;
  EXPECT_NEAR(e.pinned_bytes, pinned, 1);
  EXPECT_NEAR(e.host_bytes, pinned + 12 * kParameters4527 / 4, 0.05 * kGB);
}

// ---------------------------------------------------------------- DeepSpeed #5305: stage 3 above stage 2
//
// Megatron-DeepSpeed's example ds_pretrain_gpt_1.3B_seq_parallel_32k.sh "with 7b": fp16, flash attention, learned
// positions, dropout, DeepSpeed's defaults (buckets of 5e8, no overlap in stage 2). 8 A100 of 80 GB, dp 2 x Ulysses 4,
// micro-batch 1, global batch 16; ZeRO over all 8 ranks, but see below for stage 3.
//   stage 3, recomputing: 52.8 GB, 13.0 s   stage 2: 43.8 GB, 13.194 s
//   stage 3, keeping:     75.2 GB, 10.329 s stage 2: 62.3 GB, 10.05 s

struct Seen {
  int zero;
  Recompute recompute;
  double gb, seconds;
};
constexpr Seen kSeen[] = {{3, Recompute::kFull, 52.8, 13.0},
                          {2, Recompute::kFull, 43.8, 13.194},
                          {3, Recompute::kNone, 75.2, 10.329},
                          {2, Recompute::kNone, 62.3, 10.05}};

ModelSpec gpt_7b(std::int64_t seq) {
  ModelSpec m = find_model("gpt2-xl");
  m.layers = 32, m.hidden = 4096, m.heads = m.kv_heads = 32, m.head_dim = 128, m.intermediate = 4 * m.hidden;
  m.vocab_size = 50304, m.max_positions = seq;
  return m;
}

/// `shard`: ranks that share one copy of the state; 0: all eight.
Estimate issue_5305(int zero, Recompute recompute, std::int64_t seq = 16384, int shard = 0) {
  FrameworkSpec f = deepspeed();
  f.overlaps_gradients = false;                                    // overlap_comm's default, but in stage 3
  f.fused_norm = f.fused_activation = f.fused_dropout_add = true;  // Megatron's kernels, not transformers'
  f.dropout = true;
  const Plan plan{
      .gpus = 8, .dp = 2, .ulysses = 4, .zero = zero, .shard = shard, .recompute = recompute, .global_batch = 16};
  return estimate_of(gpt_7b(seq), seq, f, plan);
}

/// The example's 32k cannot have been: its products and attention would take more than twice the time that was seen.
/// Sequences of 16k explain all four times.
TEST(DeepSpeedMemory, TheTimesSayThatSequencesWere16k) {
  for (const Seen& seen : kSeen) {
    EXPECT_NEAR(issue_5305(seen.zero, seen.recompute).step_time_s / seen.seconds, 1, 0.12);
    EXPECT_GT(issue_5305(seen.zero, seen.recompute, 32768).step_time_s, 2 * seen.seconds);
  }
}

/// Stage 2 with everything kept: 13.4 GB of parameters, 10.1 of master and moments, 3.4 of gradients (accumulated, and
/// this micro-batch's), 18.3 of activations, 2 of the bucket and its copy, 3.6 of context and fragmentation. What
/// recompute saves is right to 10 %. NOT explained by what is allocated: 10 to 11 GB, with recompute and without, so no
/// activations. Up to 5.0 of them may be the update's flat gradient and its fp32 copy (stage_1_and_2.py, step): larger
/// than any block that activations give back, so reserved beside them, if nvidia-smi was read. The report does not say
/// what its numbers are of; for the rest there is no source.
TEST(DeepSpeedMemory, StageTwoIsExplainedButForTenGigabytes) {
  const Estimate kept = issue_5305(2, Recompute::kNone), again = issue_5305(2, Recompute::kFull);
  EXPECT_NEAR(gb(kept, MemoryTerm::kParameters), 13.4, 0.1);
  EXPECT_NEAR(gb(kept, MemoryTerm::kOptimizer), 10.1, 0.1);
  EXPECT_NEAR(gb(kept, MemoryTerm::kGradients), 3.4, 0.1);
  EXPECT_NEAR(gb(kept, MemoryTerm::kActivations), 18.3, 0.2);
  EXPECT_NEAR(gb(kept, MemoryTerm::kBuckets), 2.0, 0.01);
  EXPECT_NEAR(62.3 - kept.used / kGB, 10.5, 1.5);
  EXPECT_NEAR(43.8 - again.used / kGB, 10.5, 1.5);
  EXPECT_NEAR((kept.used - again.used) / kGB / (62.3 - 43.8), 1, 0.1);
  EXPECT_NEAR(gb(kept, MemoryTerm::kParameters) / 2 / 8 * (2 + 4), 5.0, 0.1);  // flat and fp32 gradients of the update
}

/// Explained, term by term. Against stage 2, stage 3 shards parameters and has no gradients of a micro-batch apart; it
/// adds 1.2 GB that are gathered and kept for reuse. Over all 8 ranks it would be 11 GB smaller, and was 9 and 13
/// larger.
///
/// - It shards over 4 ranks, not 8. From 2024-01-30 (89e03fd) to 2024-04-02 (888a63a, "fix an issue for DP")
///   Megatron-DeepSpeed's pretrain_gpt.py gave zero.Init the group of sequence parallelism alone; the report is of
///   2024-03-22. Parameters, masters, moments and gradients lie as zero.Init cut them (partition_parameters.py,
///   ds_process_group; stage3.py takes each tensor's ds_tensor): 13.4 GB more. Stage 2 cuts its own, over all 8.
/// What is left, 5 and 10 GB, is memory that is reserved and not allocated (gist-a800, which counts what is allocated,
/// has stage 3 below stage 2 as predicted), and lies within what DeepSpeed's source shows:
/// - Gathers ahead. A parameter is given back with record_stream() once the host has launched its layer, so its memory
///   waits for the device while the stream of gathers, held back by two unfinished gathers and not by compute, goes on
///   (partition_parameters.py, free_param; partitioned_param_coordinator.py). At most all parameters, less those kept
///   for reuse; on an H100 0.41 of the weights (5.3 of 12.9 GB, tests/peers/probe_gathers.py, data/measured).
/// - Gradients that wait for the stream of reductions: it may be two buckets behind (stage3.py,
///   max_param_reduce_events).
TEST(DeepSpeedMemory, StageThreeIsExplainedByItsGroupAndByGathersAhead) {
  for (const auto& [recompute, seen, rest] :
       {std::tuple{Recompute::kFull, 52.8 - 43.8, 5.0}, {Recompute::kNone, 75.2 - 62.3, 10.3}}) {
    const Estimate all = issue_5305(3, recompute), three = issue_5305(3, recompute, 16384, 4),
                   two = issue_5305(2, recompute);
    EXPECT_NEAR(gb(two, MemoryTerm::kParameters) - gb(all, MemoryTerm::kParameters), 11.75, 0.1);
    EXPECT_NEAR(gb(three, MemoryTerm::kGathered), 1.2, 0.01);
    double group = 0;  // what the smaller group costs
    for (const MemoryTerm term : {MemoryTerm::kParameters, MemoryTerm::kOptimizer, MemoryTerm::kGradients})
      group += gb(three, term) - gb(all, term);
    EXPECT_NEAR(group, 13.4, 0.1);
    const double missing = seen - (three.used - two.used) / kGB;
    EXPECT_NEAR(missing, rest, 1);
    const double weights = gb(two, MemoryTerm::kParameters), kept = 0.5e9 * 2 / kGB, buckets = 2 * 5e8 * 2 / kGB;
    const double most = weights - kept + buckets, likely = 0.41 * weights + buckets;
    EXPECT_NEAR(most, 14.4, 0.2);
    EXPECT_NEAR(likely, 7.5, 0.2);
    EXPECT_GT(missing, 0);
    EXPECT_LT(missing, most);
    EXPECT_NEAR(missing, likely, 3.5);
  }
}

/// Where stage 3 is larger by what its source says: a model of less than 5e8 parameters is never released, since each
/// is used again within 1e9 elements. Then the whole model is there, its shard beside, and a bucket of full size.
TEST(DeepSpeedMemory, SmallModelsAreLargerUnderStageThree) {
  const ModelSpec model = find_model("gpt2-medium");
  const Plan two{.gpus = 8, .dp = 8, .zero = 2, .micro_batch = 1, .global_batch = 8};
  Plan three = two;
  three.zero = 3;
  FrameworkSpec f = deepspeed();
  f.overlaps_gradients = false;
  const Estimate less = estimate_of(model, 512, f, two), more = estimate_of(model, 512, f, three);
  EXPECT_GE(more[MemoryTerm::kGathered], less[MemoryTerm::kParameters]);
  EXPECT_GT(more.used, less.used);
  const double terms = more[MemoryTerm::kGathered] + more[MemoryTerm::kParameters] + more[MemoryTerm::kBuckets] -
                       less[MemoryTerm::kParameters] - less[MemoryTerm::kBuckets];
  EXPECT_NEAR(terms / (more.allocated - less.allocated), 1, 0.15);
}

}  // namespace
}  // namespace shardscope
