// Where the CUDA driver and the job's end find us, and the one thread that we keep in a watched process.

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdlib>

#include "profiler/capture/inject/cupti_capture.h"
#include "profiler/capture/inject/inject.h"
#include "profiler/capture/inject/spool_writer.h"

namespace shardscope::capture {

namespace {

constexpr long kPeriodNs = 100'000'000;  ///< what kill -9 can cost of CUPTI's records

std::atomic<bool> kept{false}, stop{false};
pthread_t keeper;

void* keep(void*) {
  pthread_setname_np(pthread_self(), "shardscope");
  while (!stop.load(std::memory_order_relaxed)) {
    const timespec period{0, kPeriodNs};
    nanosleep(&period, nullptr);
    Spool* spool = Spool::get();
    if (spool == nullptr) continue;
    match_sources(*spool);
    refresh_nccl_mask();
    flush_cupti(*spool, false);
  }
  // Here and not in at_exit(): by then the exiting thread's place in the spool is gone.
  if (Spool* spool = Spool::get()) flush_cupti(*spool, true);
  return nullptr;
}

void at_exit() {
  if (!kept.load()) return;
  stop.store(true);
  pthread_join(keeper, nullptr);
  Spool::say_goodbye();
}

void in_child() {
  kept.store(false);
  stop.store(false);
  forget_cupti();
}

}  // namespace

void start_keeper() {
  if (kept.exchange(true)) return;
  static const int once = (std::atexit(at_exit), pthread_atfork(nullptr, nullptr, in_child));
  (void)once;
  // Signals are the job's business.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  if (pthread_create(&keeper, nullptr, keep, nullptr) != 0) kept.store(false);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void sources_changed(Spool& spool) {
  refresh_nccl_mask();
  if (spool.header().enabled.load(std::memory_order_relaxed) != 0) match_sources(spool);
}

}  // namespace shardscope::capture

extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  using namespace shardscope::capture;
  static std::atomic_flag done = ATOMIC_FLAG_INIT;
  if (done.test_and_set()) return 1;
  Spool* spool = Spool::get();
  if (spool == nullptr) return 1;
  start_cupti(*spool);
  start_keeper();
  return 1;
}
