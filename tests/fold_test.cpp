// predict() lowers one rank of each class and a part of its schedule; simulate() takes all of it. They must agree to
// the nanosecond and the byte, or folding has taken two ranks or two micro-batches for one that are not alike.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/engine/suggest_fit.h"
#include "core/error.h"
#include "core/program/gpu_memory.h"
#include "core/program/lower.h"
#include "simulator/clock/clock_fixture_for_test.h"
#include "simulator/fold/device_peak.h"
#include "simulator/fold/trace_classes.h"
#include "simulator/predict.h"
#include "tests/huge_job.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

/// Few devices in a node, so that groups of one kind lie within a node and across, and times that nothing hides.
ClusterSpec random_cluster(int ranks) {
  ClusterSpec cluster;
  cluster.name = "random";
  cluster.devices_per_node = *rc::gen::element(1, 2, 3, 4, 8, 16);
  cluster.nodes = (ranks + cluster.devices_per_node - 1) / cluster.devices_per_node;
  const auto sharers = [&] {
    const int some = *rc::gen::element(1, 2, 3, 4, 8);
    return cluster.devices_per_node % some == 0 ? some : 1;
  };
  cluster.devices_per_nic = sharers();
  cluster.devices_per_pcie_switch = sharers();
  cluster.peers_over_pcie = *rc::gen::inRange(0, 4) == 0;
  cluster.device.architecture = *rc::gen::element<std::string>("", "ampere");  // kernels slow down by 0.12, by 0.5
  const auto rate = [](double slowest) { return slowest * *rc::gen::element(1.0, 3.7, 20.0, 1000.0); };
  cluster.device.name = "device";
  cluster.device.peak_flops.fill(FlopPerSecond(rate(1e8)));
  cluster.device.fp8_peak = FlopPerSecond(rate(1e8));
  cluster.device.memory = Bytes(1e12);
  cluster.device.memory_bandwidth = BytesPerSecond(rate(1e8));
  cluster.intra_node = {BytesPerSecond(rate(1e7)), microseconds(*rc::gen::element(0.1, 5.0, 100.0))};
  cluster.nic = {BytesPerSecond(rate(1e6)), microseconds(*rc::gen::element(0.3, 17.0))};
  cluster.pcie = {BytesPerSecond(rate(1e7)), microseconds(2)};
  cluster.host_memory = Bytes(1e12);
  cluster.host_memory_bandwidth = BytesPerSecond(rate(1e8));
  cluster.nvme = Bytes(1e12);
  cluster.nvme_read = cluster.nvme_write = BytesPerSecond(rate(1e7));
  return cluster;
}

bool equal(const StepBreakdown& a, const StepBreakdown& b) {
  return a.compute_s == b.compute_s && a.exposed_communication_s == b.exposed_communication_s &&
         a.bubble_s == b.bubble_s && a.offload_s == b.offload_s && a.optimizer_s == b.optimizer_s;
}

void expect_same(const Prediction& folded, const Prediction& whole) {
  RC_ASSERT(folded.step_time_s == whole.step_time_s);
  RC_ASSERT(folded.ops == whole.ops);
  RC_ASSERT(folded.mfu == whole.mfu);
  int ranks = 0;
  for (const RankPrediction& rank : folded.ranks) ranks += rank.count;
  RC_ASSERT(ranks == static_cast<int>(whole.ranks.size()));
  for (const RankPrediction& rank : whole.ranks) {
    RC_LOG() << "rank " << rank.rank << "\n";
    const RankPrediction& speaker = prediction_of(folded, rank.rank);
    RC_ASSERT(speaker.peak.peak_bytes == rank.peak.peak_bytes);
    RC_ASSERT(speaker.peak.peak_by_category == rank.peak.peak_by_category);
    RC_ASSERT(speaker.peak.at_peak == rank.peak.at_peak);
    RC_ASSERT(speaker.peak.at == rank.peak.at);
    RC_ASSERT(equal(speaker.breakdown, rank.breakdown));
  }
  RC_ASSERT(equal(folded.breakdown, whole.breakdown));
}

