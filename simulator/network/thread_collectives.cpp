#include "simulator/network/thread_collectives.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/check.h"

namespace shardscope {

ThreadCollectives::ThreadCollectives(const Machine& machine) {
  for (const CollectiveCurve& curve : machine.collectives) {
    const double crowding = std::max(1.0, curve.ranks / machine.capacity(curve.ranks));
    curves_[curve.op][curve.ranks] = {curve.seconds, crowding};
  }
}

Seconds ThreadCollectives::time(std::string_view op, DType dtype, int ranks, Bytes size) const {
  if (ranks <= 1) return Seconds(0);
  auto found = curves_.find(std::string(op) + ":" + std::string(to_string(dtype)));
  if (found == curves_.end()) found = curves_.find(op);
  if (found == curves_.end()) found = curves_.find("all_gather");  // any op that moves its bytes once
  SS_CHECK(found != curves_.end(), op);
  const auto& by_ranks = found->second;
  auto nearest = by_ranks.lower_bound(ranks);
  if (nearest == by_ranks.end()) nearest = std::prev(by_ranks.end());
  // Measured with its ranks on the cores there were; the virtual clock shares cores out by itself.
  return Seconds(nearest->second.seconds.at(size.value) / nearest->second.crowding);
}

CollectiveCurve guess_collective(std::string_view op, int ranks, int cores, BytesPerSecond copy_per_core) {
  const double crowding = std::max(1.0, static_cast<double>(ranks) / cores);
  const double alpha = 5e-6 * ranks * crowding;          // two meetings of sleeping threads. Guess
  const double passes = op == "all_reduce" ? 2.0 : 1.0;  // reads and writes everything, or one of them
  CollectiveCurve curve{std::string(op), ranks, {}};
  std::vector<CurvePoint> points;
  for (double bytes = 64; bytes <= 256e6; bytes *= 4) {
    points.push_back({bytes, alpha + passes * crowding * bytes / copy_per_core.value});
  }
  curve.seconds = Curve(points);
  return curve;
}

}  // namespace shardscope
