#pragma once
// Where a run stands between two steps: what its checkpoint holds besides tensors.

#include <cstdint>
#include <map>
#include <string>

namespace shardscope {

struct RunPosition {
  std::int64_t steps = 0;                 ///< done
  std::int64_t applied = 0;               ///< optimizer updates: fewer than steps if some were skipped (fp16)
  std::int64_t sequences = 0;             ///< of the data read so far
  std::map<std::string, double> scalars;  ///< what else must go on where it was: a loss scaler's state
};

}  // namespace shardscope
