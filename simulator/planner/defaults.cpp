#include "simulator/planner/defaults.h"

#include <algorithm>

namespace shardscope {

std::int64_t default_seq(const ModelSpec& model) {
  constexpr std::int64_t kMost = 8192;
  return model.max_positions > 0 ? std::min(model.max_positions, kMost) : kMost / 2;
}

std::int64_t default_global_batch(const ModelSpec& model, std::int64_t seq) {
  const auto parameters = static_cast<double>(parameter_count(model));
  const double tokens = parameters < 1e9 ? 0.5e6 : parameters < 5e9 ? 1e6 : parameters < 1e11 ? 2e6 : 3.2e6;
  const auto most = static_cast<std::int64_t>(tokens / static_cast<double>(seq));
  std::int64_t batch = 1;
  while (batch * 2 <= most) batch *= 2;
  return batch % 2 == 0 && batch / 2 * 3 <= most ? batch / 2 * 3 : batch;
}

}  // namespace shardscope
