// Curves, fits and the two cost models, by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/error.h"
#include "core/program/lower.h"
#include "simulator/analytic/target.h"
#include "simulator/calibrate/probe_ops.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/cost/fitted_model.h"
#include "simulator/cost/host_costs.h"
#include "simulator/cost/op_family.h"
#include "simulator/cost/thin_products.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

TEST(Curve, IsStraightInLogLogHeldBelowAndProportionalAbove) {
  const Curve c({{100, 1}, {10000, 10}});
  EXPECT_DOUBLE_EQ(c.at(1), 1);
  EXPECT_DOUBLE_EQ(c.at(100), 1);
  EXPECT_NEAR(c.at(1000), std::sqrt(10), 1e-12);  // half-way in log x is half-way in log y
  EXPECT_DOUBLE_EQ(c.at(20000), 20);
}

TEST(FittedModel, FindsTheTermsThatMadeTheData) {
  std::vector<FitSample> samples;
  for (double m : {10.0, 100.0, 1000.0}) {
    for (double n : {10.0, 100.0, 1000.0}) {
      FitSample s;
      s.log2_sizes = {std::log2(m), std::log2(n), 0, 0};
      s.terms = {1, m * n, m, 0, 0, 0};
      s.seconds = 1e-6 + 2e-9 * m * n + 5e-9 * m;
      samples.push_back(s);
    }
  }
  const FittedModel model(samples);
  EXPECT_NEAR(model.coefficients()[0], 1e-6, 1e-9);
  EXPECT_NEAR(model.coefficients()[1], 2e-9, 1e-12);
  EXPECT_NEAR(model.coefficients()[2], 5e-9, 1e-12);
  // Between the samples and far outside them.
  EXPECT_NEAR(model.at({std::log2(300), std::log2(30), 0, 0}, {1, 9000, 300, 0, 0, 0}), 1e-6 + 18e-6 + 1.5e-6, 1e-9);
  EXPECT_NEAR(model.at({17, 17, 0, 0}, {1, 1e10, 1e5, 0, 0, 0}), 20 + 5e-4 + 1e-6, 1e-3);
}

TEST(FittedModel, NoCoefficientIsNegativeAndNeighboursCorrect) {
  std::vector<FitSample> samples;
  for (int i = 0; i < 8; ++i) {
    FitSample s;
    const double x = std::exp2(i);
    s.log2_sizes[0] = i;
    s.terms = {1, x, x * x, 0, 0, 0};
    s.seconds = x * (i == 4 ? 2.0 : 1.0);  // one size twice as slow as the rest say
    samples.push_back(s);
  }
  const FittedModel model(samples);
  for (double c : model.coefficients()) EXPECT_GE(c, 0);
  EXPECT_NEAR(model.at({4, 0, 0, 0}, {1, 16, 256, 0, 0, 0}), 32, 6);
  EXPECT_NEAR(model.at({1, 0, 0, 0}, {1, 2, 4, 0, 0, 0}), 2, 0.4);
}

Program one_rank_of(int ranks) {
  Program p;
  p.world = ranks;
  Group group{"dp", {}, 0};
  for (int r = 0; r < ranks; ++r) group.ranks.push_back(r);
  p.groups.push_back(group);
  return p;
}

Region floats(Program& p, std::int64_t count) {
  Buffer b;
  b.name = "b" + std::to_string(p.buffers.size());
  b.elements = count;
  b.persistent = true;
  return p.whole(p.add_buffer(b));
}

Machine plain_machine() {
  Machine m = default_machine(2);
  m.op_overhead = microseconds(1);
  m.families = {{"copy", 1, Curve({{1000, 1e-6}, {1000000, 1e-3}})},
                {"copy", 2, Curve({{1000, 5e-7}, {1000000, 5e-4}})}};
  m.cache = Bytes(100000);
  m.memory_bandwidth = BytesPerSecond(2e9);
  m.collectives = {{"all_gather", 4, Curve({{1000, 10e-6}, {1000000, 1e-3}})}};
  return m;
}

