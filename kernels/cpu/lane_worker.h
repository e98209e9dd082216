#pragma once
// One lane: a thread that does work in the order it was given. Pushing never blocks; the thread starts with the first
// push and sleeps (after a short spin) when there is nothing to do.
//
//   LaneWorker lane(setup, failure);
//   lane.push([] { ... });
//   lane.push_wait(other, other.push_point());
//   lane.drain();

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "core/engine/backend.h"

namespace shardscope {

/// The first exception thrown by any lane of a backend. Once there is one, lanes drop what they are given.
class Failure {
 public:
  void keep(const std::exception_ptr& error);
  void on_first(std::function<void(const std::exception_ptr&)> notify) { notify_ = std::move(notify); }
  bool happened() const { return happened_.load(std::memory_order_acquire); }
  void rethrow() const;  ///< if there is one

 private:
  std::atomic<bool> happened_ = false;
  std::exception_ptr first_;  ///< written once, before happened_
  std::function<void(const std::exception_ptr&)> notify_;
  std::mutex mutex_;
};

class LaneWorker {
 public:
  /// An op to run; what it points to outlives it.
  struct OpWork {
    const Op* op;
    const Memory* memory;
    const StepScalars* scalars;
  };
  using RunOp = std::function<void(const OpWork&)>;

  /// `run_op` is called on the lane's thread.
  LaneWorker(RunOp run_op, Failure& failure) : run_op_(std::move(run_op)), failure_(failure) {}
  LaneWorker(const LaneWorker&) = delete;
  LaneWorker& operator=(const LaneWorker&) = delete;
  ~LaneWorker();  ///< finishes what was pushed

  void push(OpWork work) { push_item(work); }
  void push(std::function<void()> work) { push_item(std::move(work)); }
  /// then(the steady_now_ns() at which the lane gets there).
  void push_stamp(std::function<void(std::int64_t)> then) { push_item(std::move(then)); }
  /// Marks the point reached so far; the points of a lane count up from 1.
  std::int64_t push_point();
  /// Holds this lane until `other` has reached `point`. Points pass even after a failure, so this cannot hang on one.
  void push_wait(const LaneWorker& other, std::int64_t point);
  /// The op that it is at, or null. From any thread.
  const Op* running() const { return running_.load(std::memory_order_relaxed); }
  /// Blocks the caller until all that was pushed is done.
  void drain();

 private:
  struct Point {
    std::uint32_t number;
  };
  struct WaitFor {
    const LaneWorker* other;
    std::uint32_t point;
  };
  using Item = std::variant<OpWork, std::function<void()>, std::function<void(std::int64_t)>, Point, WaitFor>;

  void push_item(Item item);
  void work();
  void do_item(const Item& item);
  void wait_until(std::uint32_t point) const;

  RunOp run_op_;
  Failure& failure_;
  std::uint32_t points_pushed_ = 0;
  std::atomic<std::uint32_t> points_passed_ = 0;  ///< 32 bits: what the kernel can wait on directly; may wrap around
  std::atomic<std::uint32_t> pushes_ = 0;         ///< counts up with every push and on stopping; the thread waits on it
  std::mutex mutex_;                              ///< of inbox_ and stopping_
  std::vector<Item> inbox_;
  bool stopping_ = false;
  std::atomic<const Op*> running_ = nullptr;
  std::thread thread_;
};

}  // namespace shardscope
