#pragma once
// The ops of a measured run beside what a machine predicts of them, instructions that are one op to its models
// together.
//
//   const SeenOps seen = look(machine, run, nullptr);
//   for (const auto& [model, ops] : seen) ...

#include <map>
#include <set>
#include <string>
#include <vector>

#include "simulator/calibrate/cost_key.h"
#include "simulator/calibrate/refit.h"

namespace shardscope {

/// All instructions that are one op to the models: same model, same size. Seconds with their lane's gap.
struct DistinctOp {
  CostPlace place;
  double alone = 0;  ///< seconds by the machine of one that shares nothing, without its lane's overhead
  std::vector<double> measured, quick, predicted;  ///< slices, by instruction: MeasuredRun, and of the virtual clock
  double ratio() const;                            ///< of the means of measured and predicted
};

struct OpShape {
  double work, m, n;
  auto operator<=>(const OpShape&) const = default;
};
using SeenOps = std::map<CostKey, std::map<OpShape, DistinctOp>>;

/// `unfitted`, if not null, gets the names of ops that were measured and that no single model costs.
SeenOps look(const Machine& machine, const MeasuredRun& run, std::set<std::string>* unfitted);

/// What a slice of the run took of its lane, and its quick one; 0: not seen.
double measured_seconds(const MeasuredRun& run, std::size_t rank, std::size_t op);
double quick_seconds(const MeasuredRun& run, std::size_t rank, std::size_t op);

}  // namespace shardscope
