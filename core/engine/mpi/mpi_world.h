#pragma once
// What MPI is good for here: it knows who was started together, and reaches other machines over whatever network there
// is. Ranks of one machine do not need it once they have met.
//
//   MpiWorld mpi;                                    // MPI_Init_thread
//   const std::string where = mpi.share(rank0s);     // rank 0's text, everywhere
//   options.far_wires = mpi.wires();                 // must outlive the hub

#include <string>

#include "core/engine/process/wire.h"

namespace shardscope {

class MpiWorld {
 public:
  /// Throws Error{kDevice} if MPI does not start.
  MpiWorld();
  ~MpiWorld() = default;
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool one_machine() const { return one_machine_; }
  std::string share(const std::string& text) const;
  /// Wires of messages that MPI carries, from any number of threads. Null if this MPI takes calls from one thread only.
  WireFactory wires() const;
  /// Ends MPI, with all the others. Without it the launcher sees a process that failed: right when the run did.
  static void finish();

 private:
  int rank_ = 0, size_ = 1;
  bool one_machine_ = false, any_thread_ = false;
};

}  // namespace shardscope
