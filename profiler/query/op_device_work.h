#pragma once
// What did the device do for each op of the program, and how long beside what was predicted? Of a run of the CUDA
// backend that was recorded (shardscope record -- shardscope train ... --backend cuda): the view op_device_work joins
// its kernels, copies and collectives with the ops that issued them.
//
//   DeviceWork work = op_device_work(profile, run.id);
//   set_beside(work, train_profile, prediction.id, &OpDeviceWork::predicted_s);

#include <optional>
#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

/// Kernels, copies and collectives on the device.
struct WorkOnDevice {
  std::int64_t count = 0;
  double total_s = 0;  ///< sum of durations
};

struct OpDeviceWork {
  int rank = 0;         ///< of the program
  std::int64_t op = 0;  ///< index in it
  std::string kind, name;
  std::int64_t executions = 0;                    ///< that launched anything
  WorkOnDevice work;                              ///< of all of them
  double device_s = 0;                            ///< of one: median over executions of the sum of its work
  std::optional<double> predicted_s, measured_s;  ///< mean of one in other runs: set_beside()
};

struct DeviceWork {
  std::vector<OpDeviceWork> ops;  ///< by rank and op
  WorkOnDevice all, of_no_op;     ///< of the whole run; of it what no op's range launched
};

/// Throws Error{kConfig} that says what to record where no range names an op.
DeviceWork op_device_work(const Profile& profile, std::int64_t run);

/// Sets a time of each op from another run of the same program. Throws Error{kConfig} where an op of that run is
/// another one.
void set_beside(DeviceWork& work, const Profile& other, std::int64_t run, std::optional<double> OpDeviceWork::*time);

/// The ops of one kind of all ranks and executions, most time on the device first. Times are those of one step: the sum
/// over ranks of what set_beside() and device_s say of ops that have both.
struct KindDeviceWork {
  std::string kind;
  std::int64_t ops = 0;
  WorkOnDevice work;
  double device_s = 0;
  std::optional<double> predicted_s, measured_s;  ///< nothing: of no op
};
std::vector<KindDeviceWork> by_kind(const DeviceWork& work);

}  // namespace shardscope
