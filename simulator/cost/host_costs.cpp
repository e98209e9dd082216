#include "simulator/cost/host_costs.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "simulator/cost/interpolate_threads.h"
#include "simulator/cost/op_family.h"

namespace shardscope {

namespace {

constexpr int kCores = 0, kMemory = 1, kNvme = 2;  // indices of resources

}  // namespace

HostCosts::HostCosts(const Machine& machine, int ranks)
    : machine_(machine),
      ranks_(ranks),
      threads_(machine.threads_per_rank(ranks)),
      resources_{{"cores", machine.capacity(ranks)},
                 {"memory bandwidth", machine.memory_bandwidth.value},
                 {"nvme", machine.drive.together}},
      matmul_(machine.matmuls),
      attention_(machine.attentions),
      collectives_(machine) {
  for (const FamilyCurve& curve : machine.families) families_[curve.family][curve.threads] = curve.seconds;
}

OpCost HostCosts::cost(const Program& program, const Instruction& instruction) const {
  if (is_communication(instruction.op)) return collective_cost(program, instruction);
  const int threads = threads_of(instruction.lane);
  if (const auto* op = std::get_if<NvmeRead>(&instruction.op)) {
    return nvme_cost(program, op->src, machine_.drive.read);
  }
  if (const auto* op = std::get_if<NvmeWrite>(&instruction.op)) {
    return nvme_cost(program, op->dst, machine_.drive.write);
  }
  const DType dtype = speed_dtype(program, instruction.op);
  if (const auto thin = thin_product(program, instruction.op)) return thin_cost(*thin, instruction.op, threads);
  if (const auto* op = std::get_if<MatMulInt8>(&instruction.op)) {  // packed as any other type is
    const MatMul wide{op->a, op->b, op->bias, op->c, op->m, op->n, op->k, false, op->trans_b};
    return kernel_cost(*op, matmul_.time(wide, DType::kF32, threads), threads);
  }
  if (const auto* op = std::get_if<MatMul>(&instruction.op)) {
    return op->in_fp8() ? fp8_cost(*op, threads) : kernel_cost(*op, matmul_.time(*op, dtype, threads), threads);
  }
  if (const auto* op = std::get_if<Attention>(&instruction.op)) {
    return kernel_cost(*op, attention_.time(*op, dtype, threads), threads);
  }
  if (const auto* op = std::get_if<AttentionBackward>(&instruction.op)) {
    return kernel_cost(*op, attention_.time(*op, dtype, threads), threads);
  }
  return family_cost(program, instruction.op, threads);
}

OpCost HostCosts::collective_cost(const Program& program, const Instruction& instruction) const {
  const int ranks = std::visit(
      [&](const auto& op) {
        if constexpr (is_collective<std::decay_t<decltype(op)>>) return program.group(op.group).size();
        return 1;
      },
      instruction.op);
  const Bytes size(static_cast<double>(collective_bytes(program, instruction.op)));
  OpCost cost;
  const DType dtype = speed_dtype(program, instruction.op);
  const std::string_view op = op_name(instruction.op);
  const Seconds all = collectives_.time(op, dtype, ranks, size);
  const Seconds alpha = collectives_.time(op, dtype, ranks, Bytes(1));
  cost.seconds.latency = machine_.op_overhead + std::min(all, alpha);
  cost.seconds.link = all - std::min(all, alpha);
  cost.demands = demands(1, size, all);
  const Curve& crowded = machine_.crowded_meeting;
  if (ranks > 1) cost.crowded = Seconds(crowded.at(std::min<double>(ranks, crowded.points().back().x)));
  return cost;
}

// A kernel's arithmetic at the best rate seen is its compute part; what it takes beyond that is memory.
OpCost HostCosts::kernel_cost(const Op& op, Seconds time, int threads) const {
  const FlopPerSecond peak = threads == 1 ? machine_.core_peak : machine_.peak_per_rank(ranks_);
  OpCost cost;
  cost.seconds.compute = std::min(time, Flop(flops(op)) / peak);
  cost.seconds.memory = time - cost.seconds.compute;
  cost.seconds.latency = machine_.op_overhead;
  cost.demands = demands(threads, Bytes(0), time);
  return cost;
}

// Both operands are cast first, read twice and left in fp32, whose product it then is. Guess: a cast takes as long as
// quantising so many elements twice.
OpCost HostCosts::fp8_cost(const MatMul& op, int threads) const {
  constexpr double kBytes = 3;  // of an element that Quantize reads in 16 bits and writes in 8
  const auto cast = [&](const Region& operand) {
    return 2 * family_time("quantize:bf16", kBytes * static_cast<double>(operand.count), threads);
  };
  return kernel_cost(op, matmul_.time(op, DType::kF32, threads) + cast(op.a) + cast(op.b), threads);
}

// Between two measured numbers of rows, in log-log.
OpCost HostCosts::thin_cost(const ThinProduct& thin, const Op& op, int threads) const {
  const Seconds below = family_time(thin.below, thin.work, threads),
                above = family_time(thin.above, thin.work, threads);
  const Seconds time = below * std::pow(above / below, thin.share);
  OpCost cost = kernel_cost(op, time, threads);
  cost.demands = demands(threads, Bytes(thin.work), time);
  return cost;
}

// Measured alone; what several transfers at once, of one rank or of several, lose to each other is left to the clock.
OpCost HostCosts::nvme_cost(const Program& program, const Region& moved, const Curve& curve) const {
  const Seconds time(curve.at(static_cast<double>(program.bytes(moved))));
  const Seconds least(std::min(time.value, curve.points().front().y));
  OpCost cost;
  cost.seconds.latency = machine_.op_overhead + least;
  cost.seconds.link = time - least;
  cost.demands = {{kCores, std::min(machine_.drive.cores, resources_[kCores].capacity)}, {kNvme, 1}};
  return cost;
}

OpCost HostCosts::family_cost(const Program& program, const Op& op, int threads) const {
  const auto work = family_work(program, op);
  SS_CHECK(work.has_value(), op_name(op));
  OpCost cost;
  cost.seconds.memory = family_time(work->family, work->work, threads);
  cost.seconds.latency = machine_.op_overhead;
  cost.demands = demands(threads, Bytes(static_cast<double>(bytes_touched(program, op))), cost.seconds.memory);
  return cost;
}

Seconds HostCosts::family_time(const std::string& family, double work, int threads) const {
  auto found = families_.find(family);
  if (found == families_.end()) found = families_.find(fp32_family(family));
  if (found == families_.end()) found = families_.find("copy");
  SS_CHECK(found != families_.end(), family);
  const auto& by_threads = found->second;
  return Seconds(
      interpolate_threads(thread_counts(by_threads), threads, [&](int t) { return by_threads.at(t).at(work); }));
}

// Memory bandwidth is drawn upon by the part of the bytes that does not fit the caches.
std::vector<Demand> HostCosts::demands(double cores, Bytes bytes, Seconds time) const {
  std::vector<Demand> drawn{{kCores, std::min(cores, resources_[kCores].capacity)}};
  if (bytes > machine_.cache && time > Seconds(0)) {
    const BytesPerSecond rate = (bytes - machine_.cache) / time;
    drawn.push_back({kMemory, std::min(rate.value, machine_.memory_bandwidth.value)});
  }
  return drawn;
}

}  // namespace shardscope
