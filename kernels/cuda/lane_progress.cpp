#include "kernels/cuda/lane_progress.h"

#include "kernels/cuda/kernel.h"
#include "kernels/cuda/op_range.h"

namespace shardscope::cuda {

LaneProgress::~LaneProgress() {
  for (const Mark& mark : marks_) free_.push_back(mark.event);
  for (cudaEvent_t event : free_) (void)cudaEventDestroy(event);
}

void LaneProgress::forget_done() {
  while (!marks_.empty() && cudaEventQuery(marks_.front().event) == cudaSuccess) {
    free_.push_back(marks_.front().event);
    marks_.pop_front();
  }
}

/// Collectives are marked each: they are what ranks wait in.
void LaneProgress::passed(const Program& program, const Op& op, cudaStream_t stream) {
  if (++since_ >= kEvery || is_communication(op)) mark(program, op, stream);
}

void LaneProgress::mark(const Program& program, const Op& op, cudaStream_t stream) {
  since_ = 0;
  const std::lock_guard lock(mutex_);
  forget_done();
  cudaEvent_t event = nullptr;
  if (free_.empty()) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  } else {
    event = free_.back();
    free_.pop_back();
  }
  check(cudaEventRecord(event, stream), "cudaEventRecord");
  marks_.push_back({event, &program, &op});
}

const Op* LaneProgress::running() {
  const std::lock_guard lock(mutex_);
  for (const Mark& mark : marks_) {
    if (cudaEventQuery(mark.event) == cudaErrorNotReady) return mark.op;
  }
  return nullptr;
}

void LaneProgress::look() {
  const std::lock_guard lock(mutex_);
  forget_done();
}

std::string LaneProgress::place() {
  const std::lock_guard lock(mutex_);
  return marks_.empty() ? "" : describe(*marks_.front().program, *marks_.front().op);
}

}  // namespace shardscope::cuda
