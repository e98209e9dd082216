#pragma once
// Moves whole blocks between a file and memory, several requests in flight. Two ways: io_uring, and plain pread/pwrite
// where the system forbids it. A queue belongs to one thread at a time.
//
//   std::unique_ptr<BlockQueue> queue = make_uring_queue(fd, options);   // null: not allowed here
//   queue->run(client);

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace shardscope {

struct QueueOptions {
  int depth = 8;               ///< requests in flight
  bool single_submit = false;  ///< hand requests over one by one, not all that are ready at once
  bool overlap_events = true;  ///< a finished request makes room at once; else all in flight finish first
};

/// Part of a transfer: `bytes` at `offset` of the file, from or to `memory`. `slot` is in [0, depth): no other request
/// in flight has it.
struct BlockRequest {
  std::int64_t offset = 0, bytes = 0;
  std::byte* memory = nullptr;
  int slot = 0;
};

/// Whose transfer a queue carries out.
class QueueClient {
 public:
  virtual ~QueueClient() = default;
  virtual bool writes() const = 0;
  /// Fills in the next request; what is to be written must be in its memory. False: there is none left.
  virtual bool next(BlockRequest& request) = 0;
  /// All of the request's bytes have moved.
  virtual void finished(const BlockRequest& request) = 0;
  /// The system refused: `error` is an errno, 0 means that the file ended early. Throws.
  [[noreturn]] virtual void failed(const BlockRequest& request, int error) = 0;
};

class BlockQueue {
 public:
  virtual ~BlockQueue() = default;
  virtual std::string name() const = 0;
  /// Returns when every request is finished. Throws what the client throws, when nothing is in flight any more.
  virtual void run(QueueClient& client) = 0;
  /// Requests with memory in [base, base + bytes) may go faster from now on. False: no difference.
  virtual bool register_memory(std::byte* base, std::int64_t bytes) = 0;
};

/// Null where the system forbids io_uring (seccomp, kernel.io_uring_disabled, too old a kernel, too little memory that
/// may be locked).
std::unique_ptr<BlockQueue> make_uring_queue(int file, const QueueOptions& options);
/// One request at a time, in the calling thread.
std::unique_ptr<BlockQueue> make_plain_queue(int file);

}  // namespace shardscope
