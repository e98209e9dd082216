#pragma once
// Costs of ops with one rank per device of a cluster: a roofline per op, rings over the links. First version: the
// efficiencies are guesses, links are not shared between groups.

#include "core/spec/cluster_spec.h"
#include "simulator/cost/cost_model.h"

namespace shardscope {

/// Formula:   compute op: max(flops / (peak * e_f), bytes / (bandwidth * e_b)) + launch; peak by the dtype of the op's
///            largest operand. Copies between spaces: bytes over PCIe; to or from NVMe: bytes over the node's drives,
///            an equal share for each of its devices, reads and writes apart.
///            Ops of the host lane: bytes over the host's memory bandwidth, shared by the devices of the node.
/// Units:     FLOP, bytes, seconds.
/// Source:    peaks and bandwidths from the cluster file; e_f, e_b and the launch time are each marked Guess.
class ClusterCosts : public CostModel {
 public:
  explicit ClusterCosts(const ClusterSpec& cluster) : cluster_(cluster) {}

  const std::vector<Resource>& resources() const override { return resources_; }
  OpCost cost(const Program& program, const Instruction& instruction) const override;
  Seconds wake_latency() const override { return Seconds(0); }
  Seconds step_overhead() const override { return Seconds(0); }
  FlopPerSecond peak_per_rank() const override;
  bool calibrated() const override { return false; }

 private:
  Cost compute_cost(const Program& program, const Op& op) const;
  Cost copy_cost(const Program& program, const Copy& copy) const;
  Cost nvme_cost(Bytes bytes, BytesPerSecond of_node) const;
  Cost host_cost(const Program& program, const Op& op) const;
  Cost collective_cost(const Program& program, const Op& op) const;
  FlopPerSecond peak_of(const Program& program, const Op& op) const;

  ClusterSpec cluster_;
  std::vector<Resource> resources_;  ///< none shared yet
};

}  // namespace shardscope
