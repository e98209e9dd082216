#include "simulator/network/ring.h"

#include <algorithm>

#include "core/check.h"

namespace shardscope {

LinkSpec slowest_link(const ClusterSpec& cluster, std::span<const int> ranks) {
  const int domain = cluster.scale_up_domain > 0 ? cluster.scale_up_domain : cluster.devices_per_node;
  const bool crosses =
      std::any_of(ranks.begin(), ranks.end(), [&](int rank) { return rank / domain != ranks.front() / domain; });
  return crosses ? cluster.nic : cluster.intra_node;
}

Seconds ring_time(std::string_view op, int ranks, Bytes size, const LinkSpec& link) {
  SS_CHECK(ranks >= 1, ranks);
  if (ranks == 1) return Seconds(0);
  if (op == "broadcast" || op == "ring_shift" || op == "send" || op == "recv")
    return link.latency + size / link.bandwidth;
  const Seconds once = (ranks - 1) * (link.latency + (size / ranks) / link.bandwidth);
  return op == "all_reduce" ? 2 * once : once;
}

}  // namespace shardscope
