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
/// Shared:    what ops at one time share, each drawing the mean part of it that it moves while it lasts. Of a rank: its
///            links and, of the devices below one PCIe switch, their link to the host, each way; of the devices with
///            common NICs, those, each way; the device: a kernel wants all of it, a collective first takes
///            `interference` of it (messages between two ranks nothing: guess). Drives and the host's memory are dealt
///            out, not shared. Where peers are joined by PCIe, copies
///            pass the rank's links too.
/// Leaves out: memory bandwidth that NICs and copies take on a device, and NICs' bytes below a PCIe switch (they need
///            not pass the link to the host).
/// Units:     FLOP, bytes, seconds.
/// Source:    the cluster file or the hardware catalog, and data/calibration/constants.csv.
class ClusterCosts : public CostModel {
 public:
  explicit ClusterCosts(const ClusterSpec& cluster);

  const std::vector<Resource>& resources() const override { return resources_; }
  OpCost cost(const Program& program, const Instruction& instruction) const override;
  Seconds wake_latency() const override { return Seconds(0); }
  Seconds step_overhead() const override { return Seconds(0); }
  FlopPerSecond peak_per_rank(DType dtype) const override;
  bool calibrated() const override { return false; }

 private:
  ClusterCosts(const ClusterSpec& cluster, const Target& target, const Constants& constants);

  Cost compute_cost(const Program& program, const Op& op) const;
  Cost fp8_cost(const Program& program, const MatMul& op) const;
  OpCost copy_cost(const Program& program, const Copy& copy) const;
  Cost nvme_cost(Bytes bytes, BytesPerSecond of_node) const;
  Cost host_cost(const Program& program, const Op& op) const;
  OpCost collective_cost(const Program& program, const Op& op) const;
  OpCost transfer_cost(const Op& op, Exchange kind, double bytes, const std::vector<int>& ranks) const;

  ClusterSpec cluster_;
  GpuModel gpu_;
  NetworkModel network_;
  std::vector<Resource> resources_;
};

}  // namespace shardscope
