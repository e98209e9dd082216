// optimizer: gradient norm, clipping, Adam on the shards that zero left, and what makes parameters whole again.
// Before: draft.shards. After: a complete training step; program.loss and program.grad_norm hold the same on every
// rank, program.overflow too where a step may be skipped. After zero, because who owns which elements decides on what
// Adam runs.

#include <fmt/format.h>

#include <algorithm>

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
    if (d_.habits.tests_apart) test_overflow();
    make_clip_coefficient();
    for (std::size_t i = 0; i < d_.shards.size(); ++i) {
      flatten_group_of(i);
      update(d_.shards[i]);
    }
    for (const OptimizerShard& shard : d_.shards) {
      if (d_.habits.separate_copy) gather(shard);
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
    if (skips_overflow(*d_.job)) p_.overflow = scalar("overflow", DType::kI32, true);
    emit_(ClipCoefficient{sum, p_.grad_norm, coefficient_, d_.job->training.gradient_clipping, p_.overflow});
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
    const DType dtype = d_.habits.cast_flat ? d_.dtypes.gradient : DType::kF32;
    const Region flat = flat_buffer("flat_gradients", group, dtype, total);
    Region wide = flat;
    if (dtype != DType::kF32) wide = flat_buffer("wide_gradients", group, DType::kF32, total);
    std::vector<Region> separate;
    for (OptimizerShard& s : d_.shards) {
      if (s.flatten_group != group) continue;
      emit_.label.name = s.name;
      emit_(Copy{s.gradient, flat.part(at, s.gradient.count)});
      separate.push_back(s.gradient);
      s.gradient = wide.part(at, s.gradient.count);
      at += s.gradient.count;
    }
    if (dtype == DType::kF32) return;
    emit_(Copy{flat, wide});
    for (const Region& gradient : separate) emit_(Hold{gradient});  // dropped only when the cast is done
  }

  Region flat_buffer(const char* name, int group, DType dtype, std::int64_t elements) {
    return p_.whole(p_.add_buffer({fmt::format("{}.{}", name, group), dtype, elements, Category::kGradient}));
  }

  /// DeepSpeed's test, tensor by tensor: stages 1 and 2 make six temporaries of each, two of which are gone by the time
  /// the last is made; stage 0 makes one. Stage 3 tests all its gradients at once. The temporaries are allocated and
  /// written; what they would say is known from the norm.
  void test_overflow() {
    const int stage = d_.job->training.zero.stage;
    emit_.label.name = p_.intern("overflow_test");
    for (const Region& tensor : tested(stage)) {
      if (stage < 3) emit_(Copy{tensor, temporary(DType::kF32, tensor.count)});
      for (int i = 0; i < flags_of(stage); ++i) emit_(Fill{temporary(DType::kI8, tensor.count), 0});
      if (stage == 1 || stage == 2) emit_(Fill{temporary(DType::kF32, tensor.count), 0});
      hold_temporaries();
    }
  }

  static int flags_of(int stage) {
    if (stage == 0) return 0;
    return stage == 3 ? 2 : 3;  // isinf, isnan, and the two together
  }

  /// The tensors of the gradients here, or parts of them.
  std::vector<Region> tested(int stage) const {
    std::vector<Region> tensors;
    for (const OptimizerShard& shard : d_.shards) {
      if (stage == 3 && !tensors.empty()) {  // shards lie in one buffer, one after the other
        tensors.front().count = shard.gradient.end() - tensors.front().offset;
        continue;
      }
      if (stage == 3) tensors.push_back(shard.gradient);
      for (const ChunkMember& m : shard.members) {
        const std::int64_t begin = std::max(m.offset, shard.first),
                           end = std::min(m.offset + m.count, shard.first + shard.gradient.count);
        if (stage < 3 && begin < end) tensors.push_back(shard.gradient.part(begin - shard.first, end - begin));
      }
    }
    return tensors;
  }

  Region temporary(DType dtype, std::int64_t elements) {
    const std::string name = fmt::format("overflow_test.{}", temporaries_made_++);
    temporaries_.push_back(p_.whole(p_.add_buffer({name, dtype, elements, Category::kWorkspace})));
    return temporaries_.back();
  }

  /// All of a tensor's are alive together.
  void hold_temporaries() {
    for (const Region& temporary : temporaries_) emit_(Hold{temporary});
    temporaries_.clear();
  }

  void update(const OptimizerShard& shard) {
    Region target = shard.value, copy;
    if (shard.own_master) {
      target = state(shard, "master", StateRole::kMaster, Category::kMaster);
      if (!d_.habits.separate_copy) copy = shard.value;
    }
    const Region m = state(shard, "exp_avg", StateRole::kExpAvg, Category::kOptimizer);
    const Region v = state(shard, "exp_avg_sq", StateRole::kExpAvgSq, Category::kOptimizer);
    emit_.label.name = shard.name;
    emit_(Adam{target, shard.gradient, m, v, coefficient_, spec_.beta1, spec_.beta2, spec_.eps, spec_.weight_decay,
               spec_.kind == OptimizerKind::kAdamW, spec_.bias_correction, p_.overflow, copy});
    if (d_.habits.separate_copy) {
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
  int flattened_ = -1, temporaries_made_ = 0;
  std::vector<Region> temporaries_;
};

}  // namespace

void pass_optimizer(Draft& draft) { OptimizerStep(draft).run(); }

}  // namespace shardscope
