#pragma once
// Max-min fair sharing: how fast each of the ops that run together goes. Pure arithmetic, no clock.
//
// Every op wants speed 1, at which it draws its demands. All speeds rise together; when a resource is used up the ops
// that draw on it stay where they are and the others rise on. (Bertsekas and Gallager, Data Networks, 1992, section
// 6.5.2: progressive filling.)

#include <span>
#include <vector>

#include "simulator/cost/cost_model.h"

namespace shardscope {

struct Sharer {
  std::span<const Demand> demands;
  double speed = 1;  ///< out: in (0, 1]
};

/// Sets every sharer's speed. `capacity` by resource; `scratch` is kept between calls so that none allocates.
struct SharingScratch {
  std::vector<double> left, wanted;
  std::vector<char> settled;
};
void share_fairly(std::span<Sharer> sharers, std::span<const double> capacity, SharingScratch& scratch);

}  // namespace shardscope
