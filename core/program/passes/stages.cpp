// stages: refuses what cannot run, and gives the rank its place.
// Before: nothing. After: program.rank, world, groups and dtypes are known; no op exists.
// First, because every later pass relies on a legal mix.

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/program/partition.h"
#include "core/program/passes/draft.h"
#include "core/program/passes/sequence_parallel.h"

namespace shardscope {
namespace {

[[noreturn]] void unsupported(const std::string& what) { throw Error(ErrorKind::kUnsupported, what); }

void check_drive(const char* block, const OffloadSpec& offload) {
  if (!offload.nvme_path.empty()) return;
  throw Error(ErrorKind::kConfig, fmt::format("zero_optimization.{}.nvme_path: is missing, but the device is nvme; it "
                                              "must name a folder on the drive",
                                              block));
}

void check_offload(const Job& job) {
  const ZeroSpec& zero = job.training.zero;
  if (zero.stage == 0) {
    throw Error(ErrorKind::kConfig,
                "zero_optimization.offload_optimizer: needs stage 1, 2 or 3; stage 0 keeps no shards to offload");
  }
  if (zero.offload_optimizer.device == OffloadDevice::kNvme && zero.stage != 3) {
    throw Error(ErrorKind::kConfig,
                fmt::format("zero_optimization.offload_optimizer.device: nvme needs stage 3, as in DeepSpeed; stage {} "
                            "can offload to cpu",
                            zero.stage));
  }
  if (zero.offload_optimizer.device == OffloadDevice::kNvme) check_drive("offload_optimizer", zero.offload_optimizer);
  if (zero.offload_optimizer.ratio < 1 && zero.stage != 3) {
    throw Error(ErrorKind::kConfig,
                "zero_optimization.offload_optimizer.ratio: below 1 needs stage 3, as in DeepSpeed");
  }
  if (job.zero_mode == ZeroMode::kDeepSpeed) {
    unsupported("zero_mode: deepspeed with offload_optimizer is not built yet; use textbook");
  }
}

void check_offload_param(const Job& job) {
  const ZeroSpec& zero = job.training.zero;
  if (zero.stage != 3) {
    throw Error(ErrorKind::kConfig,
                fmt::format("zero_optimization.offload_param: needs stage 3, as in DeepSpeed; stage "
                            "{} keeps whole parameters on the device",
                            zero.stage));
  }
  if (zero.mics_shard_size == 1) {
    throw Error(ErrorKind::kConfig,
                "zero_optimization.offload_param: mics_shard_size 1 leaves no shards to offload; use 2 or more");
  }
  if (zero.offload_param.device == OffloadDevice::kNvme) check_drive("offload_param", zero.offload_param);
  if (zero.offload_param.device == OffloadDevice::kNvme && zero.offload_optimizer.device == OffloadDevice::kNvme &&
      zero.offload_param.nvme_path != zero.offload_optimizer.nvme_path) {
    unsupported(
        "zero_optimization.offload_param.nvme_path: differs from offload_optimizer's; a rank has one swap file");
  }
  if (job.zero_mode == ZeroMode::kDeepSpeed) {
    unsupported("zero_mode: deepspeed with offload_param is not built yet; use textbook");
  }
}

void check_mics(const Job& job) {
  const std::int64_t size = job.training.zero.mics_shard_size;
  if (job.training.zero.stage != 3) {
    throw Error(ErrorKind::kConfig, "zero_optimization.mics_shard_size: needs stage 3, as in DeepSpeed");
  }
  if (job.parallel.dp * job.parallel.cp % size != 0) {
    throw Error(ErrorKind::kConfig, fmt::format("zero_optimization.mics_shard_size: is {}; it must divide the "
                                                "data-parallel size {}",
                                                size, job.parallel.dp * job.parallel.cp));
  }
  if (job.zero_mode == ZeroMode::kDeepSpeed) {
    unsupported("zero_mode: deepspeed with mics_shard_size is not built yet; use textbook");
  }
}

void check_zero_plus_plus(const Job& job) {
  const ZeroSpec& zero = job.training.zero;
  const std::int64_t ranks = std::int64_t{job.parallel.dp} * job.parallel.cp;
  if (zero.stage != 3) {
    throw Error(ErrorKind::kConfig,
                "zero_optimization.zero_hpz_partition_size, zero_quantized_*: ZeRO++ needs stage 3, as in DeepSpeed");
  }
  if (zero.mics_shard_size > 0) {
    throw Error(ErrorKind::kConfig,
                "zero_optimization.mics_shard_size: MiCS and ZeRO++ both decide where copies of the "
                "parameters lie; use one of them");
  }
  if (zero.hpz_partition_size > 1 && ranks % zero.hpz_partition_size != 0) {
    throw Error(ErrorKind::kConfig, fmt::format("zero_optimization.zero_hpz_partition_size: is {}; it must divide the "
                                                "data-parallel size {}",
                                                zero.hpz_partition_size, ranks));
  }
  if (zero.quantized_gradients && job.zero_mode == ZeroMode::kDeepSpeed) {
    unsupported("zero_mode: deepspeed with zero_quantized_gradients is not built yet; use textbook");
  }
}

void refuse_what_is_not_built(const Job& job) {
  const ZeroSpec& zero = job.training.zero;
  if (zero.offload_optimizer.device != OffloadDevice::kNone) check_offload(job);
  if (zero.offload_param.device != OffloadDevice::kNone) check_offload_param(job);
  if (zero.hpz_partition_size > 1 || zero.quantized_weights || zero.quantized_gradients) check_zero_plus_plus(job);
  if (zero.mics_shard_size > 0) check_mics(job);
  const CheckpointingSpec& kept = job.training.checkpointing;
  if ((kept.cpu_checkpointing || kept.partition_activations) && job.recompute == Recompute::kNone) {
    throw Error(
        ErrorKind::kConfig,
        "activation_checkpointing.cpu_checkpointing, .partition_activations: say where what recomputation keeps "
        "waits; add recompute \"full\" or \"selective\" to the job (--recompute)");
  }
}

void check_experts(const Job& job) {
  const ModelSpec& m = job.model;
  const int ep = job.parallel.ep;
  if (m.experts == 0 && job.moe.capacity_factor > 0) {
    throw Error(ErrorKind::kConfig, fmt::format("moe.capacity_factor: model {} has no experts", m.name));
  }
  if (m.experts > 0 && job.parallel.cp > 1) {
    unsupported("parallel.cp: context parallelism of a model with experts is not built yet; use 1");
  }
  if (ep == 1) return;
  if (m.experts == 0) throw Error(ErrorKind::kConfig, fmt::format("parallel.ep: model {} has no experts", m.name));
  if (m.experts % ep != 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("parallel.ep: is {}; it must divide the {} experts of model {}", ep, m.experts, m.name));
  }
  if (job.training.zero.mics_shard_size > 0) {
    unsupported("parallel.ep: expert parallelism with mics_shard_size is not built yet; use one of them");
  }
  if (job.zero_mode == ZeroMode::kDeepSpeed) {
    unsupported("zero_mode: deepspeed with parallel.ep is not built yet; use textbook");
  }
}

/// The families that programs are built for. All others are read for their shape only: closed-form predictions take
/// them.
constexpr ModelFamily kBuiltFamilies[] = {ModelFamily::kGpt2, ModelFamily::kLlama, ModelFamily::kQwen2,
                                          ModelFamily::kMixtral};

void check_family(const ModelSpec& m) {
  std::vector<std::string_view> names;
  for (const ModelFamily family : kBuiltFamilies) {
    if (family == m.family) return;
    names.push_back(to_string(family));
  }
  unsupported(fmt::format("model {}: its family {} is known by shape only; programs are built for {}", m.name,
                          to_string(m.family), fmt::join(names, ", ")));
}

void check_model(const Job& job) {
  const ModelSpec& m = job.model;
  check_family(m);
  if (m.rotary_fraction != 1) {
    unsupported(fmt::format("model {}: rotary positions of a part of each head ({}) are not built yet", m.name,
                            m.rotary_fraction));
  }
  if (!m.rope_scaling.empty()) {
    unsupported(fmt::format("model {}: rope_scaling '{}' is not built yet; plain rotary positions are", m.name,
                            m.rope_scaling));
  }
  const std::int64_t seq = job.data.seq_len;
  if (m.sliding_window > 0 && m.sliding_window < seq) {
    unsupported(
        fmt::format("model {}: sliding_window {} is shorter than data.seq_len {}; windowed attention is not "
                    "built yet, use at most {}",
                    m.name, m.sliding_window, seq, m.sliding_window));
  }
  if (seq < 1) throw Error(ErrorKind::kConfig, fmt::format("data.seq_len: is {}; it must be at least 1", seq));
  if (m.positions == PositionKind::kLearned && seq > m.max_positions) {
    throw Error(ErrorKind::kConfig, fmt::format("data.seq_len: is {}, but model {} has {} positions; use at most {}",
                                                seq, m.name, m.max_positions, m.max_positions));
  }
  if (m.positions == PositionKind::kRope && m.head_dim % 2 != 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("model {}: head size {} is odd; rotary positions need an even one", m.name, m.head_dim));
  }
}

