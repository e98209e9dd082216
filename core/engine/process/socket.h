#pragma once
// TCP, as far as ranks need it: addresses by name or number, IPv4 and IPv6, and a deadline on everything that waits.
//
//   Listener listener = Listener::open({"127.0.0.1"}, 0);
//   Socket there = Socket::connect("127.0.0.1", listener.port(), Deadline(5));
//   there.write_all(bytes, Deadline(5));

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace shardscope {

/// A moment in the future.
class Deadline {
 public:
  explicit Deadline(double seconds)
      : end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {}
  bool passed() const { return Clock::now() >= end_; }
  int left_ms() const;  ///< for poll(): at least 0

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point end_;
};

/// A file descriptor that is closed with its owner.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd();
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// A connection. Never blocks by itself and never raises SIGPIPE.
class Socket {
 public:
  Socket() = default;
  explicit Socket(Fd fd);
  /// Tries again while nobody listens yet. Throws Error{kDevice} naming host, port and the system's reason.
  static Socket connect(const std::string& host, int port, const Deadline& deadline);

  /// Bytes moved now: 0 if none can be. Nothing if the other side closed or the connection broke.
  std::optional<std::size_t> read_some(std::span<std::byte> to);
  std::optional<std::size_t> write_some(std::span<const std::byte> from);
  /// False if the other side closed, the connection broke or the time is over.
  bool read_all(std::span<std::byte> to, const Deadline& deadline);
  bool write_all(std::span<const std::byte> from, const Deadline& deadline);
  void finish_writing();  ///< the other side reads to the end, and then sees that it is one

  std::string local_host() const;  ///< numeric address of this side
  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

 private:
  Fd fd_;
};

class Listener {
 public:
  /// Listens at `host`, or at every address of this machine if it is empty; port 0: any free one. Throws
  /// Error{kDevice}.
  static Listener open(const std::string& host, int port);
  std::optional<Socket> accept();  ///< a connection that waits, if there is one
  int port() const;
  std::string host() const;  ///< numeric; "0.0.0.0" or "::" if it listens at every address
  int fd() const { return fd_.get(); }

 private:
  explicit Listener(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace shardscope
