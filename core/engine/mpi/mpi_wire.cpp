#include "core/engine/mpi/mpi_wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/engine/waiting.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::int64_t kRoundBytes = 1 << 20;
constexpr std::size_t kLine = 64;
constexpr std::size_t kMessageBytes = 1 << 30;        // MPI counts in int
constexpr auto kNap = std::chrono::microseconds(50);  // between two looks, when nothing came for a while

std::size_t to_index(int number) { return static_cast<std::size_t>(number); }
std::size_t whole_lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

void check_mpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int size = 0;
  MPI_Error_string(code, text.data(), &size);
  throw Error(ErrorKind::kDevice, fmt::format("{}: {}", what, text.data()));
}

void copy(std::byte* to, ConstBytes from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

}  // namespace

struct MpiWire::Head {
  std::uint64_t key = 0;  // two groups could share a tag
  CallHead call;
  std::uint64_t part = 0, common = 0;  // bytes
};

MpiWire::MpiWire(WireEnds ends) : ends_(std::move(ends)), peers_(ends_.ranks.size()) {
  void* most = nullptr;
  int found = 0;
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, static_cast<void*>(&most), &found);
  const int tags = found != 0 ? *static_cast<int*>(most) : 32767;
  tag_ = static_cast<int>(ends_.key % static_cast<std::uint64_t>(tags));
}

std::int64_t MpiWire::round_bytes() const { return kRoundBytes; }

std::int64_t MpiWire::round(const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) {
  static_assert(sizeof(Head) <= kLine);
  for (int r = 0; r < ends_.size(); ++r) {
    if (r == ends_.self) continue;
    Peer& peer = peers_[to_index(r)];
    peer.in.resize(2 * kLine + static_cast<std::size_t>(kRoundBytes) + kLine * ends_.ranks.size());
    start_recv(peer.in.data(), peer.in.size(), r);
    const ConstBytes part = parts.empty() ? ConstBytes() : parts[to_index(r)];
    const Head own{ends_.key, head, part.size(), common.size()};
    peer.out.resize(kLine + whole_lines(part.size()) + common.size());
    std::memcpy(peer.out.data(), &own, sizeof own);
    copy(peer.out.data() + kLine, part);
    copy(peer.out.data() + kLine + whole_lines(part.size()), common);
    start_send(peer.out.data(), peer.out.size(), r);
  }
  const std::int64_t waited_ns = finish();
  for (int r = 0; r < ends_.size(); ++r) {
    if (r == ends_.self) continue;
    Head theirs;
    std::memcpy(&theirs, peers_[to_index(r)].in.data(), sizeof theirs);
    check_head(theirs, head, r);
  }
  return waited_ns;
}

Given MpiWire::given(int rank) const {
  const std::vector<std::byte>& in = peers_[to_index(rank)].in;
  Head head;
  std::memcpy(&head, in.data(), sizeof head);
  return {head.call, ConstBytes(in).subspan(kLine, head.part),
          ConstBytes(in).subspan(kLine + whole_lines(head.part), head.common)};
}

/// Synchronous: over when the receiver has begun to take the last piece.
std::int64_t MpiWire::send(ConstBytes data, int peer) {
  const Head head{ends_.key, {Call::kSend, static_cast<std::int64_t>(data.size())}, data.size(), 0};
  start_send(&head, sizeof head, peer);
  for (ConstBytes left = data; !left.empty(); left = left.subspan(std::min(left.size(), kMessageBytes))) {
    start_send(left.data(), std::min(left.size(), kMessageBytes), peer);
  }
  return finish();
}

std::int64_t MpiWire::recv(std::span<std::byte> data, int peer) {
  Head head;
  start_recv(&head, sizeof head, peer);
  const std::int64_t waited_ns = finish();
  check_head(head, {Call::kSend, static_cast<std::int64_t>(data.size())}, peer);
  for (auto left = data; !left.empty(); left = left.subspan(std::min(left.size(), kMessageBytes))) {
    start_recv(left.data(), std::min(left.size(), kMessageBytes), peer);
  }
  finish();
  return waited_ns;
}

void MpiWire::start_send(const void* data, std::size_t size, int peer) {
  check_mpi(MPI_Issend(data, static_cast<int>(size), MPI_BYTE, rank(peer), tag_, MPI_COMM_WORLD,
                       &requests_.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Issend");
}

void MpiWire::start_recv(void* data, std::size_t size, int peer) {
  check_mpi(MPI_Irecv(data, static_cast<int>(size), MPI_BYTE, rank(peer), tag_, MPI_COMM_WORLD,
                      &requests_.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Irecv");
}

/// MPI only waits by looking, so after a moment it looks now and then: other lanes need the core.
std::int64_t MpiWire::finish() {
  const std::int64_t start = steady_now_ns();
  const auto done = [&] {
    int flag = 0;
    check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &flag, MPI_STATUSES_IGNORE), "MPI");
    return flag != 0;
  };
  while (!spin_until(done)) {
    ends_.check();
    std::this_thread::sleep_for(kNap);
  }
  requests_.clear();
  return steady_now_ns() - start;
}

void MpiWire::check_head(const Head& head, const CallHead& call, int peer) const {
  if (head.key != ends_.key) {
    throw Error(ErrorKind::kDevice,
                fmt::format("{}: another group has its tag {} in this MPI, which knows too few", ends_.name, tag_));
  }
  check_same(ends_, call, head.call, peer);
}

}  // namespace shardscope
