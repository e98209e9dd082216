#pragma once
// Events from one thread to another without locks: the producer appends to a chunk it owns, the consumer reads what has
// been published. A new chunk is taken once in some thousand events, so push() costs a few nanoseconds. Chunks are
// blocks of the run's EventFile, which outlives the process, or, without one or with none free there, memory.
//
//   queue.push(event);                                           // producer
//   queue.drain([](const SliceEvent& event) { keep(event); });   // consumer
//   queue.release();                                             // what was drained is kept elsewhere now

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "profiler/store/event_file.h"

namespace shardscope {

template <class Event>
class EventQueue {
  static_assert(std::is_trivially_copyable_v<Event>);

 public:
  EventQueue() = default;
  ~EventQueue() {
    for (Chunk* chunk = head_ != nullptr ? head_ : first_.load(); chunk != nullptr;)
      delete std::exchange(chunk, chunk->next.load());
  }
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  /// Before the first push(). The file must live longer.
  void use(EventFile* file, const EventSource& source) {
    file_ = file;
    source_ = source;
  }

  /// Producer only.
  void push(const Event& event) {
    if (tail_ == nullptr || used_ == tail_->capacity) grow();
    tail_->events[used_++] = event;
    tail_->published->store(used_, std::memory_order_release);
  }

  /// Producer only: whether the next push() takes a new chunk; the moment to look at pending().
  bool at_chunk_end() const { return tail_ == nullptr || used_ == tail_->capacity; }

  /// Events pushed into full chunks and not yet drained: an estimate for the producer, exact at chunk ends.
  std::int64_t pending() const { return filled_ - drained_.load(std::memory_order_relaxed); }

  /// Producer only: whether the file had no block left for the last chunk.
  bool is_crowded() const { return file_ != nullptr && tail_ != nullptr && tail_->block == nullptr; }

  /// Consumer only. Calls f(const Event&) for each published event in order; returns how many.
  template <class F>
  std::int64_t drain(F&& f) {
    if (head_ == nullptr) head_ = first_.load(std::memory_order_acquire);
    std::int64_t count = 0;
    while (head_ != nullptr) {
      const std::uint32_t published = head_->published->load(std::memory_order_acquire);
      for (; read_ < published; ++read_, ++count) f(std::as_const(head_->events[read_]));
      Chunk* next = head_->next.load(std::memory_order_acquire);
      if (next == nullptr || read_ < head_->capacity) break;
      if (head_->block != nullptr) done_.push_back(head_->block);
      delete std::exchange(head_, next);
      read_ = 0;
    }
    drained_.fetch_add(count, std::memory_order_relaxed);
    return count;
  }

  /// Consumer only: events drained so far.
  std::int64_t drained() const { return drained_.load(std::memory_order_relaxed); }

  /// Consumer only: gives drained blocks back to the file.
  void release() {
    for (EventBlock* block : done_) EventFile::release(block);
    done_.clear();
  }

 private:
  struct Chunk {
    explicit Chunk(std::uint32_t n) : capacity(n), memory(new Event[n]), events(memory.get()), published(&own) {}
    explicit Chunk(EventBlock* from)
        : capacity(EventBlock::capacity<Event>()),
          events(reinterpret_cast<Event*>(from->events())),
          published(&from->published),
          block(from) {}
    const std::uint32_t capacity;
    std::unique_ptr<Event[]> memory;
    Event* const events;
    std::atomic<std::uint32_t> own{0};
    std::atomic<std::uint32_t>* const published;
    EventBlock* block = nullptr;
    std::atomic<Chunk*> next{nullptr};
  };
  static constexpr std::uint32_t kFirst = 128, kLargest = 4096;

  Chunk* new_chunk() {
    source_.first = filled_;
    EventBlock* block = file_ != nullptr ? file_->take(source_) : nullptr;
    if (block != nullptr) return new Chunk(block);
    return new Chunk(tail_ == nullptr ? kFirst : std::min(tail_->capacity * 4, kLargest));
  }

  void grow() {
    if (tail_ != nullptr) filled_ += tail_->capacity;
    Chunk* chunk = new_chunk();
    (tail_ == nullptr ? first_ : tail_->next).store(chunk, std::memory_order_release);
    tail_ = chunk;
    used_ = 0;
  }

  // producer
  EventFile* file_ = nullptr;
  EventSource source_;
  Chunk* tail_ = nullptr;
  std::uint32_t used_ = 0;
  std::int64_t filled_ = 0;
  std::atomic<Chunk*> first_{nullptr};
  // consumer
  alignas(64) Chunk* head_ = nullptr;
  std::uint32_t read_ = 0;
  std::vector<EventBlock*> done_;
  std::atomic<std::int64_t> drained_{0};
};

}  // namespace shardscope
