#pragma once
// How processes become the ranks of one run: all but rank 0 connect to it, say who they are, and get the table of all.
// The connections stay: they carry what ranks tell each other about their health (process_hub.h).
//
//   Joined joined = join_run({.rank = 2, .world = 4, .hosts = {"10.0.0.1"}, .port = 29500});

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/process/connections.h"
#include "core/engine/process/control_line.h"
#include "core/engine/process/shared_memory.h"
#include "core/engine/process/socket.h"

namespace shardscope {

struct JoinOptions {
  int rank = 0, world = 1;
  std::vector<std::string> hosts;    ///< where rank 0 can be reached, tried in turn; rank 0 listens at the first
  int port = 0;                      ///< of rank 0
  std::optional<Listener> listener;  ///< rank 0 only: it listens already, at all its addresses
  double timeout_s = 60;             ///< how long to wait for the others
};

/// One rank, as all others see it.
struct RankPlace {
  std::string node;  ///< ranks with the same one share memory: machine, user, process and network namespace
  std::string host;  ///< its machine's name, for messages
  pid_t pid = 0;
  int memory_fd = -1;  ///< of its SharedMemory
  std::string cores;   ///< that it may use, as text: ranks of a node with the same ones share them
  int core_count = 1;
  Address data;  ///< where its TCP wires are dialled
};

struct Joined {
  std::vector<RankPlace> places;    ///< by rank
  std::vector<ControlLine> lines;   ///< rank 0: to each rank, none at 0; others: at 0, to rank 0
  std::uint64_t token = 0;          ///< of the run
  std::int64_t clock_ahead_ns = 0;  ///< our monotonic clock minus rank 0's: 0 on one machine, else measured
  SharedMemory memory;              ///< ours
  Listener listener;                ///< at places[rank].data
};

/// Throws Error{kConfig} if the processes do not fit together (another world, a rank twice), {kDevice} if some do not
/// come in time.
Joined join_run(JoinOptions options);

}  // namespace shardscope
