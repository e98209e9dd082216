#pragma once
// What an Estimator works with, and the steps of an estimate: those of all frameworks in estimate.cpp, those that only
// our own engine takes in engine_estimate.cpp. Nobody else includes this.

#include <cmath>
#include <unordered_map>
#include <vector>

#include "simulator/analytic/engine_buckets.h"
#include "simulator/analytic/engine_pipeline.h"
#include "simulator/analytic/estimate.h"
#include "simulator/analytic/estimate_notes.h"
#include "simulator/analytic/memory_model.h"
#include "simulator/analytic/network_model.h"
#include "simulator/analytic/stages.h"

namespace shardscope {

/// Two things at once, nearly the longer of them.
inline double longer(double a, double b) { return std::sqrt(std::sqrt(a * a * a * a + b * b * b * b)); }

/// What of `work` does not hide behind `cover`.
inline double exposed(double work, double cover) { return work <= 0 ? 0 : longer(work, cover) - cover; }

/// Part of a short kernel's start that shows between element-wise kernels. Guess.
inline constexpr double kElementwiseStart = 0.25;

struct BothWays {
  double forward = 0, backward = 0;
};

/// Seconds of one micro-batch in one stage, by term; forward and backward apart for the schedules.
struct StageTime {
  std::array<double, kTimeTerms> terms{};
  double forward = 0, backward = 0, weight_gradient = 0;
  double early = 0;  ///< of backward, before it needs a gradient: a block is computed again
  double total() const { return forward + backward; }
  double operator[](TimeTerm t) const { return terms[static_cast<std::size_t>(t)]; }
};

struct Estimator::State {
  Workload workload;
  Target target;
  FrameworkSpec framework;
  FrameworkConstants constants;
  FabricConstants fabric;
  GpuModel gpu;
  NetworkModel network;
  StageMaker stage_maker;
  BucketMaker bucket_maker;
  PipelineWalk walk;  ///< kept for its memory
  std::unordered_map<std::uint64_t, ModelCosts> known;
  EstimateNotes* notes = nullptr;  ///< where wanted

  State(const Workload& w, const Target& t, const FrameworkSpec& f, const Constants& table)
      : workload(w),
        target(t),
        framework(f),
        constants(framework_constants(table, f.name)),
        fabric(fabric_constants(table, t.fabric.name)),
        gpu(t.gpu, device_constants(table, t.gpu)),
        network(t, gpu.constants(), fabric, constants.collective_us * 1e-6),
        stage_maker(w.model, f, w.seq),
        bucket_maker(w.model, f.bucket_elements) {
    known.reserve(4096);
  }

  const ModelCosts& costs_of(const Plan& plan);

  Placement data_group(const Plan& p) const { return {copies_of(p).shared, static_cast<double>(p.tp)}; }
  Placement shard_group(const Plan& p) const {
    const Placement all = data_group(p);
    return p.shard > 0 ? Placement{std::min<double>(p.shard, all.ranks), all.stride} : all;
  }

  void note(TimeTerm term, std::string_view what, double bytes, double ranks, double seconds, double times) const {
    if (notes != nullptr && seconds > 0 && times > 0)
      notes->moves.push_back({term, what, bytes, ranks, seconds, times});
  }
  void note_part(const PartCosts& part, const Plan&, double count) const;
  void note_stage(const Plan&, const ModelCosts&, const Stage& slowest);

  void add_part(StageTime& t, const PartCosts& part, const Plan& plan, double count) const;
  void add_engine_gathers(StageTime& t, const Plan& plan, const ModelCosts& costs, const Stage& stage) const;
  double scalars(const Plan&) const;
  BothWays tensor_time(const PartCosts& part, const Plan& plan) const;
  double again_time(const PartCosts& part, const Plan& plan) const;
  BothWays context_time(const PartCosts& part, const Plan& plan) const;
  BothWays expert_time(const PartCosts& part, const Plan& plan) const;
  void add_gathers(StageTime& t, const PartCosts& part, const Plan& plan, double count, BothWays device,
                   BothWays own) const;
  double shown_messages(const Plan&) const;
  double interference() const { return gpu.constants().interference * constants.interference; }
  /// Action by action: our own engine under 1F1B.
  bool walks(const Plan& plan) const {
    return framework.engine && plan.pp > 1 && plan.vpp == 1 && plan.schedule == PipelineSchedule::k1F1B;
  }
  StageTime stage_time(const Plan&, const ModelCosts&, const Stage&) const;
  double bubble(const Plan&, const StageTime& slowest, double others) const;
  void add_data(Estimate&, const Plan&, const ModelCosts&, const Stage&, const StageTime&) const;
  void add_engine_ends(Estimate&, const Plan&, const ModelCosts&, const StageParameters&, double backward) const;
  double reduced(const Plan&, double parameters) const;
  double engine_reductions(const Plan&, const Stage&, const StageTime&);
  void add_engine_data(Estimate&, const Plan&, const ModelCosts&, const std::vector<StageKind>&, const StageTime&);
  void add_update(Estimate&, const Plan&, const StageParameters&) const;
  void add_offload(Estimate&, const Plan&, const StageParameters&) const;
};

}  // namespace shardscope
