#include "simulator/analytic/network_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace shardscope {
namespace {

constexpr double kMiB = 1 << 20;
// All-reduce in the switch moves a part of what a ring does: measured 445 against 352 GB/s bus rate on 8 H100
// (docs/validation.md).
constexpr double kSwitchGain = 445.0 / 352.0;
constexpr double kLeafPorts = 32;  // to NICs, of a leaf switch of 64 (Quantum-2, Spectrum-4); half go to the core

/// Of what is not below 0 and below 2^63; std::floor and std::ceil are calls of the library.
double rounded_down(double x) { return static_cast<double>(static_cast<std::int64_t>(x)); }
double rounded_up(double x) {
  const double down = rounded_down(x);
  return x > down ? down + 1 : down;
}

/// Hops of a tree's longest way.
double up_and_down(double nodes) { return 2 * std::log2(nodes); }

}  // namespace

NetworkModel::NetworkModel(const Target& target, const DeviceConstants& device, const FabricConstants& fabric,
                           double collective_s)
    : domain_(std::max(1, target.system.scale_up_domain)),
      link_(target.gpu.scale_up.bandwidth.value * device.link_efficiency),
      reduces_(target.gpu.switch_reduces && target.system.scale_up_switched),
      sums_(target.fabric.reduces),
      node_(std::max(1, target.system.gpus_per_node)),
      leaf_(std::max(1.0, kLeafPorts / (target.fabric.rail_optimised ? 1 : std::max(1, target.system.nics)))),
      crowding_(std::max(1.0, target.fabric.oversubscription)),
      device_(device),
      fabric_(fabric),
      base_latency_(target.fabric.latency.value),
      collective_s_(collective_s) {
  if (link_ <= 0) {  // by PCIe, through the host: half of it each way
    link_ = target.gpu.pcie.bandwidth.value * device.pcie_efficiency / 2;
    domain_ = std::max(1, target.system.gpus_per_node);
  }
  const double gpus = std::max(1, target.system.gpus_per_node);
  sharers_ = gpus / std::gcd(std::max(1, target.system.gpus_per_node), std::max(1, target.system.nics));
  most_ = std::max(target.gpu.pcie.bandwidth.value, target.system.nic_bandwidth.value);
  const double efficiency = target.fabric.efficiency > 0 ? target.fabric.efficiency : fabric.efficiency;
  nic_ = target.system.nic_bandwidth.value * target.system.nics / gpus * efficiency;
}

double NetworkModel::members_in_domain(Placement p) const {
  return std::clamp(rounded_down(domain_ / p.stride), 1.0, p.ranks);
}

/// All-reduces of little data go up and down a tree, or through switches that sum; gathers and scatters have only
/// rings.
double NetworkModel::latency(double ranks, double nodes, double hops) const {
  const double inside = (device_.link_latency_us + device_.link_hop_us * (ranks / nodes - 1)) * 1e-6;
  if (nodes <= 1) return collective_s_ + inside;
  return collective_s_ + inside + fabric_.latency_us * 1e-6 + (base_latency_ + fabric_.hop_us * 1e-6) * hops;
}

NetworkModel NetworkModel::alone() const {
  NetworkModel model = *this;
  model.alone_ = true;
  return model;
}

double NetworkModel::nic_rate(double bytes_per_rank, Placement p) const {
  double rate = nic_;
  if (alone_ && sharers_ > 1) {
    const double own = std::clamp(rounded_down(sharers_ / p.stride), 1.0, p.ranks);
    rate = std::max(nic_, std::min(nic_ * sharers_ / own, most_));
  }
  return core_share(p) * rate * bytes_per_rank / (bytes_per_rank + fabric_.half_mib * kMiB);
}

/// Part of the NICs' rate that the network's core has for the group; from its first to its last node it may share a
/// leaf switch. Of a message's two ranks, too.
double NetworkModel::core_share(Placement p) const {
  const double nodes = rounded_down((std::max(p.ranks, 2.0) - 1) * p.stride / node_) + 1;
  return nodes > leaf_ ? 1 / crowding_ : 1;
}

