#pragma once
// Stream capture: what is put into a capturing stream becomes a node of a graph instead of being run. The rules are
// CUDA's (driver_types.h, errors 900 to 908): an event carries a capture to another stream, which must be joined before
// it ends; whatever breaks a rule makes the capture invalid.
//
//   captures.begin(stream, cudaStreamCaptureModeThreadLocal);
//   captures.take(stream, operation);                      // by Machine::enqueue: true, it is a node now
//   std::shared_ptr<Graph> graph = captures.end(stream);
//
// Calls that CUDA refuses throw Refused.

#include <driver_types.h>

#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/cudasim/core/operation.h"

namespace cudasim {

/// A call is answered with this code, and nothing is reported: programs may try.
struct Refused {
  cudaError_t code;
};

struct GraphNode {
  OperationPtr what;       ///< its kind, name and work; it has no place in any stream
  std::vector<u32> after;  ///< nodes before it in the graph
};
struct Graph {
  std::vector<GraphNode> nodes;
};

struct Capture {
  Stream* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool invalid = false, ended = false;
  Graph graph;
  std::map<Stream*, std::vector<u32>> streams;  ///< in it, and what the next node of each comes after
};

/// What an event stands for that was recorded in a capturing stream.
struct CapturedPoint {
  std::shared_ptr<Capture> capture;
  std::vector<u32> nodes;
};
using CapturedPointPtr = std::shared_ptr<const CapturedPoint>;

class Captures {
 public:
  void begin(Stream& stream, cudaStreamCaptureMode mode);
  std::shared_ptr<Graph> end(Stream& stream);
  cudaStreamCaptureStatus status(const Stream& stream);
  bool is_capturing(const Stream& stream) { return status(stream) != cudaStreamCaptureStatusNone; }

  bool take(Stream& stream, const OperationPtr& made);
  CapturedPointPtr record(Stream& stream);  ///< null: it does not capture
  /// Whether it was a wait inside of a capture; `point` is the event's, null if it was recorded elsewhere or never.
  bool wait(Stream& stream, const CapturedPointPtr& point, bool recorded);

  void refuse_wait_for(const Stream& stream);     ///< the host waits for it, or asks
  void refuse_wait_for_device(int device);        ///< as a whole
  void refuse_wait_for(const CapturedPointPtr&);  ///< null: fine
  void refuse_unsafe();                           ///< by this thread: cudaThreadExchangeStreamCaptureMode says when

 private:
  std::shared_ptr<Capture> of(const Stream& stream) const;
  [[noreturn]] static void refuse(Capture& capture, cudaError_t code);
  void refuse_default_stream(const Stream& stream) const;

  std::mutex mutex_;
  std::atomic<int> under_way_ = 0;
  std::vector<std::shared_ptr<Capture>> all_;  ///< that have not ended
};

}  // namespace cudasim
