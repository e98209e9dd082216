#include "simulator/cost/cluster_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "simulator/analytic/target.h"

namespace shardscope {

namespace {

constexpr double kGuessBandwidthEfficiency = 0.8;          // of the host's memory bandwidth. Guess
constexpr Seconds kGuessDriveLatency = microseconds(100);  // of a transfer to or from an NVMe drive. Guess

// Indices of resources.
constexpr int kDevice = 0, kLinksOut = 1, kLinksIn = 2, kNicsOut = 3, kNicsIn = 4, kToHost = 5, kFromHost = 6;

/// In parts of 2^-16, so that sums do not depend on their order.
void draw(OpCost& cost, int resource, double part) {
  const double amount = std::round(part * 65536) / 65536;
  if (amount > 0) cost.demands.push_back({resource, amount});
}

/// Throws where ranks that exchange something have no link to do it by.
void check_links(const ClusterSpec& cluster) {
  if (cluster.ranks() > 1 && cluster.devices_per_node > 1 && cluster.intra_node.bandwidth.value <= 0) {
    throw Error(ErrorKind::kConfig,
                cluster.name + ": intra_node has no bandwidth; its devices cannot exchange anything");
  }
  if (cluster.nodes > 1 && cluster.nic.bandwidth.value <= 0) {
    throw Error(ErrorKind::kConfig, cluster.name + ": nic has no bandwidth; its nodes cannot exchange anything");
  }
}

NetworkModel network_of(const Target& target, const Constants& constants) {
  return {target, device_constants(constants, target.gpu), fabric_constants(constants, target.fabric.name),
          framework_constants(constants, "shardscope").collective_us * 1e-6};
}

/// The group's ranks, as evenly spaced as groups of a program are.
Placement placement_of(const std::vector<int>& ranks) {
  const double stride = ranks.size() > 1 ? std::abs(ranks[1] - ranks[0]) : 1;
  return {static_cast<double>(ranks.size()), std::max(1.0, stride)};
}

}  // namespace

ClusterCosts::ClusterCosts(const ClusterSpec& cluster)
    : ClusterCosts(cluster, target_of(cluster), default_constants()) {}

ClusterCosts::ClusterCosts(const ClusterSpec& cluster, const Target& target, const Constants& constants)
    : cluster_(cluster),
      gpu_(target.gpu, device_constants(constants, target.gpu)),
      network_(network_of(target, constants).alone()),
      resources_{{"device", 1, 1},
                 {"links out", 1, 1},
                 {"links in", 1, 1},
                 {"NICs out", 1, cluster.devices_per_nic},
                 {"NICs in", 1, cluster.devices_per_nic},
                 {"link to the host", 1, cluster.devices_per_pcie_switch},
                 {"link from the host", 1, cluster.devices_per_pcie_switch}} {
  check_links(cluster);
}

OpCost ClusterCosts::cost(const Program& program, const Instruction& instruction) const {
  const Op& op = instruction.op;
  if (is_communication(op)) return collective_cost(program, op);
  if (const auto* copy = std::get_if<Copy>(&op);
      copy != nullptr && program.buffer(copy->src.buffer).space != program.buffer(copy->dst.buffer).space) {
    return copy_cost(program, *copy);
  }
  const auto bytes = [&](const Region& region) { return Bytes(static_cast<double>(program.bytes(region))); };
  if (const auto* read = std::get_if<NvmeRead>(&op)) return {nvme_cost(bytes(read->src), cluster_.nvme_read), {}};
  if (const auto* write = std::get_if<NvmeWrite>(&op)) return {nvme_cost(bytes(write->dst), cluster_.nvme_write), {}};
  if (instruction.lane == Lane::kHost) return {host_cost(program, op), {}};
  OpCost cost{compute_cost(program, op), {}};
  // Copies into and out of buckets count as the collective that they serve.
  cost.goes_first = instruction.lane != Lane::kCompute;
  draw(cost, kDevice, cost.goes_first ? gpu_.constants().interference : 1);
  return cost;
}

FlopPerSecond ClusterCosts::peak_per_rank(DType dtype) const { return FlopPerSecond(gpu_.peak(arithmetic_of(dtype))); }

/// An op's time is its arithmetic's where that decides, else its bytes'; the start of a kernel is latency.
Cost ClusterCosts::compute_cost(const Program& program, const Op& op) const {
  const auto dtype = [&](const Region& region) { return arithmetic_of(program.buffer(region.buffer).dtype); };
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const auto arithmetic = [&](double seconds) {
    return Cost{
        .compute = Seconds(seconds - gpu_.kernel_s()), .memory = {}, .latency = Seconds(gpu_.kernel_s()), .link = {}};
  };
  if (const auto* o = std::get_if<MatMul>(&op); o != nullptr && o->in_fp8()) return fp8_cost(program, *o);
  if (const auto* o = std::get_if<MatMul>(&op)) {
    return arithmetic(gpu_.matmul(number(o->m), number(o->n), number(o->k), dtype(o->a)));
  }
  if (const auto* o = std::get_if<MatMulInt8>(&op)) {  // widened first: at the rate of the other operand
    return arithmetic(gpu_.matmul(number(o->m), number(o->n), number(o->k), dtype(o->a)));
  }
  if (const auto* o = std::get_if<Attention>(&op)) {
    return arithmetic(gpu_.flash_forward_flops(flops(op), number(o->span.keys(o->seq)), number(o->head_dim)));
  }
  if (const auto* o = std::get_if<AttentionBackward>(&op)) {
    return arithmetic(gpu_.flash_backward_flops(flops(op), number(o->span.keys(o->seq)), number(o->head_dim)));
  }
  Cost cost;
  cost.latency = Seconds(gpu_.kernel_s());
  cost.memory = Seconds(gpu_.traffic(number(bytes_touched(program, op)))) - cost.latency;
  return cost;
}

/// The product at the device's rate of fp8, and before it for each operand a kernel that reads it for its largest
/// magnitude and one that reads it again and writes a byte per element. Leaves out: that a small operand is read again
/// from the cache. Source: kernels/cuda/fp8.cu. Not compared with a GPU yet.
Cost ClusterCosts::fp8_cost(const Program& program, const MatMul& op) const {
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  if (gpu_.spec().peak[static_cast<std::size_t>(Arithmetic::kFp8)].value <= 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: {} has no fp8 (peak_tflops.fp8), which the job's fp8.enabled wants", cluster_.name,
                            cluster_.device.name));
  }
  const double casts = number(2 * program.bytes(op.a) + op.a.count) + number(2 * program.bytes(op.b) + op.b.count);
  Cost cost;
  cost.latency = Seconds(5 * gpu_.kernel_s());
  cost.compute = Seconds(gpu_.matmul(number(op.m), number(op.n), number(op.k), Arithmetic::kFp8) - gpu_.kernel_s());
  cost.memory = Seconds(gpu_.traffic(casts) - gpu_.kernel_s());
  return cost;
}

