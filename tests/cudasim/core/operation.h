#pragma once
// What a call puts into a stream: something to run later, its place in the order of all operations, what it touched,
// and when. An operation's clock has a component per stream; one is before another if the other's clock covers its own.

#include <driver_types.h>
#include <vector_types.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/cudasim/core/access_set.h"

namespace cudasim {

using Clock = std::vector<u32>;

/// Raises `clock` to what `other` has seen.
void join(Clock& clock, const Clock& other);

enum class OperationKind { kKernel, kCollective, kCopy, kSet, kEvent, kWait, kHost, kFree, kGraph };

/// For the activity records.
struct KernelShape {
  dim3 grid = {1, 1, 1}, block = {1, 1, 1};
  u32 static_shared = 0, dynamic_shared = 0, registers = 0, local_bytes = 0;
};
struct CopyShape {
  u64 bytes = 0;
  cudaMemcpyKind direction = cudaMemcpyDefault;
  int source_kind = 0, target_kind = 0;  ///< CUpti_ActivityMemoryKind
  int value = 0;                         ///< of a memset
  bool async = false;
};

struct Stream;

struct Operation {
  u64 id = 0, correlation = 0;
  int device = 0;
  Stream* stream = nullptr;
  OperationKind kind = OperationKind::kKernel;
  std::string name;
  Clock clock;
  u32 component = 0;                              ///< of the clock: the stream's
  std::vector<std::shared_ptr<Operation>> after;  ///< not done when this was enqueued
  /// Returns whether it is finished; false: to be called again, it waits for a peer. May throw Fault.
  std::function<bool(Operation&)> run;
  bool running = false, done = false;  ///< under the machine's mutex
  AccessSet accesses;
  u64 enqueued_ns = 0, start_ns = 0, end_ns = 0;
  KernelShape kernel;
  CopyShape copy;
  u32 graph = 0;  ///< that it was launched in; 0: by itself
  u64 graph_node = 0;
  std::shared_ptr<Operation> begun;  ///< of the end of a graph

  bool before(const Clock& other) const { return component < other.size() && clock[component] <= other[component]; }
  bool before(const Operation& other) const { return before(other.clock); }
};
using OperationPtr = std::shared_ptr<Operation>;

struct Stream {
  int device = 0;
  u32 id = 0;  ///< as the records name it
  u32 component = 0;
  int priority = 0;
  bool is_default = false, blocking = true, destroyed = false;
  std::deque<OperationPtr> queue;
  OperationPtr last;
};

struct CapturedPoint;

struct Event {
  std::atomic<OperationPtr> recorded;                          ///< one thread may ask while another records
  std::atomic<std::shared_ptr<const CapturedPoint>> captured;  ///< where it was recorded in a capturing stream last
  u32 id = 0;
  unsigned flags = 0;
  int device = 0;
};

}  // namespace cudasim
