#pragma once
// Where an inference step's tokens come from: what LoadTokens asks for (core/program/ops.h says what the three mean).

#include <cstdint>
#include <span>

namespace shardscope {

class TokenSource {
 public:
  virtual ~TokenSource() = default;
  /// tokens [batch * seq], starts and counts [batch]. Called on a lane's thread.
  virtual void fill(std::span<std::int32_t> tokens, std::span<std::int32_t> starts,
                    std::span<std::int32_t> counts) const = 0;
};

}  // namespace shardscope