void check_batch(const Job& job) {
  const TrainingSpec& t = job.training;
  if (t.micro_batch < 1 || t.accumulation < 1 ||
      t.train_batch_size != t.micro_batch * t.accumulation * job.parallel.dp) {
    throw Error(
        ErrorKind::kConfig,
        fmt::format("train_batch_size: is {}, but micro-batch {} * accumulation {} * data-parallel size {} is {}",
                    t.train_batch_size, t.micro_batch, t.accumulation, job.parallel.dp,
                    t.micro_batch * t.accumulation * job.parallel.dp));
  }
}

/// Where a rank stands on every axis. Ranks count tensor-parallel first, then the shards of the sequence, then
/// data-parallel replicas, then pipeline stages: what talks most lies closest, and DeepSpeed and Megatron count alike.
struct Place {
  int t, c, d, p;
  explicit Place(const ParallelSpec& s, int rank)
      : t(rank % s.tp), c(rank / s.tp % s.cp), d(rank / (s.tp * s.cp) % s.dp), p(rank / (s.tp * s.cp * s.dp)) {}
};

GroupId add_group(Program& program, const std::string& name, std::vector<int> ranks) {
  const auto self = std::find(ranks.begin(), ranks.end(), program.rank) - ranks.begin();
  program.groups.push_back({name, std::move(ranks), static_cast<int>(self)});
  return GroupId{static_cast<std::int32_t>(program.groups.size()) - 1};
}

