#include "core/program/passes/zero_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace shardscope {
namespace {

/// Real reduce-scatter in place of the gradients' own flat buffer, gathers straight into their final place, a layer at
/// a time. Sources: this project; Megatron's in-place buckets come nearest.
ZeroPlan textbook_plan(const Job& job) {
  const ZeroSpec& zero = job.training.zero;
  ZeroPlan plan;
  const bool alone = zero.stage == 3 && zero.mics_shard_size == 1;  // every rank a copy of its own: plain data parallel
  const bool offloads = zero.offload_param.device != OffloadDevice::kNone;  // gains something on one rank too
  plan.stage = (job.parallel.dp * job.parallel.cp > 1 && !alone) || offloads ? zero.stage : 0;
  plan.shards_of_one = offloads;
  plan.chunk_by = plan.stage == 3 ? ChunkBy::kLayer : ChunkBy::kBucket;
  plan.backward_order = plan.stage != 3;
  plan.bucket_elements = zero.reduce_bucket_size;
  plan.overlap = zero.overlap_comm;
  plan.persistence_threshold = zero.param_persistence_threshold;
  plan.model_persistence_threshold = zero.model_persistence_threshold;
  plan.prefetch_elements = zero.prefetch_bucket_size;
  plan.max_live_elements = zero.max_live_parameters;
  plan.own_master = dtypes_of(job).has_master();
  plan.reuse_distance = 0;  // keeping gathered parameters for later would undo stage 3 for every model below 1e9
  return plan;
}

/// As DeepSpeed 0.19 does it; each line is a fact of docs/zero_modes.md.
ZeroPlan deepspeed_plan(const Job& job) {
  const ZeroSpec& zero = job.training.zero;
  ZeroPlan plan;
  plan.stage = zero.stage;
  plan.chunk_by = zero.stage == 1 || zero.stage == 2 ? ChunkBy::kWhole : ChunkBy::kParameter;
  plan.backward_order = false;
  plan.slice_alignment = zero.stage == 1 || zero.stage == 2 ? 2 : 1;
  plan.bucket_elements = zero.stage == 0 ? 500'000'000 : zero.reduce_bucket_size;
  plan.overlap = zero.stage >= 1 && zero.overlap_comm;
  plan.separate_gradients = true;
  plan.all_reduce = zero.stage <= 2;
  plan.permanent_bucket = zero.stage == 3;
  plan.at_boundary = zero.stage == 0 || (zero.stage == 1 && !zero.overlap_comm);
  plan.average_by_scaling = true;
  plan.persistence_threshold = zero.param_persistence_threshold;
  plan.model_persistence_threshold = zero.model_persistence_threshold;
  plan.shard_beside_resident = true;
  plan.prefetch_elements = zero.prefetch_bucket_size;
  plan.max_live_elements = zero.max_live_parameters;
  plan.reuse_distance = zero.max_reuse_distance;
  plan.prefetch_one = false;
  plan.coalesce_gathers = true;
  const bool narrow = dtypes_of(job).has_master();
  plan.full_gradients = is_bf16_optimizer(job);
  plan.own_master = zero.stage >= 1 || narrow;
  plan.sub_group_elements = zero.stage == 3 ? zero.sub_group_size : INT64_MAX;
  if ((zero.stage == 0 && !narrow) || plan.full_gradients) plan.sub_group_elements = 0;
  plan.habits = {plan.own_master, zero.stage >= 1, skips_overflow(job)};
  return plan;
}

/// Whether there are shards to gather: an expert that only one rank has is whole there anyway.
bool is_sharded(const Draft& draft, const ZeroPlan& plan, GroupId sharers) {
  const bool alone = sharers != draft.shard_group && draft.program.group(sharers).size() == 1;
  return plan.shards_parameters() && (!alone || plan.shards_of_one);
}

/// Parameters that stay whole in stage 3: small ones, in order, until the model's share of them is used up.
std::vector<bool> find_residents(const Draft& draft, const ZeroPlan& plan) {
  std::vector<bool> resident(draft.program.parameters.size(), !plan.shards_parameters());
  std::int64_t total = 0;
  for (std::size_t i = 0; plan.shards_parameters() && i < resident.size(); ++i) {
    resident[i] = !is_sharded(draft, plan, draft.sharers[i]);
    if (resident[i]) continue;
    const std::int64_t elements = draft.program.parameters[i].local_elements();
    if (elements > plan.persistence_threshold || elements > plan.model_persistence_threshold - total) continue;
    resident[i] = true;
    total += elements;
  }
  return resident;
}

/// Opens a chunk whenever the next parameter does not belong to the last one.
class ChunkMaker {
 public:
  ChunkMaker(const Draft& draft, const ZeroPlan& plan) : draft_(draft), plan_(plan) {}

