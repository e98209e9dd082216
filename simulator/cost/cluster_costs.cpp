#include "simulator/cost/cluster_costs.h"

#include <algorithm>

#include "core/error.h"
#include "simulator/network/ring.h"

namespace shardscope {

namespace {

constexpr double kGuessFlopEfficiency = 0.6;               // of peak, large matmuls and attention together. Guess
constexpr double kGuessBandwidthEfficiency = 0.8;          // of memory bandwidth. Guess
constexpr Seconds kGuessLaunch = microseconds(3);          // of a kernel on a busy stream. Guess
constexpr Seconds kGuessDriveLatency = microseconds(100);  // of a transfer to or from an NVMe drive. Guess

}  // namespace

OpCost ClusterCosts::cost(const Program& program, const Instruction& instruction) const {
  const Op& op = instruction.op;
  if (is_communication(op)) return {collective_cost(program, op), {}};
  if (const auto* copy = std::get_if<Copy>(&op);
      copy != nullptr && program.buffer(copy->src.buffer).space != program.buffer(copy->dst.buffer).space) {
    return {copy_cost(program, *copy), {}};
  }
  const auto bytes = [&](const Region& region) { return Bytes(static_cast<double>(program.bytes(region))); };
  if (const auto* read = std::get_if<NvmeRead>(&op)) return {nvme_cost(bytes(read->src), cluster_.nvme_read), {}};
  if (const auto* write = std::get_if<NvmeWrite>(&op)) return {nvme_cost(bytes(write->dst), cluster_.nvme_write), {}};
  if (instruction.lane == Lane::kHost) return {host_cost(program, op), {}};
  return {compute_cost(program, op), {}};
}

FlopPerSecond ClusterCosts::peak_per_rank() const {
  return *std::max_element(cluster_.device.peak_flops.begin(), cluster_.device.peak_flops.end());
}

// Peak of the op's largest operand's dtype (int8 weights are widened first: of the other's); fp32 where the device does
// not name that dtype.
FlopPerSecond ClusterCosts::peak_of(const Program& program, const Op& op) const {
  const bool widens = std::holds_alternative<MatMulInt8>(op);
  std::int64_t largest = 0;
  DType dtype = DType::kF32;
  for_each_access(op, [&](const char*, const Region& region, Access) {
    if (region.count <= largest || (widens && program.buffer(region.buffer).dtype == DType::kI8)) return;
    largest = region.count;
    dtype = program.buffer(region.buffer).dtype;
  });
  const auto& peaks = cluster_.device.peak_flops;
  const FlopPerSecond peak = peaks[static_cast<std::size_t>(dtype)];
  if (peak > FlopPerSecond(0)) return peak;
  const FlopPerSecond fp32 = peaks[static_cast<std::size_t>(DType::kF32)];
  return fp32 > FlopPerSecond(0) ? fp32 : peak_per_rank();
}

Cost ClusterCosts::compute_cost(const Program& program, const Op& op) const {
  Cost cost;
  cost.latency = kGuessLaunch;
  const Seconds arithmetic = Flop(flops(op)) / (peak_of(program, op) * kGuessFlopEfficiency);
  const Bytes bytes(static_cast<double>(bytes_touched(program, op)));
  const Seconds traffic = bytes / (cluster_.device.memory_bandwidth * kGuessBandwidthEfficiency);
  if (arithmetic > traffic) {
    cost.compute = arithmetic;
  } else {
    cost.memory = traffic;
  }
  return cost;
}

Cost ClusterCosts::copy_cost(const Program& program, const Copy& copy) const {
  Cost cost;
  cost.latency = cluster_.pcie.latency;
  cost.link =
      Bytes(static_cast<double>(std::max(program.bytes(copy.src), program.bytes(copy.dst)))) / cluster_.pcie.bandwidth;
  return cost;
}

Cost ClusterCosts::nvme_cost(Bytes bytes, BytesPerSecond of_node) const {
  if (of_node.value <= 0) {
    throw Error(ErrorKind::kConfig, cluster_.name + ": has no NVMe drive (key nvme); the job offloads to one");
  }
  Cost cost;
  cost.latency = kGuessDriveLatency;
  cost.link = bytes / (of_node / cluster_.devices_per_node);
  return cost;
}

Cost ClusterCosts::host_cost(const Program& program, const Op& op) const {
  const BytesPerSecond share = cluster_.host_memory_bandwidth / cluster_.devices_per_node;
  Cost cost;
  cost.memory = Bytes(static_cast<double>(bytes_touched(program, op))) / (share * kGuessBandwidthEfficiency);
  return cost;
}

Cost ClusterCosts::collective_cost(const Program& program, const Op& op) const {
  const Bytes size(static_cast<double>(collective_bytes(program, op)));
  return std::visit(
      [&](const auto& o) {
        Cost cost;
        if constexpr (is_collective<std::decay_t<decltype(o)>>) {
          const auto& ranks = program.group(o.group).ranks;
          const LinkSpec link = slowest_link(cluster_, ranks);
          const Seconds all = ring_time(op_name(op), static_cast<int>(ranks.size()), size, link);
          const Seconds latency = ring_time(op_name(op), static_cast<int>(ranks.size()), Bytes(0), link);
          cost.latency = kGuessLaunch + latency;
          cost.link = all - latency;
        }
        return cost;
      },
      op);
}

}  // namespace shardscope
