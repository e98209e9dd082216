#pragma once
// What costs a run the most time, why, and what would help.
//
//   std::vector<Trouble> findings = diagnose(gather_facts(profile, run.id));
//   try_replays(source.graph(12), findings);      // what-if, for runs whose job is not known
//   for (const Trouble& f : findings) print(f.what, f.evidence, f.advice);
//
// A rule is a function that looks at the facts and may add findings: a file for each family (rules_host.cpp), a line in
// kRules. It speaks up from kLeastShare of the step on.

#include <span>

#include "profiler/diagnose/run_facts.h"
#include "profiler/diagnose/trouble.h"

namespace shardscope {

inline constexpr double kLeastShare = 0.01;  ///< of the step: what is smaller is not worth a sentence

struct Rule {
  const char* family;
  void (*look)(const RunFacts& facts, std::vector<Trouble>& findings);
};
std::span<const Rule> rules();

/// Most costly first.
std::vector<Trouble> diagnose(const RunFacts& facts);

/// Runs the measured step again with each trial that has a replay; adds to its finding what came of it.
void try_replays(const StepGraph& graph, std::vector<Trouble>& findings);

// The families.
void communication_rules(const RunFacts& facts, std::vector<Trouble>& findings);
void balance_rules(const RunFacts& facts, std::vector<Trouble>& findings);
void host_rules(const RunFacts& facts, std::vector<Trouble>& findings);
void device_rules(const RunFacts& facts, std::vector<Trouble>& findings);
void memory_rules(const RunFacts& facts, std::vector<Trouble>& findings);
void recording_rules(const RunFacts& facts, std::vector<Trouble>& findings);

}  // namespace shardscope