  void add(std::int32_t parameter, ChunkBy by, Residency residency) {
    const Parameter& p = draft_.program.parameters[static_cast<std::size_t>(parameter)];
    const GroupId sharers = draft_.sharers[static_cast<std::size_t>(parameter)];
    const bool alone = parameter == draft_.tied_parameter;  // reduced with the other end of the pipeline too
    const bool after_alone = !chunks_.empty() && chunks_.back().members.back().parameter == draft_.tied_parameter;
    const bool other_kind = chunks_.empty() || chunks_.back().residency != residency || chunks_.back().group != sharers;
    if (other_kind || alone || after_alone || starts_new(p, by)) open(p, by, residency, sharers);
    Chunk& chunk = chunks_.back();
    chunk.members.push_back({parameter, chunk.used, p.local_elements()});
    chunk.used += p.local_elements();
    layer_ = p.layer;
  }

  std::vector<Chunk> finish() {
    for (Chunk& chunk : chunks_) {
      const std::int64_t n = chunk.shards_optimizer() ? draft_.program.group(chunk.group).size() : 1;
      const std::int64_t step = n * plan_.slice_alignment;
      chunk.elements = (chunk.used + step - 1) / step * step;
      chunk.slice = chunk.elements / n;
    }
    return std::move(chunks_);
  }

 private:
  bool starts_new(const Parameter& p, ChunkBy by) const {
    switch (by) {
      case ChunkBy::kParameter:
        return true;
      case ChunkBy::kLayer:
        return p.layer != layer_;
      case ChunkBy::kBucket:
        return chunks_.back().used + p.local_elements() > plan_.bucket_elements;
      case ChunkBy::kWhole:
        return false;
    }
    return true;
  }

  void open(const Parameter& p, ChunkBy by, Residency residency, GroupId sharers) {
    Chunk chunk;
    chunk.group = sharers;
    const bool shards = plan_.separate_gradients || draft_.program.group(chunk.group).size() > 1;
    chunk.stage = shards ? plan_.stage : 0;
    chunk.residency = residency;
    if (by == ChunkBy::kParameter) {
      chunk.name = p.name;
    } else {
      chunk.name = fmt::format("{}.{}", residency == Residency::kFull ? "flat" : "layer", chunks_.size());
    }
    chunks_.push_back(std::move(chunk));
  }

  const Draft& draft_;
  const ZeroPlan& plan_;
  std::vector<Chunk> chunks_;
  std::int32_t layer_ = -2;
};

}  // namespace

ZeroPlan make_zero_plan(const Job& job) {
  return job.zero_mode == ZeroMode::kTextbook ? textbook_plan(job) : deepspeed_plan(job);
}

std::vector<Chunk> make_chunks(const Draft& draft, const ZeroPlan& plan) {
  std::vector<std::int32_t> order(draft.program.parameters.size());
  std::iota(order.begin(), order.end(), 0);
  if (plan.backward_order) std::reverse(order.begin(), order.end());
  std::stable_partition(order.begin(), order.end(), [&](std::int32_t p) {  // experts last: a bucket has one group
    return draft.sharers[static_cast<std::size_t>(p)] == draft.shard_group;
  });
  const std::vector<bool> resident = find_residents(draft, plan);
  ChunkMaker maker(draft, plan);
  for (std::int32_t p : order) {
    if (!resident[static_cast<std::size_t>(p)]) maker.add(p, plan.chunk_by, Residency::kSharded);
  }
  const Residency whole =
      plan.shards_parameters() && plan.shard_beside_resident ? Residency::kShardedResident : Residency::kFull;
  const ChunkBy by = plan.chunk_by == ChunkBy::kLayer ? ChunkBy::kBucket : plan.chunk_by;
  for (std::int32_t p : order) {
    if (resident[static_cast<std::size_t>(p)]) maker.add(p, by, whole);
  }
  return maker.finish();
}

}  // namespace shardscope
