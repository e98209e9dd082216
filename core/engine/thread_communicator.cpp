#include "core/engine/thread_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include "core/check.h"
#include "core/engine/reduce.h"
#include "core/engine/waiting.h"

namespace shardscope {
namespace {

constexpr std::int64_t kSmallBytes = 4096;    // up to here a copy costs less than a second meeting
constexpr std::int64_t kChunkAlign = 64 / 4;  // elements; chunks of two ranks never share a cache line

std::size_t to_index(int number) { return static_cast<std::size_t>(number); }

/// Waits until `word` is no longer `old`, or `stop` is set.
void wait_for_change(const std::atomic<std::uint32_t>& word, std::uint32_t old, bool spin,
                     const std::atomic<bool>& stop) {
  if (spin && spin_until([&] { return word.load(std::memory_order_acquire) != old; })) return;
  while (word.load(std::memory_order_acquire) == old && !stop.load(std::memory_order_acquire)) word.wait(old);
}

}  // namespace

// An abort changes `generation_` too, so that nobody can fall asleep on a value that nobody will change again.
bool Meeting::arrive_and_wait() {
  const std::uint32_t generation = generation_.load(std::memory_order_acquire);
  if (aborted_.load(std::memory_order_acquire)) return false;
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_acq_rel);
    generation_.notify_all();
  } else {
    wait_for_change(generation_, generation, spin_, aborted_);
  }
  return !aborted_.load(std::memory_order_acquire);
}

void Meeting::wake_all() {
  generation_.fetch_add(1, std::memory_order_acq_rel);
  generation_.notify_all();
}

// ---------------------------------------------------------------- one group on one lane

struct ThreadHub::Shared {
  /// One direction between two ranks: how many messages were offered, and how many taken.
  struct Channel {
    const void* data = nullptr;
    std::int64_t bytes = 0;
    alignas(64) std::atomic<std::uint32_t> offered{0};
    alignas(64) std::atomic<std::uint32_t> taken{0};
  };
  struct alignas(64) Slot {
    const void* in = nullptr;
    void* out = nullptr;
    std::int64_t bytes = 0;
    const char* call = "";
  };
  struct alignas(64) Mailbox {
    std::array<std::byte, kSmallBytes> data;
  };

  Shared(int n, bool spin, const std::atomic<bool>& aborted)
      : size(n),
        meeting(n, spin, aborted),
        slots(2 * static_cast<std::size_t>(n)),
        mail(2 * static_cast<std::size_t>(n)),
        channels(static_cast<std::size_t>(n) * static_cast<std::size_t>(n)) {}

  Channel& channel(int from, int to) { return channels[to_index(from) * to_index(size) + to_index(to)]; }

  const int size;
  Meeting meeting;
  std::vector<Slot>
      slots;  // by parity of the call and rank, so that a fast rank cannot overwrite what a slow one reads
  std::vector<Mailbox> mail;  // the same, for small messages
  std::vector<Channel> channels;
};

class ThreadHub::End : public Communicator {
 public:
  End(ThreadHub& hub, Shared& shared, int self, std::string name)
      : hub_(hub), shared_(shared), self_(self), name_(std::move(name)) {}

  int rank() const override { return self_; }
  int size() const override { return shared_.size; }
  std::int64_t last_wait_ns() const override { return last_wait_ns_; }
  void check_peers() const override {
    if (hub_.aborted()) hub_.throw_peer_stopped();
  }

