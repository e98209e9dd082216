#include <unistd.h>

#include <cerrno>

#include "core/engine/nvme/block_queue.h"

namespace shardscope {
namespace {

class PlainQueue final : public BlockQueue {
 public:
  explicit PlainQueue(int file) : file_(file) {}

  std::string name() const override { return "pread and pwrite"; }
  bool register_memory(std::byte* /*base*/, std::int64_t /*bytes*/) override { return false; }

  void run(QueueClient& client) override {
    for (BlockRequest request; client.next(request);) {
      move_all(client, request);
      client.finished(request);
    }
  }

 private:
  void move_all(QueueClient& client, const BlockRequest& request) const {
    for (std::int64_t done = 0; done < request.bytes;) {
      const ssize_t n = move_some(client.writes(), request, done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) client.failed(request, n < 0 ? errno : 0);
      done += n;
    }
  }

  ssize_t move_some(bool writes, const BlockRequest& request, std::int64_t done) const {
    std::byte* const memory = request.memory + done;
    const auto bytes = static_cast<std::size_t>(request.bytes - done);
    const auto offset = static_cast<off_t>(request.offset + done);
    return writes ? ::pwrite(file_, memory, bytes, offset) : ::pread(file_, memory, bytes, offset);
  }

  int file_;
};

}  // namespace

std::unique_ptr<BlockQueue> make_plain_queue(int file) { return std::make_unique<PlainQueue>(file); }

}  // namespace shardscope
