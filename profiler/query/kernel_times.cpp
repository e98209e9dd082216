#include "profiler/query/kernel_times.h"

#include <algorithm>

#include "core/spec/hardware.h"

namespace shardscope {
namespace {

const std::string kOnDevice = "o.lane NOT IN ('host_api', 'other') AND o.kind NOT IN ('alloc', 'free', 'hold')";

void place_under_roof(KernelTime& k, const DeviceRoof& roof) {
  if (!k.flops_per_s && !k.bytes_per_s) return;
  const double of_peak = k.flops_per_s && roof.flops_per_s > 0 ? *k.flops_per_s / roof.flops_per_s : 0;
  const double of_memory = k.bytes_per_s && roof.bytes_per_s > 0 ? *k.bytes_per_s / roof.bytes_per_s : 0;
  if (of_peak <= 0 && of_memory <= 0) return;
  k.of_roof = std::max(of_peak, of_memory);
  // Which roof is the lower one at this intensity can be said only if both are known.
  if (k.intensity && roof.flops_per_s > 0 && roof.bytes_per_s > 0)
    k.bound = *k.intensity * roof.bytes_per_s >= roof.flops_per_s ? "compute" : "memory";
}

}  // namespace

DeviceRoof device_roof(const Profile& profile, std::int64_t run) {
  DeviceRoof roof;
  Rows told = profile.rows("SELECT peak_flops_per_rank FROM run WHERE id = ?", {Value(run)});
  if (told.next()) roof.flops_per_s = told.real(0);
  if (profile.schema_version() < 4) return roof;
  Rows device = profile.rows("SELECT name FROM device WHERE run = ? ORDER BY rank, device", {Value(run)});
  if (!device.next() || device.is_null(0)) return roof;
  roof.device = device.text(0);
  const HardwareCatalog catalog = default_catalog();
  if (!names_gpu(catalog, roof.device)) return roof;
  roof.bytes_per_s = find_gpu(catalog, roof.device).memory_bandwidth.value;
  return roof;
}

std::vector<KernelTime> kernel_times(const Profile& profile, std::int64_t run, const DeviceRoof& roof, int rank,
                                     int limit) {
  std::vector<KernelTime> kernels;
  double all = 0;
  Rows rows = profile.rows(
      "SELECT o.kind, o.name, o.phase, sum(t.count), sum(t.total_ns), max(t.max_ns), sum(t.count * o.flops), "
      "sum(t.count * 1.0 * o.bytes) FROM op_time t JOIN rank k ON k.run = t.run AND k.rank = t.rank JOIN op o ON "
      "o.program = k.program AND o.op = t.op WHERE t.run = ? AND (t.rank = ? OR ? < 0) AND " +
          kOnDevice + " GROUP BY o.kind, o.name, o.phase ORDER BY sum(t.total_ns) DESC, o.kind, o.name, o.phase",
      {Value(run), Value(std::int64_t{rank}), Value(std::int64_t{rank})});
  while (rows.next()) {
    KernelTime k;
    k.kind = rows.text(0), k.name = rows.text(1), k.phase = rows.text(2);
    k.count = rows.integer(3);
    k.total_s = 1e-9 * rows.real(4), k.max_s = 1e-9 * rows.real(5);
    all += k.total_s;
    if (k.count <= 0) continue;
    k.mean_s = k.total_s / static_cast<double>(k.count);
    const double flops = rows.real(6), bytes = rows.real(7);
    if (flops > 0 && k.total_s > 0) k.flops_per_s = flops / k.total_s;
    if (bytes > 0 && k.total_s > 0) k.bytes_per_s = bytes / k.total_s;
    if (flops > 0 && bytes > 0) k.intensity = flops / bytes;
    place_under_roof(k, roof);
    if (limit == 0 || static_cast<int>(kernels.size()) < limit) kernels.push_back(std::move(k));
  }
  for (KernelTime& k : kernels) k.share = all > 0 ? k.total_s / all : 0;
  return kernels;
}

std::vector<CopyTraffic> copy_traffic(const Profile& profile, std::int64_t run, int rank) {
  std::vector<CopyTraffic> copies;
  Rows rows = profile.rows(
      "SELECT o.lane, CASE WHEN o.kind = 'copy' AND o.phase = '' THEN o.name ELSE o.kind END AS what, sum(t.count), "
      "sum(t.count * o.bytes), sum(t.total_ns) FROM op_time t JOIN rank k ON k.run = t.run AND k.rank = t.rank JOIN op "
      "o ON o.program = k.program AND o.op = t.op WHERE t.run = ? AND (t.rank = ? OR ? < 0) AND o.communication = 0 "
      "AND (o.kind = 'copy' OR o.lane IN ('h2d', 'd2h', 'nvme_read', 'nvme_write')) GROUP BY o.lane, what ORDER BY 4 "
      "DESC, 1, 2",
      {Value(run), Value(std::int64_t{rank}), Value(std::int64_t{rank})});
  while (rows.next())
    copies.push_back({rows.text(0), rows.text(1), rows.integer(2), rows.integer(3), 1e-9 * rows.real(4)});
  return copies;
}

}  // namespace shardscope
