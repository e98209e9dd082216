#include "simulator/analytic/stages.h"

#include <algorithm>
#include <cmath>

#include "core/program/partition.h"
#include "core/program/schedule.h"

namespace shardscope {

StageMaker::StageMaker(const ModelSpec& model, const FrameworkSpec& framework, std::int64_t seq)
    : model_(model),
      engine_(framework.engine),
      balanced_(framework.balanced_stages),
      partition_(framework.partition),
      seq_(seq),
      mixtures_{0} {
  for (std::int64_t block = 0; block < model.layers; ++block) {
    mixtures_.push_back(mixtures_.back() + (has_experts(model, block) ? 1 : 0));
  }
}

/// `count` blocks, of the kinds that stand from `from` to `to`; of the whole model's where there are none.
Stage StageMaker::blocks(double from, double to, double count) const {
  const auto layers = static_cast<double>(model_.layers);
  from = std::clamp(from, 0.0, layers), to = std::clamp(to, 0.0, layers);
  if (to <= from) from = 0, to = layers;
  if (to <= from) return {};
  const double mixtures = mixtures_[static_cast<std::size_t>(to)] - mixtures_[static_cast<std::size_t>(from)];
  const double mixture = count * mixtures / (to - from);
  return {.dense = count - mixture, .mixture = mixture};
}

const std::vector<StageKind>& StageMaker::even(const Plan& plan) {
  const auto layers = static_cast<double>(model_.layers);
  const double each = std::ceil(layers / plan.pp);
  std::vector<StageKind>& kinds = even_;
  kinds.clear();
  kinds.push_back({blocks(0, each, each)});
  kinds[0].stage.first = true, kinds[0].stage.last = plan.pp == 1;
  if (plan.pp > 2) {
    kinds.push_back({blocks(each, layers - each, each), plan.pp - 2.0});
    kinds.back().stage.place = 1;
  }
  if (plan.pp > 1) {
    kinds.push_back({blocks(layers - each, layers, each)});
    kinds.back().stage.last = true, kinds.back().stage.place = plan.pp - 1;
  }
  return kinds;
}

namespace {

PipelineShape shape_of(const Plan& plan) { return {plan.schedule, plan.pp, chunks_of(plan.schedule, plan.vpp), 1}; }

int key_of(const Plan& plan) { return (plan.pp * 64 + plan.vpp) * 8 + static_cast<int>(plan.schedule); }

}  // namespace

std::vector<Stage> StageMaker::make_chunks(const Plan& plan) const {
  const int stages = shape_of(plan).stages();
  const std::vector<int> first = partition_layers(model_, partition_, stages, seq_);
  std::vector<Stage> chunks;
  for (int stage = 0; stage < stages; ++stage) {
    const int from = first[static_cast<std::size_t>(stage)], to = first[static_cast<std::size_t>(stage) + 1];
    Stage s = from < to ? blocks(from, to, to - from) : Stage{};
    s.first = stage == 0, s.last = stage == stages - 1;
    s.place = owner_of(shape_of(plan), stage).rank;
    chunks.push_back(s);
  }
  return chunks;
}

std::vector<StageKind> StageMaker::of_engine(const Plan& plan) {
  const PipelineShape shape = shape_of(plan);
  const std::vector<Stage>& all = chunks(plan);
  std::vector<StageKind> kinds;
  for (int rank = 0; rank < plan.pp; ++rank) {
    Stage s{.place = static_cast<double>(rank)};
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      const Stage& part = all[static_cast<std::size_t>(stage_at(shape, rank, chunk))];
      s.dense += part.dense, s.mixture += part.mixture;
      s.first = s.first || part.first, s.last = s.last || part.last;
    }
    Stage before = kinds.empty() ? s : kinds.back().stage;
    before.place = s.place;
    // The earlier one holds more micro-batches; of schedules that put weights off, others may hold more of those.
    const bool puts_off = is_v_shaped(plan.schedule) || plan.schedule == PipelineSchedule::kZbH1;
    const bool same = !kinds.empty() && before == s && !puts_off;
    same ? static_cast<void>(++kinds.back().count) : kinds.push_back({s});
  }
  return kinds;
}

/// nanotron's build_model: blocks and then the head are dealt in order, and a rank ends behind the first one that takes
/// the sum of parameters beyond its even part. The loss then is the next rank's.
std::vector<StageKind> StageMaker::by_parameters(const Plan& plan) const {
  const auto hidden = static_cast<double>(model_.hidden), layers = static_cast<double>(model_.layers);
  const double heads = static_cast<double>(model_.heads) * static_cast<double>(model_.head_dim);
  const double block = 4 * heads * hidden + 3 * static_cast<double>(model_.intermediate) * hidden;
  const double all = layers * block + static_cast<double>(model_.vocab_size) * hidden;
  std::vector<StageKind> kinds;
  double done = 0;
  bool has_head = false, has_loss = false;
  for (int rank = 0; rank < plan.pp; ++rank) {
    const double first = done, part = all * (rank + 1) / plan.pp;
    while (done < layers && (done == first || done * block <= part)) ++done;
    Stage s = done > first ? blocks(first, done, done - first) : Stage{};
    s.first = rank == 0, s.place = rank;
    s.last = !has_head && done >= layers && done * block <= part;
    s.only_loss = has_head && !has_loss;
    s.loss_is_next = s.last && rank + 1 < plan.pp;
    has_loss = has_head, has_head = has_head || s.last;
    const auto same = std::find_if(kinds.begin(), kinds.end(), [s](const StageKind& kind) mutable {
      s.place = kind.stage.place;  // the earlier one holds more micro-batches
      return kind.stage == s;
    });
    same != kinds.end() ? static_cast<void>(++same->count) : kinds.push_back({s});
  }
  return kinds;
}

bool StageMaker::has_stages(const Plan& plan) const {
  return engine_ && std::int64_t{plan.pp} * chunks_of(plan.schedule, plan.vpp) <= model_.layers;
}

const std::vector<Stage>& StageMaker::chunks(const Plan& plan) {
  const auto found = chunks_.find(key_of(plan));
  return found != chunks_.end() ? found->second : chunks_.emplace(key_of(plan), make_chunks(plan)).first->second;
}

const std::vector<StageKind>& StageMaker::of(const Plan& plan) {
  const bool engine = has_stages(plan);
  if (!engine && (!balanced_ || plan.pp == 1)) return even(plan);
  const auto found = known_.find(key_of(plan));
  if (found != known_.end()) return found->second;
  return known_.emplace(key_of(plan), engine ? of_engine(plan) : by_parameters(plan)).first->second;
}

}  // namespace shardscope
