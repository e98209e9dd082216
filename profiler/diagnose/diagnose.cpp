#include "profiler/diagnose/diagnose.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace shardscope {
namespace {

constexpr std::array kRules = {Rule{"communication", communication_rules},
                               Rule{"balance", balance_rules},
                               Rule{"host", host_rules},
                               Rule{"device", device_rules},
                               Rule{"memory", memory_rules},
                               Rule{"recording", recording_rules}};

}  // namespace

std::span<const Rule> rules() { return kRules; }

std::vector<Trouble> diagnose(const RunFacts& facts) {
  std::vector<Trouble> findings;
  for (const Rule& rule : kRules) rule.look(facts, findings);
  for (Trouble& f : findings) f.share = facts.step_s > 0 ? f.cost_s / facts.step_s : 0;
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Trouble& a, const Trouble& b) { return a.cost_s > b.cost_s; });
  return findings;
}

void try_replays(const StepGraph& graph, std::vector<Trouble>& findings) {
  for (Trouble& f : findings) {
    for (const Trial& trial : f.trials) {
      if (!trial.replay) continue;
      const double change = replay(graph, *trial.replay).change();
      const std::string takes =
          change > -0.0005 ? "is as long as before" : fmt::format("takes {:+.1f} %", 100 * change);
      f.results.push_back(
          {fmt::format("if {}, step {} run again {}", trial.replayed, graph.step, takes), change, false});
    }
  }
}

}  // namespace shardscope
