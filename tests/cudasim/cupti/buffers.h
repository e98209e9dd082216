#pragma once
// Activity buffers as CUPTI hands them around, and nastier: records come out of their order, buffers are given back
// late, on another thread, and sometimes before they are full. CUDASIM_CUPTI_DROP=n loses every n-th record and counts
// it.
//
//   Buffers buffers(seed);
//   buffers.set_callbacks(request, complete);
//   buffers.put(record, sizeof record);
//   buffers.flush(/*wait=*/true);

#include <cupti.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/cudasim/core/types.h"

namespace cudasim {

class Buffers {
 public:
  explicit Buffers(unsigned seed);
  void set_callbacks(CUpti_BuffersCallbackRequestFunc request, CUpti_BuffersCallbackCompleteFunc complete);
  void put(const void* record, size_t bytes);
  /// Gives back what there is; with `wait`, has given it back when it returns.
  void flush(bool wait);
  size_t take_dropped();

 private:
  struct Buffer {
    u8* data;
    size_t bytes, used, most_records, records;
  };
  void write(const std::vector<u8>& record);
  void write_some(size_t keep);
  void finish_current();
  void deliver();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::mt19937 random_;
  CUpti_BuffersCallbackRequestFunc request_ = nullptr;
  CUpti_BuffersCallbackCompleteFunc complete_ = nullptr;
  std::vector<std::vector<u8>> waiting_;  ///< records that are not written yet
  Buffer current_{};
  std::deque<Buffer> full_;
  int delivering_ = 0;
  size_t dropped_ = 0, seen_ = 0, drop_every_ = 0;
  std::thread worker_;
};

}  // namespace cudasim
