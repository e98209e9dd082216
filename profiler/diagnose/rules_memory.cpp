// Offloading, and memory that is short or lies idle.

#include <fmt/format.h>

#include "profiler/diagnose/diagnose.h"
#include "profiler/diagnose/words.h"

namespace shardscope {
namespace {

void copies(const RunFacts& facts, std::vector<Trouble>& findings) {
  const double cost = facts.seconds(TimePart::kCopies);
  if (facts.share(TimePart::kCopies) < kLeastShare) return;
  Trouble f{.rule = "exposed_copies", .cost_s = cost};
  f.what = fmt::format(
      "Copies between device, host and drives that nothing hides, and compute of the host, take {} ms of a "
      "step ({}).",
      ms_text(cost), share_text(cost, facts.step_s));
  bool pageable = false;
  const double steps = facts.rank_steps();
  for (const CopyTraffic& c : facts.copies) {
    pageable = pageable || c.name.find("ageable") != std::string::npos;
    if (f.evidence.size() < 3 && c.bytes > 0) {
      f.evidence.push_back(fmt::format("{}: {} a step at {}", c.name.empty() ? c.lane : c.name,
                                       size_text(static_cast<double>(c.bytes) / steps), rate_text(c.bytes_per_s())));
    }
  }
  f.advice = pageable
                 ? "copy from pinned memory (pin_memory=True) and without blocking: from pageable memory the driver "
                   "copies twice, and the host waits."
                 : "let copies run beside compute, move less, or offload less: part of the optimizer "
                   "(offload_optimizer.ratio), or nothing if it fits.";
  if (facts.text_setting("deepspeed.zero_optimization.offload_optimizer.device").value_or("none") != "none") {
    if (facts.text_setting("deepspeed.zero_optimization.offload_param.device").value_or("none") != "none")
      f.trials.push_back({"offload only the optimizer", {"offload=optimizer-cpu"}, {}, ""});
    f.trials.push_back({"offload nothing", {"offload=none"}, {}, ""});
  }
  f.trials.push_back({"hidden", {}, ReplayChange().with(TimePart::kCopies, 0), "copies cost nothing"});
  findings.push_back(std::move(f));
}

/// No cost in seconds is known; what it would gain says the simulator.
void room(const RunFacts& facts, std::vector<Trouble>& findings) {
  if (facts.limit_bytes <= 0 || facts.peak_bytes <= 0) return;
  const double used = static_cast<double>(facts.peak_bytes) / static_cast<double>(facts.limit_bytes);
  Trouble f{.rule = "unused_memory"};
  const std::string sizes = fmt::format("{} of {}", size_text(static_cast<double>(facts.peak_bytes)),
                                        size_text(static_cast<double>(facts.limit_bytes)));
  if (used > 0.95) {
    f.rule = "memory_short";
    f.what = fmt::format("The fullest device is full to {} ({}).", share_text(used, 1), sizes);
    f.advice =
        "the next longer batch may not fit; allocators that are this full free and take memory of the device in "
        "every step. Shard more, recompute, or offload.";
    findings.push_back(std::move(f));
  } else if (used < 0.5 && facts.has_job()) {
    const double micro_batch = facts.setting("deepspeed.train_micro_batch_size_per_gpu").value_or(0),
                 accumulation = facts.setting("deepspeed.gradient_accumulation_steps").value_or(1);
    if (micro_batch < 1 || accumulation < 2) return;  // a larger step is another training
    f.what = fmt::format("More than half of the device's memory is never used ({}).", sizes);
    f.advice = "larger micro-batches and fewer of them make larger kernels and fewer collectives of the same step.";
    f.trials.push_back(
        {fmt::format("micro-batches of {:.0f}, half as many", 2 * micro_batch),
         {fmt::format("micro_batch={:.0f}", 2 * micro_batch), fmt::format("accumulation={:.0f}", accumulation / 2)},
         {},
         ""});
    findings.push_back(std::move(f));
  }
}

}  // namespace

void memory_rules(const RunFacts& facts, std::vector<Trouble>& findings) {
  copies(facts, findings);
  room(facts, findings);
}

}  // namespace shardscope
