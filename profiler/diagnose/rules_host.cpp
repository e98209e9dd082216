// A host that keeps its device from working.

#include <fmt/format.h>

#include "profiler/diagnose/diagnose.h"
#include "profiler/diagnose/words.h"

namespace shardscope {
namespace {

/// "cudaStreamSynchronize 12 times a step (4.2 ms)", at most three.
void add_calls(const RunFacts& facts, HostKind kind, Trouble& f) {
  std::size_t shown = 0;
  for (const CallFact& c : facts.calls) {
    if (c.kind != kind || c.count < 0.1 || ++shown > 3) continue;
    f.evidence.push_back(fmt::format("{} {:.3g} times a step, {} ms in it", c.name, c.count, ms_text(c.seconds)));
  }
}

void add_longest(const RunFacts& facts, TimePart cause, Trouble& f) {
  for (const IdleGap& g : facts.time.gaps) {
    if (g.cause != cause) continue;
    f.evidence.push_back(fmt::format("longest: {} ms on rank {} in step {}, before {}",
                                     ms_text(1e-9 * static_cast<double>(g.time.length())), g.rank, g.step,
                                     g.after.empty() ? "the end" : name_text(g.after)));
    return;
  }
}

Trouble idle(const RunFacts& facts, const char* rule, TimePart part, const std::string& why) {
  Trouble f{.rule = rule, .cost_s = facts.seconds(part)};
  f.what = fmt::format("The device is idle {} ms of a step ({}) because {}.", ms_text(f.cost_s),
                       share_text(f.cost_s, facts.step_s), why);
  return f;
}

void launches(const RunFacts& facts, std::vector<Trouble>& findings) {
  if (facts.share(TimePart::kIdleLaunch) < kLeastShare) return;
  Trouble f = idle(facts, "host_bound", TimePart::kIdleLaunch, "the host launches no faster");
  f.evidence.push_back(fmt::format(
      "{:.0f} kernels and copies a step of {:.1f} us each; the host takes {:.1f} us for one", facts.kernel_count,
      1e6 * facts.kernel_mean_s, facts.kernel_count > 0 ? 1e6 * facts.step_s / facts.kernel_count : 0));
  add_longest(facts, TimePart::kIdleLaunch, f);
  f.advice =
      "launch less: CUDA graphs, torch.compile, fused kernels (optimizers with fused=True), or more work in each "
      "kernel (a larger micro-batch).";
  ReplayChange graphs;
  graphs.launches_wait = false;
  f.trials.push_back({"CUDA graphs", {}, graphs, "nothing waited for the host, as in CUDA graphs"});
  findings.push_back(std::move(f));
}

void synchronizations(const RunFacts& facts, std::vector<Trouble>& findings) {
  if (facts.share(TimePart::kIdleSync) < kLeastShare) return;
  Trouble f = idle(facts, "synchronization", TimePart::kIdleSync,
                   "the host had waited for it, and had nothing queued when it was done");
  add_calls(facts, HostKind::kSync, f);
  add_longest(facts, TimePart::kIdleSync, f);
  f.advice =
      "do not ask the device for values within the step (.item(), .cpu(), print of a tensor, nonzero): ask once "
      "every some steps, or one step later.";
  ReplayChange never;
  never.calls_wait = false;
  f.trials.push_back({"no synchronization", {}, never, "no call waited for the device"});
  findings.push_back(std::move(f));
}

void data(const RunFacts& facts, std::vector<Trouble>& findings) {
  const double idle_s = facts.seconds(TimePart::kIdleData), load_s = facts.seconds(TimePart::kLoad);
  if (idle_s + load_s < kLeastShare * facts.step_s) return;
  Trouble f{.rule = "data_loading", .cost_s = idle_s + load_s};
  f.what = fmt::format("Reading batches holds the device up {} ms of a step ({}).", ms_text(f.cost_s),
                       share_text(f.cost_s, facts.step_s));
  add_longest(facts, TimePart::kIdleData, f);
  f.advice =
      "read ahead of the step: more workers of the data loader, prefetch_factor, pin_memory with non-blocking "
      "copies, data on a faster disk or already tokenised.";
  f.trials.push_back({"data at hand", {}, ReplayChange().with(TimePart::kIdleData, 0), "batches were there at once"});
  findings.push_back(std::move(f));
}

void allocations(const RunFacts& facts, std::vector<Trouble>& findings) {
  if (facts.share(TimePart::kIdleAllocation) < kLeastShare) return;
  Trouble f = idle(facts, "allocation", TimePart::kIdleAllocation, "the host takes and frees memory of the device");
  add_calls(facts, HostKind::kAllocation, f);
  f.advice =
      "keep memory: PyTorch's caching allocator frees it when it runs full (PYTORCH_CUDA_ALLOC_CONF=expandable_"
      "segments:True, less memory in use, no empty_cache() within steps).";
  f.trials.push_back({"memory kept", {}, ReplayChange().with(TimePart::kIdleAllocation, 0), "memory were kept"});
  findings.push_back(std::move(f));
}

void queues(const RunFacts& facts, std::vector<Trouble>& findings) {
  if (facts.share(TimePart::kIdleQueued) < 2 * kLeastShare) return;
  Trouble f = idle(facts, "dependencies", TimePart::kIdleQueued,
                   "work that was launched waits for another queue, or for the pauses between kernels");
  add_longest(facts, TimePart::kIdleQueued, f);
  f.advice = "look at what the streams wait for (events, other streams, peers); fuse short kernels.";
  f.trials.push_back({"no pauses", {}, ReplayChange().with(TimePart::kIdleQueued, 0), "there were no pauses"});
  findings.push_back(std::move(f));
}

}  // namespace

void host_rules(const RunFacts& facts, std::vector<Trouble>& findings) {
  launches(facts, findings);
  synchronizations(facts, findings);
  data(facts, findings);
  allocations(facts, findings);
  queues(facts, findings);
}

}  // namespace shardscope
