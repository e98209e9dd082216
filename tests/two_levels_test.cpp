// The closed form and the event level are two ways to the same step: the same costs of kernels and collectives, summed
// by formula or run on the virtual clock; the same buffers, summed at a few moments or walked through. Random jobs on
// catalog clusters must agree.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "simulator/planner/plan_case.h"
#include "simulator/predict.h"

namespace shardscope {
namespace {

struct Choice {
  int llama = 0, layers = 8, hidden = 2048, seq = 2048, dp = 1, tp = 1, pp = 1, sp = 0, zero = 0, recompute = 0;
  int micro_batch = 1, accumulation = 1, overlap = 1;
  Precision precision = Precision::kBf16;
  std::string gradients, communication;  ///< types; empty: the model's
  std::int64_t bucket = 500'000'000;
};

std::ostream& operator<<(std::ostream& out, const Choice& c) {
  return out << "llama " << c.llama << " layers " << c.layers << " hidden " << c.hidden << " seq " << c.seq << " dp "
             << c.dp << " tp " << c.tp << " pp " << c.pp << " sp " << c.sp << " zero " << c.zero << " recompute "
             << c.recompute << " micro-batch " << c.micro_batch << " x " << c.accumulation << " precision "
             << static_cast<int>(c.precision) << " gradients " << c.gradients << " communication " << c.communication
             << " overlap " << c.overlap << " bucket " << c.bucket;
}

ModelSpec model_of(const Choice& c) {
  ModelSpec m;
  m.name = "two-levels";
  m.family = c.llama != 0 ? ModelFamily::kLlama : ModelFamily::kGpt2;
  m.vocab_size = 32000, m.hidden = c.hidden, m.layers = c.layers;
  m.heads = m.kv_heads = c.hidden / 128, m.head_dim = 128;
  m.intermediate = c.llama != 0 ? c.hidden * 11 / 4 / 128 * 128 : 4 * c.hidden;
  m.max_positions = c.seq, m.embedding_dim = m.hidden;
  m.tied_embeddings = false;
  if (c.llama != 0) {
    m.norm = NormKind::kRmsNorm, m.mlp = MlpKind::kSwiGlu, m.positions = PositionKind::kRope;
    m.qkv_bias = m.attention_out_bias = m.mlp_bias = false;
  }
  return m;
}

Job job_of(const Choice& c) {
  Job job;
  job.model = model_of(c);
  job.data.seq_len = c.seq;
  job.parallel.dp = c.dp, job.parallel.tp = c.tp, job.parallel.pp = c.pp, job.parallel.sp = c.sp != 0;
  job.training.zero.stage = c.zero;
  job.training.zero.overlap_comm = c.overlap != 0;
  job.training.zero.reduce_bucket_size = c.bucket;
  job.training.precision.kind = c.precision;
  job.training.precision.grad_accum_dtype = c.gradients;
  job.training.precision.communication_data_type = c.communication;
  job.training.micro_batch = c.micro_batch, job.training.accumulation = c.accumulation;
  job.training.train_batch_size = static_cast<std::int64_t>(c.micro_batch) * c.accumulation * c.dp;
  job.recompute = static_cast<Recompute>(c.recompute);
  const int gpus = job.parallel.ranks();
  job.cluster = "dgx-h100:" + std::to_string(gpus);
  return job;
}

template <class T>
T one_of(std::mt19937& random, std::initializer_list<T> values) {
  return values.begin()[random() % values.size()];
}

Choice draw(std::mt19937& random) {
  Choice c;
  c.llama = one_of(random, {0, 1});
  c.layers = one_of(random, {4, 6, 8, 16});
  c.hidden = one_of(random, {2048, 4096, 8192});
  c.seq = one_of(random, {2048, 4096});
  c.tp = one_of(random, {1, 2, 8});
  c.pp = one_of(random, {1, 2, 4});
  c.dp = std::min(one_of(random, {1, 2, 8, 16}), std::max(1, 16 / (c.tp * c.pp)));
  c.sp = c.tp > 1 ? one_of(random, {0, 1}) : 0;
  c.zero = c.pp > 1 ? one_of(random, {0, 1}) : one_of(random, {0, 1, 2, 3});
  c.recompute = one_of(random, {0, 1, 2});
  c.micro_batch = one_of(random, {1, 2, 4});
  c.accumulation = c.pp > 1 ? one_of(random, {4, 8, 16}) : one_of(random, {1, 2, 8});
  c.overlap = one_of(random, {0, 1});
  c.bucket = one_of(random, {50'000'000, 500'000'000});
  c.precision = one_of(random, {Precision::kFp32, Precision::kBf16, Precision::kFp16});
  if (c.precision != Precision::kFp32) {
    c.gradients = one_of(random, {"", "fp32"});
    c.communication = one_of(random, {"", "fp32"});
  }
  return c;
}

struct Errors {
  double time = 0, memory = 0;  ///< closed form over event level, less 1
};

Errors errors_of(const Choice& choice) {
  const Job job = job_of(choice);
  const PlanCase c = plan_case_of(job, default_catalog());
  const Estimate closed = Estimator(c.workload, c.target, c.framework).estimate(c.plan);
  const Prediction events = predict(job, load_cluster(default_catalog(), job.cluster));
  std::int64_t peak = 0;
  for (const RankPrediction& rank : events.ranks) peak = std::max(peak, rank.peak.peak_bytes[0]);
  return {closed.step_time_s / events.step_time_s - 1, closed.allocated / static_cast<double>(peak) - 1};
}

struct Spread {
  double median = 0, p90 = 0, worst = 0;
};

/// Part of the errors that are not larger than `limit`.
double within(double limit, const std::vector<double>& errors) {
  const auto small = std::count_if(errors.begin(), errors.end(), [&](double e) { return std::abs(e) <= limit; });
  return static_cast<double>(small) / static_cast<double>(errors.size());
}

Spread spread_of(const char* what, std::vector<double> errors) {
  for (double& e : errors) e = std::abs(e);
  std::sort(errors.begin(), errors.end());
  const Spread s{errors[errors.size() / 2], errors[errors.size() * 9 / 10], errors.back()};
  std::printf("closed form against events, %s: median %.2f %%, p90 %.1f %%, largest %.1f %%\n", what, s.median * 100,
              s.p90 * 100, s.worst * 100);
  return s;
}

TEST(TwoLevels, TheClosedFormIsNearTheEventsOverRandomJobs) {
  std::mt19937 random(20261126);
  std::vector<double> time, memory;
  for (int i = 0; i < 200; ++i) {
    const Choice choice = draw(random);
    const Errors e = errors_of(choice);
    time.push_back(e.time), memory.push_back(e.memory);
    EXPECT_LT(std::abs(e.time), 0.08)
        << choice;  // who gets whose memory, and so waits for whom, is not in the formulas
    EXPECT_LT(std::abs(e.memory), 0.08) << choice;
  }
  const Spread seconds = spread_of("time", time), bytes = spread_of("memory", memory);
  EXPECT_LT(seconds.median, 0.006);
  EXPECT_LT(seconds.p90, 0.03);
  EXPECT_GE(within(0.05, time), 0.98);
  EXPECT_LT(bytes.median, 0.002);
  EXPECT_LT(bytes.p90, 0.025);
}

}  // namespace
}  // namespace shardscope
