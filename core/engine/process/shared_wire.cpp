#include "core/engine/process/shared_wire.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <ctime>
#include <thread>

#include "core/check.h"
#include "core/engine/waiting.h"

namespace shardscope {
namespace {

constexpr std::int64_t kLine = 64;
constexpr std::int64_t kRoundBytes = 256 << 10;  // two of it per rank stay in the second-level cache
constexpr std::int64_t kMailBytes = 128 << 10;   // of one piece of a message; two may be on their way

std::size_t to_index(int number) { return static_cast<std::size_t>(number); }
std::int64_t whole_lines(std::int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

void copy(std::byte* to, ConstBytes from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

}  // namespace

/// Counts up, wrapping; sleepers are woken only if there are some, so that nobody pays for a system call otherwise.
struct alignas(kLine) SharedWire::Counter {
  std::atomic<std::uint32_t> value;
  std::atomic<std::uint32_t> sleepers;

  void set(std::uint32_t to) {
    value.store(to);  // sequentially consistent with `sleepers`: either we see the sleeper or it sees the value
    if (sleepers.load() != 0) ::syscall(SYS_futex, &value, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  bool reached(std::uint32_t target) const {
    return static_cast<std::int32_t>(value.load(std::memory_order_acquire) - target) >= 0;
  }
  void sleep_until_changed(std::uint32_t target) {
    sleepers.fetch_add(1);
    const std::uint32_t seen = value.load();
    const timespec limit{0, kCheckMs * 1'000'000};
    if (static_cast<std::int32_t>(seen - target) < 0) {
      ::syscall(SYS_futex, &value, FUTEX_WAIT, seen, &limit, nullptr, 0);
    }
    sleepers.fetch_sub(1);
  }
};

/// Followed by `ranks + 2` ends of parts (the last is that of the common one), then the data.
struct alignas(kLine) SharedWire::Slot {
  CallHead head;
  std::uint32_t* ends() { return reinterpret_cast<std::uint32_t*>(this + 1); }  // where each part begins and ends
};

struct SharedWire::Mail {
  Counter sent, taken;  // pieces
  std::int64_t message_bytes[2];
  alignas(kLine) std::byte data[2][kMailBytes];
};

// ---------------------------------------------------------------- layout: counters, slots by rank and parity, mail

namespace {

std::int64_t slot_head_bytes(int ranks) { return kLine + whole_lines(8 * (ranks + 1)); }
std::int64_t slot_bytes(int ranks) { return slot_head_bytes(ranks) + kRoundBytes + kLine * (ranks + 1); }

}  // namespace

std::int64_t SharedWire::bytes(int ranks) {
  return ranks * kLine + 2 * ranks * slot_bytes(ranks) + ranks * ranks * static_cast<std::int64_t>(sizeof(Mail));
}

SharedWire::Counter& SharedWire::gives(int rank) const {
  return *reinterpret_cast<Counter*>(range_.data() + rank * kLine);
}

SharedWire::Slot& SharedWire::slot(int rank, std::uint32_t round) const {
  const int ranks = ends_.size();
  return *reinterpret_cast<Slot*>(range_.data() + ranks * kLine + (2 * rank + (round & 1)) * slot_bytes(ranks));
}

std::byte* SharedWire::slot_data(Slot& slot) const {
  return reinterpret_cast<std::byte*>(&slot) + slot_head_bytes(ends_.size());
}

SharedWire::Mail& SharedWire::mail(int from, int to) const {
  const int ranks = ends_.size();
  std::byte* const first = range_.data() + ranks * kLine + 2 * ranks * slot_bytes(ranks);
  return reinterpret_cast<Mail*>(first)[from * ranks + to];
}

// ---------------------------------------------------------------- rounds

SharedWire::SharedWire(WireEnds ends, SharedRange range, bool spin)
    : ends_(std::move(ends)), range_(std::move(range)), spin_(spin) {
  static_assert(sizeof(Counter) == kLine && std::atomic<std::uint32_t>::is_always_lock_free);
  SS_CHECK(range_.bytes() >= bytes(ends_.size()), range_.bytes());
  rounds_ = gives(ends_.self).value.load();  // of an earlier wire of the same group and lane
}

std::int64_t SharedWire::round_bytes() const { return kRoundBytes; }

std::int64_t SharedWire::wait_for(Counter& counter, std::uint32_t value) const {
  if (counter.reached(value)) return 0;
  const std::int64_t start = steady_now_ns();
  if (spin_) spin_until([&] { return counter.reached(value); });
  while (!counter.reached(value)) {
    ends_.check();
    counter.sleep_until_changed(value);
  }
  return steady_now_ns() - start;
}

// Two slots are enough, and nobody says when he has read: a rank writes round n + 2 over round n only after all have
// given round n + 1, and each gives that only when he is done with round n.
std::int64_t SharedWire::round(const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) {
  write(slot(ends_.self, rounds_), head, parts, common);
  ++rounds_;
  gives(ends_.self).set(rounds_);
  std::int64_t waited_ns = 0;
  for (int r = 0; r < ends_.size(); ++r) {
    if (r != ends_.self) waited_ns += wait_for(gives(r), rounds_);
  }
  ends_.check();
  return waited_ns;
}

void SharedWire::write(Slot& to, const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) const {
  to.head = head;
  std::int64_t end = 0;
  for (int r = 0; r <= ends_.size(); ++r) {
    const bool is_common = r == ends_.size();
    const ConstBytes part = is_common ? common : parts.empty() || r == ends_.self ? ConstBytes() : parts[to_index(r)];
    end = whole_lines(end);
    to.ends()[2 * r] = static_cast<std::uint32_t>(end);
    copy(slot_data(to) + end, part);
    end += static_cast<std::int64_t>(part.size());
    to.ends()[2 * r + 1] = static_cast<std::uint32_t>(end);
  }
  SS_CHECK(end <= kRoundBytes + kLine * (ends_.size() + 1), end);
}

Given SharedWire::given(int rank) const {
  Slot& from = slot(rank, rounds_ - 1);
  const auto part = [&](int place) {
    const std::uint32_t* const range = from.ends() + 2 * place;
    return ConstBytes(slot_data(from) + range[0], range[1] - range[0]);
  };
  return {from.head, part(ends_.self), part(ends_.size())};
}

// ---------------------------------------------------------------- messages

std::int64_t SharedWire::send(ConstBytes data, int peer) {
  Mail& to = mail(ends_.self, peer);
  std::uint32_t sent = to.sent.value.load(std::memory_order_relaxed);
  const std::size_t size = data.size();
  std::int64_t waited_ns = 0;
  do {
    waited_ns += wait_for(to.taken, sent - 1);  // one piece may lie there unread
    const ConstBytes piece = data.first(std::min<std::size_t>(data.size(), kMailBytes));
    to.message_bytes[sent & 1] = static_cast<std::int64_t>(size);
    copy(to.data[sent & 1], piece);
    data = data.subspan(piece.size());
    to.sent.set(++sent);
  } while (!data.empty());
  waited_ns += wait_for(to.taken, sent);
  ends_.check();
  return waited_ns;
}

std::int64_t SharedWire::recv(std::span<std::byte> data, int peer) {
  Mail& from = mail(peer, ends_.self);
  std::uint32_t taken = from.taken.value.load(std::memory_order_relaxed);
  const CallHead ours{Call::kSend, static_cast<std::int64_t>(data.size())};
  std::int64_t waited_ns = 0;
  do {
    waited_ns += wait_for(from.sent, taken + 1);
    ends_.check();
    check_same(ends_, ours, {Call::kSend, from.message_bytes[taken & 1]}, peer);
    const std::span<std::byte> piece = data.first(std::min<std::size_t>(data.size(), kMailBytes));
    copy(piece.data(), {from.data[taken & 1], piece.size()});
    data = data.subspan(piece.size());
    from.taken.set(++taken);
  } while (!data.empty());
  return waited_ns;
}

}  // namespace shardscope
