#pragma once
// What an Estimator works with, and the steps of an estimate: those of all frameworks in estimate.cpp, those that only
// our own engine takes in engine_estimate.cpp. Nobody else includes this.

#include <cmath>
#include <unordered_map>
#include <vector>

#include "simulator/analytic/engine_buckets.h"
#include "simulator/analytic/engine_held.h"
#include "simulator/analytic/engine_memory.h"
#include "simulator/analytic/engine_pipeline.h"
#include "simulator/analytic/engine_schedule.h"
#include "simulator/analytic/engine_time.h"
#include "simulator/analytic/estimate.h"
#include "simulator/analytic/estimate_notes.h"
#include "simulator/analytic/memory_model.h"
#include "simulator/analytic/network_model.h"
#include "simulator/analytic/stages.h"
#include "simulator/analytic/zero_plus_plus.h"

namespace shardscope {

/// Two things at once, nearly the longer of them.
inline double longer(double a, double b) { return std::sqrt(std::sqrt(a * a * a * a + b * b * b * b)); }

/// What of `work` does not hide behind `cover`.
inline double exposed(double work, double cover) { return work <= 0 ? 0 : longer(work, cover) - cover; }

/// Part of a short kernel's start that shows between element-wise kernels. Guess.
inline constexpr double kElementwiseStart = 0.25;

/// Host time of a plain copy of a part of a tensor, over that of other kernels of a model. Guess.
inline constexpr double kCopyLaunch = 0.2;

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

/// Elements of a rank that the optimizer updates one piece after the other; `between`: each of the others.
struct UpdatePieces {
  double first = 0, between = 0, last = 0, count = 1;
  double all() const { return count > 1 ? first + (count - 2) * between + last : last; }
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
  PipelineWalk walk;  ///< kept for its memory, as what follows
  ScheduleWalk schedule_walk;
  std::vector<WalkedStage> walked;
  HeldTable held_table;
  std::vector<ChunkBytes> chunk_bytes;
  std::unordered_map<std::uint64_t, ModelCosts> known;
  std::unordered_map<std::uint64_t, ModelTapes> known_tapes;  ///< of our own engine
  EstimateNotes* notes = nullptr;                             ///< where wanted

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
  const ModelTapes& tapes_of(const Plan& plan, const ModelCosts& costs);

  Placement data_group(const Plan& p) const {
    return {copies_of(p, framework.engine).shared, static_cast<double>(p.tp)};
  }
  /// Ranks with the same experts of our own engine.
  Placement expert_data_group(const Plan& p) const {
    return {copies_of(p, true).experts, static_cast<double>(p.tp) * p.ep};
  }
  Placement shard_group(const Plan& p) const {
    const Placement all = data_group(p);
    return p.shard > 0 ? Placement{std::min<double>(p.shard, all.ranks), all.stride} : all;
  }

  /// Of what is not dealt out, under ZeRO-3.
  ShardMoves moves_of(const Plan& p) const {
    const double node = std::floor(std::max(1, target.system.gpus_per_node) / std::max(1.0, data_group(p).stride));
    return {network, gpu, framework, p, shard_groups(p, framework, shard_group(p), node)};
  }

  void note(TimeTerm term, std::string_view what, double bytes, double ranks, double seconds, double times) const {
    if (notes != nullptr && seconds > 0 && times > 0)
      notes->moves.push_back({term, what, bytes, ranks, seconds, times});
  }
  void note_part(const PartCosts& part, const Plan&, double count) const;
  /// Of a whole message, without scales.
  double gathered_bytes(const Plan& p, double elements) const {
    return elements * (p.quantized_weights ? 1 : framework.gather_bytes);
  }
  double reduced_bytes(const Plan& p, double elements) const {
    return elements * (p.quantized_gradients ? 0.5 : framework.reduce_bytes);
  }
  void note_shards(const Plan&, double parameters, const ShardedPart&, double count, bool is_end) const;
  void note_stage(const Plan&, const ModelCosts&, const Stage& slowest);

