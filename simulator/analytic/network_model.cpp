#include "simulator/analytic/network_model.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

constexpr double kMiB = 1 << 20;
// All-reduce in the switch moves a part of what a ring does: measured 445 against 352 GB/s bus rate on 8 H100
// (docs/validation.md).
constexpr double kSwitchGain = 445.0 / 352.0;

}  // namespace

NetworkModel::NetworkModel(const Target& target, const DeviceConstants& device, const FabricConstants& fabric,
                           double collective_s)
    : domain_(std::max(1, target.system.scale_up_domain)),
      link_(target.gpu.scale_up.bandwidth.value * device.link_efficiency),
      reduces_(target.gpu.switch_reduces && target.system.scale_up_switched),
      device_(device),
      fabric_(fabric),
      base_latency_(target.fabric.latency.value),
      collective_s_(collective_s) {
  if (link_ <= 0) {  // by PCIe, through the host: half of it each way
    link_ = target.gpu.pcie.bandwidth.value * device.link_efficiency / 2;
    domain_ = std::max(1, target.system.gpus_per_node);
  }
  const double gpus = std::max(1, target.system.gpus_per_node);
  nic_ = target.system.nic_bandwidth.value * target.system.nics / gpus * fabric.efficiency * target.fabric.efficiency /
         std::max(1.0, target.fabric.oversubscription);
}

double NetworkModel::members_in_domain(Placement p) const {
  return std::clamp(std::floor(domain_ / p.stride), 1.0, p.ranks);
}

/// All-reduces of little data go up and down a tree; gathers and scatters have only rings.
double NetworkModel::latency(double ranks, double nodes, bool tree) const {
  const double inside = (device_.link_latency_us + device_.link_hop_us * (ranks / nodes - 1)) * 1e-6;
  if (nodes <= 1) return collective_s_ + inside;
  const double hops = tree ? 2 * std::log2(nodes) : nodes - 1;
  return collective_s_ + inside + fabric_.latency_us * 1e-6 + (base_latency_ + fabric_.hop_us * 1e-6) * hops;
}

double NetworkModel::nic_rate(double bytes_per_rank) const {
  return nic_ * bytes_per_rank / (bytes_per_rank + fabric_.half_mib * kMiB);
}

/// `passes` 1: every rank ends with, or gives away, the whole once; 2: an all-reduce.
double NetworkModel::move(double bytes, Placement p, double passes) const {
  if (p.ranks <= 1 || bytes <= 0) return 0;
  const double inside = members_in_domain(p), nodes = nodes_of(p);
  const double start = latency(p.ranks, nodes, passes > 1);
  const double links = inside > 1 ? passes * bytes * (p.ranks - 1) / p.ranks / link_ : 0;
  if (nodes <= 1) return start + links / (passes > 1 && reduces_ ? kSwitchGain : 1);
  const double part = passes * bytes * (nodes - 1) / nodes / inside;
  return start + std::max(links, part / nic_rate(bytes / p.ranks));
}

double NetworkModel::start_of_gather(Placement p) const {
  return p.ranks <= 1 ? 0 : latency(p.ranks, nodes_of(p), false);
}

double NetworkModel::all_reduce(double bytes, Placement p) const { return move(bytes, p, 2); }
double NetworkModel::all_gather(double bytes, Placement p) const { return move(bytes, p, 1); }
double NetworkModel::reduce_scatter(double bytes, Placement p) const { return move(bytes, p, 1); }

double NetworkModel::nodes_of(Placement p) const { return std::ceil(p.ranks / members_in_domain(p)); }

/// `copies`: bytes that cross the network over bytes that arrive.
double NetworkModel::all_to_all(double bytes, Placement p, double copies) const {
  if (p.ranks <= 1 || bytes <= 0) return 0;
  const double inside = members_in_domain(p), nodes = nodes_of(p);
  const double start = latency(p.ranks, nodes, true);
  const double links = bytes * (inside - 1) / p.ranks / link_;
  if (nodes <= 1) return start + links;
  const double away = copies * bytes * (p.ranks - inside) / p.ranks;
  return start + std::max(links, away / nic_rate(bytes / p.ranks));
}

double NetworkModel::send(double bytes, double stride) const {
  if (bytes <= 0) return 0;
  const double latency_us = stride < domain_ ? device_.link_latency_us : fabric_.latency_us;
  return collective_s_ + latency_us * 1e-6 + bytes / (stride < domain_ ? link_ : nic_rate(bytes));
}

}  // namespace shardscope