TEST(HostCosts, FamiliesReadTheirCurveAtTheRanksThreads) {
  Program p = one_rank_of(1);
  const Instruction copy{Copy{floats(p, 125000), floats(p, 125000)}, Lane::kCompute, {}, {}};  // 1e6 bytes touched
  const HostCosts two_threads(plain_machine(), 1), one_thread(plain_machine(), 2);
  EXPECT_NEAR(two_threads.cost(p, copy).seconds.total().value, 1e-6 + 5e-4, 1e-9);
  const OpCost cost = one_thread.cost(p, copy);
  EXPECT_NEAR(cost.seconds.total().value, 1e-6 + 1e-3, 1e-9);
  // One core, and (1e6 - 1e5) bytes per millisecond of memory bandwidth.
  ASSERT_EQ(cost.demands.size(), 2U);
  EXPECT_DOUBLE_EQ(cost.demands[0].amount, 1);
  EXPECT_NEAR(cost.demands[1].amount, 9e8, 1e3);
  Instruction side = copy;
  side.lane = Lane::kGather;  // one thread, however many the rank has
  EXPECT_NEAR(two_threads.cost(p, side).seconds.total().value, 1e-6 + 1e-3, 1e-9);
}

TEST(HostCosts, CollectivesCountTheirCrowdingOnce) {
  Program p = one_rank_of(4);
  const Region out = floats(p, 250000);
  const Instruction gather{AllGather{GroupId{0}, out.part(0, 62500), out}, Lane::kGather, {}, {}};
  const HostCosts costs(plain_machine(), 4);
  // Measured 1 ms with four ranks on two cores: half of it is for want of cores, which the clock adds by itself.
  EXPECT_NEAR(costs.cost(p, gather).seconds.total().value, 1e-6 + 0.5e-3, 1e-9);
}

TEST(HostCosts, EveryFamilyHasAGuess) {
  const HostCosts costs(default_machine(2), 2);
  const Machine machine = default_machine(2);
  for (const std::string& family : all_families()) {
    EXPECT_TRUE(std::any_of(machine.families.begin(), machine.families.end(), [&](const FamilyCurve& f) {
      return f.family == family;
    })) << family;
  }
}

// A new op needs its probe, or calibrate would leave it to the curve of a copy.
TEST(FamilyProbes, EveryFamilyIsMeasuredAsWhatItIs) {
  std::set<std::string> probed{"load_batch"};  // measured without a backend
  for (const FamilyProbe& probe : family_probes()) {
    ProbeProgram program;
    const Op op = probe.make(program, 4096);
    const auto work = family_work(program.program(), op);
    ASSERT_TRUE(work.has_value()) << probe.family;
    EXPECT_EQ(work->family, probe.family);
    EXPECT_GT(work->work, 0) << probe.family;
    probed.insert(probe.family);
  }
  EXPECT_EQ(probed, std::set<std::string>(all_families().begin(), all_families().end()));
}

TEST(ThinProduct, LiesBetweenMeasuredRowsAndEndsWhereBIsPacked) {
  ProbeProgram p;
  const auto thin = [&](std::int64_t m, bool trans_a = false) {
    return thin_product(p.program(), MatMul{p.floats(m * 8), p.floats(8 * 4), {}, p.floats(m * 4), m, 4, 8, trans_a});
  };
  EXPECT_EQ(thin(4)->below, "thin_product:f32:4");
  EXPECT_EQ(thin(4)->above, "thin_product:f32:4");
  EXPECT_EQ(thin(2)->below, "thin_product:f32:1");
  EXPECT_EQ(thin(2)->above, "thin_product:f32:4");
  EXPECT_DOUBLE_EQ(thin(2)->share, 0.5);
  EXPECT_EQ(thin(16)->work, 8 * 4 * 4);
  EXPECT_FALSE(thin(17));
  EXPECT_FALSE(thin(4, true));
  const MatMulInt8 int8{p.floats(8), p.bytes(8 * 4), p.floats(4), {}, p.floats(4), 1, 4, 8, true};
  EXPECT_EQ(thin_product(p.program(), int8)->below, "thin_product:i8:tb:1");
  EXPECT_EQ(thin_product(p.program(), int8)->work, 8 * 4);
}

/// 2 rows: the geometric mean of 1 and 4 rows.
TEST(HostCosts, AProductOfFewRowsIsReadFromTheCurvesOfMeasuredOnes) {
  Machine machine = plain_machine();
  for (const auto& [rows, seconds] : {std::pair{1, 1e-6}, {4, 4e-6}, {16, 9e-6}}) {
    const ThinFamily family{DType::kF32, false, rows};
    machine.families.push_back({family.name(), 1, Curve({{128, seconds}, {1280, 10 * seconds}})});
  }
  ProbeProgram p;
  const Op op = MatMul{p.floats(16), p.floats(320), {}, p.floats(80), 2, 40, 8};
  const OpCost cost = HostCosts(machine, 2).cost(p.program(), {op});
  EXPECT_NEAR((cost.seconds.compute + cost.seconds.memory).value, 20e-6, 1e-9);
}

