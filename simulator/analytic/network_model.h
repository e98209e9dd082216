#pragma once
// How long a collective takes on a cluster of nodes: rings and switches inside the scale-up domain, NICs between.
//
//   NetworkModel network(target, device, fabric);
//   Placement tensor{.ranks = 8, .stride = 1};                       // ranks 0..7
//   Placement data{.ranks = 16, .stride = 8};                        // ranks 0, 8, 16, ...: one per node of 8
//   double s = network.all_reduce(bytes, data);
//
// Formula inside a domain: a + h (n - 1) + f bytes / rate. Over nodes: a group with g members in each of N nodes moves
// f(N) bytes / g through each member's share of the NICs while f(n) bytes go over the scale-up links; the slower
// counts. Where the network's switches sum (SHARP), an all-reduce sends its bytes once. Between nodes that share no
// leaf switch the rate is divided by the core's oversubscription. Units: bytes of the whole message (gathered, or to be
// reduced), seconds. Latencies and efficiencies: constants.h.

#include <cstdint>

#include "simulator/analytic/constants.h"
#include "simulator/analytic/target.h"

namespace shardscope {

/// Which ranks form a group: `ranks` of them, `stride` apart.
struct Placement {
  double ranks = 1, stride = 1;
};

enum class Exchange : std::uint8_t { kAllReduce, kGather, kAllToAll, kSend };

/// What one of a group's ranks does in a collective.
struct Transfer {
  double seconds = 0;
  double links = 0, nics = 0;  ///< mean part, while it lasts, of its links' rate and of that of its NICs
};

class NetworkModel {
 public:
  NetworkModel(const Target&, const DeviceConstants&, const FabricConstants&, double collective_s);

  /// The same for a group that is alone: its ranks have the NICs that they otherwise share with the others of a node
  /// to themselves. Who shares them when is for the caller to see (simulator/cost/cluster_costs.h).
  NetworkModel alone() const;
  int ranks_per_nic() const { return static_cast<int>(sharers_); }  ///< in a row, that share NICs

  Transfer transfer(Exchange, double bytes, Placement) const;  ///< of a send: to the rank `stride` further

  double all_reduce(double bytes, Placement) const;
  double all_gather(double bytes, Placement) const;                     ///< bytes of the whole
  double reduce_scatter(double bytes, Placement) const;                 ///< likewise
  double all_to_all(double bytes, Placement, double copies = 1) const;  ///< bytes that one rank holds before
  double nodes_of(Placement) const;                                     ///< domains of fast links that the group spans
  double start_of_gather(Placement p) const;                            ///< seconds that one takes however small
  double send(double bytes, double stride) const;                       ///< to the rank `stride` further

 private:
  Transfer move(double bytes, Placement, double passes) const;
  Transfer exchange(double bytes, Placement, double copies) const;
  Transfer message(double bytes, double stride) const;
  Transfer over_nics(double start, double links, double away, double bytes_per_rank, Placement) const;
  double members_in_domain(Placement) const;
  double latency(double ranks, double nodes, double hops) const;
  double nic_rate(double bytes_per_rank, Placement) const;
  double core_share(Placement) const;

  double domain_ = 8, link_ = 0, nic_ = 0;  ///< bytes/s of one rank, one way
  double sharers_ = 1, most_ = 0;           ///< ranks that share NICs; bytes/s that one rank can use of them
  bool alone_ = false;
  bool reduces_ = false;                       ///< switches of the links sum
  bool sums_ = false;                          ///< those between nodes do
  double node_ = 8, leaf_ = 1, crowding_ = 1;  ///< ranks of a node; nodes below a leaf switch; core's oversubscription
  DeviceConstants device_;
  FabricConstants fabric_;
  double base_latency_ = 0, collective_s_ = 0;
};

}  // namespace shardscope
