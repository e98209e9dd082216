#pragma once
// What only the program knows of an op of a recorded run: operands and sizes, what it waits for, and what it should
// cost, part by part, with where each number is from. The job in the run's row is lowered again for that.
//
//   OpFacts facts = op_facts(profile, run.id, /*rank=*/1, /*op=*/17);
//   if (!facts.problem.empty()) say(facts.problem);       // of another program's run, or another version's

#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

struct OperandFact {
  std::string role;    ///< "a", "dst": as the op names it
  std::string buffer;  ///< its name in the program
  std::string shape;   ///< "f32 [256, 960]", or "f32 [81920]" where the op only counts elements
  std::int64_t bytes = 0;
  bool written = false;
};

struct CostFact {
  std::string what;    ///< "arithmetic", "latency", or the name of a constant
  double value = 0;    ///< seconds, or in `unit`
  std::string unit;    ///< "s" of a part
  std::string source;  ///< where it was read or measured, or "Guess: ..."
};

/// `to` waits for the end of `from`; ops of the program.
struct FlowEdge {
  std::int32_t from = 0, to = 0;
};

struct OpFacts {
  std::vector<OperandFact> operands;
  std::string sizes;                ///< "m 256, n 960, k 320"; empty if the operands say all
  std::vector<FlowEdge> flow;       ///< what it waits for, and what that waits for, as far as was asked
  std::vector<CostFact> parts;      ///< of its predicted time when it has lane and resources to itself
  std::vector<CostFact> constants;  ///< that go into them
  double peak_flops = 0;            ///< FLOP/s of the rank in the arithmetic of the op; 0: unknown
  double bandwidth = 0;             ///< B/s of memory that is the rank's share; 0: unknown
  std::string bandwidth_source;
  std::string problem;  ///< why there is nothing here; empty if there is
};

/// Throws Error as profiles do; what the run lacks is its `problem`.
/// `flow_depth`: how far back the flow goes.
OpFacts op_facts(const Profile& profile, std::int64_t run, int rank, int op, int flow_depth = 1);

}  // namespace shardscope
