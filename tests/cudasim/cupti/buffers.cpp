#include "tests/cudasim/cupti/buffers.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace cudasim {

namespace {

constexpr size_t kMostWaiting = 8;  ///< how far records may be from their order
constexpr unsigned kPartly = 200;   ///< one buffer in so many records is given back before it is full
constexpr auto kLate = std::chrono::milliseconds(2);

}  // namespace

Buffers::Buffers(unsigned seed) : random_(seed) {
  if (const char* every = std::getenv("CUDASIM_CUPTI_DROP")) drop_every_ = static_cast<size_t>(std::atoi(every));
}

void Buffers::set_callbacks(CUpti_BuffersCallbackRequestFunc request, CUpti_BuffersCallbackCompleteFunc complete) {
  std::lock_guard lock(mutex_);
  request_ = request;
  complete_ = complete;
  if (!worker_.joinable()) {
    worker_ = std::thread([this] { deliver(); });
    worker_.detach();
  }
}

void Buffers::put(const void* record, size_t bytes) {
  std::lock_guard lock(mutex_);
  if (request_ == nullptr) return;
  if (drop_every_ > 0 && ++seen_ % drop_every_ == 0) {
    ++dropped_;
    return;
  }
  const u8* at = static_cast<const u8*>(record);
  waiting_.emplace_back(at, at + bytes);
  write_some(kMostWaiting);
  if (random_() % kPartly == 0) finish_current();
}

/// Writes waiting records, any of them first, until `keep` are left.
void Buffers::write_some(size_t keep) {
  while (waiting_.size() > keep) {
    std::swap(waiting_[random_() % waiting_.size()], waiting_.back());
    write(waiting_.back());
    waiting_.pop_back();
  }
}

void Buffers::write(const std::vector<u8>& record) {
  const bool full = current_.used + record.size() > current_.bytes ||
                    (current_.most_records > 0 && current_.records == current_.most_records);
  if (current_.data != nullptr && full) finish_current();
  if (current_.data == nullptr) {
    current_ = {};
    request_(&current_.data, &current_.bytes, &current_.most_records);
  }
  if (current_.data == nullptr || current_.bytes < record.size()) {
    ++dropped_;
    return;
  }
  std::memcpy(current_.data + current_.used, record.data(), record.size());
  current_.used += record.size();
  ++current_.records;
}

void Buffers::finish_current() {
  if (current_.data == nullptr) return;
  full_.push_back(std::exchange(current_, {}));
  changed_.notify_all();
}

void Buffers::flush(bool wait) {
  std::unique_lock lock(mutex_);
  if (request_ == nullptr) return;
  write_some(wait ? 0 : kMostWaiting / 2);
  finish_current();
  if (wait) changed_.wait(lock, [this] { return full_.empty() && delivering_ == 0; });
}

/// CUPTI's thread.
void Buffers::deliver() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !full_.empty(); });
    const Buffer buffer = full_.front();
    full_.pop_front();
    ++delivering_;
    lock.unlock();
    std::this_thread::sleep_for(kLate);
    complete_(nullptr, 0, buffer.data, buffer.bytes, buffer.used);
    lock.lock();
    --delivering_;
    changed_.notify_all();
  }
}

size_t Buffers::take_dropped() {
  std::lock_guard lock(mutex_);
  return std::exchange(dropped_, 0);
}

}  // namespace cudasim
