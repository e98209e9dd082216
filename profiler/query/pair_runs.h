#pragma once
// Which prediction belongs to which measured run?
//
//   for (const RunPair& pair : pair_runs(runs)) show(pair.measured, pair.predicted);

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shardscope {

struct PairableRun {
  std::size_t file = 0;  ///< which of the profiles it is in
  std::int64_t id = 0;   ///< in that profile
  std::string name;
  bool predicted = false;
};

/// Indices into the list given; at least one is there.
struct RunPair {
  std::optional<std::size_t> measured, predicted;
};

/// Every measured run in order, with the prediction of the same name: of its own file before another's, recorded after
/// it before earlier ones, nearest first. Then the predictions that belong to none.
std::vector<RunPair> pair_runs(const std::vector<PairableRun>& runs);

}  // namespace shardscope
