#pragma once
// Costs of ops with one rank per device of a cluster: the same models of kernels and collectives as the closed form
// (simulator/analytic), op by op, so that the two levels differ only in what happens beside what.

#include "core/spec/cluster_spec.h"
#include "simulator/analytic/gpu_model.h"
#include "simulator/analytic/network_model.h"
#include "simulator/cost/cost_model.h"

namespace shardscope {

/// Formula:   products by tiles and waves, attention by its FLOPs and length (gpu_model.h), every other compute op
///            bytes over memory bandwidth; collectives by their group's place in the cluster (network_model.h). Copies
///            between spaces: bytes over PCIe; to or from NVMe: bytes over the node's drives, an equal share for each
///            of its devices, reads and writes apart. Ops of the host lane: bytes over the host's memory bandwidth,
///            shared by the devices of the node.
/// Units:     FLOP, bytes, seconds.
/// Source:    the cluster file or the hardware catalog, and data/calibration/constants.csv.
class ClusterCosts : public CostModel {
 public:
  explicit ClusterCosts(const ClusterSpec& cluster);

  const std::vector<Resource>& resources() const override { return resources_; }
  OpCost cost(const Program& program, const Instruction& instruction) const override;
  Seconds wake_latency() const override { return Seconds(0); }
  Seconds step_overhead() const override { return Seconds(0); }
  FlopPerSecond peak_per_rank() const override;
  bool calibrated() const override { return false; }

 private:
  ClusterCosts(const ClusterSpec& cluster, const Target& target, const Constants& constants);

  Cost compute_cost(const Program& program, const Op& op) const;
  Cost copy_cost(const Program& program, const Copy& copy) const;
  Cost nvme_cost(Bytes bytes, BytesPerSecond of_node) const;
  Cost host_cost(const Program& program, const Op& op) const;
  Cost collective_cost(const Program& program, const Op& op) const;

  ClusterSpec cluster_;
  GpuModel gpu_;
  NetworkModel network_;
  std::vector<Resource> resources_;  ///< none shared yet
};

}  // namespace shardscope
