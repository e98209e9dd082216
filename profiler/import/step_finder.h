#pragma once
// Which step does a slice belong to? A host slice to the one under way when it began; a device slice to the one in
// which it was launched, which is known by its correlation, since those count up as launches are made.
//
//   StepFinder finder(rank.steps, rank.device_steps);
//   int step = finder.of_host(slice);          // all host slices first ...
//   finder.finish_host();
//   int step = finder.of_device(slice);        // ... then those of devices; -1: none

#include <vector>

#include "core/trace.h"
#include "profiler/import/import_state.h"

namespace shardscope {

class StepFinder {
 public:
  /// Of annotations that look like steps those of the highest priority; of two with one number the longer; no overlap.
  StepFinder(const std::vector<StoredStep>& steps, const std::vector<StoredStep>& device_steps);

  const std::vector<StoredStep>& steps() const { return steps_; }  ///< by start; what the table step gets
  std::int32_t of_host(const SliceEvent& slice);
  void finish_host();
  std::int32_t of_device(const SliceEvent& slice) const;

 private:
  struct Launches {
    std::int64_t first, last;  ///< correlations
    std::int32_t step;
  };
  std::vector<StoredStep> steps_, device_steps_;
  std::vector<Launches> launched_;  ///< one for each of steps_, then by first correlation
};

}  // namespace shardscope
