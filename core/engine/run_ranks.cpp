#include "core/engine/run_ranks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace shardscope {
namespace {

void run_rank(Hub& hub, int rank, const std::function<void(int)>& f) {
  try {
    f(rank);
  } catch (const PeerStopped&) {  // not the cause
  } catch (const std::exception& error) {
    hub.abort(rank, as_error(error));
  }
}

/// The cause, with its rank; where another process says it, only that there was one.
void throw_failure(const Hub& hub) {
  const std::optional<RankFailure> failure = hub.failure();
  if (!failure) return;
  const std::string text = fmt::format("rank {}: {}", failure->rank, failure->cause.what());
  if (!hub.speaks()) throw PeerStopped(text);
  throw Error(failure->cause.kind(), text);
}

}  // namespace

void run_ranks(Hub& hub, const std::function<void(int rank)>& f) {
  std::vector<std::thread> threads;
  for (int rank : hub.local_ranks()) threads.emplace_back([&hub, &f, rank] { run_rank(hub, rank, f); });
  for (std::thread& thread : threads) thread.join();
  throw_failure(hub);
}

int threads_per_rank(int wanted, const Hub& hub) { return wanted > 0 ? wanted : hub.threads_per_rank(); }

void wait_for_lanes(Backend& backend) {
  try {
    backend.synchronize();
  } catch (const std::exception&) {  // the first failure is on its way already
  }
}

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t pages = 0, resident = 0;
  return statm >> pages >> resident ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

}  // namespace shardscope
