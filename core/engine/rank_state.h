#pragma once
// What a rank is doing, as others see it: to tell a slow rank from one that hangs, and to say where it was.

#include <cstdint>
#include <string>

namespace shardscope {

struct RankState {
  enum class Doing : std::uint8_t {
    kOther,    ///< starting, between steps, or it cannot be seen: may take any time
    kWaiting,  ///< in collectives and nothing else: for its peers
    kBusy,     ///< in a step: should get on
  };
  Doing doing = Doing::kOther;
  std::uint64_t progress = 0;         ///< another number whenever it got on
  double allowance_s = 0;             ///< what the ops it is in may take, however slow the machine
  std::string where = "starting up";  ///< "in op 57 (matmul h.3.mlp) of step 4 on compute"
};

}  // namespace shardscope