RC_GTEST_PROP(Fold, RanksOfAClassAreAllLikeTheOneThatStandsForThem, ()) {
  JobChoice choice = *gen_job();
  choice.quantized_weights = *rc::gen::inRange(0, 2);
  choice.quantized_gradients = *rc::gen::inRange(0, 2);
  RC_LOG() << choice << "\n";
  const Job job = job_of(choice);
  const ClusterSpec cluster = random_cluster(job.parallel.ranks());
  PredictStatistics work;
  const Prediction folded = predict(job, cluster, {}, &work);
  RC_CLASSIFY(work.slowed > 0, "some slowed others");
  RC_CLASSIFY(work.again, "the optimizer's step met what was before it");
  expect_same(folded, predict(job, cluster, {.fold_ranks = false}));
}

/// A pipeline or none, with many more micro-batches than fill it.
JobChoice long_schedule() {
  JobChoice choice = *gen_job();
  choice.deepspeed_mode = 0;
  choice.schedule = *rc::gen::inRange(0, 6);
  const auto schedule = static_cast<PipelineSchedule>(choice.schedule);
  choice.pp = *rc::gen::inRange(1, 9);
  choice.dp = choice.ep;
  choice.tp = *rc::gen::element(1, 1, choice.tp);
  choice.sp = choice.tp > 1 ? choice.sp : 0;
  choice.cp = choice.ulysses = 1;
  if (choice.dp == 1 && choice.pp * choice.tp <= 8) choice.dp = *rc::gen::inRange(1, 3);
  choice.layers = choice.pp * chunks_of(schedule, choice.virtual_stages) + *rc::gen::inRange(0, 3);
  choice.accumulation = *rc::gen::inRange(16 + 2 * choice.pp, 65);
  if (schedule == PipelineSchedule::kInterleaved) choice.accumulation = choice.accumulation / choice.pp * choice.pp;
  return choice;
}

RC_GTEST_PROP(Fold, ALongScheduleGoesOnAsAShortOneShows, ()) {
  const JobChoice choice = long_schedule();
  RC_LOG() << choice << "\n";
  const Job job = job_of(choice);
  const ClusterSpec cluster = random_cluster(job.parallel.ranks());
  PredictStatistics work;
  const Prediction folded = predict(job, cluster, {}, &work);
  RC_CLASSIFY(work.whole == 0, "from parts of programs");
  RC_CLASSIFY(work.whole == work.lowered, "from whole programs");
  expect_same(folded, predict(job, cluster, {.fold_ranks = false}));
}

// An op may complete the gradients of several flat buffers at once: they are reduced in one order in every
// micro-batch, however many there are to be put in order.
TEST(Fold, ReductionsThatAreReadyAtOnceKeepTheirOrder) {
  JobChoice choice;
  choice.heads = 4, choice.dp = 2, choice.tp = 2, choice.stage = 2, choice.overlap = 1;
  choice.accumulation = 33;
  const Program program = lower(job_of(choice), 0);
  std::vector<std::vector<std::string>> reduced(33);
  for (const Instruction& in : program.instructions) {
    if (!std::holds_alternative<ReduceScatter>(in.op)) continue;
    reduced[static_cast<std::size_t>(in.label.micro_batch)].emplace_back(program.name(in.label.name));
  }
  for (const auto& chunks : reduced) EXPECT_EQ(chunks, reduced[0]);
  EXPECT_GE(reduced[0].size(), 2U);
}

std::vector<Program> all_programs(const Job& job) {
  std::vector<Program> programs;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) programs.push_back(lower(job, rank));
  return programs;
}

bool equal(const SliceEvent& a, const SliceEvent& b) {
  return a.op == b.op && a.lane == b.lane && a.start_ns == b.start_ns && a.duration_ns == b.duration_ns &&
         a.wait_ns == b.wait_ns;
}

std::vector<SliceEvent> by_op(std::vector<SliceEvent> slices) {
  std::sort(slices.begin(), slices.end(), [](const auto& a, const auto& b) { return a.op.index < b.op.index; });
  return slices;
}

