#pragma once
// How far a stream has got, as another thread sees it: an event after every few ops, looked at when somebody asks. To
// find ranks that hang (core/engine/rank_watch.h).
//
//   progress.passed(op, stream);          // on the lane's thread, behind each op
//   const Op* now = progress.running();   // on any thread

#include <cuda_runtime.h>

#include <deque>
#include <mutex>
#include <vector>

#include "core/program/program.h"

namespace shardscope::cuda {

class LaneProgress {
 public:
  LaneProgress() = default;
  LaneProgress(const LaneProgress&) = delete;
  LaneProgress& operator=(const LaneProgress&) = delete;
  ~LaneProgress();
  void passed(const Op* op, cudaStream_t stream);
  /// An op that the stream has not done yet, at most kEvery before the first such; null: it has done all that were
  /// marked.
  const Op* running();

 private:
  static constexpr int kEvery = 8;  ///< ops between events: recording one costs about half a microsecond
  struct Mark {
    cudaEvent_t event;
    const Op* op;
  };
  std::mutex mutex_;
  std::deque<Mark> marks_;
  std::vector<cudaEvent_t> free_;
  int since_ = 0;
};

}  // namespace shardscope::cuda
