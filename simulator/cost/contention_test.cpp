// What ops take from each other on a cluster. Times alone are asked of the model; what two at once must make of them is
// worked out here.

#include <gtest/gtest.h>

#include <algorithm>

#include "simulator/clock/clock_fixture_for_test.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

constexpr std::int64_t kElements = 64 << 20;  // large messages: hardly any latency

ClusterSpec cluster_of(int nodes, int devices_per_node) {
  ClusterSpec cluster;
  cluster.name = "by hand";
  cluster.nodes = nodes, cluster.devices_per_node = devices_per_node;
  cluster.device.architecture = "ampere";
  cluster.device.peak_flops.fill(FlopPerSecond(1e14));
  cluster.device.memory_bandwidth = BytesPerSecond(1e12);
  cluster.intra_node = {BytesPerSecond(1e11), microseconds(1)};
  cluster.nic = {BytesPerSecond(1e10), microseconds(1)};
  cluster.pcie = {BytesPerSecond(4e10), microseconds(1)};
  return cluster;
}

class Contention : public ::testing::Test {
 protected:
  /// Ranks that sum over groups of `members`, the ranks `stride` apart; others do nothing.
  std::vector<ProgramMaker> makers(const std::vector<std::vector<int>>& groups) {
    std::vector<ProgramMaker> all;
    int world = 0;
    for (const auto& group : groups) world += static_cast<int>(group.size());
    for (int rank = 0; rank < world; ++rank) {
      ProgramMaker maker(rank, world);
      for (const auto& group : groups) {
        const auto self = std::find(group.begin(), group.end(), rank);
        if (self != group.end()) maker.program.groups[0] = {"dp", group, static_cast<int>(self - group.begin())};
      }
      all.push_back(std::move(maker));
    }
    return all;
  }

  void run(const std::vector<ProgramMaker>& all, const ClusterSpec& cluster) {
    std::vector<Program> programs;
    for (const ProgramMaker& maker : all) programs.push_back(maker.program);
    trace_ = KeptTrace();
    const ClusterCosts costs(cluster);
    simulate(programs, costs, {.sink = &trace_});
    alone_.clear();
    for (const Program& program : programs) {
      auto& seconds = alone_.emplace_back();
      for (const Instruction& i : program.instructions) seconds.push_back(costs.cost(program, i).seconds.total().value);
    }
  }
  /// How many times as long as it would take alone.
  double slowed(int rank, OpId op) {
    const double alone = alone_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(op.index)];
    return static_cast<double>(trace_.ranks[rank].of(op).duration_ns) * 1e-9 / alone;
  }

  KeptTrace trace_;
  std::vector<std::vector<double>> alone_;
};

TEST_F(Contention, GroupsThroughOneNicShareIt) {
  ClusterSpec cluster = cluster_of(2, 2);
  auto all = makers({{0, 2}, {1, 3}});
  for (ProgramMaker& maker : all) maker.all_reduce(Lane::kReduce, kElements);
  run(all, cluster);
  EXPECT_NEAR(slowed(0, OpId{0}), 1, 1e-3);  // a NIC each
  const double own = alone_[0][0];
  cluster.devices_per_nic = 2;
  run(all, cluster);
  EXPECT_NEAR(slowed(0, OpId{0}), 2, 0.08);  // a little less: alone, a message leaves part of the NIC's rate (half_mib)
  EXPECT_NEAR(alone_[0][0], own / 2, 0.03 * own);  // one NIC of twice the rate: with both at once as with one each
}

/// Network and PCIe reach what the table of constants says of them, here and in the closed form.
TEST_F(Contention, RatesAreThoseOfTheTableOfConstants) {
  ClusterSpec cluster = cluster_of(2, 1);
  const auto seconds = [&](const char* fabric, double efficiency) {
    cluster.fabric = fabric, cluster.nic_efficiency = efficiency;
    auto all = makers({{0, 1}});
    for (ProgramMaker& maker : all) maker.all_reduce(Lane::kReduce, 16 * kElements);
    run(all, cluster);
    return alone_[0][0];
  };
  const auto of = [](const char* fabric) { return fabric_constants(default_constants(), fabric).efficiency; };
  EXPECT_NEAR(seconds("efa-v3", 0) / seconds("ib-ndr", 0), of("ib-ndr") / of("efa-v3"), 1e-3);
  EXPECT_NEAR(seconds("ib-ndr", 0.5) / seconds("ib-ndr", 0), of("ib-ndr") / 0.5, 1e-3);  // one's own, where it is said
}

