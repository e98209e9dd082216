#pragma once
// The same ranks with any hub: threads with one ThreadHub, or threads that each have a ProcessHub of their own, as
// processes would.
//
//   auto failures = run_with_hubs(HubKind::kTcp, 4, [](Hub& hub, int rank) { ... });   // what() by rank, "" if none

#include <functional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/process/process_hub.h"
#include "core/engine/thread_communicator.h"

namespace shardscope {

enum class HubKind { kThreads, kShared, kTcp };

inline std::string to_string(HubKind kind) {
  return kind == HubKind::kThreads ? "threads" : kind == HubKind::kShared ? "shared" : "tcp";
}
inline void PrintTo(HubKind kind, std::ostream* out) { *out << to_string(kind); }

/// An exception aborts the hub, as the trainer does.
inline std::vector<std::string> run_with_hubs(HubKind kind, int ranks,
                                              const std::function<void(Hub& hub, int rank)>& body,
                                              double hang_timeout_s = 0) {
  std::vector<std::string> failures(static_cast<std::size_t>(ranks));
  const auto run = [&](Hub& hub, int rank) {
    try {
      body(hub, rank);
    } catch (const std::exception& error) {
      hub.abort(rank, as_error(error));
      failures[static_cast<std::size_t>(rank)] = error.what();
    }
  };
  ThreadHub threads_hub(ranks, hang_timeout_s);
  Listener first = Listener::open("127.0.0.1", 0);
  const int port = first.port();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      if (kind == HubKind::kThreads) return run(threads_hub, rank);
      ProcessHubOptions options;
      options.join = {.rank = rank, .world = ranks, .hosts = {"127.0.0.1"}, .port = port};
      if (rank == 0) options.join.listener = std::move(first);
      options.hang_timeout_s = hang_timeout_s;
      options.transport = kind == HubKind::kTcp ? Transport::kTcp : Transport::kBest;
      ProcessHub hub(std::move(options));
      run(hub, rank);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failures;
}

}  // namespace shardscope