RC_GTEST_PROP(Fold, TheRowsOfAClassAreThoseOfItsRank, ()) {
  JobChoice choice = *gen_job();
  RC_LOG() << choice << "\n";
  const Job job = job_of(choice);
  const ClusterSpec cluster = random_cluster(job.parallel.ranks());
  KeptTrace some, all;
  const TracedClasses traced = trace_classes(job, cluster, some, {.most_ranks = 1 << 20});
  const Prediction whole = simulate(all_programs(job), cluster, {.sink = &all});
  RC_ASSERT(traced.prediction.step_time_s == whole.step_time_s);
  RC_ASSERT(traced.micro_batches == 0);
  RC_ASSERT(some.ranks.size() == traced.ranks.size());
  for (const auto& [rank, rows] : some.ranks) {
    RC_LOG() << "rank " << rank << "\n";
    const KeptTrace::Rank& own = all.ranks[rank];
    const std::vector<SliceEvent> a = by_op(rows.slices), b = by_op(own.slices);
    RC_ASSERT(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) RC_ASSERT(equal(a[i], b[i]));
    RC_ASSERT(rows.memories.size() == own.memories.size());
    RC_ASSERT(rows.peak.peak_bytes == own.peak.peak_bytes);
    RC_ASSERT(rows.finished);
  }
}

ClusterSpec small_cluster(int devices_per_node, int nodes) {
  ClusterSpec cluster;
  cluster.name = "small";
  cluster.devices_per_node = devices_per_node, cluster.nodes = nodes;
  cluster.device.peak_flops.fill(FlopPerSecond(1e12));
  cluster.device.memory_bandwidth = BytesPerSecond(1e12);
  cluster.intra_node = cluster.nic = cluster.pcie = {BytesPerSecond(1e10), microseconds(1)};
  return cluster;
}

std::int64_t fullest_rank(const Job& job) {
  std::int64_t most = 0;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) {
    const MemoryPeak peak = compute_memory_peak(lower(job, rank));
    most = std::max(most, peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]);
  }
  return most;
}

RC_GTEST_PROP(Fold, ThePeakOfALongScheduleIsThatOfItsPrograms, ()) {
  const JobChoice choice = long_schedule();
  RC_LOG() << choice << "\n";
  const Job job = job_of(choice);
  RC_ASSERT(folded_device_peak(job) == peak_device_bytes(job));
  RC_ASSERT(folded_device_peak(job) == fullest_rank(job));
}

RC_GTEST_PROP(Fold, WhatWouldFitIsTheSameFromPartsOfPrograms, ()) {
  const JobChoice choice = *rc::gen::element(0, 1) == 0 ? *gen_job() : long_schedule();
  const int percent = *rc::gen::inRange(60, 100);
  RC_LOG() << choice << " in " << percent << " %\n";
  const Job job = job_of(choice);
  const std::int64_t limit = peak_device_bytes(job) * percent / 100;
  const std::vector<FitSuggestion> folded = suggest_fit(job, limit, folded_device_peak),
                                   lowered = suggest_fit(job, limit, peak_device_bytes);
  RC_ASSERT(folded.size() == lowered.size());
  RC_CLASSIFY(!folded.empty(), "something would fit");
  for (std::size_t i = 0; i < folded.size(); ++i) {
    RC_ASSERT(folded[i].change == lowered[i].change);
    RC_ASSERT(folded[i].device_bytes == lowered[i].device_bytes);
  }
}

// `predict` says what the backend takes of a GPU from few micro-batches.
RC_GTEST_PROP(Fold, ProductsOfAllMicroBatchesTakeTheSameBesideTheProgram, ()) {
  const JobChoice choice = long_schedule();
  RC_LOG() << choice << "\n";
  const Job job = job_of(choice);
  const int few = 2 * job.parallel.pp, last = job.parallel.ranks() - 1;
  for (const int rank : {0, last}) {
    RC_ASSERT(gpu_memory_beside(lower(job, rank, {.micro_batches = few})) == gpu_memory_beside(lower(job, rank)));
  }
}