TEST(MatMulModel, ThreadsBetweenMeasuredOnesLieBetween) {
  std::vector<MatMulPoint> points;
  for (int threads : {1, 4}) {
    for (double m : {64, 256}) {
      for (double n : {64, 256})
        points.push_back({threads, m, n, 64, false, false, false, m * n * 64 * 1e-9 / threads});
    }
  }
  const MatMulModel model(points);
  MatMul op;
  op.m = 128, op.n = 128, op.k = 64;
  const double one = model.time(op, DType::kF32, 1).value, two = model.time(op, DType::kF32, 2).value,
               four = model.time(op, DType::kF32, 4).value;
  EXPECT_NEAR(one, 128 * 128 * 64 * 1e-9, one * 0.02);
  EXPECT_NEAR(two, one / 2, one * 0.02);
  EXPECT_NEAR(four, one / 4, one * 0.02);
  EXPECT_DOUBLE_EQ(model.time(op, DType::kF32, 16).value, four);
}

TEST(MatMulModel, SixteenBitProductsHaveMeasurementsOfTheirOwn) {
  std::vector<MatMulPoint> points;
  for (double m : {64, 256, 1024}) {
    points.push_back({1, m, 64, 64, false, false, false, m * 1e-6});
    points.push_back({1, m, 64, 64, false, false, false, m * 2e-6, DType::kBF16});
  }
  const MatMulModel model(points);
  MatMul op;
  op.m = 256, op.n = 64, op.k = 64;
  EXPECT_NEAR(model.time(op, DType::kF32, 1).value, 256e-6, 3e-6);
  EXPECT_NEAR(model.time(op, DType::kBF16, 1).value, 512e-6, 6e-6);
  EXPECT_NEAR(model.time(op, DType::kF16, 1).value, 512e-6, 6e-6);  // was not measured
}

TEST(HostCosts, WhatWasNotMeasuredInSixteenBitsCostsAsInFp32) {
  Program p = one_rank_of(1);
  const BufferId narrow = p.add_buffer({"narrow", DType::kBF16, 1 << 20});
  const Region wide = floats(p, 1 << 19);
  Machine machine = plain_machine();
  machine.families = {{"copy", 1, Curve({{1, 1e-9}, {1e9, 1}})}, {"scale", 1, Curve({{1, 2e-9}, {1e9, 2}})}};
  const auto cost = [&](const Op& op) {
    return HostCosts(machine, 1).cost(p, {op, Lane::kGather, {}, {}}).seconds.memory.value;
  };
  EXPECT_DOUBLE_EQ(cost(Scale{p.whole(narrow), 2}), cost(Scale{wide, 2}));
  machine.families.push_back({"scale:bf16", 1, Curve({{1, 3e-9}, {1e9, 3}})});
  EXPECT_DOUBLE_EQ(cost(Scale{p.whole(narrow), 2}), 1.5 * cost(Scale{wide, 2}));
  EXPECT_DOUBLE_EQ(cost(Fill{p.whole(narrow), 0}), cost(Fill{wide, 0})) << "a fill moves bytes, whatever they are";
}

TEST(AttentionModel, ThreadsShareOutHeadsWhole) {
  std::vector<AttentionPoint> points;
  for (double seq : {64, 128, 256}) {
    for (bool backward : {false, true}) points.push_back({1, backward, 1, seq, 1, 1, 32, seq * seq * 32 * 1e-10});
  }
  const AttentionModel model(points);
  Attention op;
  op.batch = 1, op.seq = 128, op.heads = op.kv_heads = 3, op.head_dim = 32;
  const double unit = 128 * 128 * 32 * 1e-10;
  EXPECT_NEAR(model.time(op, DType::kF32, 1).value, 3 * unit, 0.02 * unit);
  EXPECT_NEAR(model.time(op, DType::kF32, 2).value, 2 * unit,
              0.02 * unit);  // two heads on one thread, one on the other
}

ClusterSpec small_cluster() {
  ClusterSpec c;
  c.devices_per_node = 4;
  c.device.peak_flops[static_cast<std::size_t>(DType::kF32)] = FlopPerSecond(1e12);
  c.device.memory_bandwidth = BytesPerSecond(1e11);
  c.intra_node = {BytesPerSecond(1e10), Seconds(1e-6)};
  c.nic = c.pcie = {BytesPerSecond(1e9), Seconds(1e-5)};
  return c;
}

