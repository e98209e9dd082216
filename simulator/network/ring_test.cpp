#include "simulator/network/ring.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

const LinkSpec kLink{BytesPerSecond(1e9), Seconds(1e-6)};

TEST(Ring, HandCases) {
  // 8e6 bytes at 1e9 B/s; R - 1 steps of bytes / R, 1 us each.
  EXPECT_EQ(ring_time("all_gather", 1, Bytes(8e6), kLink).value, 0);
  EXPECT_DOUBLE_EQ(ring_time("all_gather", 2, Bytes(8e6), kLink).value, 1e-6 + 4e-3);
  EXPECT_DOUBLE_EQ(ring_time("reduce_scatter", 4, Bytes(8e6), kLink).value, 3 * (1e-6 + 2e-3));
  EXPECT_DOUBLE_EQ(ring_time("all_reduce", 4, Bytes(8e6), kLink).value, 6 * (1e-6 + 2e-3));
  EXPECT_DOUBLE_EQ(ring_time("send", 2, Bytes(8e6), kLink).value, 1e-6 + 8e-3);
  EXPECT_DOUBLE_EQ(ring_time("ring_shift", 4, Bytes(8e6), kLink).value, 1e-6 + 8e-3);
}

TEST(Ring, AGroupOnSeveralNodesUsesTheNic) {
  ClusterSpec cluster;
  cluster.nodes = 2, cluster.devices_per_node = 2;
  cluster.intra_node.bandwidth = BytesPerSecond(100);
  cluster.nic.bandwidth = BytesPerSecond(10);
  const std::vector<int> node{0, 1}, both{1, 2};
  EXPECT_EQ(slowest_link(cluster, node).bandwidth.value, 100);
  EXPECT_EQ(slowest_link(cluster, both).bandwidth.value, 10);
}

TEST(Ring, ARackOfSeveralNodesIsOneScaleUpDomain) {
  ClusterSpec cluster;
  cluster.nodes = 4, cluster.devices_per_node = 2, cluster.scale_up_domain = 4;
  cluster.intra_node.bandwidth = BytesPerSecond(100);
  cluster.nic.bandwidth = BytesPerSecond(10);
  const std::vector<int> rack{0, 3}, both{3, 4};
  EXPECT_EQ(slowest_link(cluster, rack).bandwidth.value, 100);
  EXPECT_EQ(slowest_link(cluster, both).bandwidth.value, 10);
}

}  // namespace
}  // namespace shardscope