// Its programs are of a billion instructions: only from parts of them is there an answer before the test runs out.
TEST(Fold, WhatWouldFitIsKnownOfAHugeJob) {
  const Job job = gpt3_job(32);
  const std::int64_t limit = folded_device_peak(job) * 7 / 8;
  const std::vector<FitSuggestion> found = suggest_fit(job, limit, folded_device_peak);
  ASSERT_FALSE(found.empty());
  for (const FitSuggestion& s : found) EXPECT_LE(s.device_bytes, limit) << s.change;
  EXPECT_EQ(found[0].change, "recompute full");
}

// Deeper than random jobs go: what fills such a pipeline is most of its short schedules.
TEST(Fold, ADeepPipeline) {
  JobChoice choice;
  choice.layers = 20, choice.pp = 20, choice.tp = 2, choice.heads = 2, choice.stage = 1, choice.dp = 2;
  choice.accumulation = 70, choice.precision = 1, choice.clipping = 1;
  const ClusterSpec cluster = small_cluster(8, 10);
  choice.schedule = static_cast<int>(PipelineSchedule::k1F1B);
  PredictStatistics work;
  const Prediction folded = predict(job_of(choice), cluster, {}, &work);
  const Prediction whole = predict(job_of(choice), cluster, {.fold_ranks = false});
  EXPECT_EQ(work.whole, 0);
  EXPECT_EQ(folded.step_time_s, whole.step_time_s);
  EXPECT_TRUE(equal(folded.breakdown, whole.breakdown));
  for (const RankPrediction& rank : whole.ranks) {
    EXPECT_EQ(prediction_of(folded, rank.rank).peak.at_peak, rank.peak.at_peak) << rank.rank;
    EXPECT_TRUE(equal(prediction_of(folded, rank.rank).breakdown, rank.breakdown)) << rank.rank;
  }
}

// Kept activations come back while the action before is at work.
TEST(Fold, WhatIsFetchedEarlyIsOfTheActionBesideIt) {
  JobChoice choice;
  choice.layers = 4, choice.pp = 4, choice.dp = 2, choice.accumulation = 64, choice.stage = 1, choice.recompute = 2;
  choice.cpu_checkpointing = 1, choice.schedule = static_cast<int>(PipelineSchedule::k1F1B);
  const ClusterSpec cluster = small_cluster(8, 1);
  PredictStatistics work;
  const Prediction folded = predict(job_of(choice), cluster, {}, &work);
  EXPECT_LE(work.whole, 1);  // of one stage the end waits by chance
  EXPECT_EQ(folded.step_time_s, predict(job_of(choice), cluster, {.fold_ranks = false}).step_time_s);
}

// What the optimizer fetches takes holes that the compute lane left, and could begin before the last backward has
// ended: a short schedule does not say after which of its ops.
TEST(Fold, AFetchIntoWhateverHoleIsNotStretched) {
  JobChoice choice;
  choice.llama = true, choice.layers = 2, choice.heads = 4, choice.head_dim = 6, choice.vocab = 64;
  choice.seq = 6, choice.micro_batch = 3, choice.accumulation = 27, choice.dp = 2, choice.stage = 3;
  choice.prefetch = 300, choice.reuse = 1000000, choice.max_live = 500, choice.pp = 2;
  choice.schedule = static_cast<int>(PipelineSchedule::k1F1B);
  choice.recompute = 1, choice.offload_param = 3, choice.partition = 2, choice.bucket = 5000;
  choice.experts = 2, choice.top_k = 2, choice.capacity = 150, choice.ep = 2, choice.recompute_every = 3;
  choice.swap_buffers = 3, choice.max_in_cpu = 5000;
  ClusterSpec cluster = small_cluster(4, 1);
  cluster.pcie.bandwidth = BytesPerSecond(1e5);
  PredictStatistics work;
  const Prediction folded = predict(job_of(choice), cluster, {}, &work);
  EXPECT_GT(work.whole, 0);
  EXPECT_EQ(folded.step_time_s, predict(job_of(choice), cluster, {.fold_ranks = false}).step_time_s);
}