TEST(ClusterCosts, AreThoseOfTheClosedForm) {
  Program p = one_rank_of(4);
  const ClusterSpec cluster = small_cluster();
  const ClusterCosts costs(cluster);
  const Target target = target_of(cluster);
  const GpuModel gpu(target.gpu, device_constants(default_constants(), target.gpu));
  MatMul matmul;
  matmul.m = 2000, matmul.n = 500, matmul.k = 1000;
  matmul.a = floats(p, 2000000), matmul.b = floats(p, 500000), matmul.c = floats(p, 1000000);
  const Cost product = costs.cost(p, {matmul, Lane::kCompute, {}, {}}).seconds;
  EXPECT_NEAR(product.total().value, gpu.matmul(2000, 500, 1000, Arithmetic::kFp32), 1e-12);
  const Cost copy = costs.cost(p, {Copy{matmul.c, matmul.a.part(0, 1000000)}, Lane::kCompute, {}, {}}).seconds;
  EXPECT_NEAR(copy.total().value, gpu.traffic(8e6), 1e-12);
  EXPECT_GT(copy.total().value, 8e6 / 1e11);
  const Region quarter = matmul.c.part(0, 250000);
  const Cost gather = costs.cost(p, {AllGather{GroupId{0}, quarter, matmul.c}, Lane::kGather, {}, {}}).seconds;
  EXPECT_NEAR(gather.link.value, 0.75 * 4e6 / (1e10 * gpu.constants().link_efficiency), 1e-9);
}

// 2.512 million elements of operands, each read twice in fp32 and written as a byte, by 4 kernels.
TEST(ClusterCosts, AProductInFp8IsCastFirst) {
  Program p = one_rank_of(4);
  ClusterSpec cluster = small_cluster();
  MatMul matmul;
  matmul.m = 2000, matmul.n = 512, matmul.k = 1000;
  matmul.a = floats(p, 2000000), matmul.b = floats(p, 512000), matmul.c = floats(p, 1024000);
  matmul.cast_a = matmul.cast_b = Fp8::kE4M3;
  EXPECT_THROW(ClusterCosts(cluster).cost(p, {matmul, Lane::kCompute, {}, {}}), Error);
  cluster.device.fp8_peak = FlopPerSecond(4e12);
  const Target target = target_of(cluster);
  const GpuModel gpu(target.gpu, device_constants(default_constants(), target.gpu));
  const Cost cost = ClusterCosts(cluster).cost(p, {matmul, Lane::kCompute, {}, {}}).seconds;
  EXPECT_NEAR(cost.total().value,
              gpu.matmul(2000, 512, 1000, Arithmetic::kFp8) + gpu.traffic(9 * 2.512e6) + 3 * gpu.kernel_s(), 1e-12);
  EXPECT_GT(cost.memory.value, 9 * 2.512e6 / 1e11);
  EXPECT_LT(cost.compute.value, gpu.matmul(2000, 512, 1000, Arithmetic::kFp32));
}

TEST(HostCosts, AProductInFp8TakesLongerThanInSixteenBits) {
  Program p = one_rank_of(1);
  MatMul op{floats(p, 64 * 64), floats(p, 64 * 64), {}, floats(p, 64 * 64), 64, 64, 64};
  const HostCosts costs(default_machine(2), 1);
  const Seconds wide = costs.cost(p, {op, Lane::kCompute, {}, {}}).seconds.total();
  op.cast_a = op.cast_b = Fp8::kE4M3;
  EXPECT_GT(costs.cost(p, {op, Lane::kCompute, {}, {}}).seconds.total(), wide);
}

TEST(ClusterCosts, ClustersWithoutLinksAreRefused) {
  ClusterSpec cluster = small_cluster();
  cluster.intra_node.bandwidth = BytesPerSecond(0);
  EXPECT_THROW(ClusterCosts{cluster}, Error);
  cluster = small_cluster();
  cluster.nodes = 2, cluster.nic.bandwidth = BytesPerSecond(0);
  EXPECT_THROW(ClusterCosts{cluster}, Error);
}

Region on_drive(Program& p, std::int64_t count) {
  const Region region = floats(p, count);
  p.buffer(region.buffer).space = Space::kNvme;
  return region;
}

TEST(HostCosts, ADriveIsSharedByAllTransfers) {
  Machine machine = plain_machine();
  machine.drive = {Curve({{4096, 1e-4}, {4e6, 1e-3}}), Curve({{4096, 1e-4}, {4e6, 2e-3}}), 1.5, 0.25};
  const HostCosts costs(machine, 2);
  Program p = one_rank_of(2);
  const Region memory = floats(p, 1000000), drive = on_drive(p, 1000000);
  const OpCost read = costs.cost(p, {NvmeRead{drive, memory}, Lane::kNvmeRead, {}, {}});
  EXPECT_NEAR(read.seconds.total().value, 1e-6 + 1e-3, 1e-9);
  EXPECT_NEAR(read.seconds.link.value, 9e-4, 1e-9);  // the smallest transfer measured is its latency
  EXPECT_NEAR(costs.cost(p, {NvmeWrite{memory, drive}, Lane::kNvmeWrite, {}, {}}).seconds.total().value, 1e-6 + 2e-3,
              1e-9);
  EXPECT_EQ(costs.resources()[2].name, "nvme");
  EXPECT_DOUBLE_EQ(costs.resources()[2].capacity, 1.5);
  EXPECT_EQ(read.demands, (std::vector<Demand>{{0, 0.25}, {2, 1}}));
}

