// What the network between nodes changes: switches that sum, and a core that carries less than its nodes send.

#include "simulator/analytic/network_model.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

constexpr double kLarge = 1e11;  // bytes: hardly any latency

class Network : public ::testing::Test {
 protected:
  /// Seconds of `exchange` over one GPU of each of so many DGX H100.
  double seconds(Exchange exchange, double nodes) const {
    return NetworkModel(target, device_constants(default_constants(), target.gpu),
                        fabric_constants(default_constants(), target.fabric.name), 0)
        .transfer(exchange, kLarge, {nodes, 8})
        .seconds;
  }

  HardwareCatalog catalog = default_catalog();
  Target target = target_of(catalog, "dgx-h100");
};

TEST_F(Network, SwitchesThatSumSendAnAllReduceOnce) {
  const double ring = seconds(Exchange::kAllReduce, 16), gather = seconds(Exchange::kGather, 16);
  target.fabric.reduces = true;
  EXPECT_NEAR(ring / seconds(Exchange::kAllReduce, 16), 2.0 * 15 / 16, 0.02);
  EXPECT_EQ(seconds(Exchange::kGather, 16), gather);  // nothing to sum
}

// EFA: what a ring takes however little it moves grows with its ranks; in a node there is no such cost.
TEST_F(Network, ARingOverEfaTakesLongerForEachRank) {
  target = target_of(catalog, "p5");
  FabricConstants fabric = fabric_constants(default_constants(), "efa-v2");
  const auto gather = [&](double ranks) {
    return NetworkModel(target, device_constants(default_constants(), target.gpu), fabric, 0).all_gather(1, {ranks, 1});
  };
  const double node = gather(8), two = gather(16), four = gather(32), rank = fabric.rank_us * 1e-6;
  ASSERT_GT(rank, 0);
  fabric.rank_us = 0;
  EXPECT_NEAR(two - gather(16), 15 * rank, 1e-9);
  EXPECT_NEAR(four - gather(32), 31 * rank, 1e-9);
  EXPECT_EQ(node, gather(8));
}

TEST_F(Network, AnOversubscribedCoreSlowsWhatLeavesItsLeafSwitch) {
  const double small = seconds(Exchange::kGather, 32), large = seconds(Exchange::kGather, 33);
  target.fabric.oversubscription = 4;
  EXPECT_EQ(seconds(Exchange::kGather, 32), small);  // a rail of 32 nodes lies below one switch of 64 ports
  EXPECT_NEAR(seconds(Exchange::kGather, 33) / large, 4, 0.05);
}

// Without rails all eight NICs of a node go to one leaf switch, and four nodes fill it.
TEST_F(Network, WithoutRailsFewNodesShareALeafSwitch) {
  const double four = seconds(Exchange::kGather, 4), five = seconds(Exchange::kGather, 5);
  target.fabric.oversubscription = 4, target.fabric.rail_optimised = false;
  EXPECT_EQ(seconds(Exchange::kGather, 4), four);
  EXPECT_NEAR(seconds(Exchange::kGather, 5) / five, 4, 0.05);
}

// The event level is told through the cluster.
TEST_F(Network, ClustersOfTheCatalogSayTheSame) {
  set_field(catalog, "dgx-h100", "fabric.oversubscription=3");
  set_field(catalog, "dgx-h100", "fabric.rail_optimised=false");
  set_field(catalog, "dgx-h100", "fabric.reduces=true");
  target = target_of(catalog, "dgx-h100");
  const double closed = seconds(Exchange::kAllReduce, 64);
  target = target_of(make_cluster(catalog, find_system(catalog, "dgx-h100"), 512));
  EXPECT_DOUBLE_EQ(seconds(Exchange::kAllReduce, 64), closed);
}

}  // namespace
}  // namespace shardscope