/// Ranks first, first + stride, ...: `size` of them, this rank among them.
GroupId add_group(Program& program, const std::string& name, int first, int stride, int size) {
  std::vector<int> ranks;
  for (int i = 0; i < size; ++i) ranks.push_back(first + i * stride);
  return add_group(program, name, std::move(ranks));
}

/// All ranks that hold the same parameters: their gradients are summed, and ZeRO shards over them. With MiCS also the
/// `size` neighbours that share one copy of the state, and the ranks that hold the same shard of other copies.
void add_data_parallel_groups(Draft& draft) {
  const ParallelSpec& s = draft.job->parallel;
  const Place at(s, draft.rank);
  const int ranks = s.dp * s.cp, self = at.d * s.cp + at.c, first = draft.rank - self * s.tp;
  draft.data_parallel = draft.shard_group = add_group(draft.program, "dp", first, s.tp, ranks);
  if (const auto node = static_cast<int>(draft.job->training.zero.hpz_partition_size); node > 1) {
    draft.node_group = add_group(draft.program, "node", first + self / node * node * s.tp, s.tp, node);
    if (node < ranks) {
      draft.across_group = add_group(draft.program, "across", first + self % node * s.tp, node * s.tp, ranks / node);
    }
  }
  const auto size = static_cast<int>(draft.job->training.zero.mics_shard_size);
  if (size <= 1 || size == ranks) return;
  draft.shard_group = add_group(draft.program, "shard", first + self / size * size * s.tp, s.tp, size);
  draft.replica_group = add_group(draft.program, "replica", first + self % size * s.tp, size * s.tp, ranks / size);
}

/// Ranks of neighbouring replicas deal the experts out among them; those that hold the same experts sum gradients.
void add_expert_groups(Draft& draft) {
  const ParallelSpec& s = draft.job->parallel;
  const Place at(s, draft.rank);
  const int replica = s.tp * s.cp, first = draft.rank - at.d * replica;
  draft.expert_group = add_group(draft.program, "ep", first + at.d / s.ep * s.ep * replica, replica, s.ep);
  std::vector<int> same;
  for (int d = at.d % s.ep; d < s.dp; d += s.ep) {
    for (int c = 0; c < s.cp; ++c) same.push_back(first + d * replica + (c - at.c) * s.tp);
  }
  draft.expert_data_parallel = add_group(draft.program, "edp", std::move(same));
}

/// The groups that split one layer's work: tensor parallelism, the shards of a sequence (all-to-all within `ulysses`
/// neighbours, a ring over the rest), experts.
void add_layer_groups(Draft& draft) {
  const ParallelSpec& s = draft.job->parallel;
  const Place at(s, draft.rank);
  const int rings = s.cp / s.ulysses;
  if (s.tp > 1) draft.tensor_group = add_group(draft.program, "tp", draft.rank - at.t, 1, s.tp);
  if (s.ulysses > 1) {
    const int first = draft.rank - at.c % s.ulysses * s.tp;
    draft.ulysses_group = add_group(draft.program, "ulysses", first, s.tp, s.ulysses);
  }
  if (rings > 1) {
    const int first = draft.rank - at.c / s.ulysses * s.ulysses * s.tp;
    draft.ring_group = add_group(draft.program, "ring", first, s.tp * s.ulysses, rings);
  }
  if (s.ep > 1) add_expert_groups(draft);
}

