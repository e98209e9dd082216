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

/// What an op draws on while it runs.
struct Draws {
  std::vector<Demand> demands;
  bool goes_first = false;
  friend auto operator<=>(const Draws&, const Draws&) = default;
};

/// Each once; number 0 is none.
class DrawsTable {
 public:
  DrawsTable() { intern({}); }
  std::int32_t intern(Draws draws);
  const Draws& operator[](std::int32_t number) const { return list_[static_cast<std::size_t>(number)]; }
  std::int32_t size() const { return static_cast<std::int32_t>(list_.size()); }
  std::vector<Draws> take() { return std::move(list_); }

 private:
  std::vector<Draws> list_;
  std::map<Draws, std::int32_t> known_;
};

struct OpTime {
  std::int64_t duration_ns = 0, crowded_ns = 0;
  std::int32_t draws = 0;  ///< number in CostTable::draws(): resources as the cost model numbers them
};

class CostTable {
 public:
  explicit CostTable(const CostModel& costs) : costs_(costs) {}

  /// What follows is of `program`, which must stay where it is.
  void begin(const Program& program);
  OpTime of(const Instruction& instruction);
  const DrawsTable& draws() const { return draws_; }

 private:
  const CostModel& costs_;
  std::string key_;
  std::unordered_map<std::string, OpTime> cached_;
  std::map<std::vector<int>, std::int32_t> groups_;  ///< by ranks
  const Program* program_ = nullptr;                 ///< whose groups ...
  std::vector<std::int32_t> group_ids_;              ///< ... these are
  DrawsTable draws_;
};

}  // namespace shardscope
