// The communicator's cases over MPI messages, as processes: mpirun -n 3 core_mpi_check. Ends with 1 if one fails on any
// rank.

#include <cstdio>

#include "core/engine/communicator_cases_for_test.h"
#include "core/engine/mpi/mpi_world.h"
#include "core/engine/process/wire_communicator.h"

namespace shardscope {
namespace {

int run_cases(const MpiWorld& mpi) {
  WireEnds ends{.name = "group world on tensor", .key = 4711, .ranks = {}, .self = mpi.rank(), .check = [] {}};
  for (int r = 0; r < mpi.size(); ++r) ends.ranks.push_back(r);
  const WireFactory wires = mpi.wires();
  if (!wires) {
    std::printf("this MPI takes calls from one thread only\n");
    return 1;
  }
  WireCommunicator comm(ends, wires(ends));
  for (const CommunicatorCase& c : kCommunicatorCases) {
    if (mpi.rank() == 0) std::printf("%s\n", c.name);
    c.run(comm);
    std::int32_t failed = testing::Test::HasFailure() ? 1 : 0;
    comm.all_reduce(&failed, 1, DType::kI32, ReduceOp::kMax);
    if (failed != 0) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const shardscope::MpiWorld mpi;
  const int result = shardscope::run_cases(mpi);
  shardscope::MpiWorld::finish();
  return result;
}
