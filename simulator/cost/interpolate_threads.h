#pragma once
// From the numbers of threads that were measured to the one a rank has.

#include <cmath>
#include <vector>

#include "core/check.h"

namespace shardscope {

/// Seconds at `threads` from seconds at(t) for each t of `measured` (rising): straight in log-log between two of them;
/// outside, the nearest one in inverse proportion to threads below the first, and held above the last (Guess: what
/// was not measured does not scale further).
template <class At>
double interpolate_threads(const std::vector<int>& measured, int threads, At&& at) {
  SS_CHECK(!measured.empty());
  if (threads <= measured.front()) return at(measured.front()) * measured.front() / threads;
  if (threads >= measured.back()) return at(measured.back());
  std::size_t above = 1;
  while (measured[above] < threads) ++above;
  const double low = measured[above - 1], high = measured[above];
  const double part = std::log(threads / low) / std::log(high / low);
  return at(measured[above - 1]) * std::pow(at(measured[above]) / at(measured[above - 1]), part);
}

/// The keys of a map by threads, rising.
template <class Map>
std::vector<int> thread_counts(const Map& by_threads) {
  std::vector<int> counts;
  for (const auto& [threads, value] : by_threads) counts.push_back(threads);
  return counts;
}

}  // namespace shardscope
