// The closed form and the event level are two ways to the same step: the same costs of kernels and collectives, summed
// by formula or run on the virtual clock. Random jobs on catalog clusters must agree.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <ostream>
#include <random>
#include <vector>

#include "core/program/lower.h"
#include "simulator/planner/plan_case.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

struct Choice {
  int llama = 0, layers = 8, hidden = 2048, seq = 2048, dp = 1, tp = 1, pp = 1, sp = 0, zero = 0, recompute = 0;
  int micro_batch = 1, accumulation = 1;
};

std::ostream& operator<<(std::ostream& out, const Choice& c) {
  return out << "llama " << c.llama << " layers " << c.layers << " hidden " << c.hidden << " seq " << c.seq << " dp "
             << c.dp << " tp " << c.tp << " pp " << c.pp << " sp " << c.sp << " zero " << c.zero << " recompute "
             << c.recompute << " micro-batch " << c.micro_batch << " x " << c.accumulation;
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
  job.training.zero.overlap_comm = true;
  job.training.precision.kind = Precision::kBf16;
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
  c.layers = one_of(random, {4, 8});
  c.hidden = one_of(random, {2048, 4096, 8192});
  c.seq = one_of(random, {2048, 4096});
  c.tp = one_of(random, {1, 2, 8});
  c.pp = one_of(random, {1, 2, 4});
  c.dp = std::min(one_of(random, {1, 2, 8, 16}), std::max(1, 16 / (c.tp * c.pp)));
  c.sp = c.tp > 1 ? one_of(random, {0, 1}) : 0;
  c.zero = c.pp > 1 ? one_of(random, {0, 1}) : one_of(random, {0, 1, 2, 3});
  c.recompute = one_of(random, {0, 2});
  c.micro_batch = one_of(random, {1, 2, 4});
  c.accumulation = c.pp > 1 ? one_of(random, {4, 8, 16}) : one_of(random, {1, 2, 8});
  return c;
}

double event_level(const Job& job) {
  std::vector<Program> programs;
  for (int r = 0; r < job.parallel.ranks(); ++r) programs.push_back(lower(job, r));
  return simulate(programs, load_cluster(default_catalog(), job.cluster)).step_time_s;
}

double error_of(const Choice& choice) {
  const Job job = job_of(choice);
  const PlanCase c = plan_case_of(job, default_catalog());
  return Estimator(c.workload, c.target, c.framework).estimate(c.plan).step_time_s / event_level(job) - 1;
}

TEST(TwoLevels, TheClosedFormIsNearTheEventsOverRandomJobs) {
  std::mt19937 random(20261126);
  std::vector<double> errors;
  for (int i = 0; i < 60; ++i) {
    const Choice choice = draw(random);
    errors.push_back(std::abs(error_of(choice)));
    EXPECT_LT(errors.back(), 0.18) << choice;  // steps of a few milliseconds, most of it latency
  }
  std::sort(errors.begin(), errors.end());
  EXPECT_LT(errors[30], 0.03);
  EXPECT_LT(errors[54], 0.07);
  std::printf("closed form against events: median %.1f %%, p90 %.1f %%, largest %.1f %%\n", errors[30] * 100,
              errors[54] * 100, errors.back() * 100);
}

}  // namespace
}  // namespace shardscope
