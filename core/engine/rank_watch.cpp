#include "core/engine/rank_watch.h"

#include <chrono>

namespace shardscope {
namespace {

constexpr auto kEvery = std::chrono::milliseconds(100);

}  // namespace

RankWatch::RankWatch(Hub& hub, OnStuck on_stuck)
    : hub_(hub), on_stuck_(std::move(on_stuck)), thread_([this] { work(); }) {}

RankWatch::~RankWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  end_.notify_one();
  thread_.join();
}

RankWatch::Look::Look(RankWatch& watch, int rank, const Executor& executor) : watch_(watch), rank_(rank) {
  const std::lock_guard lock(watch_.mutex_);
  watch_.executors_[rank] = &executor;
}

RankWatch::Look::~Look() {
  const std::lock_guard lock(watch_.mutex_);
  watch_.executors_.erase(rank_);
}

void RankWatch::work() {
  std::unique_lock lock(mutex_);
  while (!end_.wait_for(lock, kEvery, [this] { return ending_; })) {
    observe();
    check_stuck();
  }
}

/// With the lock: an executor stays while it is looked at.
void RankWatch::observe() {
  for (int rank : hub_.local_ranks()) {
    const auto executor = executors_.find(rank);
    hub_.observe(rank,
                 executor == executors_.end() ? RankState{.where = "outside its steps"} : executor->second->state());
  }
}

void RankWatch::check_stuck() {
  const double now_s = clock_.now_s();
  if (said_ || !on_stuck_) return;
  const std::optional<RankFailure> failure = hub_.failure();
  if (!failure) return;
  if (!failed_s_) failed_s_ = now_s;
  if (now_s - *failed_s_ < kGraceSeconds) return;
  said_ = true;
  on_stuck_(*failure);
}

}  // namespace shardscope
