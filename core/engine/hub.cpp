#include "core/engine/hub.h"

namespace shardscope {

Error as_error(const std::exception& exception) {
  const auto* known = dynamic_cast<const Error*>(&exception);
  return known == nullptr ? Error(ErrorKind::kDevice, exception.what()) : *known;
}

Group world_group(int world, int self) {
  Group group{.name = "world", .ranks = {}, .self = self};
  for (int rank = 0; rank < world; ++rank) group.ranks.push_back(rank);
  return group;
}

}  // namespace shardscope
