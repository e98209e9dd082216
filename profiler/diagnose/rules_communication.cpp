// Communication that nothing hides, and messages too small for their links.

#include <fmt/format.h>

#include <algorithm>

#include "profiler/diagnose/diagnose.h"
#include "profiler/diagnose/words.h"

namespace shardscope {
namespace {

const std::string kZero = "deepspeed.zero_optimization.";

/// "5.0 all_gather of 4.69 MiB in backward, 12.3 ms of them exposed".
std::string describe(const CommunicationFact& c) {
  return fmt::format("{:.4g} {}{}{} a step, {} ms of them exposed{}", c.count, c.kind,
                     c.mean_bytes > 0 ? " of " + size_text(c.mean_bytes) : "", c.phase.empty() ? "" : " in " + c.phase,
                     ms_text(c.exposed_s), c.wait_s > 0 ? fmt::format(" ({} ms waiting)", ms_text(c.wait_s)) : "");
}

/// The setting times each factor.
void try_sizes(const RunFacts& facts, const std::string& key, double otherwise, std::initializer_list<double> factors,
               Trouble& f) {
  const double now = facts.setting(kZero + key).value_or(otherwise);
  for (double factor : factors) {
    const std::string value = fmt::format("{:.3g}", now * factor);
    f.trials.push_back({fmt::format("{} = {} (now {:.3g})", key, value, now), {kZero + key + "=" + value}, {}, ""});
  }
}

/// What our engine, and DeepSpeed, have against it. Defaults are DeepSpeed's (docs/ds_config.md).
void try_settings(const RunFacts& facts, bool gathers, bool reduces, Trouble& f) {
  const bool stage3 = facts.setting(kZero + "stage").value_or(0) == 3;
  if (gathers && stage3) {
    try_sizes(facts, "stage3_prefetch_bucket_size", 5e7, {2, 4, 16}, f);
    try_sizes(facts, "stage3_param_persistence_threshold", 1e5, {10}, f);
    f.advice =
        "gather parameters earlier or less often: a larger stage3_prefetch_bucket_size (and "
        "stage3_max_live_parameters), a larger stage3_param_persistence_threshold, or stage 2 if it fits.";
    f.trials.push_back({"ZeRO stage 2", {"zero.stage=2"}, {}, ""});
  }
  if (reduces) {
    if (facts.setting(kZero + "overlap_comm").value_or(stage3 ? 1 : 0) == 0)
      f.trials.push_back({"overlap_comm = true", {kZero + "overlap_comm=true"}, {}, ""});
    try_sizes(facts, "reduce_bucket_size", 5e8, {0.25, 4}, f);
    if (f.advice.empty()) {
      f.advice =
          "reduce gradients while backward still runs: overlap_comm, and a reduce_bucket_size that is full several "
          "times in a backward; or more micro-batches between two reductions.";
    }
  }
}

void exposed(const RunFacts& facts, std::vector<Trouble>& findings) {
  const double cost = facts.seconds(TimePart::kCommunication);
  if (facts.share(TimePart::kCommunication) < kLeastShare) return;
  Trouble f{.rule = "exposed_communication", .cost_s = cost};
  const double all = facts.sums.mean_s(facts.sums.communication_ns);
  f.what =
      fmt::format("Communication that nothing hides takes {} ms of a step ({}); {} of all communication is hidden.",
                  ms_text(cost), share_text(cost, facts.step_s),
                  share_text(std::max(0.0, all - facts.sums.mean_s(facts.sums.ns[TimePart::kWaiting]) - cost), all));
  bool gathers = false, reduces = false;
  for (const CommunicationFact& c : facts.communication) {
    if (f.evidence.size() < 3 && c.exposed_s > 0.05 * cost) {
      f.evidence.push_back(describe(c));
      gathers = gathers || c.kind == "all_gather";
      reduces = reduces || c.kind == "reduce_scatter" || c.kind == "all_reduce";
    }
  }
  if (facts.has_job()) {
    try_settings(facts, gathers, reduces, f);
  } else if (reduces) {
    f.advice =
        "reduce gradients while backward still runs: smaller buckets (bucket_cap_mb of DDP, reduce_bucket_size of "
        "DeepSpeed), overlap_comm; or reduce less often (gradient accumulation with no_sync).";
  } else if (gathers) {
    f.advice =
        "gather parameters earlier: forward_prefetch of FSDP, a larger stage3_prefetch_bucket_size of DeepSpeed.";
  }
  if (f.advice.empty()) f.advice = "let it run beside compute, or move less: see which operations these are.";
  f.trials.push_back({"hidden", {}, ReplayChange().with(TimePart::kCommunication, 0), "communication cost nothing"});
  f.trials.push_back(
      {"twice as fast", {}, ReplayChange().with(TimePart::kCommunication, 0.5), "it were twice as fast"});
  findings.push_back(std::move(f));
}

/// Many messages that reach a quarter of the speed of the largest ones of their kind and group.
void small_messages(const RunFacts& facts, std::vector<Trouble>& findings) {
  constexpr double kMany = 8, kSlow = 0.25;
  for (const CommunicationFact& c : facts.communication) {
    double best = 0;
    for (const CommunicationFact& other : facts.communication)
      if (other.kind == c.kind && other.group == c.group) best = std::max(best, other.moved_per_s());
    const double speed = c.moved_per_s();
    if (c.count < kMany || c.mean_bytes <= 0 || speed <= 0 || speed > kSlow * best) continue;
    // Of what is exposed, what would be gone at the speed of the large ones.
    const double cost = std::max(0.0, c.exposed_s - c.wait_s) * (1 - speed / best);
    if (cost < kLeastShare * facts.step_s) continue;
    Trouble f{.rule = "small_messages", .cost_s = cost};
    f.what = fmt::format("{:.4g} {} of only {} a step move {} where larger ones move {}.", c.count, c.kind,
                         size_text(c.mean_bytes), rate_text(speed), rate_text(best));
    f.evidence.push_back(describe(c));
    f.advice =
        "put them together: larger buckets, or parameters below a larger stage3_param_persistence_threshold kept.";
    if (facts.has_job()) {
      if (c.kind == "all_gather") try_sizes(facts, "stage3_param_persistence_threshold", 1e5, {10}, f);
      if (c.kind != "all_gather") try_sizes(facts, "reduce_bucket_size", 5e8, {4}, f);
    }
    findings.push_back(std::move(f));
  }
}

}  // namespace

void communication_rules(const RunFacts& facts, std::vector<Trouble>& findings) {
  exposed(facts, findings);
  small_messages(facts, findings);
}

}  // namespace shardscope
