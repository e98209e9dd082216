// optimizer: gradient norm, clipping, Adam on the shards that zero left, and what makes parameters whole again.
// Before: draft.shards. After: a complete training step; program.loss and program.grad_norm hold the same on every
// rank. After zero, because who owns which elements decides on what Adam runs.

#include <fmt/format.h>

#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

class OptimizerStep {
 public:
  explicit OptimizerStep(Draft& draft)
      : d_(draft), p_(draft.program), spec_(draft.job->training.optimizer), emit_(draft.program.instructions) {
    emit_.label = {Phase::kOptimizer, -1, -1, {}};
  }

  void run() {
    share_loss();
    make_clip_coefficient();
    for (std::size_t i = 0; i < d_.shards.size(); ++i) {
      flatten_group_of(i);
      update(d_.shards[i]);
    }
    for (const OptimizerShard& shard : d_.shards) {
      if (shard.own_master) gather(shard);
    }
  }

 private:
  Region scalar(const char* name, DType dtype, bool persistent) {
    return p_.whole(p_.add_buffer({name, dtype, 1, Category::kWorkspace, Space::kDevice, persistent}));
  }

  Region state(const OptimizerShard& shard, const char* what, StateRole role, Category category) {
    const std::string name = fmt::format("{}.{}", what, p_.name(shard.name));
    const Region home = p_.whole(p_.add_buffer({name, DType::kF32, shard.value.count, category, Space::kDevice, true}));
    add_state(p_, shard.members, role, home, shard.first);
    return home;
  }

  void share_loss() {
    emit_.label.name = p_.intern("loss");
    if (d_.dp().size() > 1) emit_(AllReduce{d_.data_parallel, p_.loss}, Lane::kReduce);
    if (d_.pipeline_group.valid())
      emit_(AllReduce{d_.pipeline_group, p_.loss}, Lane::kReduce);  // the last stage has it; others, their routers'
    if (d_.loss_factor != 1) emit_(Scale{p_.loss, d_.loss_factor});
  }

  void make_clip_coefficient() {
    emit_.label.name = p_.intern("grad_norm");
    const Region sum = scalar("norm_sum", DType::kF64, false);
    coefficient_ = scalar("clip_coefficient", DType::kF32, false);
    p_.grad_norm = scalar("grad_norm", DType::kF32, true);
    emit_(Fill{sum, 0});
    if (d_.expert_group.valid() && !d_.shards_are_partial) {  // experts differ from rank to rank, the rest does not
      add_squares(sum, [&](const OptimizerShard& shard) { return shard.group != d_.shard_group; });
      emit_(AllReduce{d_.expert_group, sum}, Lane::kReduce);
      add_squares(sum, [&](const OptimizerShard& shard) { return shard.group == d_.shard_group; });
    } else {
      add_squares(sum, [](const OptimizerShard&) { return true; });
    }
    if (d_.shards_are_partial) emit_(AllReduce{d_.shard_group, sum}, Lane::kReduce);
    if (d_.tensor_group.valid()) emit_(AllReduce{d_.tensor_group, sum}, Lane::kReduce);
    if (d_.pipeline_group.valid()) emit_(AllReduce{d_.pipeline_group, sum}, Lane::kReduce);
    emit_(ClipCoefficient{sum, p_.grad_norm, coefficient_, d_.job->training.gradient_clipping});
  }

  template <class Which>
  void add_squares(Region sum, Which&& which) {
    for (const OptimizerShard& shard : d_.shards) {
      if (!shard.in_norm || !which(shard)) continue;
      for (const Region& counted : counted_here(shard)) emit_(SumSquares{counted, sum});
    }
  }

  /// What the first tensor-parallel rank counts for all of them is not counted again on the others.
  std::vector<Region> counted_here(const OptimizerShard& shard) const {
    if (!d_.tensor_group.valid() || p_.group(d_.tensor_group).self == 0) return {shard.gradient};
    return parts_with_role(d_, shard.members, TensorRole::kSplit, shard.gradient, shard.first);
  }

  /// Copies the gradients of a flatten group side by side when its first shard is reached.
  void flatten_group_of(std::size_t first) {
    const int group = d_.shards[first].flatten_group;
    if (group < 0 || group == flattened_) return;
    flattened_ = group;
    std::int64_t total = 0, at = 0;
    for (const OptimizerShard& s : d_.shards) total += s.flatten_group == group ? s.gradient.count : 0;
    const std::string name = fmt::format("flat_gradients.{}", group);
    const Region flat = p_.whole(p_.add_buffer({name, DType::kF32, total, Category::kGradient}));
    for (OptimizerShard& s : d_.shards) {
      if (s.flatten_group != group) continue;
      emit_.label.name = s.name;
      emit_(Copy{s.gradient, flat.part(at, s.gradient.count)});
      s.gradient = flat.part(at, s.gradient.count);
      at += s.gradient.count;
    }
  }

  void update(const OptimizerShard& shard) {
    Region target = shard.value;
    if (shard.own_master) target = state(shard, "master", StateRole::kMaster, Category::kMaster);
    const Region m = state(shard, "exp_avg", StateRole::kExpAvg, Category::kOptimizer);
    const Region v = state(shard, "exp_avg_sq", StateRole::kExpAvgSq, Category::kOptimizer);
    emit_.label.name = shard.name;
    emit_(Adam{target, shard.gradient, m, v, coefficient_, spec_.beta1, spec_.beta2, spec_.eps, spec_.weight_decay,
               spec_.kind == OptimizerKind::kAdamW, spec_.bias_correction});
    if (shard.own_master) {
      emit_(Copy{target, shard.value});  // gathered after all of them
    } else {
      gather(shard);
    }
  }

  void gather(const OptimizerShard& shard) {
    if (shard.gather.empty()) return;
    emit_.label.name = shard.name;
    emit_(AllGather{shard.group, shard.value, shard.gather}, Lane::kGather);
  }

  Draft& d_;
  Program& p_;
  const OptimizerSpec& spec_;
  Emitter emit_;
  Region coefficient_;
  int flattened_ = -1;
};

}  // namespace

void pass_optimizer(Draft& draft) { OptimizerStep(draft).run(); }

}  // namespace shardscope
