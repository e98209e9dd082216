#pragma once
// Which kernels (of our own runs: ops) take the time of a run, and how near are they to what the device can do?
//
//   DeviceRoof roof = device_roof(profile, run.id);
//   for (const KernelTime& k : kernel_times(profile, run.id, roof, -1, 20)) use(k.name, k.total_s, k.bound);

#include <optional>
#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

/// What a rank's device can do at most; 0: unknown.
struct DeviceRoof {
  double flops_per_s = 0;  ///< as the run was told, for what it computes in
  double bytes_per_s = 0;  ///< of memory, from the catalog's entry of the device that the file names
  std::string device;      ///< as the file names it
};
DeviceRoof device_roof(const Profile& profile, std::int64_t run);

/// All executions of what has one kind and name, on one rank or all.
struct KernelTime {
  std::string kind, name, phase;
  std::int64_t count = 0;
  double total_s = 0, mean_s = 0, max_s = 0;
  double share = 0;                                ///< of all time of the device's kernels, copies and collectives
  std::optional<double> flops_per_s, bytes_per_s;  ///< where work and traffic are known
  std::optional<double> intensity;                 ///< FLOP per byte
  /// Part of the roof over its intensity: of the peak FLOP/s or the memory's bandwidth, whichever is the lower roof.
  std::optional<double> of_roof;
  std::string bound;  ///< "compute" or "memory": which roof that is; empty: not known
};

/// Longest total first; `rank` below 0: all; `limit` 0: all of them. Nothing of the host.
std::vector<KernelTime> kernel_times(const Profile& profile, std::int64_t run, const DeviceRoof& roof, int rank = -1,
                                     int limit = 0);

/// Copies of one direction: between device and host, to and from a drive, within a device or between two.
struct CopyTraffic {
  std::string lane, name;  ///< h2d, d2h, nvme_read, nvme_write, or compute: within the device; name of the copy
  std::int64_t count = 0, bytes = 0;
  double total_s = 0;
  double bytes_per_s() const { return total_s > 0 ? double(bytes) / total_s : 0; }
};
/// Most bytes first.
std::vector<CopyTraffic> copy_traffic(const Profile& profile, std::int64_t run, int rank = -1);

}  // namespace shardscope