TEST_F(Contention, OneAfterTheOtherHasTheNicToItself) {
  ClusterSpec cluster = cluster_of(2, 2);
  cluster.devices_per_nic = 2;
  auto all = makers({{0, 2}, {1, 3}});
  for (ProgramMaker& maker : all) {
    std::vector<OpId> after;
    if (maker.program.rank % 2 == 1) after.push_back(maker.fill(Lane::kCompute, 0));
    maker.all_reduce(Lane::kReduce, kElements, after);
  }
  for (int rank : {1, 3}) {  // longer than the first group takes
    Program& program = all[static_cast<std::size_t>(rank)].program;
    program.buffers[0].elements = std::int64_t{1} << 36;
    program.instructions[0].op = Fill{program.whole(BufferId{0}), 0};
  }
  run(all, cluster);
  EXPECT_NEAR(slowed(0, OpId{0}), 1, 1e-6);
  EXPECT_NEAR(slowed(1, OpId{1}), 1, 1e-6);
}

TEST_F(Contention, CollectivesOfOneRankShareItsLinks) {
  auto all = makers({{0, 1}});
  for (ProgramMaker& maker : all) {
    maker.all_reduce(Lane::kReduce, kElements);
    maker.all_reduce(Lane::kTensor, kElements);
  }
  run(all, cluster_of(1, 2));
  EXPECT_NEAR(slowed(0, OpId{0}), 2, 0.05);
  EXPECT_NEAR(slowed(1, OpId{1}), 2, 0.05);
}

TEST_F(Contention, CopiesBelowOneSwitchShareItsLinkEachWay) {
  ClusterSpec cluster = cluster_of(1, 2);
  const auto copy = [](ProgramMaker& maker, bool to_host) {
    const Region device = maker.buffer(kElements), host = maker.buffer(kElements);
    maker.program.buffers.back().space = Space::kPinned;
    maker.add(to_host ? Copy{device, host} : Copy{host, device}, to_host ? Lane::kD2H : Lane::kH2D, {},
              Phase::kForward);
  };
  const auto slowed_by = [&](bool first_to_host, bool second_to_host, int devices_per_switch) {
    cluster.devices_per_pcie_switch = devices_per_switch;
    auto all = makers({{0, 1}});
    copy(all[0], first_to_host);
    copy(all[1], second_to_host);
    run(all, cluster);
    return slowed(0, OpId{0});
  };
  EXPECT_NEAR(slowed_by(true, true, 1), 1, 1e-6);
  EXPECT_NEAR(slowed_by(true, true, 2), 2, 1e-3);
  EXPECT_NEAR(slowed_by(false, false, 2), 2, 1e-3);
  EXPECT_NEAR(slowed_by(true, false, 2), 1, 1e-6);
}

TEST_F(Contention, AKernelBesideACollectiveGetsWhatThatLeaves) {
  auto all = makers({{0, 1}});
  for (ProgramMaker& maker : all) {
    maker.all_reduce(Lane::kReduce, kElements);
    const Region r = maker.buffer(std::int64_t{1} << 32);
    maker.add(Fill{r, 0}, Lane::kCompute, {}, Phase::kForward);
  }
  run(all, cluster_of(1, 2));
  const double collective = alone_[0][0], kernel = alone_[0][1];
  ASSERT_GT(kernel, collective);
  EXPECT_NEAR(slowed(0, OpId{0}), 1, 1e-6);
  // A part less of the device while the collective lasts, all of it then.
  const double part = device_constants(default_constants(), {.architecture = "ampere"}).interference;
  ASSERT_GT(part, 0.05);
  EXPECT_NEAR(slowed(0, OpId{1}), 1 + part * collective / kernel, 1e-3);
}

}  // namespace
}  // namespace shardscope
