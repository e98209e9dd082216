#include "gui/models/plan_blockers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"

namespace shardscope::gui {
namespace {

constexpr int kMoreGpus = 8;  ///< times as many, for "more GPUs"
constexpr int kMostGpus = 1 << 20;

bool is_option(const std::string& text, std::size_t at) {
  return text.compare(at, 2, "--") == 0 && at + 2 < text.size() &&
         std::isalpha(static_cast<unsigned char>(text[at + 2]));
}

/// "--max-gpus" -> "max gpus": what an option is called in the window.
std::string without_dashes(const std::string& text) {
  std::string out;
  bool in_option = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_option(text, i)) {
      in_option = true;
      ++i;
      continue;
    }
    if (in_option && text[i] == ' ') in_option = false;
    out += in_option && text[i] == '-' ? ' ' : text[i];
  }
  return out;
}

std::string nearest_of(const SearchRequest& request, const SearchResult& found, const PlanInputs& in) {
  Wishes wishes;
  if (in.deadline_days > 0) wishes.deadline_days = in.deadline_days;
  if (in.budget_usd > 0) wishes.budget_usd = in.budget_usd;
  const Objective objective = in.deadline_days > 0 ? Objective::kCost : Objective::kTime;
  const PlanPoint* p = best_point(found.pareto, objective, [&](const PlanPoint& q) { return wishes.hold(q); });
  if (p == nullptr) return "";
  return fmt::format("{} x {}, {} for {}", p->plan.gpus, request.candidates[p->candidate].target.gpu.name,
                     format_days(p->run.days), format_usd(p->run.cost_usd));
}

}  // namespace

std::string conflict_text(const SearchRequest& request, const SearchResult& found, const Wishes& wishes) {
  return without_dashes(find_conflict(request, found, wishes));
}

PlanInputs without(PlanInputs in, PlanInput input) {
  switch (input) {
    case PlanInput::kGpus:
      in.min_gpus = 1;
      in.max_gpus = std::min(in.max_gpus * kMoreGpus, kMostGpus);
      break;
    case PlanInput::kZero:
      in.zero.reset();
      break;
    case PlanInput::kTp:
      in.tp.reset();
      break;
    case PlanInput::kPp:
      in.pp.reset();
      break;
    case PlanInput::kMicroBatch:
      in.micro_batch.reset();
      break;
    case PlanInput::kOffload:
      in.offload.reset();
      break;
    case PlanInput::kRecompute:
      in.recompute.reset();
      break;
    case PlanInput::kDeadline:
      in.deadline_days = 0;
      break;
    case PlanInput::kBudget:
      in.budget_usd = 0;
      break;
  }
  return in;
}

std::vector<PlanChip> active_inputs(const PlanInputs& in) {
  std::vector<PlanChip> chips;
  const auto add = [&](bool active, PlanInput input, std::string text) {
    if (active) chips.push_back({input, std::move(text), {}, false});
  };
  const bool one = in.min_gpus == in.max_gpus;
  add(true, PlanInput::kGpus,
      one ? fmt::format("{} GPUs", in.max_gpus) : fmt::format("{} to {} GPUs", in.min_gpus, in.max_gpus));
  add(in.zero.has_value(), PlanInput::kZero, fmt::format("ZeRO {}", in.zero.value_or(0)));
  add(in.tp.has_value(), PlanInput::kTp, fmt::format("tp {}", in.tp.value_or(0)));
  add(in.pp.has_value(), PlanInput::kPp, fmt::format("pp {}", in.pp.value_or(0)));
  add(in.micro_batch.has_value(), PlanInput::kMicroBatch, fmt::format("micro-batch {}", in.micro_batch.value_or(0)));
  add(in.offload.has_value(), PlanInput::kOffload,
      fmt::format("offload {}", to_string(in.offload.value_or(Offload::kNone))));
  add(in.recompute.has_value(), PlanInput::kRecompute,
      fmt::format("recompute {}", to_string(in.recompute.value_or(Recompute::kNone))));
  add(in.deadline_days > 0, PlanInput::kDeadline, "≤ " + format_days(in.deadline_days));
  add(in.budget_usd > 0, PlanInput::kBudget, "≤ " + format_usd(in.budget_usd));
  return chips;
}

std::vector<PlanBlocker> find_blockers(const PlanInputs& in, const HardwareCatalog& catalog,
                                       const std::function<bool()>& stop) {
  std::vector<PlanBlocker> blockers;
  for (const PlanChip& chip : active_inputs(in)) {
    if (stop && stop()) break;
    const PlanInputs freed = without(in, chip.input);
    SearchRequest request = make_request(freed, catalog);
    request.progress = [&](const SearchProgress&) { return !(stop && stop()); };
    if (std::string nearest = nearest_of(request, search(request), freed); !nearest.empty())
      blockers.push_back({chip.input, std::move(nearest)});
  }
  return blockers;
}

std::vector<PlanChip> chips_of(const PlanInputs& inputs, const PlanResult& result) {
  std::vector<PlanChip> chips = active_inputs(inputs);
  if (result.recommended) return chips;
  for (PlanChip& chip : chips) {
    for (const PlanBlocker& b : result.blockers) {
      if (b.input == chip.input) chip.blocks = true, chip.nearest = b.nearest;
    }
  }
  return chips;
}

}  // namespace shardscope::gui
