// What the recording does not tell.

#include <fmt/format.h>

#include "profiler/diagnose/diagnose.h"
#include "profiler/diagnose/words.h"

namespace shardscope {

void recording_rules(const RunFacts& facts, std::vector<Trouble>& findings) {
  const double share = facts.share(TimePart::kNotKnown);
  if (share >= 0.05) {
    Trouble f{.rule = "not_known", .cost_s = facts.seconds(TimePart::kNotKnown)};
    f.what = fmt::format("Of {} ms of a step ({}) it is not known what the device did.", ms_text(f.cost_s),
                         share_text(f.cost_s, facts.step_s));
    f.advice =
        facts.time.has_device
            ? "record the kernels of CUDA graphs one by one (shardscope record --what kernels; nsys --cuda-graph-trace="
              "node), and all of the time."
            : "record what the device does: shardscope record with kernels among --what, torch.profiler with "
              "ProfilerActivity.CUDA. Of a run on the processor alone only its operators are known: `report`.";
    findings.push_back(std::move(f));
  }
  const double unknown = facts.seconds(TimePart::kIdleUnknown);
  if (facts.imported && unknown >= 0.05 * facts.step_s) {
    Trouble f{.rule = "idle_unknown", .cost_s = unknown};
    f.what = fmt::format("The device is idle {} ms of a step ({}), and nothing says why.", ms_text(unknown),
                         share_text(unknown, facts.step_s));
    f.advice =
        "record calls of the host, too (activities CPU and CUDA of torch.profiler; shardscope record --what api).";
    findings.push_back(std::move(f));
  }
  for (const Diagnostic& d : facts.diagnostics) {
    if (!d.kind.starts_with("hang_")) continue;
    Trouble f{.rule = d.kind, .cost_s = facts.step_s};
    f.what = d.text + (d.text.ends_with('.') ? "" : ".");
    f.advice = "look at what this rank did last; the others wait for it.";
    findings.push_back(std::move(f));
  }
}

}  // namespace shardscope
