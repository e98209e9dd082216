#pragma once
// What an op costs: seconds by part, and what it takes away from others while it runs. simulate() asks a cost model
// once per distinct op; the virtual clock (simulator/clock) then shares the resources among the ops that run together.
//
//   HostCosts costs(machine, /*ranks=*/4);                     // simulator/cost/host_costs.h
//   OpCost cost = costs.cost(program, program.instructions[i]);
//   cost.seconds.total()

#include <string>
#include <vector>

#include "core/program/program.h"
#include "core/units.h"

namespace shardscope {

/// Seconds of one op that has its lane and its resources to itself. The parts sum to the total.
struct Cost {
  Seconds compute;  ///< arithmetic
  Seconds memory;   ///< moving bytes within the rank's memory
  Seconds latency;  ///< fixed: issuing the op, meeting the other ranks
  Seconds link;     ///< moving bytes between ranks or spaces
  Seconds total() const { return compute + memory + latency + link; }
};

/// Something that ops which run at the same time share: cores, memory bandwidth, a NIC. Units are the model's own.
struct Resource {
  std::string name;
  double capacity = 0;
  int ranks = 0;  ///< so many ranks in a row share one, and the next ones another; 0: all share one
};

/// What an op draws from a resource while it runs at full speed.
struct Demand {
  int resource = 0;  ///< index into CostModel::resources()
  double amount = 0;
  friend auto operator<=>(const Demand&, const Demand&) = default;
};

struct OpCost {
  Cost seconds;
  std::vector<Demand> demands;  ///< of one rank; a collective draws those of all its ranks
  Seconds crowded;              ///< longest wait before it begins, while others use up what it draws on
  bool goes_first = false;      ///< the others share what it leaves
};

class CostModel {
 public:
  virtual ~CostModel() = default;
  virtual const std::vector<Resource>& resources() const = 0;
  /// Never asked for Alloc, Free or Hold, which take no time. For a collective: from the arrival of the last rank.
  virtual OpCost cost(const Program& program, const Instruction& instruction) const = 0;
  /// From an op's end to the start of one on another lane that was waiting for it.
  virtual Seconds wake_latency() const = 0;
  /// Part of a step in which no op runs: between its start and its first op.
  virtual Seconds step_overhead() const = 0;
  virtual FlopPerSecond peak_per_rank(DType dtype) const = 0;  ///< of products of such operands
  virtual bool calibrated() const = 0;
};

}  // namespace shardscope