void add_pipeline_groups(Draft& draft) {
  const ParallelSpec& p = draft.job->parallel;
  if (p.pp == 1) return;
  const int stage_ranks = p.dp * p.cp * p.tp, rank = draft.rank / stage_ranks, first_rank = draft.rank % stage_ranks;
  draft.pipeline_group = add_group(draft.program, "pp", first_rank, stage_ranks, p.pp);
  const PipelineShape shape = pipeline_shape(*draft.job);
  const int last = owner_of(shape, shape.stages() - 1).rank;
  const bool is_end = rank == 0 || rank == last;
  if (draft.job->model.tied_embeddings && last != 0 && is_end) {
    draft.tied_group = add_group(draft.program, "tied", first_rank, last * stage_ranks, 2);
  }
}

void place_stages(Draft& draft) {
  const ParallelSpec& p = draft.job->parallel;
  draft.pipeline = pipeline_shape(*draft.job);
  if (draft.micro_batches > 0) draft.pipeline.micro_batches = draft.micro_batches;
  const int rank = Place(p, draft.rank).p, stages = draft.pipeline.stages();
  const std::vector<int> first = partition_layers(draft.job->model, p.partition, stages, draft.job->data.seq_len);
  for (int chunk = 0; chunk < draft.pipeline.chunks; ++chunk) {
    const int stage = stage_at(draft.pipeline, rank, chunk);
    const auto s = static_cast<std::size_t>(stage);
    draft.stages.push_back({stage, first[s], first[s + 1], stage == 0, stage == stages - 1});
  }
}

void add_groups(Draft& draft) {
  add_data_parallel_groups(draft);
  add_layer_groups(draft);
  add_pipeline_groups(draft);
}

void check_axes(const ParallelSpec& s) {
  if (s.cp % s.ulysses != 0) {
    throw Error(ErrorKind::kConfig, fmt::format("parallel.ulysses: is {}; it must divide the {} shards of a sequence "
                                                "(parallel.cp)",
                                                s.ulysses, s.cp));
  }
  if (s.dp % s.ep != 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("parallel.ep: is {}; it must divide the data-parallel size {}", s.ep, s.dp));
  }
  if (s.sp && s.tp == 1) {
    throw Error(ErrorKind::kConfig,
                "parallel.sp: splits work among tensor-parallel ranks; it needs parallel.tp above 1");
  }
}

void check_pipeline(const Job& job) {
  if (job.zero_mode == ZeroMode::kDeepSpeed) {
    if (job.training.zero.stage >= 2) {
      throw Error(ErrorKind::kConfig,
                  "zero_optimization.stage: DeepSpeed refuses stages 2 and 3 with pipeline parallelism, because they "
                  "reduce gradients in every micro-batch; use stage 0 or 1, or zero_mode textbook");
    }
    unsupported("zero_mode: deepspeed with pipeline parallelism is not built yet; use textbook");
  }
}

}  // namespace

std::vector<Group> rank_groups(const Job& job, int rank) {
  Draft draft;
  draft.job = &job;
  draft.rank = draft.program.rank = rank;
  add_groups(draft);
  return std::move(draft.program.groups);
}

void pass_stages(Draft& draft) {
  const Job& job = *draft.job;
  refuse_what_is_not_built(job);
  check_model(job);
  if (job.parallel.dp < 1 || job.parallel.pp < 1)
    throw Error(ErrorKind::kConfig, fmt::format("ranks: is {}; it must be at least 1", job.parallel.dp));
  check_batch(job);
  if (job.parallel.pp > 1) check_pipeline(job);
  check_precision(job);
  draft.dtypes = dtypes_of(job);
  check_axes(job.parallel);
  check_experts(job);
  check_tensor_parallel(job);
  check_sequence_parallel(job);
  Program& program = draft.program;
  program.world = job.parallel.ranks();
  if (draft.rank < 0 || draft.rank >= program.world) {
    throw Error(ErrorKind::kConfig, fmt::format("rank {}: there are ranks 0 to {}", draft.rank, program.world - 1));
  }
  program.rank = draft.rank;
  program.replica = Place(job.parallel, draft.rank).d;
  program.replicas = job.parallel.dp;
  add_groups(draft);
  place_stages(draft);
  program.tokens_per_step = job.training.train_batch_size * job.data.seq_len;
}

}  // namespace shardscope
