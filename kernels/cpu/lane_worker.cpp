#include "kernels/cpu/lane_worker.h"

#include "core/engine/waiting.h"
#include "core/program/ops.h"

namespace shardscope {

void Failure::keep(const std::exception_ptr& error) {
  {
    const std::lock_guard lock(mutex_);
    if (happened()) return;
    first_ = error;
    happened_.store(true, std::memory_order_release);
  }
  if (notify_) notify_(error);
}

void Failure::rethrow() const {
  if (happened()) std::rethrow_exception(first_);
}

LaneWorker::~LaneWorker() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  pushes_.fetch_add(1, std::memory_order_release);
  pushes_.notify_one();
  thread_.join();
}

void LaneWorker::push_item(Item item) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(item));
  }
  pushes_.fetch_add(1, std::memory_order_release);
  pushes_.notify_one();
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
}

std::int64_t LaneWorker::push_point() {
  push_item(Point{++points_pushed_});
  return points_pushed_;
}

void LaneWorker::push_wait(const LaneWorker& other, std::int64_t point) {
  push_item(WaitFor{&other, static_cast<std::uint32_t>(point)});
}

void LaneWorker::drain() {
  if (thread_.joinable()) wait_until(static_cast<std::uint32_t>(push_point()));
}

/// Points are compared by their distance, so that they may wrap around.
void LaneWorker::wait_until(std::uint32_t point) const {
  for (;;) {
    const std::uint32_t passed = points_passed_.load(std::memory_order_acquire);
    if (static_cast<std::int32_t>(passed - point) >= 0) return;
    points_passed_.wait(passed, std::memory_order_acquire);
  }
}

void LaneWorker::work() {
  std::vector<Item> batch;
  for (;;) {
    const std::uint32_t seen = pushes_.load(std::memory_order_acquire);
    bool stop = false;
    {
      const std::lock_guard lock(mutex_);
      batch.swap(inbox_);
      stop = stopping_;
    }
    for (const Item& item : batch) do_item(item);
    if (batch.empty()) {
      if (stop) return;
      pushes_.wait(seen, std::memory_order_acquire);
    }
    batch.clear();
  }
}

void LaneWorker::do_item(const Item& item) {
  try {
    std::visit(Overloaded{
                   [&](const OpWork& op) {
                     if (failure_.happened()) return;
                     running_.store(op.op, std::memory_order_relaxed);
                     run_op_(op);
                     running_.store(nullptr, std::memory_order_relaxed);
                   },
                   [&](const std::function<void()>& call) {
                     if (!failure_.happened()) call();
                   },
                   [&](const std::function<void(std::int64_t)>& then) {
                     if (!failure_.happened()) then(steady_now_ns());
                   },
                   [&](const Point& point) {
                     points_passed_.store(point.number, std::memory_order_release);
                     points_passed_.notify_all();
                   },
                   [&](const WaitFor& wait) { wait.other->wait_until(wait.point); },
               },
               item);
  } catch (...) {
    failure_.keep(std::current_exception());
  }
}

}  // namespace shardscope
