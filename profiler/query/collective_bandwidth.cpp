#include "profiler/query/collective_bandwidth.h"

namespace shardscope {

std::vector<CollectiveBandwidth> collective_bandwidth(const Profile& profile, std::int64_t run) {
  std::vector<CollectiveBandwidth> collectives;
  Rows rows = profile.rows(
      "SELECT kind, group_name, group_size, bytes, count, total_ns, wait_ns, bus_factor FROM collective_time "
      "WHERE run = ? ORDER BY bytes DESC, kind, group_name",
      {Value(run)});
  while (rows.next()) {
    CollectiveBandwidth c;
    c.kind = rows.text(0);
    c.group = rows.text(1);
    c.ranks = rows.small(2);
    c.bytes = rows.integer(3);
    c.count = rows.integer(4);
    const double total_s = static_cast<double>(rows.integer(5)) * 1e-9,
                 wait_s = static_cast<double>(rows.integer(6)) * 1e-9, count = static_cast<double>(c.count);
    if (c.count > 0) c.mean_s = total_s / count;
    if (c.count > 0) c.mean_wait_s = wait_s / count;
    if (total_s > wait_s) c.algbw = static_cast<double>(c.bytes) * count / (total_s - wait_s);
    c.busbw = c.algbw * rows.real(7);
    collectives.push_back(std::move(c));
  }
  return collectives;
}

}  // namespace shardscope
