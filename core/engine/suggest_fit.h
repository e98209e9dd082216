#pragma once
// What would make a job fit into a device: the job with a few things changed, and the exact peak of each.
//
//   throw Error(kind, fmt::format("{}; {}", what, describe(suggest_fit(job, limit, peak_device_bytes))));

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/spec/job.h"

namespace shardscope {

struct FitSuggestion {
  std::string change;             ///< "zero_optimization.stage 2 and recompute full"
  std::int64_t device_bytes = 0;  ///< peak of the fullest rank after it
};

/// Peak of the device space on the fullest rank of a job; above `enough` that of any rank that has as much will do. It
/// throws Error where there is no such job.
using PeakOf = std::function<std::int64_t(const Job& job, std::int64_t enough)>;

/// Fewest changes first, at most three; none if even all of them together need more than `limit_bytes`. Tried are a
/// higher ZeRO stage, recomputation, smaller micro-batches (as many sequences per step), and offload to the host of
/// optimizer, parameters and kept activations.
std::vector<FitSuggestion> suggest_fit(const Job& job, std::int64_t limit_bytes, const PeakOf& peak_of);

/// "what would fit: A (1.5 MiB), B (1.2 MiB)", or that nothing would.
std::string describe(const std::vector<FitSuggestion>& suggestions);

/// A PeakOf that lowers whole programs: of a large job with a long schedule ask simulator/fold/device_peak.h. Ranks of
/// a pipeline stage differ by padding only: one each is lowered, up to one that needs more than `enough`.
std::int64_t peak_device_bytes(const Job& job, std::int64_t enough = INT64_MAX);

}  // namespace shardscope
