#pragma once
// The planner's search: every plan of the space (space.h) on every kind and number of GPUs, by the closed form, with
// bounds that leave out only what cannot be on the front (bounds.h). Deterministic, whatever the number of threads.
//
//   SearchResult found = search({.candidates = {{workload, target, framework, limits, run}}, .max_gpus = 4096,
//                                .global_batch = 1536});
//   for (const PlanPoint& point : found.pareto) ...      // by days, fastest first

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "simulator/planner/run.h"
#include "simulator/planner/space.h"

namespace shardscope {

/// One kind of GPU with one framework and arithmetic.
struct Candidate {
  Workload workload;
  Target target;
  FrameworkSpec framework;
  SpaceLimits limits;
  RunOptions run;
  std::vector<int> counts;  ///< GPUs to try; empty: gpu_counts() up to max_gpus
};

enum class Objective : std::uint8_t { kCost, kTime, kEnergy };
std::string_view to_string(Objective);

struct PlanPoint {
  std::size_t candidate = 0;
  Plan plan;
  Estimate estimate;
  RunCost run;
  int comfort = 0;  ///< headroom_level() of its memory
  double objective(Objective) const;
};

struct SearchProgress {
  double done = 0;  ///< part of the work, 0 to 1
  std::int64_t searched = 0;
};

struct SearchRequest {
  std::vector<Candidate> candidates;
  int max_gpus = 8;
  std::int64_t global_batch = 1;
  int threads = 2;
  bool bounds = true;                                   ///< false: the estimator sees every plan
  std::function<bool(const SearchProgress&)> progress;  ///< called now and then, by one thread at a time; false: stop
};

struct SearchResult {
  std::vector<PlanPoint> pareto;
  std::int64_t searched = 0;   ///< plans of the space, looked at or left out by a bound
  std::int64_t estimated = 0;  ///< calls of the estimator
  bool cancelled = false;
  double seconds = 0;
  /// The plan that is least over its memory, if none fits.
  std::optional<PlanPoint> nearest;
};

SearchResult search(const SearchRequest&);

/// Memory that is left counts by steps: 0 below 5 % of the device, 1 below 10 %, 2 above. More than that is worth no
/// time.
int headroom_level(double used, double memory);

/// Whether a node's memory and drives hold what its GPUs leave there.
bool fits_host(const Estimate&, const Target&, int gpus);

/// On the front are points that no other beats or equals in days, cost, energy and headroom at once.
bool dominates(const PlanPoint& a, const PlanPoint& b);
/// Of points the best of which `within` holds; null if none.
const PlanPoint* best_point(const std::vector<PlanPoint>&, Objective,
                            const std::function<bool(const PlanPoint&)>& within = {});

/// What to take: points that leave 5 % of the device free, if any do; of those within 5 % of the best one (predictions
/// are not better than that) the fastest, or with Objective::kTime the cheapest. Null if there are none.
const PlanPoint* recommended_point(const std::vector<PlanPoint>&, Objective);

}  // namespace shardscope