  void all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) override {
    last_wait_ns_ = 0;
    if (size() == 1 || count == 0) return;
    const std::int64_t bytes = count * size_of(dtype);
    if (bytes <= kSmallBytes) return all_reduce_small(data, count, dtype, op);
    meet("all_reduce", data, data, bytes);
    const auto [first, n] = my_chunk(count);
    gather_addresses(first * size_of(dtype));
    if (n > 0) reduce_in_order(ins_, outs_, n, dtype, op);
    part();
  }

  void reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) override {
    last_wait_ns_ = 0;
    const std::int64_t bytes = count * size_of(dtype);
    meet("reduce_scatter", in, out, bytes);
    gather_addresses(self_ * bytes);
    std::byte* const mine = static_cast<std::byte*>(out);
    if (count > 0) reduce_in_order(ins_, std::span(&mine, 1), count, dtype, ReduceOp::kSum);
    part();
  }

  void all_gather(const void* in, void* out, std::int64_t count, DType dtype) override {
    last_wait_ns_ = 0;
    const std::int64_t bytes = count * size_of(dtype);
    meet("all_gather", in, out, bytes);
    for (int i = 0; i < size(); ++i) {  // everybody starts at another rank, so that no one's memory is read by all
      const int from = (self_ + i) % size();
      copy(static_cast<std::byte*>(out) + from * bytes, slot(from).in, bytes);
    }
    part();
  }

  void broadcast(void* data, std::int64_t count, DType dtype, int root) override {
    last_wait_ns_ = 0;
    SS_CHECK(root >= 0 && root < size(), root, size());
    const std::int64_t bytes = count * size_of(dtype);
    meet("broadcast", data, data, bytes);
    copy(data, slot(root).in, bytes);
    part();
  }

  void all_to_all(const void* in, void* out, std::int64_t count, DType dtype) override {
    last_wait_ns_ = 0;
    const std::int64_t bytes = count * size_of(dtype);
    meet("all_to_all", in, out, bytes);
    for (int i = 0; i < size(); ++i) {
      const int from = (self_ + i) % size();
      copy(static_cast<std::byte*>(out) + from * bytes, static_cast<const std::byte*>(slot(from).in) + self_ * bytes,
           bytes);
    }
    part();
  }

  void ring_shift(const void* in, void* out, std::int64_t count, DType dtype) override {
    last_wait_ns_ = 0;
    const std::int64_t bytes = count * size_of(dtype);
    meet("ring_shift", in, out, bytes);
    copy(out, slot((self_ + size() - 1) % size()).in, bytes);
    part();
  }

  /// Returns when the receiver has the data: like NCCL, a program must not rely on buffering.
  void send(const void* data, std::int64_t count, DType dtype, int peer) override {
    Shared::Channel& channel = shared_.channel(self_, peer);
    channel.data = data;
    channel.bytes = count * size_of(dtype);
    const std::uint32_t taken = channel.taken.load(std::memory_order_acquire);
    channel.offered.fetch_add(1, std::memory_order_acq_rel);
    channel.offered.notify_all();
    wait_timed(channel.taken, taken);
  }

  void recv(void* data, std::int64_t count, DType dtype, int peer) override {
    Shared::Channel& channel = shared_.channel(peer, self_);
    const std::uint32_t taken = channel.taken.load(std::memory_order_acquire);
    last_wait_ns_ = 0;
    if (channel.offered.load(std::memory_order_acquire) == taken) wait_timed(channel.offered, taken);
    if (hub_.aborted()) hub_.throw_peer_stopped();
    check_same("recv", channel.bytes, count * size_of(dtype), peer);
    copy(data, channel.data, channel.bytes);
    channel.taken.fetch_add(1, std::memory_order_acq_rel);
    channel.taken.notify_all();
  }

 private:
  Shared::Slot& slot(int rank) { return shared_.slots[to_index(parity_) * to_index(size()) + to_index(rank)]; }
  Shared::Mailbox& mailbox(int rank) { return shared_.mail[to_index(parity_) * to_index(size()) + to_index(rank)]; }

  static void copy(void* to, const void* from, std::int64_t bytes) {
    if (to != from && bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }

  /// Tells the others where our data is, waits until all have, and checks that they mean the same call.
  void meet(const char* call, const void* in, void* out, std::int64_t bytes) {
    parity_ ^= 1;
    slot(self_) = {in, out, bytes, call};
    const std::int64_t start = steady_now_ns();
    if (!shared_.meeting.arrive_and_wait()) hub_.throw_peer_stopped();
    last_wait_ns_ = steady_now_ns() - start;
    for (int r = 0; r < size(); ++r) {
      if (std::strcmp(slot(r).call, call) != 0) fail_mismatch(call, slot(r).call, r);
      check_same(call, slot(r).bytes, bytes, r);
    }
  }

  /// Nobody may touch their buffers again before everybody is done with them.
  void part() {
    if (!shared_.meeting.arrive_and_wait()) hub_.throw_peer_stopped();
  }

  void check_same(const char* call, std::int64_t theirs, std::int64_t ours, int peer) const {
    if (theirs == ours) return;
    throw Error(ErrorKind::kDevice, fmt::format("{} {}: rank {} gives {} bytes where rank {} expects {}", name_, call,
                                                peer, theirs, self_, ours));
  }

  [[noreturn]] void fail_mismatch(const char* call, const char* theirs, int peer) const {
    throw Error(ErrorKind::kDevice,
                fmt::format("{}: rank {} is in {} while rank {} is in {}", name_, self_, call, peer, theirs));
  }

  void wait_timed(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
    const std::int64_t start = steady_now_ns();
    wait_for_change(word, old, hub_.spin_, hub_.aborted_);
    last_wait_ns_ = steady_now_ns() - start;
    if (hub_.aborted()) hub_.throw_peer_stopped();
  }

  /// Everybody's copy lies in the mailboxes, which are used again only two calls later: one meeting is enough.
  void all_reduce_small(void* data, std::int64_t count, DType dtype, ReduceOp op) {
    const std::int64_t bytes = count * size_of(dtype);
    std::memcpy(mailbox_for_next(), data, static_cast<std::size_t>(bytes));
    meet("all_reduce", data, data, bytes);
    ins_.clear();
    for (int r = 0; r < size(); ++r) ins_.push_back(mailbox(r).data.data());
    std::byte* const mine = static_cast<std::byte*>(data);
    reduce_in_order(ins_, std::span(&mine, 1), count, dtype, op);
  }
  void* mailbox_for_next() {
    return shared_.mail[to_index(parity_ ^ 1) * to_index(size()) + to_index(self_)].data.data();
  }

  /// This rank's part of `count` elements: first and number. Chunks are whole cache lines but for the last.
  std::pair<std::int64_t, std::int64_t> my_chunk(std::int64_t count) const {
    const std::int64_t each = (count + size() - 1) / size();
    const std::int64_t chunk = (each + kChunkAlign - 1) / kChunkAlign * kChunkAlign;
    const std::int64_t first = std::min(count, self_ * chunk);
    return {first, std::min(chunk, count - first)};
  }

  void gather_addresses(std::int64_t offset_bytes) {
    ins_.clear();
    outs_.clear();
    for (int r = 0; r < size(); ++r) {
      ins_.push_back(static_cast<const std::byte*>(slot(r).in) + offset_bytes);
      outs_.push_back(static_cast<std::byte*>(slot(r).out) + offset_bytes);
    }
  }

  ThreadHub& hub_;
  Shared& shared_;
  const int self_;
  const std::string name_;
  int parity_ = 0;
  std::int64_t last_wait_ns_ = 0;
  std::vector<const std::byte*> ins_;  // kept between calls: no allocation per collective
  std::vector<std::byte*> outs_;
};

