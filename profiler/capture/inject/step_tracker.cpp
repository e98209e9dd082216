#include "profiler/capture/inject/step_tracker.h"

#include <algorithm>

#include "profiler/capture/inject/inject.h"
#include "profiler/capture/inject/spool_writer.h"
#include "profiler/capture/step_name.h"

namespace shardscope::capture {

namespace {

struct Sign {
  StepSign sign = StepSign::kNone;
  std::int64_t number = -1;  ///< -1: the next
};

Sign sign_of(const char* text) {
  if (text == nullptr) return {};
  if (const auto step = step_name(text)) return {StepSign::kNumbered, step->number};
  if (is_unnumbered_step(text)) return {StepSign::kUnnumbered, -1};
  if (is_optimizer_step(text)) return {StepSign::kOptimizer, -1};
  return {};
}

/// The step under way. One thread of a process steps; whoever finds the lock taken is not it.
struct Current {
  const Spool* spool = nullptr;     ///< a child after fork() counts anew
  StepSign best = StepSign::kNone;  ///< seen so far: lesser ones are believed no more
  std::int64_t began_ns = 0;        ///< 0: none has begun
  bool open = false;                ///< within the range that says so
};
Current current;
std::atomic_flag taken = ATOMIC_FLAG_INIT;
std::atomic<std::uint64_t> open_range{0};    ///< of a range that begins and ends anywhere
thread_local int depth = 0, step_depth = 0;  ///< of the pushed range that is the step; 0: none of this thread
thread_local const Spool* spool_of_depth = nullptr;

class Lock {
 public:
  Lock() : mine_(!taken.test_and_set(std::memory_order_acquire)) {}
  ~Lock() {
    if (mine_) taken.clear(std::memory_order_release);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  explicit operator bool() const { return mine_; }

 private:
  const bool mine_;
};

void switch_to(Spool& spool, std::int64_t step) {
  SpoolHeader& header = spool.header();
  const std::int64_t last = header.last_step.load(std::memory_order_relaxed);
  if (last < 0) return;  // none are chosen
  const bool chosen = step >= header.first_step.load(std::memory_order_relaxed) && step <= last;
  const std::uint32_t now = chosen ? header.wanted.load(std::memory_order_relaxed) : 0;
  if (header.enabled.exchange(now) != now) sources_changed(spool);
}

void write_step(Spool& spool, StepSign sign, std::int64_t began, std::int64_t end) {
  auto* record = spool.begin<StepRecord>(RecordKind::kStep);
  if (record == nullptr) return;
  record->head.time_ns = began;
  record->head.small = static_cast<std::uint32_t>(sign);
  record->end_ns = end;
  record->number = spool.header().step.load(std::memory_order_relaxed);
  spool.commit(record);
}

Spool* watched() {
  Spool* spool = Spool::get();
  return spool != nullptr && spool->header().watch_steps.load(std::memory_order_relaxed) != 0 ? spool : nullptr;
}

/// True if the range is taken for a step, or for the end of one.
bool opened(Spool& spool, const char* text) {
  const Sign found = sign_of(text);
  if (found.sign == StepSign::kNone) return false;
  const Lock lock;
  if (!lock) return false;
  if (current.spool != &spool) current = {.spool = &spool};
  if (current.open || found.sign < current.best) return false;
  if (found.sign > current.best) current.began_ns = 0;
  current.best = found.sign;
  current.open = true;
  if (found.sign == StepSign::kOptimizer) return true;
  SpoolHeader& header = spool.header();
  const std::int64_t number = found.number >= 0 ? found.number : header.step.load() + 1;
  current.began_ns = now_ns();
  header.step.store(number);
  switch_to(spool, number);
  return true;
}

void closed(Spool& spool) {
  const Lock lock;
  if (!lock || current.spool != &spool || !current.open) return;
  current.open = false;
  const std::int64_t now = now_ns();
  SpoolHeader& header = spool.header();
  if (current.best == StepSign::kOptimizer) {
    if (current.began_ns != 0) write_step(spool, current.best, current.began_ns, now);
    current.began_ns = now;  // the next one
    header.step.store(std::max<std::int64_t>(header.step.load(), 0) + 1);
    switch_to(spool, header.step.load());
    return;
  }
  write_step(spool, current.best, current.began_ns, now);
  // What lies between two chosen steps is recorded.
  if (header.step.load() >= header.last_step.load(std::memory_order_relaxed)) switch_to(spool, header.step.load() + 1);
}

}  // namespace

void step_range_pushed(const char* text) {
  Spool* spool = watched();
  if (spool == nullptr) return;
  if (spool_of_depth != spool) depth = step_depth = 0, spool_of_depth = spool;
  ++depth;
  if (step_depth == 0 && opened(*spool, text)) step_depth = depth;
}

void step_range_popped() {
  Spool* spool = watched();
  if (spool == nullptr || depth == 0 || spool_of_depth != spool) return;
  if (step_depth == depth) closed(*spool), step_depth = 0;
  --depth;
}

void step_range_started(const char* text, std::uint64_t range) {
  Spool* spool = watched();
  if (spool != nullptr && opened(*spool, text)) open_range.store(range);
}

void step_range_ended(std::uint64_t range) {
  Spool* spool = watched();
  if (spool == nullptr || open_range.load(std::memory_order_relaxed) != range) return;
  open_range.store(0);
  closed(*spool);
}

}  // namespace shardscope::capture
