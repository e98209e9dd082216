#pragma once
// What the parts of the zero pass share (zero.cpp runs them; zero_gather, zero_reduce and zero_bucket are the parts).

#include <vector>

#include "core/program/passes/draft.h"
#include "core/program/passes/zero_plan.h"

namespace shardscope {

struct ZeroContext {
  Draft& draft;
  ZeroPlan plan;
  std::vector<Chunk> chunks;
  /// By parameter: its chunk and where in it.
  struct Place {
    std::size_t chunk = 0;
    std::int64_t offset = 0, count = 0;
  };
  std::vector<Place> places;
  /// By buffer of the incoming program: the parameter whose value or gradient it is, or -1.
  std::vector<std::int32_t> value_of, gradient_of;
  /// New instructions around each incoming one, and incoming ones that go away.
  std::vector<std::vector<Instruction>> before, after;
  std::vector<bool> dropped;
  /// By chunk: the reduced gradient of the elements this rank's optimizer owns.
  std::vector<Region> reduced;

  Program& program() { return draft.program; }
  const Group& group(const Chunk& chunk) const { return draft.program.group(chunk.group); }
  /// Where this rank's slice starts in a chunk, and that slice of a whole chunk buffer.
  std::int64_t first(const Chunk& chunk) const {
    return chunk.shards_optimizer() ? group(chunk).self * chunk.slice : 0;
  }
  Region slice(const Chunk& chunk, Region whole) const { return whole.part(first(chunk), chunk.slice); }
  BufferId add(const std::string& name, DType dtype, std::int64_t elements, Category category,
               bool persistent = false) {
    return program().add_buffer({name, dtype, elements, category, Space::kDevice, persistent});
  }
  const TrainingDtypes& dtypes() const { return draft.dtypes; }
  /// The parameter whose gradient a region is part of, or -1. Buffers added by the pass are none.
  std::int32_t gradient_parameter(const Region& r) const { return lookup(gradient_of, r); }
  std::int32_t value_parameter(const Region& r) const { return lookup(value_of, r); }
  /// Calls visit(position, parameter, region) for every region of a gradient, which it may point elsewhere. Fills of
  /// gradients are dropped instead: what takes a gradient's place starts with fills of its own.
  template <class Visit>
  void take_gradients(const Visit& visit) {
    std::vector<Instruction>& instructions = program().instructions;
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      for_each_region(instructions[i].op, [&](Region& region) {
        const std::int32_t p = gradient_parameter(region);
        if (p < 0) return;
        if (std::holds_alternative<Fill>(instructions[i].op)) {
          dropped[i] = true;
        } else {
          visit(i, p, region);
        }
      });
    }
  }

 private:
  static std::int32_t lookup(const std::vector<std::int32_t>& table, const Region& r) {
    const auto index = static_cast<std::size_t>(r.buffer.index);
    return r.empty() || index >= table.size() ? -1 : table[index];
  }
};

/// Stage 3: gathers each chunk before its uses, points the uses at the gathered buffer.
void zero_gather(ZeroContext& context);
/// Gradients written straight into their chunk's flat buffer, reduced in place (textbook).
void zero_reduce_in_place(ZeroContext& context);
/// Gradients as tensors of their own, copied into buckets and reduced there (deepspeed).
void zero_reduce_buckets(ZeroContext& context);
/// Gradients added to a flat fp32 buffer of all of them, reduced after the last backward (DeepSpeed's BF16_Optimizer).
void zero_reduce_full(ZeroContext& context);

}  // namespace shardscope
