#pragma once
// How the zero pass shards: one set of parameters per mode. `textbook` and `deepspeed` differ only in these values.

#include <cstdint>
#include <vector>

#include "core/program/passes/draft.h"

namespace shardscope {

/// What shares one flat buffer, one split into slices, and one gather.
enum class ChunkBy : std::uint8_t { kParameter, kLayer, kBucket, kWhole };

/// What a ZeRO stage shards. The effective stage: 0 where there is only one rank and nothing to gain.
struct ZeroStage {
  int stage = 0;
  bool shards_optimizer() const { return stage >= 1; }
  bool shards_gradients() const { return stage >= 2; }
  bool shards_parameters() const { return stage >= 3; }
};

struct ZeroPlan : ZeroStage {
  ChunkBy chunk_by = ChunkBy::kBucket;
  bool backward_order = true;         ///< chunks list parameters last to first, as their gradients complete
  std::int64_t slice_alignment = 16;  ///< elements; slices are padded to a multiple of it
  std::int64_t bucket_elements = 0;   ///< reduce_bucket_size
  bool overlap = true;                ///< reductions run beside backward, gathers ahead of their use

  // gradients
  bool separate_gradients = false;  ///< each is a tensor of its own, copied into a bucket when complete
  bool all_reduce = false;          ///< the bucket is all-reduced and slices copied out, instead of a reduce-scatter
  bool permanent_bucket = false;    ///< the bucket lives from start to end
  bool at_boundary = false;         ///< reduced after the last backward, not when complete
  bool average_by_scaling = false;  ///< buckets are multiplied by 1/N, instead of the loss carrying that factor

  // parameters (stage 3)
  std::int64_t persistence_threshold = 0, model_persistence_threshold = 0;  ///< elements that stay whole
  bool shard_beside_resident = false;                                       ///< what stays whole is kept as a shard too
  bool shards_of_one = false;  ///< experts that only this rank has are gathered for use too: they lie elsewhere
  std::int64_t prefetch_elements = 0, max_live_elements = 0, reuse_distance = 0;
  bool coalesce_gathers = false;  ///< what is gathered at one time goes through one flat buffer and is copied out
  bool prefetch_one = true;       ///< at least the next chunk, whatever prefetch_elements says

  // optimizer
  bool full_gradients = false;  ///< an fp32 copy of all gradients on every rank (BF16_Optimizer)
  bool own_master = false;      ///< fp32 copy beside the parameters: always in 16 bits, with DeepSpeed in fp32 too
  std::int64_t sub_group_elements = 0;  ///< > 0: gradients are copied flat in groups of this size before Adam
  StepHabits habits;
};

ZeroPlan make_zero_plan(const Job& job);

/// How the values of a chunk live between steps.
enum class Residency : std::uint8_t {
  kFull,             ///< whole, on every rank; this rank's slice is a part of it
  kSharded,          ///< only this rank's slice; gathered for use
  kShardedResident,  ///< both
};

/// Parameters side by side in one flat buffer of `elements` = N * slice (N = 1 where nothing is sharded).
struct Chunk : ZeroStage {
  using Member = ChunkMember;
  std::string name;
  GroupId group;  ///< ranks that share one copy of its state, N of them
  std::vector<Member> members;
  std::int64_t used = 0, elements = 0, slice = 0;
  Residency residency = Residency::kFull;

  BufferId storage;  ///< whole values: kFull, kShardedResident
  BufferId shard;    ///< own slice: kSharded, kShardedResident
};

/// Every parameter in exactly one chunk.
std::vector<Chunk> make_chunks(const Draft& draft, const ZeroPlan& plan);

}  // namespace shardscope
