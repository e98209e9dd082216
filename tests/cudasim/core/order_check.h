#pragma once
// Two operations that touch a common byte, one of them writing, must be ordered: by their stream, an event, the default
// stream or a wait of the host. That they happened to run one after the other does not count.
//
//   OrderCheck check(memory, reports);
//   check.finished(operation, streams, host_clock);

#include <deque>
#include <memory>
#include <vector>

#include "tests/cudasim/core/memory.h"
#include "tests/cudasim/core/operation.h"

namespace cudasim {

class OrderCheck {
 public:
  OrderCheck(const Memory& memory, Reports& reports) : memory_(memory), reports_(reports) {}
  /// Compares the operation with those that ran before, and keeps it as long as a later one may be unordered with it.
  /// `host`: what the host has waited for, which comes before all that is enqueued from now on.
  void finished(const OperationPtr& operation, const std::vector<Stream*>& streams, const Clock& host);
  void clear() { history_.clear(); }

 private:
  void compare(const Operation& earlier, const Operation& later);
  void forget_ordered(const std::vector<Stream*>& streams, const Clock& host);

  static constexpr size_t kMostKept = 512;
  const Memory& memory_;
  Reports& reports_;
  std::deque<OperationPtr> history_;
  u32 since_forgetting_ = 0;
};

}  // namespace cudasim
