#include "core/program/rank_kind.h"

#include <algorithm>

#include "core/program/lower.h"
#include "core/program/partition.h"

namespace shardscope {
namespace {

/// What a block is made of.
std::vector<std::int64_t> describe_block(const std::vector<TensorSpec>& tensors, int block) {
  std::vector<std::int64_t> parts;
  for (const TensorSpec& tensor : tensors) {
    if (tensor.layer != block) continue;
    parts.push_back(-1 - tensor.expert);
    parts.insert(parts.end(), tensor.shape.begin(), tensor.shape.end());
  }
  return parts;
}

}  // namespace

RankKinds::RankKinds(const Job& job) : job_(job), plan_(make_zero_plan(job)) { find_layers(); }

void RankKinds::find_layers() {
  const PipelineShape shape = pipeline_shape(job_);
  const int stages = shape.stages();
  const std::vector<int> first = partition_layers(job_.model, job_.parallel.partition, stages, job_.data.seq_len);
  const std::vector<TensorSpec> tensors = list_tensors(job_.model);
  std::map<std::vector<std::int64_t>, std::int64_t> blocks;
  std::vector<std::int64_t> block_kind;
  for (int b = 0; b < job_.model.layers; ++b) {
    block_kind.push_back(
        static_cast<std::int64_t>(blocks.try_emplace(describe_block(tensors, b), blocks.size()).first->second));
  }
  std::map<std::vector<std::int64_t>, int> known;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    std::vector<std::int64_t> layers;
    bool is_end = false;
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      const int stage = stage_at(shape, rank, chunk);
      const auto s = static_cast<std::size_t>(stage);
      layers.insert(layers.end(), {-1, stage == 0 ? 1 : 0, stage == stages - 1 ? 1 : 0});
      layers.insert(layers.end(), block_kind.begin() + first[s], block_kind.begin() + first[s + 1]);
      is_end = is_end || stage == 0 || stage == stages - 1;
    }
    layers_.push_back(known.try_emplace(layers, static_cast<int>(known.size())).first->second);
    ends_.push_back(is_end ? 1 : 0);
  }
}

RankKind RankKinds::of(int rank) {
  const ParallelSpec& s = job_.parallel;
  const int t = rank % s.tp, c = rank / s.tp % s.cp, d = rank / (s.tp * s.cp) % s.dp, p = rank / (s.tp * s.cp * s.dp);
  RankKind kind{p, layers_[static_cast<std::size_t>(p)], {}, 0};
  // The first tensor-parallel rank adds biases and positions; the vocabulary ends on one of them.
  const bool has_vocabulary = s.tp > 1 && ends_[static_cast<std::size_t>(p)] != 0;
  kind.place = {t == 0 ? 1 : 0, has_vocabulary ? vocab_part(job_.model.vocab_size, t, s.tp).real : 0};
  kind.place.push_back(c);         // causal attention: how much of the keys of others a rank's queries see
  kind.place.push_back(d % s.ep);  // which experts
  // Where a rank's slice lies in a buffer shows if it is copied from there or to there: in DeepSpeed's buckets, and
  // wherever another lane copies it, since whoever has these bytes next must wait for that lane then.
  const ZeroSpec& zero = job_.training.zero;
  const bool copies_slices = plan_.separate_gradients || zero.offload_optimizer.device != OffloadDevice::kNone ||
                             zero.offload_param.device != OffloadDevice::kNone || zero.hpz_partition_size > 1 ||
                             zero.quantized_gradients || zero.quantized_weights;
  kind.place.push_back(plan_.stage > 0 && copies_slices ? d : -1);
  if (s.tp == 1) return kind;
  const std::vector<std::int64_t> like{kind.layers, kind.place[0], kind.place[1], c, d % s.ep};
  std::vector<std::int64_t> slot = like;
  slot.push_back(d);
  if (const auto found = known_.find(slot); found != known_.end()) {
    kind.slices = found->second;
    return kind;
  }
  auto [it, is_new] = layouts_.try_emplace(like);
  if (is_new) {
    Draft& draft = it->second.draft;
    draft.job = &job_;
    draft.rank = rank;
    pass_stages(draft);
    add_parameters(draft);
    it->second.chunks = make_chunks(draft, plan_);
  }
  kind.slices = shapes_.try_emplace(slices_of(it->second, rank), static_cast<int>(shapes_.size())).first->second;
  known_.emplace(slot, kind.slices);
  return kind;
}

/// What the optimizer counts in the norm of each chunk's slice, and what tensor-parallel ranks must still sum there.
std::vector<std::int64_t> RankKinds::slices_of(const Layout& layout, int rank) const {
  const std::vector<Group> groups = rank_groups(job_, rank);
  std::vector<std::int64_t> parts;
  for (const Chunk& chunk : layout.chunks) {
    const std::int64_t self = chunk.shards_optimizer() ? groups[static_cast<std::size_t>(chunk.group.index)].self : 0;
    const Region slice{BufferId{0}, 0, chunk.slice};
    for (TensorRole role : {TensorRole::kSplit, TensorRole::kPartial}) {
      if (role == TensorRole::kSplit && rank % job_.parallel.tp == 0) continue;  // counts all of it
      parts.push_back(-1);
      for (const Region& part : parts_with_role(layout.draft, chunk.members, role, slice, self * chunk.slice)) {
        parts.push_back(part.count);
      }
    }
  }
  return parts;
}

}  // namespace shardscope
