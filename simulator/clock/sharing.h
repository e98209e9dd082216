#pragma once
// Max-min fair sharing: how fast each of the ops that run together goes. Pure arithmetic, no clock.
//
// Every op wants speed 1, at which it draws its demands. All speeds rise together; when a resource is used up the ops
// that draw on it stay where they are and the others rise on. (Bertsekas and Gallager, Data Networks, 1992, section
// 6.5.2: progressive filling.) Ops that go first do so among themselves before the others; those keep at least a tenth
// of a resource (Guess: a collective's blocks never take all of a device).
//
// Speeds do not depend on the order of sharers where sums of demands are exact: resources used up at one level are so
// in one round. So one sharer can stand for many alike (simulator/fold).

#include <span>
#include <vector>

#include "simulator/cost/cost_model.h"

namespace shardscope {

struct Sharer {
  std::span<const Demand> demands;
  double speed = 1;  ///< out: in (0, 1]
  bool goes_first = false;
};

/// Kept between calls so that none allocates.
struct SharingScratch {
  std::vector<double> left, wanted, drawn;
  std::vector<char> settled;
};

/// Sets every sharer's speed. `capacity` by resource.
void share_fairly(std::span<Sharer> sharers, std::span<const double> capacity, SharingScratch& scratch);

}  // namespace shardscope
