#pragma once
// Which plans there are for so many GPUs: every legal mix of dp, tp, pp, vpp, cp, ulysses, ep, sp (a layout), and for
// each every ZeRO stage, shard group, offload, recomputation and micro-batch (a variant).
//
//   const SpaceLimits limits = limits_of(framework);
//   for (const Plan& layout : list_layouts(workload, target, 512, 1024, limits))
//     for (const Variant& variant : list_variants(layout, target, limits)) ... with_variant(layout, variant)
//
// Limits, all stated here: tp divides the heads and the scale-up domain (a node, where there are no fast links); cp and
// ulysses are powers of two; no cp that leaves a rank fewer tokens than min_tokens_per_cp; micro-batches are powers of
// two that divide the global batch; shard groups of all of dp or of its ranks inside a node; whatever
// find_plan_problem() refuses.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "simulator/analytic/estimate.h"

namespace shardscope {

struct SpaceLimits {
  int max_tp = 64, max_pp = 64, max_vpp = 8, max_cp = 16, max_ulysses = 1, max_ep = 64;
  std::int64_t max_micro_batch = 16;
  int only_tp = 0, only_pp = 0;       ///< 0: any that the rest allows
  std::int64_t only_micro_batch = 0;  ///< likewise; need not be a power of two
  std::int64_t min_tokens_per_cp = 2048;
  bool even_stages = false;      ///< pp * vpp divides the layers ...
  bool ends_are_layers = false;  ///< ... or, where it does not, those with the embedding and the loss as two more
  bool ulysses_alone = false;    ///< Ulysses beside neither tp nor pp
  std::array<bool, 4> zero{true, true, true, true};
  int max_zero_with_pp = 1;  ///< stages 2 and 3 would reduce and gather in every micro-batch
  std::vector<Offload> offload{Offload::kNone, Offload::kOptimizer, Offload::kOptimizerNvme, Offload::kParameters,
                               Offload::kParametersNvme};
  std::vector<Recompute> recompute{Recompute::kNone, Recompute::kSelective, Recompute::kFull};
  bool shard_in_node = true;  ///< stage 3 also inside a node, replicas between nodes (HSDP, MiCS)
  bool tensor_without_sp = true;
  bool experts_among_replicas = false;  ///< ep divides dp; no cp, and no shard groups beside ep
  std::int64_t first_micro_batch() const { return only_micro_batch > 0 ? only_micro_batch : 1; }
};

/// What the framework can run (deepspeed: all but vpp; megatron: stages 0 and 1, even stages; ...), so that the files
/// made from a plan work. Frameworks not known by name: everything.
SpaceLimits limits_of(const FrameworkSpec&);

/// Whether so many parts of the model are alike only if the embedding and the loss count as a layer each: Megatron-LM's
/// --account-for-embedding-in-pipeline-split and --account-for-loss-in-pipeline-split. Llama 3 405B has 126 layers.
bool ends_fill_stages(std::int64_t layers, std::int64_t parts);

/// What of the plan its framework cannot run, by its limits: "ZeRO 3"; empty where it can.
std::string find_unsupported(const Plan&, std::int64_t layers, const SpaceLimits&);

/// micro_batch 1, stage 0, nothing else set. Interleaved ones have micro-batches in whole groups of pp.
std::vector<Plan> list_layouts(const Workload&, const Target&, int gpus, std::int64_t global_batch, const SpaceLimits&);

struct Variant {
  int zero = 0, shard = 0;
  Offload offload = Offload::kNone;
  Recompute recompute = Recompute::kNone;
  std::int64_t micro_batch = 1;
};
/// Micro-batches of otherwise equal variants follow each other, smallest first.
std::vector<Variant> list_variants(const Plan& layout, const Target&, const SpaceLimits&);
Plan with_variant(const Plan& layout, const Variant&);

/// 1, 2, 4, ... below a node, every number of nodes to 32, then those of five binary digits (steps of at most 1/16),
/// and the most whole nodes.
std::vector<int> gpu_counts(const SystemSpec&, int max_gpus);

std::string_view to_string(
    Offload);  ///< "none", "optimizer-cpu", "optimizer-nvme", "parameters-cpu", "parameters-nvme"
Offload offload_from_name(std::string_view);  ///< Error{kConfig} lists the names

}  // namespace shardscope
