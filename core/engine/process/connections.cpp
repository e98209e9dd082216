#include "core/engine/process/connections.h"

#include <fmt/format.h>

#include <chrono>

#include "core/check.h"
#include "core/engine/process/wire.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr double kDialSeconds = 20;  // guess: a listening machine answers at once
constexpr std::size_t kMostGuests = 4096;

}  // namespace

Connections::Connections(int rank, Listener listener, std::vector<Address> addresses, std::uint64_t token)
    : rank_(rank), listener_(std::move(listener)), addresses_(std::move(addresses)), token_(token) {}

Socket Connections::get(std::uint64_t key, int peer, const std::function<void()>& check) {
  SS_CHECK(peer != rank_ && peer >= 0 && static_cast<std::size_t>(peer) < addresses_.size(), peer, rank_);
  if (peer < rank_) return dial(key, peer);
  std::unique_lock lock(mutex_);
  for (;;) {
    if (auto found = waiting_.extract({key, peer})) return std::move(found.mapped());
    came_.wait_for(lock, std::chrono::milliseconds(kCheckMs));
    lock.unlock();
    check();
    lock.lock();
  }
}

Socket Connections::dial(std::uint64_t key, int peer) const {
  const Address& there = addresses_[static_cast<std::size_t>(peer)];
  const Deadline deadline(kDialSeconds);
  Socket socket = Socket::connect(there.host, there.port, deadline);
  const Hello hello{token_, key, rank_};
  if (!socket.write_all(std::as_bytes(std::span(&hello, 1)), deadline)) {
    throw Error(ErrorKind::kDevice,
                fmt::format("rank {} at {}:{} closed the connection", peer, there.host, there.port));
  }
  return socket;
}

std::vector<int> Connections::fds() const {
  std::vector<int> fds{listener_.fd()};
  for (const Guest& guest : guests_) fds.push_back(guest.socket.fd());
  return fds;
}

void Connections::let_in() {
  while (auto socket = listener_.accept()) {
    if (guests_.size() < kMostGuests) guests_.push_back({std::move(*socket), {}, 0});
  }
  std::erase_if(guests_, [this](Guest& guest) { return !still_a_guest(guest); });
}

/// False when it is one of us, or gone, or a stranger.
bool Connections::still_a_guest(Guest& guest) {
  const auto hello = std::as_writable_bytes(std::span(&guest.hello, 1));
  const auto n = guest.socket.read_some(hello.subspan(guest.read));
  if (!n) return false;
  guest.read += *n;
  if (guest.read < hello.size()) return true;
  if (guest.hello.token != token_) return false;
  const std::lock_guard lock(mutex_);
  waiting_.insert_or_assign({guest.hello.key, static_cast<int>(guest.hello.rank)}, std::move(guest.socket));
  came_.notify_all();
  return false;
}

}  // namespace shardscope