OpCost ClusterCosts::copy_cost(const Program& program, const Copy& copy) const {
  OpCost cost;
  cost.seconds.latency = cluster_.pcie.latency;
  cost.seconds.link = Bytes(static_cast<double>(std::max(program.bytes(copy.src), program.bytes(copy.dst)))) /
                      (cluster_.pcie.bandwidth * gpu_.constants().pcie_efficiency);
  const bool to_host = program.buffer(copy.src.buffer).space == Space::kDevice;
  const double all = cost.seconds.total().value;
  if (all > 0) draw(cost, to_host ? kToHost : kFromHost, cost.seconds.link.value / all);
  if (all > 0 && cluster_.peers_over_pcie) draw(cost, to_host ? kLinksOut : kLinksIn, cost.seconds.link.value / all);
  cost.goes_first = true;
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

/// Bytes as collective_bytes() counts them: the whole message, of an all-to-all what one rank holds.
OpCost ClusterCosts::collective_cost(const Program& program, const Op& op) const {
  const auto bytes = static_cast<double>(collective_bytes(program, op));
  return std::visit(
      [&](const auto& o) {
        using O = std::decay_t<decltype(o)>;
        if constexpr (!is_collective<O>) {
          return OpCost{};
        } else {
          Exchange kind = Exchange::kGather;
          if constexpr (std::is_same_v<O, AllReduce>) kind = Exchange::kAllReduce;
          if constexpr (std::is_same_v<O, AllToAll>) kind = Exchange::kAllToAll;
          if constexpr (std::is_same_v<O, Send> || std::is_same_v<O, Recv> || std::is_same_v<O, RingShift>) {
            kind = Exchange::kSend;
          }
          return transfer_cost(op, kind, bytes, program.group(o.group).ranks);
        }
      },
      op);
}

OpCost ClusterCosts::transfer_cost(const Op& op, Exchange kind, double bytes, const std::vector<int>& ranks) const {
  const Placement place = placement_of(ranks);
  const Transfer transfer = network_.transfer(kind, bytes, place);
  OpCost cost;
  cost.seconds.latency = Seconds(network_.transfer(kind, 1e-3, place).seconds);
  cost.seconds.link = Seconds(std::max(0.0, transfer.seconds - cost.seconds.latency.value));
  cost.goes_first = true;
  if (kind != Exchange::kSend && transfer.seconds > 0) draw(cost, kDevice, gpu_.constants().interference);
  const bool sends = !std::holds_alternative<Recv>(op), receives = !std::holds_alternative<Send>(op);
  if (sends) {
    draw(cost, kLinksOut, transfer.links);
    draw(cost, kNicsOut, transfer.nics);
  }
  if (receives) {
    draw(cost, kLinksIn, transfer.links);
    draw(cost, kNicsIn, transfer.nics);
  }
  return cost;
}

}  // namespace shardscope
