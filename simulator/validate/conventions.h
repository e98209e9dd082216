#pragma once
// What a published figure says about the step: seconds, whatever quantity was published, and which memory is meant.
//
//   std::optional<double> seconds = published_step_time(run, workload, gpu, plan);
//
// Tokens/s need the batch only. TFLOP/s and utilisation (MFU) are divided into FLOPs as that source counts them.

#include <cstdint>
#include <optional>
#include <string_view>

#include "simulator/analytic/estimate.h"
#include "simulator/validate/published_runs.h"

namespace shardscope {

/// How a source counts the FLOPs of a token: 6 per parameter in products, and of attention 12 * layers * heads *
/// head size * sequence, or half of it.
struct FlopsConvention {
  bool input_embedding = true;     ///< counts the table of input embeddings, though no product uses it
  bool causal_halved = false;      ///< attention's masked half does not count
  bool recompute_counted = false;  ///< 8 per parameter of the blocks and 16 of attention: full recompute
};

/// By what the notes say, else by the habits of the framework (data/published/README.md).
FlopsConvention convention_of(const PublishedRun&);
double flops_per_token(const ModelSpec&, std::int64_t seq, FlopsConvention);

/// Step time, else tokens/s, else TFLOP/s, else MFU against the peak of the row's type. Nothing if none is there.
std::optional<double> published_step_time(const PublishedRun&, const Workload&, const GpuSpec&, const Plan&);

/// What a memory figure means.
enum class MemoryKind : std::uint8_t { kAllocated, kReserved, kUsed };
std::string_view to_string(MemoryKind);

/// By what the notes say of the figure; allocated if nothing.
MemoryKind memory_kind_of(const PublishedRun&);

/// The like of it in an estimate, in GiB: sources that say "GB" count in 2^30.
double predicted_gib(const Estimate&, MemoryKind);

}  // namespace shardscope
