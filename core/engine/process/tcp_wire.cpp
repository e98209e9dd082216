#include "core/engine/process/tcp_wire.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "core/engine/waiting.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::int64_t kRoundBytes = 1 << 20;  // long enough that a round's latency does not count on 10 Gbit/s
constexpr std::int64_t kLine = 64;
/// A peer whose connection broke has failed or died: the hub soon says how. If it does not, this is the message.
constexpr std::int64_t kLostNs = 10'000'000'000;

std::size_t to_index(int number) { return static_cast<std::size_t>(number); }
std::int64_t whole_lines(std::int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

TcpWire::TcpWire(WireEnds ends, std::function<Socket(int rank)> connect)
    : ends_(std::move(ends)), connect_(std::move(connect)), peers_(ends_.ranks.size()) {}

std::int64_t TcpWire::round_bytes() const { return kRoundBytes; }

TcpWire::Peer& TcpWire::peer(int rank) {
  Peer& peer = peers_[to_index(rank)];
  if (!peer.socket) peer.socket = connect_(ends_.ranks[to_index(rank)]);
  return peer;
}

std::int64_t TcpWire::round(const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) {
  const std::int64_t start = steady_now_ns();
  for (int r = ends_.size() - 1; r >= 0; --r) {  // first those that wait for us to dial
    if (r == ends_.self) continue;
    write(peer(r), head, parts.empty() ? ConstBytes() : parts[to_index(r)], common);
    read(peer(r), {});
  }
  return finish(head, start);
}

Given TcpWire::given(int rank) const {
  const Peer& from = peers_[to_index(rank)];
  const ConstBytes body(from.body);
  const auto part = static_cast<std::size_t>(from.in_head.part), common = static_cast<std::size_t>(from.in_head.common);
  return {from.in_head.call, body.first(part), body.last(common)};
}

std::int64_t TcpWire::send(ConstBytes data, int peer) {
  const CallHead head{Call::kSend, static_cast<std::int64_t>(data.size())};
  const std::int64_t start = steady_now_ns();
  write(this->peer(peer), head, data, {});
  return finish(head, start);
}

std::int64_t TcpWire::recv(std::span<std::byte> data, int peer) {
  const std::int64_t start = steady_now_ns();
  read(this->peer(peer), data);
  return finish({Call::kSend, static_cast<std::int64_t>(data.size())}, start);
}

void TcpWire::write(Peer& to, const CallHead& call, ConstBytes part, ConstBytes common) {
  to.out_head = {call, static_cast<std::int64_t>(part.size()), static_cast<std::int64_t>(common.size())};
  to.out = {std::as_bytes(std::span(&to.out_head, 1)), part, common};
}

void TcpWire::read(Peer& from, std::span<std::byte> message) {
  from.head_came = false;
  from.message = message;
  from.in = {std::as_writable_bytes(std::span(&from.in_head, 1))};
}

/// Moves bytes both ways, with whoever is ready, until nothing is left. Returns the time from `start` until the last
/// head had come.
std::int64_t TcpWire::finish(const CallHead& ours, std::int64_t start) {
  std::int64_t heads_ns = steady_now_ns(), moved_ns = heads_ns;  // connecting was waiting too
  for (;;) {
    bool left = false, moved = false, heads_left = false;
    for (int r = 0; r < ends_.size(); ++r) {
      const Peer& peer = peers_[to_index(r)];
      if (peer.out.empty() && peer.in.empty()) continue;
      moved = move(r, ours) || moved;
      left = left || !peer.out.empty() || !peer.in.empty();
      heads_left = heads_left || (!peer.in.empty() && !peer.head_came);
    }
    const std::int64_t now = steady_now_ns();
    if (heads_left) heads_ns = now;
    if (!left) return heads_ns - start;
    if (moved) {
      moved_ns = now;
    } else {
      sleep();
      ends_.check();
      if (now - moved_ns > kLostNs) refuse_lost();
    }
  }
}

bool TcpWire::move(int rank, const CallHead& ours) {
  Peer& peer = peers_[to_index(rank)];
  if (peer.lost) return false;
  const bool wrote = !peer.out.empty() && move_out(peer);
  return (!peer.in.empty() && !peer.lost && move_in(rank, ours)) || wrote;
}

bool TcpWire::move_out(Peer& to) const {
  while (!to.out.empty() && to.out.front().empty()) to.out.erase(to.out.begin());
  if (to.out.empty()) return true;
  const auto n = to.socket.write_some(to.out.front());
  if (!n) to.lost = true;
  if (!n || *n == 0) return false;
  to.out.front() = to.out.front().subspan(*n);
  if (to.out.front().empty()) to.out.erase(to.out.begin());
  return true;
}

bool TcpWire::move_in(int rank, const CallHead& ours) {
  Peer& from = peers_[to_index(rank)];
  const auto n = from.socket.read_some(from.in.front());
  if (!n) from.lost = true;
  if (!n || *n == 0) return false;
  from.in.front() = from.in.front().subspan(*n);
  if (from.in.front().empty()) from.in.erase(from.in.begin());
  if (from.in.empty() && !from.head_came) take_head(rank, ours);
  return true;
}

/// Now we know what follows, and where it goes.
void TcpWire::take_head(int rank, const CallHead& ours) {
  Peer& from = peers_[to_index(rank)];
  from.head_came = true;
  check_same(ends_, ours, from.in_head.call, rank);
  const std::int64_t part = from.in_head.part, common = from.in_head.common;
  if (ours.call == Call::kSend) {
    from.in = {from.message};
  } else {
    const std::int64_t most = kRoundBytes + kLine * ends_.size();
    if (part < 0 || common < 0 || part > most || common > most) {
      throw Error(ErrorKind::kDevice, fmt::format("{}: rank {} sent what no rank sends", ends_.name, rank));
    }
    from.body.resize(static_cast<std::size_t>(whole_lines(part) + common));
    const std::span<std::byte> body(from.body);
    from.in = {body.first(static_cast<std::size_t>(part)), body.last(static_cast<std::size_t>(common))};
  }
  std::erase_if(from.in, [](const std::span<std::byte>& bytes) { return bytes.empty(); });
}

/// Until somebody can go on.
void TcpWire::sleep() const {
  std::vector<pollfd> entries;
  for (const Peer& peer : peers_) {
    const int events = (peer.out.empty() ? 0 : POLLOUT) | (peer.in.empty() ? 0 : POLLIN);
    if (events != 0 && !peer.lost) entries.push_back({peer.socket.fd(), static_cast<short>(events), 0});
  }
  ::poll(entries.data(), entries.size(), kCheckMs);
}

void TcpWire::refuse_lost() const {
  for (int r = 0; r < ends_.size(); ++r) {
    if (!peers_[to_index(r)].lost) continue;
    throw Error(ErrorKind::kDevice,
                fmt::format("{}: the connection to rank {} broke", ends_.name, ends_.ranks[to_index(r)]));
  }
}

}  // namespace shardscope