/// Links and NICs at once, `links` seconds and `away` bytes of each rank.
Transfer NetworkModel::over_nics(double start, double links, double away, double bytes_per_rank, Placement p) const {
  Transfer t;
  t.seconds = start + std::max(links, away > 0 ? away / nic_rate(bytes_per_rank, p) : 0);
  if (t.seconds <= 0) return t;
  t.links = links / t.seconds;
  t.nics = away > 0 ? away / (nic_ * sharers_) / t.seconds : 0;
  return t;
}

/// `passes` 1: every rank ends with, or gives away, the whole once; 2: an all-reduce.
Transfer NetworkModel::move(double bytes, Placement p, double passes) const {
  if (p.ranks <= 1 || bytes <= 0) return {};
  const double inside = members_in_domain(p), nodes = nodes_of(p);
  const bool sums = passes > 1 && sums_;
  const double turns = nodes <= 1 || sums ? 0 : passes * (p.ranks - 1) * fabric_.rank_us * 1e-6;
  const double start = turns + latency(p.ranks, nodes, passes == 1 ? nodes - 1 : sums ? 2 : up_and_down(nodes));
  const double links = inside > 1 ? passes * bytes * (p.ranks - 1) / p.ranks / link_ : 0;
  if (nodes <= 1) return over_nics(start, links / (passes > 1 && reduces_ ? kSwitchGain : 1), 0, 0, p);
  const double times = sums ? 1 : passes * (nodes - 1) / nodes;  // summed on the way: up once, down once
  return over_nics(start, links, times * bytes / inside, bytes / p.ranks, p);
}

double NetworkModel::start_of_gather(Placement p) const {
  return p.ranks <= 1 ? 0 : latency(p.ranks, nodes_of(p), nodes_of(p) - 1);
}

double NetworkModel::nodes_of(Placement p) const { return rounded_up(p.ranks / members_in_domain(p)); }

/// `copies`: bytes that cross the network over bytes that arrive.
Transfer NetworkModel::exchange(double bytes, Placement p, double copies) const {
  if (p.ranks <= 1 || bytes <= 0) return {};
  const double inside = members_in_domain(p), nodes = nodes_of(p);
  const double start = latency(p.ranks, nodes, up_and_down(nodes));
  const double links = bytes * (inside - 1) / p.ranks / link_;
  const double away = nodes > 1 ? copies * bytes * (p.ranks - inside) / p.ranks : 0;
  return over_nics(start, links, away, bytes / p.ranks, p);
}

Transfer NetworkModel::message(double bytes, double stride) const {
  if (bytes <= 0) return {};
  const bool near = stride < domain_;
  const double start = collective_s_ + (near ? device_.link_latency_us : fabric_.latency_us) * 1e-6;
  return over_nics(start, near ? bytes / link_ : 0, near ? 0 : bytes, bytes, {1, stride});
}

Transfer NetworkModel::transfer(Exchange kind, double bytes, Placement p) const {
  switch (kind) {
    case Exchange::kAllReduce:
      return move(bytes, p, 2);
    case Exchange::kGather:
      return move(bytes, p, 1);
    case Exchange::kAllToAll:
      return exchange(bytes, p, 1);
    case Exchange::kSend:
      break;
  }
  return message(bytes, p.stride);
}

double NetworkModel::all_reduce(double bytes, Placement p) const { return move(bytes, p, 2).seconds; }
double NetworkModel::all_gather(double bytes, Placement p) const { return move(bytes, p, 1).seconds; }
double NetworkModel::reduce_scatter(double bytes, Placement p) const { return move(bytes, p, 1).seconds; }
double NetworkModel::all_to_all(double bytes, Placement p, double copies) const {
  return exchange(bytes, p, copies).seconds;
}
double NetworkModel::send(double bytes, double stride) const { return message(bytes, stride).seconds; }

}  // namespace shardscope
