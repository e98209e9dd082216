#pragma once
// Events from one thread to another without locks: the producer appends to a chunk it owns, the consumer reads what has
// been published. A new chunk is allocated once in some thousand events, so push() costs a few nanoseconds.
//
//   queue.push(event);                                           // producer
//   queue.drain([](const SliceEvent& event) { keep(event); });   // consumer

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace shardscope {

template <class Event>
class EventQueue {
 public:
  EventQueue() = default;
  ~EventQueue() {
    for (Chunk* chunk = head_ != nullptr ? head_ : first_.load(); chunk != nullptr;)
      delete std::exchange(chunk, chunk->next.load());
  }
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  /// Producer only.
  void push(const Event& event) {
    if (tail_ == nullptr || used_ == tail_->capacity) grow();
    tail_->events[used_++] = event;
    tail_->published.store(used_, std::memory_order_release);
  }

  /// Producer only: whether the next push() takes new memory; the moment to look at pending().
  bool at_chunk_end() const { return tail_ == nullptr || used_ == tail_->capacity; }

  /// Events pushed into full chunks and not yet drained: an estimate for the producer, exact at chunk ends.
  std::int64_t pending() const { return filled_ - drained_.load(std::memory_order_relaxed); }

  /// Consumer only. Calls f(const Event&) for each published event in order; returns how many.
  template <class F>
  std::int64_t drain(F&& f) {
    if (head_ == nullptr) head_ = first_.load(std::memory_order_acquire);
    std::int64_t count = 0;
    while (head_ != nullptr) {
      const std::uint32_t published = head_->published.load(std::memory_order_acquire);
      for (; read_ < published; ++read_, ++count) f(std::as_const(head_->events[read_]));
      Chunk* next = head_->next.load(std::memory_order_acquire);
      if (next == nullptr || read_ < head_->capacity) break;
      delete std::exchange(head_, next);
      read_ = 0;
    }
    drained_.fetch_add(count, std::memory_order_relaxed);
    return count;
  }

 private:
  struct Chunk {
    explicit Chunk(std::uint32_t n) : capacity(n), events(new Event[n]) {}
    const std::uint32_t capacity;
    std::atomic<std::uint32_t> published{0};
    std::atomic<Chunk*> next{nullptr};
    std::unique_ptr<Event[]> events;
  };
  static constexpr std::uint32_t kFirst = 128, kLargest = 4096;

  void grow() {
    const std::uint32_t capacity = tail_ == nullptr ? kFirst : std::min(tail_->capacity * 4, kLargest);
    auto* chunk = new Chunk(capacity);
    if (tail_ == nullptr) {
      first_.store(chunk, std::memory_order_release);
    } else {
      filled_ += tail_->capacity;
      tail_->next.store(chunk, std::memory_order_release);
    }
    tail_ = chunk;
    used_ = 0;
  }

  // producer
  Chunk* tail_ = nullptr;
  std::uint32_t used_ = 0;
  std::int64_t filled_ = 0;
  std::atomic<Chunk*> first_{nullptr};
  // consumer
  alignas(64) Chunk* head_ = nullptr;
  std::uint32_t read_ = 0;
  std::atomic<std::int64_t> drained_{0};
};

}  // namespace shardscope