TEST(ClusterCosts, ANodesDrivesAreDealtOutToItsDevices) {
  ClusterSpec cluster = small_cluster();
  Program p = one_rank_of(4);
  const Region memory = floats(p, 1000000), drive = on_drive(p, 1000000);
  const Instruction read{NvmeRead{drive, memory}, Lane::kNvmeRead, {}, {}};
  EXPECT_THROW(ClusterCosts(cluster).cost(p, read), Error);
  cluster.nvme_read = BytesPerSecond(8e9);
  cluster.nvme_write = BytesPerSecond(4e9);
  const ClusterCosts costs(cluster);
  EXPECT_NEAR(costs.cost(p, read).seconds.link.value, 4e6 / 2e9, 1e-12);
  EXPECT_NEAR(costs.cost(p, {NvmeWrite{memory, drive}, Lane::kNvmeWrite, {}, {}}).seconds.link.value, 4e6 / 1e9, 1e-12);
}

Job small_job(int ranks, int stage) {
  const std::string text =
      R"({"model":{"model_type":"gpt2","vocab_size":64,"n_positions":32,"n_embd":32,"n_layer":2,"n_head":2},)"
      R"("deepspeed":{"train_micro_batch_size_per_gpu":2,"zero_optimization":{"stage":)" +
      std::to_string(stage) + R"(}},"parallel":{"dp":)" + std::to_string(ranks) + R"(},"data":{"seq_len":16}})";
  return parse_job(text, "job.json", {});
}

TEST(Simulate, UtilisationIsOfTheRateOfTheModelsType) {
  const auto peak_of = [](const char* precision) {
    Job job = small_job(1, 0);
    job.training.precision.kind = std::string_view(precision) == "bf16" ? Precision::kBf16 : Precision::kFp32;
    ClusterSpec cluster = small_cluster();
    const auto set = [&](DType dtype, double rate) {
      cluster.device.peak_flops[static_cast<std::size_t>(dtype)] = FlopPerSecond(rate);
    };
    set(DType::kF32, 1e12), set(DType::kBF16, 16e12), set(DType::kI8, 32e12);
    const std::vector<Program> programs = {lower(job, 0)};
    const Prediction p = simulate(programs, cluster, {.flops_per_token = 1e5});
    EXPECT_NEAR(p.mfu, p.tokens_per_s * 1e5 / p.peak_flops_per_rank, 1e-12);
    return p.peak_flops_per_rank;
  };
  EXPECT_EQ(peak_of("bf16"), 16e12);
  EXPECT_EQ(peak_of("fp32"), 1e12);
}

TEST(Simulate, EveryStageAndRankCountIsPredictedOnBothKindsOfMachine) {
  const Machine machine = default_machine(2);
  for (int stage : {0, 1, 2, 3}) {
    for (int ranks : {1, 2, 3, 4}) {
      std::vector<Program> programs;
      for (int r = 0; r < ranks; ++r) programs.push_back(lower(small_job(ranks, stage), r));
      for (const Prediction& p : {simulate(programs, machine, {.steps = 2, .flops_per_token = 1e5}),
                                  simulate(programs, small_cluster(), {.flops_per_token = 1e5})}) {
        EXPECT_GT(p.step_time_s, 0);
        EXPECT_NEAR(p.breakdown.total_s(), p.step_time_s, 1e-9 * p.step_time_s + 1e-12) << stage << ' ' << ranks;
        EXPECT_GT(p.breakdown.optimizer_s, 0);
        EXPECT_GT(p.mfu, 0);
        EXPECT_FALSE(p.calibrated);
        ASSERT_EQ(static_cast<int>(p.ranks.size()), ranks);
        for (int r = 0; r < ranks; ++r) {
          const MemoryPeak expected = compute_memory_peak(programs[static_cast<std::size_t>(r)]);
          EXPECT_EQ(p.ranks[static_cast<std::size_t>(r)].peak.peak_bytes, expected.peak_bytes);
        }
        EXPECT_NEAR(p.tokens_per_s * p.step_time_s, ranks * 2 * 16, 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace shardscope