// ---------------------------------------------------------------- the hub

ThreadHub::ThreadHub(int ranks, double hang_timeout_s)
    : ranks_(ranks),
      spin_(ranks <= static_cast<int>(std::thread::hardware_concurrency())),
      everybody_(ranks, spin_, aborted_),
      watch_(ranks, hang_timeout_s) {
  SS_CHECK(ranks >= 1, ranks);
}

ThreadHub::~ThreadHub() = default;

std::vector<int> ThreadHub::local_ranks() const { return world_group(ranks_, 0).ranks; }

std::unique_ptr<Communicator> ThreadHub::connect(const Group& group, Lane lane, int rank) {
  SS_CHECK(group.self >= 0 && group.self < group.size(), group.name, group.self);
  SS_CHECK(group.ranks[to_index(group.self)] == rank, group.name, rank);
  const std::lock_guard lock(mutex_);
  const std::string key = fmt::format("{}[{}]", group.name, fmt::join(group.ranks, ","));
  std::unique_ptr<Shared>& shared = groups_[{key, meeting_lane(lane)}];
  if (shared == nullptr) shared = std::make_unique<Shared>(group.size(), spin_, aborted_);
  return std::make_unique<End>(*this, *shared, group.self, fmt::format("group {} on {}", group.name, to_string(lane)));
}

void ThreadHub::abort(int rank, const Error& cause) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = RankFailure{rank, cause};
  aborted_.store(true, std::memory_order_release);
  everybody_.wake_all();
  for (auto& [key, shared] : groups_) {
    shared->meeting.wake_all();
    for (Shared::Channel& channel : shared->channels) {
      channel.offered.fetch_add(1, std::memory_order_acq_rel);
      channel.taken.fetch_add(1, std::memory_order_acq_rel);
      channel.offered.notify_all();
      channel.taken.notify_all();
    }
  }
}

int ThreadHub::threads_per_rank() const {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ranks_);
}

void ThreadHub::observe(int rank, const RankState& state) {
  const double now_s = clock_.now_s();
  watch_.update(rank, state, now_s);
  if (rank + 1 < ranks_) return;  // until all have been looked at
  if (const auto found = watch_.find(now_s)) abort(found->rank, found->cause);
}

std::optional<RankFailure> ThreadHub::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void ThreadHub::barrier() {
  if (!everybody_.arrive_and_wait()) throw_peer_stopped();
}

void ThreadHub::throw_peer_stopped() const {
  const std::lock_guard lock(mutex_);
  throw PeerStopped(fmt::format("stopped because rank {} failed: {}", failure_->rank, failure_->cause.what()));
}

}  // namespace shardscope
