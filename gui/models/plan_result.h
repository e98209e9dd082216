#pragma once
// What the Plan view shows: configurations with days, cost, memory and how sure they are, what blocks where none is
// left. Two ways to get it: revise() asks the closed form again about what is shown (under a millisecond or few, while
// a slider moves), evaluate() searches. No Qt.
//
//   PlanResult found = evaluate(state, catalog, options);      // may take a second: not on the thread that paints
//   PlanResult now = revise(found, state, catalog);            // after an input changed
//   const PlanDot* chosen = chosen_dot(now, state);

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gui/models/plan_inputs.h"
#include "simulator/planner/plan_case.h"
#include "simulator/planner/relief.h"

namespace shardscope::gui {

/// One configuration. What is not legal has no estimate, only the reason.
struct PlanDot {
  PlanPoint point;           ///< its candidate is of PlanResult::request
  double low = 1, high = 1;  ///< P10 and P90 of a published run's time over the predicted one's
  bool legal = true, fits = false;
  bool front = false;   ///< of all that fit nothing beats it
  bool meets = true;    ///< deadline and budget
  std::string problem;  ///< why it is not legal or does not fit
  double low_days() const { return point.run.days * low; }
  double high_days() const { return point.run.days * high; }
  double low_usd() const { return point.run.cost_usd * low; }
  double high_usd() const { return point.run.cost_usd * high; }
  bool good() const { return fits && meets; }
};

/// The inputs that can stand in the way.
enum class PlanInput : std::uint8_t { kGpus, kZero, kTp, kPp, kMicroBatch, kOffload, kRecompute, kDeadline, kBudget };
inline constexpr int kPlanInputs = 9;

/// An input without which there would be a plan, and the nearest.
struct PlanBlocker {
  PlanInput input = PlanInput::kGpus;
  std::string nearest;  ///< "64 x h100-sxm, 12.3 days for $1.2 M"
};

struct PlanResult {
  SearchRequest request;
  std::vector<PlanDot> dots;               ///< front first, by days; then what it beats, then what does not fit
  std::optional<std::size_t> recommended;  ///< of dots
  std::vector<PlanBlocker> blockers;       ///< where nothing is good
  std::string problem;                     ///< one line, likewise: what blocks, and what would do instead
  std::int64_t searched = 0;
  double seconds = 0;
  bool cancelled = false;
};

struct EvaluateOptions {
  int threads = 2;
  bool survey = true;                                   ///< also what the front beats
  std::function<bool(const SearchProgress&)> progress;  ///< false: stop
};

/// Throws Error naming the input that cannot be. Nothing that fits is an answer, not an error.
PlanResult evaluate(const PlanState& state, const HardwareCatalog& catalog, const EvaluateOptions& options = {});

/// The configurations of `before` with what is fixed now, estimated again; those that are the same then are one.
PlanResult revise(const PlanResult& before, const PlanState& state, const HardwareCatalog& catalog);

/// What is chosen, or the recommended one; null if there is nothing.
const PlanDot* chosen_dot(const PlanResult& result, const PlanState& state);
const PlanDot* find_dot(const PlanResult& result, const PlanKey& key);

/// All that stands on the dot, for files and the simulation.
PlanCase case_of(const PlanResult& result, const PlanDot& dot, const PlanInputs& inputs);

/// Of a legal dot: what holds it up, what would relieve it.
Relief relief_of(const PlanResult& result, const PlanDot& dot);

/// "64 x h100-sxm, dp 8 tp 8, ZeRO 1".
std::string name_of(const PlanResult& result, const PlanDot& dot);

/// A fixed input or a wish, as it is shown beside the picture.
struct PlanChip {
  PlanInput input = PlanInput::kGpus;
  std::string text;     ///< "tp 8", "≤ 30 days"
  std::string nearest;  ///< if it blocks: what there would be without it
  bool blocks = false;
};
std::vector<PlanChip> chips_of(const PlanInputs& inputs, const PlanResult& result);
/// The inputs without this one; the largest number of GPUs eight times as high.
PlanInputs without(PlanInputs inputs, PlanInput input);

}  // namespace shardscope::gui