  void add_part(StageTime& t, const PartCosts& part, const Plan& plan, double count) const;
  double first_product(const PartCosts& block, const Plan&) const;
  void add_engine_gathers(StageTime& t, const Plan& plan, const ModelCosts& costs, const Stage& stage) const;
  ShardedPart experts_of(const PartCosts&, const Plan&, const ShardedPart& block) const;
  void crowd(ShardedPart&, const PartCosts&, const Plan&, const StageTime& own, const ShardMoves&) const;
  double scalars(const Plan&) const;
  BothWays tensor_time(const PartCosts& part, const Plan& plan) const;
  double again_time(const PartCosts& part, const Plan& plan) const;
  BothWays context_time(const PartCosts& part, const Plan& plan) const;
  BothWays expert_time(const PartCosts& part, const Plan& plan) const;
  BothWays engine_context_time(const PartCosts& part, const Plan& plan) const;
  BothWays engine_expert_time(const PartCosts& part, const Plan& plan) const;
  void add_gathers(StageTime& t, const PartCosts& part, const Plan& plan, double count, BothWays device,
                   BothWays own) const;
  /// A pipeline of tensor-parallel stages whose first and last are in different nodes.
  bool leaves_node(const Plan& p) const {
    return p.tp > 1 && p.pp > 1 && p.gpus > std::max(1, target.system.gpus_per_node);
  }
  double shown_messages(const Plan&) const;
  double interference() const { return gpu.constants().interference * constants.interference; }
  /// Action by action: our own engine under 1F1B, and under other schedules of not too many stages.
  bool walks(const Plan& plan) const {
    return framework.engine && plan.pp > 1 && plan.vpp == 1 && plan.schedule == PipelineSchedule::k1F1B;
  }
  bool walks_schedule(const Plan& plan) const {
    return framework.engine && plan.pp > 1 && !walks(plan) && stage_maker.has_stages(plan) && can_walk(shape_of(plan));
  }
  static PipelineShape shape_of(const Plan& plan) {
    return {plan.schedule, plan.pp, chunks_of(plan.schedule, plan.vpp), static_cast<int>(plan.micro_batches())};
  }
  double schedule_length(const Plan&, const ModelCosts&, const Messages&);
  void fill_memory_of(Estimate&, const Plan&, const Stage&, const ModelCosts&);
  double walked_reductions(const Plan&, const Stage& first, const StageTime&);
  StageTime stage_time(const Plan&, const ModelCosts&, const Stage&) const;
  double bubble(const Plan&, const StageTime& slowest, double others) const;
  void add_data(Estimate&, const Plan&, const ModelCosts&, const Stage&, const StageTime&) const;
  void add_engine_ends(Estimate&, const Plan&, const ModelCosts&, const StageParameters&, double backward) const;
  double reduced(const Plan&, double parameters, Placement group) const;
  double engine_reductions(const Plan&, const Stage&, const StageTime&);
  void add_engine_data(Estimate&, const Plan&, const ModelCosts&, const std::vector<StageKind>&, const StageTime&);
  void add_update(Estimate&, const Plan&, const StageParameters&) const;
  void add_offload(Estimate&, const Plan&, const StageParameters&) const;
  static bool offloads_parameters(const Plan& p) {
    return p.offload == Offload::kParameters || p.offload == Offload::kParametersNvme;
  }
  static bool swaps(const Plan& p) {
    return p.offload == Offload::kOptimizerNvme || p.offload == Offload::kParametersNvme;
  }
  /// Stages of our own engine mean nothing where there is nobody to share with.
  int stage_in_use(const Plan& p) const {
    return (copies_of(p, true).shared > 1 && p.shard != 1) || offloads_parameters(p) ? p.zero : 0;
  }
  /// Seconds of so many copies between a device and its host, while all below its PCIe switch copy as much.
  double copied(const Plan& plan, double bytes, double times) const {
    const double sharers = std::clamp<double>(target.system.gpus_per_pcie_switch, 1, plan.gpus);
    const double rate = target.gpu.pcie.bandwidth.value * gpu.constants().pcie_efficiency / sharers;
    return bytes > 0 ? bytes / rate + times * target.gpu.pcie.latency.value : 0;
  }
  double devices_of_node(const Plan& p) const { return std::min(p.gpus, std::max(1, target.system.gpus_per_node)); }
  double host_rate(const Plan&) const;
  double host_update(const Plan&, double elements) const;
  UpdatePieces pieces_of_update(const Plan&, const ModelCosts&, const Stage&);
  double updated_and_sent(const Plan&, const UpdatePieces&) const;
  bool waits_for_copies(const Plan&) const;
  double gradients_down(const Plan&, double parameters) const;
  double experts_down(const Plan&, double parameters) const;
  double shown_gradients_down(const Plan&, const ModelCosts&, const Stage&, double backward);
  double engine_host_step(const Plan&, const UpdatePieces&, double before) const;
  struct EngineUpdate {
    double optimizer = 0, offload = 0, data = 0;
    double total() const { return optimizer + offload + data; }
  };
  EngineUpdate engine_update(const Plan&, const ModelCosts&, const Stage&, double before);
  void add_engine_update(Estimate&, const Plan&, const ModelCosts&, const std::vector<StageKind>&, const StageTime&);
};

}  // namespace shardscope
