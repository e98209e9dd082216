#pragma once
// CUDA events for one thread to take and, when nothing uses any of them, to take back all at once.
//
//   EventPool pool(cudaEventDisableTiming);
//   cudaEvent_t event = pool.take();
//   pool.take_back_all();

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

class EventPool {
 public:
  explicit EventPool(unsigned flags) : flags_(flags) {}
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;
  ~EventPool() {
    for (cudaEvent_t event : events_) (void)cudaEventDestroy(event);
  }
  cudaEvent_t take() {
    if (taken_ == events_.size()) {
      cudaEvent_t event = nullptr;
      check(cudaEventCreateWithFlags(&event, flags_), "cudaEventCreateWithFlags");
      events_.push_back(event);
    }
    return events_[taken_++];
  }
  void take_back_all() { taken_ = 0; }

 private:
  unsigned flags_;
  std::vector<cudaEvent_t> events_;
  std::size_t taken_ = 0;
};

}  // namespace shardscope::cuda
