#pragma once
// Waiting for another thread: a few microseconds without giving up the core, where there is one to spare.
//
//   if (spin && spin_until([&] { return word.load() != old; })) return;   // else sleep

#include <chrono>
#include <cstdint>
#include <thread>

namespace shardscope {

/// Nanoseconds of the monotonic clock.
inline std::int64_t steady_now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Longer than a meeting takes when nobody is late, shorter than a wake-up.
inline constexpr std::int64_t kSpinNs = 10'000;

/// Whether `done` came true within kSpinNs.
template <class Done>
bool spin_until(const Done& done) {
  const std::int64_t until = steady_now_ns() + kSpinNs;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause_briefly();
    }
  } while (steady_now_ns() < until);
  return false;
}

}  // namespace shardscope
