#include "simulator/analytic/zero_plus_plus.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/program/passes/zero_quantize.h"

namespace shardscope {
namespace {

constexpr double kScales = 4.0 / static_cast<double>(kQuantizeGroup);  // bytes for each element
constexpr double kInt8 = 1, kInt4 = 0.5;

}  // namespace

ShardGroups shard_groups(const Plan& plan, const FrameworkSpec& f, Placement shards, double node) {
  const double near = plan.hpz > 1 ? plan.hpz : f.engine ? 1 : std::max(1.0, node);
  return {shards, {std::min(near, shards.ranks), shards.stride}};
}

void ShardMoves::move(Moved& m, Exchange kind, double bytes, Placement group) const {
  const Transfer t = network_.transfer(kind, bytes, group);
  m.seconds += t.seconds, m.links += t.seconds * t.links;
  m.nics += t.seconds * t.nics * network_.ranks_per_nic();
}

Moved ShardMoves::gather(double elements, Placement group) const {
  Moved m;
  const bool offloads = plan_.offload == Offload::kParameters || plan_.offload == Offload::kParametersNvme;
  if (elements <= 0 || (group.ranks <= 1 && !offloads)) return m;
  if (!plan_.quantized_weights) {
    move(m, Exchange::kGather, elements * framework_.gather_bytes, group);
    return m;
  }
  const double packed = kInt8 + kScales, both = packed + framework_.gather_bytes;
  kernel(m, elements / group.ranks * both);
  move(m, Exchange::kGather, elements * kInt8, group);
  move(m, Exchange::kGather, elements * kScales, group);
  kernel(m, elements * both);
  return m;
}

Moved ShardMoves::regather(double elements) const {
  return gather(elements, plan_.hpz > 1 ? groups_.near : groups_.shards);
}

double ShardMoves::unpack(double elements) const {
  return plan_.quantized_weights ? gpu_.traffic(elements * (kInt8 + kScales + framework_.gather_bytes)) : 0;
}

double ShardMoves::keep(double elements) const {
  return plan_.hpz > 1 && elements > 0 ? gpu_.traffic(2 * second_copy_bytes(plan_, framework_, elements)) : 0;
}

/// Every rank's part in int4 to that rank, which sums them.
void ShardMoves::hop(Moved& m, double elements, Placement group) const {
  const double packed = kInt4 + kScales, bytes = framework_.reduce_bytes;
  kernel(m, elements * (bytes + packed));
  move(m, Exchange::kAllToAll, elements * kInt4, group);
  move(m, Exchange::kAllToAll, elements * kScales, group);
  kernel(m, elements * (packed + bytes / group.ranks));
}

Moved ShardMoves::reduce(double elements, Placement group) const {
  Moved m;
  if (elements <= 0 || group.ranks <= 1) return m;
  if (plan_.quantized_gradients) {
    hop(m, elements, group);
  } else {
    move(m, Exchange::kGather, elements * framework_.reduce_bytes, group);  // as many bytes as a reduce-scatter
  }
  return m;
}

Moved ShardMoves::reduce(double elements) const {
  if (!plan_.quantized_gradients || !hops()) return reduce(elements, groups_.shards);
  Moved m;
  if (elements <= 0) return m;
  m.seconds = ordered(elements);
  hop(m, elements, groups_.near);
  hop(m, elements / groups_.near.ranks, groups_.across());
  return m;
}

/// Copies into the order of their owners; DeepSpeed's kernel quantises them in that order.
double ShardMoves::ordered(double elements) const {
  const double near = groups_.near.ranks;
  return framework_.engine ? near * gpu_.traffic(elements / near * 2 * framework_.reduce_bytes) : 0;
}

double ShardMoves::pack_in_one(double elements) const {
  return plan_.quantized_gradients ? gpu_.traffic(elements * (framework_.reduce_bytes + kInt4 + kScales)) : 0;
}

double ShardMoves::pack(double elements) const {
  if (!plan_.quantized_gradients || elements <= 0 || groups_.shards.ranks <= 1) return 0;
  return hops() && framework_.engine ? ordered(elements) : pack_in_one(elements);
}

double ShardMoves::share(double elements) const {
  if (!plan_.zero_plus_plus()) {
    const Moved alone = gather(elements, groups_.shards);
    return alone.seconds > 0 ? std::min(1.0, std::max(alone.links, alone.nics) / alone.seconds) : 0;
  }
  const Moved a = regather(elements), b = reduce(elements);
  const double all = a.seconds + b.seconds;
  return all > 0 ? std::min(1.0, std::max(a.links + b.links, a.nics + b.nics) / all) : 0;
}

double second_copy_bytes(const Plan& plan, const FrameworkSpec& f, double elements) {
  return plan.zero == 3 && plan.hpz > 1 ? elements / plan.hpz * f.gather_bytes : 0;
}

double gather_buffer_bytes(const Plan& plan, double elements) {
  return plan.zero == 3 && plan.quantized_weights ? elements * (kInt8 + kScales) : 0;
}

double reduce_buffer_bytes(const Plan& plan, const FrameworkSpec& f, double elements, bool hops) {
  if (plan.zero != 3 || !plan.quantized_gradients) return 0;
  return elements * (2 * kInt4 + kScales + (hops && f.engine ? f.reduce_bytes : 0));
}

std::string find_zero_plus_plus_problem(const Plan& p) {
  const std::int64_t ranks = std::int64_t{p.dp} * p.cp * p.ulysses;
  if (p.hpz < 1) return fmt::format("hpz {}: it must be at least 1", p.hpz);
  if (!p.zero_plus_plus()) return "";
  if (p.zero != 3) return "hpz, quantized weights and quantized gradients (ZeRO++) need ZeRO-3";
  if (p.shard > 0) return "shard and ZeRO++ both decide where copies of the parameters lie; use one of them";
  if (ranks % p.hpz != 0) return fmt::format("hpz {} does not divide the {} data-parallel ranks", p.hpz, ranks);
  return "";
}

std::string find_framework_problem(const FrameworkSpec& f, const Plan& p) {
  if (!p.zero_plus_plus() || f.zero_plus_plus) return "";
  return fmt::format("{}: its time and memory with ZeRO++ (hpz, quantized weights, quantized gradients) are not known",
                     f.name);
}

}  // namespace shardscope
