#pragma once
// Costs of the ops seen so far: a cost model is asked once for all ops that it cannot tell apart.
//
//   CostTable table(costs);
//   table.begin(program);
//   OpTime time = table.of(program.instructions[i]);

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "simulator/cost/cost_model.h"

namespace shardscope {

struct OpTime {
  std::int64_t duration_ns = 0, crowded_ns = 0;
  std::int32_t demands = 0;  ///< index of a demand list; 0 is the empty one
};

class CostTable {
 public:
  explicit CostTable(const CostModel& costs) : costs_(costs), demand_lists_(1) {}

  /// What follows is of `program`, which must stay where it is.
  void begin(const Program& program);
  OpTime of(const Instruction& instruction);
  std::int32_t intern(const std::vector<Demand>& demands);
  const std::vector<Demand>& demands(std::int32_t list) const { return demand_lists_[static_cast<std::size_t>(list)]; }
  std::vector<std::vector<Demand>> take_demand_lists() { return std::move(demand_lists_); }

 private:
  const CostModel& costs_;
  std::string key_;
  std::unordered_map<std::string, OpTime> cached_;
  std::map<std::vector<int>, std::int32_t> groups_;  ///< by ranks
  const Program* program_ = nullptr;                 ///< whose groups ...
  std::vector<std::int32_t> group_ids_;              ///< ... these are
  std::vector<std::vector<Demand>> demand_lists_;
};

}  // namespace shardscope
