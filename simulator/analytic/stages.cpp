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

double StageMaker::blocks_each(const Plan& plan, const ModelCosts& costs, bool last) const {
  const auto layers = static_cast<double>(model_.layers);
  if (plan.pp == 1 || !balanced_) return std::ceil(layers / plan.pp);
  const double head = static_cast<double>(model_.vocab_size) * static_cast<double>(model_.hidden) / plan.tp;
  const double each = std::ceil((layers + head / std::max(costs.dense.parameters, costs.mixture.parameters)) / plan.pp);
  return last ? std::max(0.0, layers - each * (plan.pp - 1)) : std::min(each, std::ceil(layers / (plan.pp - 1)));
}

const std::vector<StageKind>& StageMaker::even(const Plan& plan, const ModelCosts& costs) {
  const auto layers = static_cast<double>(model_.layers);
  const double each = blocks_each(plan, costs, false), at_end = blocks_each(plan, costs, true);
  std::vector<StageKind>& kinds = even_;
  kinds.clear();
  kinds.push_back({blocks(0, each, each)});
  kinds[0].stage.first = true, kinds[0].stage.last = plan.pp == 1;
  if (plan.pp > 2) {
    kinds.push_back({blocks(each, layers - at_end, each), plan.pp - 2.0});
    kinds.back().stage.place = 1;
  }
  if (plan.pp > 1) {
    kinds.push_back({blocks(layers - at_end, layers, at_end)});
    kinds.back().stage.last = true, kinds.back().stage.place = plan.pp - 1;
  }
  return kinds;
}

std::vector<StageKind> StageMaker::of_engine(const Plan& plan) const {
  const PipelineShape shape{plan.schedule, plan.pp, chunks_of(plan.schedule, plan.vpp), 1};
  const std::vector<int> first = partition_layers(model_, partition_, shape.stages(), seq_);
  std::vector<StageKind> kinds;
  for (int rank = 0; rank < plan.pp; ++rank) {
    Stage s{.place = static_cast<double>(rank)};
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      const int stage = stage_at(shape, rank, chunk), from = first[static_cast<std::size_t>(stage)],
                to = first[static_cast<std::size_t>(stage) + 1];
      const Stage part = blocks(from, to, to - from);
      s.dense += part.dense, s.mixture += part.mixture;
      s.first = s.first || stage == 0, s.last = s.last || stage == shape.stages() - 1;
    }
    Stage before = kinds.empty() ? s : kinds.back().stage;
    before.place = s.place;
    const bool same = !kinds.empty() && before == s;  // the earlier one holds more micro-batches
    same ? static_cast<void>(++kinds.back().count) : kinds.push_back({s});
  }
  return kinds;
}

const std::vector<StageKind>& StageMaker::of(const Plan& plan, const ModelCosts& costs) {
  if (!engine_ || std::int64_t{plan.pp} * chunks_of(plan.schedule, plan.vpp) > model_.layers) {
    return even(plan, costs);
  }
  const int key = (plan.pp * 64 + plan.vpp) * 8 + static_cast<int>(plan.schedule);
  const auto found = known_.find(key);
  return found != known_.end() ? found->second : known_.emplace(key, of_engine(plan)).first->second;
}

}  // namespace shardscope
