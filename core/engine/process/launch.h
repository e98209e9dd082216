#pragma once
// How this process was started, if it is one of several: by mpirun (Open MPI, MPICH), by srun, or by anything that sets
// the variables of torchrun (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT).
//
//   if (const auto launch = detect_launch(process_environment())) ... launch->rank of launch->world

#include <functional>
#include <optional>
#include <string>

namespace shardscope {

struct Launch {
  std::string by;  ///< "torchrun's variables", for messages
  int rank = 0, world = 1;
  bool has_mpi = false;  ///< MPI finds the others
  std::string host;      ///< else: where rank 0 listens
  int port = 0;
};

/// The value of a variable, if it is set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

/// Nothing for a process that is alone. Throws Error{kConfig} naming the variable that is missing or makes no sense.
std::optional<Launch> detect_launch(const Environment& environment);

}  // namespace shardscope
