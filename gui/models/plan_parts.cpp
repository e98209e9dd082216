// What a configuration's memory and step are made of, and what a tip says of it (gui/models/plan_picture.h).

#include <fmt/format.h>

#include <array>
#include <span>
#include <sstream>

#include "gui/models/plan_picture.h"
#include "simulator/planner/constraints.h"
#include "simulator/planner/plan_text.h"

namespace shardscope::gui {
namespace {

/// Terms that are drawn as one part.
template <class Term>
struct Part {
  const char *name, *mark;
  Rgb colour;
  std::array<Term, 3> terms;
  int count;
};

using M = MemoryTerm;
constexpr std::array<Part<M>, 9> kMemoryParts{{
    {"parameters", "param", kBlue, {M::kParameters}, 1},
    {"gathered parameters", "gath", kSky, {M::kGathered}, 1},
    {"gradients", "grad", kOrange, {M::kGradients}, 1},
    {"optimizer state", "opt", kGreen, {M::kOptimizer}, 1},
    {"activations", "act", kVermilion, {M::kActivations, M::kRecomputed, M::kLogits}, 3},
    {"buckets", "bkt", kPurple, {M::kBuckets}, 1},
    {"workspace", "work", kYellow, {M::kWorkspace}, 1},
    {"context and NCCL", "ctx", kGrey, {M::kContext, M::kCollectives}, 2},
    {"fragmentation", "frag", kBrown, {M::kFragmentation}, 1},
}};

using T = TimeTerm;
constexpr std::array<Part<T>, 9> kTimeParts{{
    {"compute", "compute", kBlue, {T::kMatmul, T::kAttention, T::kElements}, 3},
    {"recompute", "re", kBrown, {T::kRecompute}, 1},
    {"launch gaps", "gap", kYellow, {T::kHost}, 1},
    {"comm in layers", "tp", kPurple, {T::kTensor, T::kContext, T::kExpert}, 3},
    {"comm of gradients", "dp", kVermilion, {T::kData}, 1},
    {"pipeline waits", "pp", kGrey, {T::kBubble, T::kPipeline}, 2},
    {"optimizer", "opt", kGreen, {T::kOptimizer}, 1},
    {"offload", "offl", kSky, {T::kOffload}, 1},
    {"once a step", "once", kOrange, {T::kFixed}, 1},
}};

template <class Term, std::size_t n>
std::vector<PlanPart> parts_of(const Estimate& e, const std::array<Part<Term>, n>& table) {
  std::vector<PlanPart> parts;
  for (const Part<Term>& p : table) {
    PlanPart part{{p.name, p.mark, p.colour}, 0};
    for (int i = 0; i < p.count; ++i) part.value += e[p.terms[static_cast<std::size_t>(i)]];
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace

std::vector<PlanPart> memory_parts(const Estimate& estimate) { return parts_of(estimate, kMemoryParts); }
std::vector<PlanPart> time_parts(const Estimate& estimate) { return parts_of(estimate, kTimeParts); }

std::vector<std::string> describe_dot(const PlanResult& result, const PlanDot& dot) {
  const Candidate& c = result.request.candidates[dot.point.candidate];
  const Plan& p = dot.point.plan;
  std::vector<std::string> lines{fmt::format("{} x {}, {}", p.gpus, c.target.gpu.title, c.framework.name),
                                 fmt::format("{}, ZeRO {}, micro-batch {}, recompute {}", layout_text(p), zero_text(p),
                                             p.micro_batch, to_string(p.recompute))};
  if (!dot.legal) {
    lines.push_back("not possible: " + dot.problem);
    return lines;
  }
  const RunCost& run = dot.point.run;
  const bool days = run.days >= 2;
  const double unit = days ? 1 : 24;
  lines.push_back(fmt::format("{} {} ({} to {}), {} ({} to {})", format_amount(run.days * unit),
                              days ? "days" : "hours", format_amount(dot.low_days() * unit),
                              format_amount(dot.high_days() * unit), format_usd(run.cost_usd),
                              format_usd(dot.low_usd()), format_usd(dot.high_usd())));
  const double memory = c.target.gpu.memory.value, used = dot.point.estimate.used;
  lines.push_back(fmt::format("{:.1f} of {:.1f} GB{}, step {}, {} kW", used / 1e9, memory / 1e9,
                              dot.fits ? "" : ": " + dot.problem, format_seconds(dot.point.estimate.step_time_s),
                              format_amount(run.mean_kw)));
  return lines;
}

}  // namespace shardscope::gui