// Replicas that cross nodes two by two through a NIC, gradients beside kernels.
TEST(Fold, RanksThatShareANicSlowEachOther) {
  JobChoice choice;
  choice.layers = 4, choice.dp = 8, choice.stage = 2, choice.accumulation = 3, choice.precision = 1;
  const auto job = job_of(choice);
  const auto step = [&](int devices_per_nic, double nic, PredictStatistics& work) {
    ClusterSpec cluster = small_cluster(4, 2);
    cluster.nic.bandwidth = BytesPerSecond(nic);
    cluster.devices_per_nic = devices_per_nic;
    const Prediction folded = predict(job, cluster, {}, &work);
    EXPECT_EQ(folded.step_time_s, predict(job, cluster, {.fold_ranks = false}).step_time_s);
    return folded.step_time_s;
  };
  PredictStatistics own, shared;
  const double apart = step(1, 1e7, own), together = step(4, 1e7, shared);
  EXPECT_GT(shared.slowed, 0);
  EXPECT_NEAR(together / apart, 1, 0.05);  // four NICs of a node, or one of four times the rate
  EXPECT_GT(step(4, 0.25e7, shared), 2 * together);
}

TEST(Fold, RanksOfAStageAreOneClass) {
  JobChoice choice;
  choice.layers = 4, choice.pp = 2, choice.dp = 4, choice.stage = 1;
  ClusterSpec cluster = small_cluster(8, 1);
  PredictStatistics work;
  const Prediction p = predict(job_of(choice), cluster, {}, &work);
  ASSERT_EQ(p.ranks.size(), 2U);
  EXPECT_EQ(work.lowered, 2);
  EXPECT_EQ(p.ranks[0].count, 4);
  EXPECT_EQ(p.ranks[1].rank, 4);
  EXPECT_EQ(prediction_of(p, 6).rank, 4);
  cluster.nodes = 2, cluster.devices_per_node = 5;  // ranks 0 and 4 share a node, the other pairs of stages do not
  EXPECT_EQ(predict(job_of(choice), cluster).ranks.size(), 4U);
}

TEST(Fold, ALongScheduleIsTracedInPart) {
  JobChoice choice;
  choice.layers = 4, choice.pp = 2, choice.dp = 4, choice.stage = 1, choice.accumulation = 64;
  const Job job = job_of(choice);
  const ClusterSpec cluster = small_cluster(8, 1);
  KeptTrace whole, part;
  const auto all = static_cast<std::int64_t>(2 * lower(job, 0).instructions.size());
  EXPECT_EQ(trace_classes(job, cluster, whole, {.most_instructions = 2 * all}).micro_batches, 0);
  const TracedClasses traced = trace_classes(job, cluster, part, {.most_instructions = all / 4});
  EXPECT_GE(traced.micro_batches, 4);
  EXPECT_LE(traced.micro_batches, 16);
  EXPECT_EQ(traced.micro_batches % 2, 0);
  EXPECT_EQ(traced.ranks, (std::vector<int>{0, 4}));
  EXPECT_LT(part.ranks[0].slices.size(), whole.ranks[0].slices.size() / 3);
}

TEST(Fold, ATraceStopsWhenAsked) {
  KeptTrace trace;
  EXPECT_THROW(trace_classes(job_of({}), small_cluster(8, 1), trace, {.progress = [](double) { return false; }}),
               Error);
}

// As many classes as ranks, by the optimizer's slices: one stands for all, and their memory is alike.
TEST(Fold, ManyRanksAreTracedAsFew) {
  JobChoice choice;
  choice.layers = 3, choice.dp = 7, choice.stage = 1;
  const Job job = job_of(choice);
  const ClusterSpec cluster = small_cluster(8, 1);
  KeptTrace trace, all;
  const TracedClasses traced = trace_classes(job, cluster, trace, {.most_ranks = 1});
  EXPECT_EQ(traced.ranks.size(), 1U);
  const Prediction whole = simulate(all_programs(job), cluster, {.sink = &all});
  EXPECT_NEAR(traced.prediction.step_time_s / whole.step_time_s, 1, 0.05);
}

}  // namespace
}  // namespace shardscope
