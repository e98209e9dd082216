// zero: ZeRO stages 0 to 3, in either mode (zero_plan.h).
// Before: a sequential program on whole parameters and gradients. After: parameters lie in flat chunks, whole or as
// this rank's slices; gradients are reduced over the data-parallel group; draft.shards says what the optimizer owns.
// After layers, whose ops it only points at other bytes; before optimizer, which runs on what this pass leaves.

#include "core/program/passes/zero.h"

#include <algorithm>

#include "core/check.h"

namespace shardscope {
namespace {

ZeroContext make_context(Draft& draft) {
  ZeroContext context{draft, make_zero_plan(*draft.job), {}, {}, {}, {}, {}, {}, {}, {}};
  const Program& program = draft.program;
  context.chunks = make_chunks(draft, context.plan);
  context.reduced.resize(context.chunks.size());
  context.places.resize(program.parameters.size());
  for (std::size_t c = 0; c < context.chunks.size(); ++c) {
    for (const Chunk::Member& m : context.chunks[c].members) {
      context.places[static_cast<std::size_t>(m.parameter)] = {c, m.offset, m.count};
    }
  }
  context.value_of.assign(program.buffers.size(), -1);
  context.gradient_of.assign(program.buffers.size(), -1);
  for (std::size_t p = 0; p < draft.buffers.size(); ++p) {
    context.value_of[static_cast<std::size_t>(draft.buffers[p].value.index)] = static_cast<std::int32_t>(p);
    context.gradient_of[static_cast<std::size_t>(draft.buffers[p].gradient.index)] = static_cast<std::int32_t>(p);
  }
  context.before.resize(program.instructions.size());
  context.after.resize(program.instructions.size());
  context.dropped.assign(program.instructions.size(), false);
  return context;
}

/// Gives every chunk its flat buffers, in place of one buffer per parameter.
void place_parameters(ZeroContext& c) {
  Program& program = c.program();
  program.state.clear();
  for (Chunk& chunk : c.chunks) {
    if (chunk.residency != Residency::kSharded) {
      chunk.storage = c.add("param." + chunk.name, c.dtypes().model, chunk.elements, Category::kParameter, true);
      add_state(program, chunk.members, StateRole::kParameter, program.whole(chunk.storage), 0);
    }
    if (chunk.residency != Residency::kFull) {
      chunk.shard = c.add("shard." + chunk.name, c.dtypes().model, chunk.slice, Category::kParameter, true);
      add_state(program, chunk.members, StateRole::kParameter, program.whole(chunk.shard), c.first(chunk));
    }
  }
}

/// Points uses of parameters that are whole at their place in the chunk.
void use_whole_parameters(ZeroContext& c) {
  for (Instruction& in : c.program().instructions) {
    for_each_region(in.op, [&](Region& region) {
      const std::int32_t p = c.value_parameter(region);
      if (p < 0) return;
      const ZeroContext::Place& place = c.places[static_cast<std::size_t>(p)];
      const Chunk& chunk = c.chunks[place.chunk];
      if (chunk.residency != Residency::kSharded) region = {chunk.storage, place.offset + region.offset, region.count};
    });
  }
}

/// DeepSpeed divides by N before it reduces, so the loss must not carry that factor.
void scale_losses(ZeroContext& c) {
  if (!c.plan.average_by_scaling) return;
  for (Instruction& in : c.program().instructions) {
    if (auto* loss = std::get_if<CrossEntropy>(&in.op)) loss->scale *= c.draft.dp().size();
    if (auto* loss = std::get_if<ShardedCrossEntropy>(&in.op)) loss->scale *= c.draft.dp().size();
    if (auto* loss = std::get_if<LoadBalance>(&in.op)) loss->scale *= c.draft.dp().size();
    if (auto* loss = std::get_if<RouteBackward>(&in.op)) loss->scale *= c.draft.dp().size();
  }
  c.draft.loss_factor = 1.0 / c.draft.dp().size();
}

void merge(ZeroContext& c) {
  std::vector<Instruction>& old = c.program().instructions;
  std::vector<Instruction> merged;
  merged.reserve(old.size() + old.size() / 4);
  for (std::size_t i = 0; i < old.size(); ++i) {
    std::move(c.before[i].begin(), c.before[i].end(), std::back_inserter(merged));
    if (!c.dropped[i]) merged.push_back(std::move(old[i]));
    std::move(c.after[i].begin(), c.after[i].end(), std::back_inserter(merged));
  }
  old = std::move(merged);
}

/// What the optimizer pass is left with: one shard per chunk.
void make_shards(ZeroContext& c) {
  std::int64_t in_group = 0;
  int group = 0;
  for (std::size_t i = 0; i < c.chunks.size(); ++i) {
    const Chunk& chunk = c.chunks[i];
    OptimizerShard shard;
    shard.name = c.program().intern(chunk.name);
    shard.gradient = c.reduced[i];
    SS_CHECK(!shard.gradient.empty(), chunk.name);
    if (chunk.residency != Residency::kFull) {
      shard.value = c.program().whole(chunk.shard);
      shard.is_parameter_shard = true;
      if (chunk.residency == Residency::kShardedResident) shard.gather = c.program().whole(chunk.storage);
    } else {
      const Region whole = c.program().whole(chunk.storage);
      shard.value = c.slice(chunk, whole);
      if (chunk.shards_optimizer()) shard.gather = whole;
    }
    const bool is_tied = c.draft.tied_group.valid() && chunk.members.front().parameter == c.draft.tied_parameter;
    shard.in_norm = !is_tied || c.program().group(c.draft.tied_group).self == 0;
    shard.own_master = c.plan.own_master;
    if (c.plan.sub_group_elements > 0) {
      if (in_group > 0 && in_group + chunk.slice > c.plan.sub_group_elements) {
        ++group;
        in_group = 0;
      }
      in_group += chunk.slice;
      shard.flatten_group = group;
    }
    shard.first = c.first(chunk);
    shard.group = chunk.group;
    shard.members = chunk.members;
    c.draft.shards.push_back(std::move(shard));
  }
  c.draft.habits = c.plan.habits;
  c.draft.shards_are_partial = c.plan.shards_optimizer() && c.draft.shards_group().size() > 1;
}

}  // namespace

void pass_zero(Draft& draft) {
  ZeroContext context = make_context(draft);
  place_parameters(context);
  use_whole_parameters(context);
  scale_losses(context);
  if (context.plan.shards_parameters()) zero_gather(context);
  if (context.plan.full_gradients) {
    zero_reduce_full(context);
  } else if (context.plan.separate_gradients) {
    zero_reduce_buckets(context);
  } else {
    zero_reduce_in_place(context);
  }
  merge(context);
  make_shards(context);
  drop_unused_buffers(draft);
}

}  // namespace shardscope
