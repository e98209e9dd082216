#include <liburing.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/engine/nvme/block_queue.h"

namespace shardscope {
namespace {

/// The system takes registered memory in pieces of at most this.
constexpr std::int64_t kLargestRegistered = std::int64_t{1} << 30;

class UringQueue final : public BlockQueue {
 public:
  UringQueue(int file, const QueueOptions& options)
      : file_(file), options_(options), slots_(static_cast<std::size_t>(options.depth)) {}
  ~UringQueue() override {
    if (open_) io_uring_queue_exit(&ring_);
  }
  UringQueue(const UringQueue&) = delete;
  UringQueue& operator=(const UringQueue&) = delete;

  bool open() {
    open_ = io_uring_queue_init(static_cast<unsigned>(options_.depth), &ring_, 0) == 0;
    return open_;
  }

  std::string name() const override { return registered_.empty() ? "io_uring" : "io_uring with registered memory"; }

  bool register_memory(std::byte* base, std::int64_t bytes) override {
    if (!registered_.empty() || bytes == 0) return false;
    for (std::int64_t at = 0; at < bytes; at += kLargestRegistered) {
      registered_.push_back({base + at, static_cast<std::size_t>(std::min(kLargestRegistered, bytes - at))});
    }
    const auto count = static_cast<unsigned>(registered_.size());
    if (io_uring_register_buffers(&ring_, registered_.data(), count) != 0)
      registered_.clear();  // limit of locked memory
    return !registered_.empty();
  }

  void run(QueueClient& client) override {
    client_ = &client;
    more_ = true;
    failure_ = nullptr;
    do {
      fill();
      submit();
      take_finished();
    } while (in_flight_ > 0 || (more_ && !failure_));
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Slot {
    BlockRequest request;
    std::int64_t done = 0;  ///< bytes that have moved
    bool busy = false;
  };

  /// Gives every free slot a request, while there are any.
  void fill() {
    for (std::size_t i = 0; i < slots_.size() && more_ && !failure_; ++i) {
      Slot& slot = slots_[i];
      if (slot.busy) continue;
      slot.request.slot = static_cast<int>(i);
      guarded([&] { more_ = client_->next(slot.request); });
      if (!more_ || failure_) return;
      slot.busy = true;
      slot.done = 0;
      ++in_flight_;
      enqueue(slot);
    }
  }

  void enqueue(Slot& slot) {
    io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
    SS_CHECK(entry != nullptr, in_flight_);  // the ring has an entry per slot
    std::byte* const memory = slot.request.memory + slot.done;
    const auto bytes = static_cast<unsigned>(slot.request.bytes - slot.done);
    const auto offset = static_cast<std::uint64_t>(slot.request.offset) + static_cast<std::uint64_t>(slot.done);
    const int piece = registered_piece(memory, bytes);
    if (client_->writes()) {
      piece >= 0 ? io_uring_prep_write_fixed(entry, file_, memory, bytes, offset, piece)
                 : io_uring_prep_write(entry, file_, memory, bytes, offset);
    } else {
      piece >= 0 ? io_uring_prep_read_fixed(entry, file_, memory, bytes, offset, piece)
                 : io_uring_prep_read(entry, file_, memory, bytes, offset);
    }
    io_uring_sqe_set_data(entry, &slot);
    if (options_.single_submit) submit();
  }

  /// The registered piece that holds all of these bytes, or -1.
  int registered_piece(const std::byte* memory, unsigned bytes) const {
    for (std::size_t i = 0; i < registered_.size(); ++i) {
      const auto* const base = static_cast<const std::byte*>(registered_[i].iov_base);
      if (memory >= base && memory + bytes <= base + registered_[i].iov_len) return static_cast<int>(i);
    }
    return -1;
  }

  void submit() {
    while (const unsigned waiting = io_uring_sq_ready(&ring_)) {
      const int result = io_uring_submit(&ring_);
      if (result >= 0 || result == -EINTR) continue;
      SS_CHECK(result == -EAGAIN || result == -EBUSY, result);  // short of memory: less at a time
      if (static_cast<int>(waiting) < in_flight_) return;       // tried again when one of the others is done
      std::this_thread::yield();
    }
  }

  void take_finished() {
    const int wanted = options_.overlap_events ? 1 : in_flight_;
    for (int taken = 0; taken < wanted && in_flight_ > 0; ++taken) {
      io_uring_cqe* done = nullptr;
      const int result = io_uring_wait_cqe(&ring_, &done);
      if (result == -EINTR) continue;
      SS_CHECK(result == 0, result);
      auto* const slot = static_cast<Slot*>(io_uring_cqe_get_data(done));
      const int moved = done->res;
      io_uring_cqe_seen(&ring_, done);
      take(*slot, moved);
    }
  }

  void take(Slot& slot, int moved) {
    slot.done += std::max(moved, 0);
    const bool again = moved == -EINTR || moved == -EAGAIN || (moved > 0 && slot.done < slot.request.bytes);
    if (again && !failure_) {
      enqueue(slot);
      return submit();
    }
    slot.busy = false;
    --in_flight_;
    guarded([&] {
      if (slot.done < slot.request.bytes) client_->failed(slot.request, moved < 0 ? -moved : 0);
      client_->finished(slot.request);
    });
  }

  /// The first failure waits until nothing is in flight: memory that the system still writes to must not go.
  template <class Work>
  void guarded(const Work& work) {
    try {
      work();
    } catch (...) {
      if (!failure_) failure_ = std::current_exception();
    }
  }

  int file_;
  QueueOptions options_;
  io_uring ring_{};
  bool open_ = false, more_ = false;
  std::vector<Slot> slots_;
  int in_flight_ = 0;
  std::vector<iovec> registered_;
  QueueClient* client_ = nullptr;
  std::exception_ptr failure_;
};

}  // namespace

std::unique_ptr<BlockQueue> make_uring_queue(int file, const QueueOptions& options) {
  auto queue = std::make_unique<UringQueue>(file, options);
  return queue->open() ? std::move(queue) : nullptr;
}

}  // namespace shardscope
