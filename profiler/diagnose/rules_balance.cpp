// Ranks that wait for one another.

#include <fmt/format.h>

#include <algorithm>

#include "profiler/diagnose/diagnose.h"
#include "profiler/diagnose/words.h"

namespace shardscope {
namespace {

double compute_of(const RunFacts& facts, int rank) {
  const auto found = facts.by_rank.find(rank);
  if (found == facts.by_rank.end()) return 0;
  const PartSums& s = found->second;
  return s.mean_s(s.ns[TimePart::kCompute] + s.ns[TimePart::kOptimizer]);
}

double mean_compute(const RunFacts& facts) {
  double sum = 0;
  for (const auto& [rank, sums] : facts.by_rank) sum += compute_of(facts, rank);
  return facts.by_rank.empty() ? 0 : sum / static_cast<double>(facts.by_rank.size());
}

/// Ranks that compute longer than the mean compute as long as it.
ReplayChange balanced(const RunFacts& facts) {
  ReplayChange change;
  const double mean = mean_compute(facts);
  for (const auto& [rank, sums] : facts.by_rank) {
    const double own = compute_of(facts, rank);
    if (own > mean && mean > 0) change.compute_of_rank[rank] = mean / own;
  }
  return change;
}

/// The part of a step in which a rank is more busy than the others, in words; empty if there is none.
std::string excess_of(const RunFacts& facts, int rank) {
  const auto found = facts.by_rank.find(rank);
  if (found == facts.by_rank.end() || facts.by_rank.size() < 2) return "";
  std::string most;
  double largest = 0.005 * facts.step_s;
  for (int p = 0; p < kTimeParts; ++p) {
    const auto part = static_cast<TimePart>(p);
    if (part == TimePart::kWaiting || part == TimePart::kCommunication) continue;
    double others = 0;
    for (const auto& [other, sums] : facts.by_rank)
      if (other != rank) others += sums.mean_s(sums.ns[part]);
    others /= static_cast<double>(facts.by_rank.size() - 1);
    const double own = found->second.mean_s(found->second.ns[part]);
    if (own - others <= largest) continue;
    largest = own - others;
    most = fmt::format("rank {} has {} ms more of \"{}\" in a step than the others ({} against {})", rank,
                       ms_text(own - others), to_string(part), ms_text(own), ms_text(others));
  }
  return most;
}

bool is_transfer(const CommunicationFact& c) { return c.kind == "recv" || c.kind == "send" || c.kind == "send_recv"; }

/// Waiting and moving of sends and receives that nothing hides. Their sums have the first step in them, which may be
/// long, so they are taken as a part of the counted steps' waiting and moving.
double exposed_transfers(const RunFacts& facts) {
  double transfers = 0, all = 0;
  for (const CommunicationFact& c : facts.communication) {
    all += c.exposed_s;
    if (is_transfer(c)) transfers += c.exposed_s;
  }
  const double exposed = facts.seconds(TimePart::kWaiting) + facts.seconds(TimePart::kCommunication);
  return all > 0 ? exposed * transfers / all : 0;
}

void stragglers(const RunFacts& facts, std::vector<Trouble>& findings) {
  // Waiting for another stage is the pipeline's.
  const double cost = facts.seconds(TimePart::kWaiting) - exposed_transfers(facts);
  if (cost < kLeastShare * facts.step_s) return;
  Trouble f{.rule = "stragglers", .cost_s = cost};
  f.what = fmt::format("Ranks wait {} ms of a step ({}) for others to arrive in collectives, and nothing hides it.",
                       ms_text(cost), share_text(cost, facts.step_s));
  double all = 0;
  for (const Straggler& s : facts.waits.stragglers) all += static_cast<double>(s.made_wait_ns);
  f.advice = "give all ranks the same work: batches of equal length, layers of equal size in pipeline stages.";
  if (!facts.waits.stragglers.empty() && all > 0) {
    const Straggler& s = facts.waits.stragglers.front();
    const double part = static_cast<double>(s.made_wait_ns) / all;
    f.evidence.push_back(
        fmt::format("rank {} came last {} times in {} collectives ({} of them surely) and made the others "
                    "wait {} of all waiting",
                    s.rank, s.last, s.collectives, s.surely_last, share_text(part, 1)));
    const std::string excess = excess_of(facts, s.rank);
    if (!excess.empty()) f.evidence.push_back(excess);
    const double even = 1.0 / std::max<double>(1, static_cast<double>(facts.waits.stragglers.size()));
    if (part < 1.5 * even) {
      f.evidence.push_back("no rank is late more than its share: it is another one each time");
      f.advice =
          "the ranks disturb each other or are disturbed: other work on their machines, fewer cores than ranks, "
          "garbage collection; fewer collectives wait less often.";
    } else if (!excess.empty() && excess.find("idle") != std::string::npos) {
      f.advice = fmt::format("look at the host of rank {}: it is slower to launch than the others.", s.rank);
    }
  }
  const ReplayChange equal = balanced(facts);
  if (!equal.compute_of_rank.empty())
    f.trials.push_back({"balanced", {}, equal, "no rank computed longer than the mean"});
  findings.push_back(std::move(f));
}

/// Stages of a pipeline that have nothing to do: waiting in receives is the bubble.
void pipeline(const RunFacts& facts, std::vector<Trouble>& findings) {
  const double cost = exposed_transfers(facts);
  if (cost < kLeastShare * facts.step_s) return;
  Trouble f{.rule = "pipeline_bubble", .cost_s = cost};
  f.what = fmt::format("Stages of the pipeline wait {} ms of a step ({}) for what the stage before or after sends.",
                       ms_text(cost), share_text(cost, facts.step_s));
  f.advice = "more micro-batches in a step, or an interleaved schedule, make the bubble smaller.";
  const double micro_batches = facts.setting("deepspeed.gradient_accumulation_steps").value_or(0);
  const double stages = facts.setting("parallel.pp").value_or(0);
  if (micro_batches > 0 && stages > 1) {
    f.evidence.push_back(
        fmt::format("{:.0f} stages and {:.0f} micro-batches: a bubble of {} even if all stages are equal", stages,
                    micro_batches, share_text(stages - 1, stages - 1 + micro_batches)));
    for (const char* schedule : {"zb-h1", "interleaved"}) {
      f.trials.push_back(
          {fmt::format("parallel.schedule = {}", schedule), {fmt::format("parallel.schedule={}", schedule)}, {}, ""});
    }
  }
  findings.push_back(std::move(f));
}

}  // namespace

void balance_rules(const RunFacts& facts, std::vector<Trouble>& findings) {
  stragglers(facts, findings);
  pipeline(facts, findings);
}

}  // namespace shardscope
