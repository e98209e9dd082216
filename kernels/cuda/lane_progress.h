#pragma once
// How far a stream has got, as another thread sees it: an event after every few ops, looked at when somebody asks. To
// find ranks that hang (core/engine/rank_watch.h), and to say where a lane was when its device failed.
//
//   progress.passed(program, op, stream);   // on the lane's thread, behind each op
//   const Op* now = progress.running();     // on any thread

#include <cuda_runtime.h>

#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace shardscope::cuda {

class LaneProgress {
 public:
  LaneProgress() = default;
  LaneProgress(const LaneProgress&) = delete;
  LaneProgress& operator=(const LaneProgress&) = delete;
  ~LaneProgress();
  void passed(const Program& program, const Op& op, cudaStream_t stream);
  /// Behind several ops at once, of which this is the last.
  void mark(const Program& program, const Op& op, cudaStream_t stream);
  /// An op that the stream has not done yet, at most kEvery before the first such, or the last of a graph; null: it has
  /// done all that were marked.
  const Op* running();
  /// Takes note of what is done, as long as the device answers.
  void look();
  /// "op 57 (matmul h.3.mlp.c_fc)": the marked op that was not done when look() last saw; empty: none.
  std::string place();

 private:
  static constexpr int kEvery = 8;  ///< ops between events: recording one costs about half a microsecond
  struct Mark {
    cudaEvent_t event;
    const Program* program;
    const Op* op;
  };
  void forget_done();  ///< with the lock
  std::mutex mutex_;
  std::deque<Mark> marks_;
  std::vector<cudaEvent_t> free_;
  int since_ = 0;
};

}  // namespace shardscope::cuda
