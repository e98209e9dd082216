#include "core/engine/mpi/mpi_world.h"

#include <mpi.h>

#include "core/engine/mpi/mpi_wire.h"
#include "core/error.h"

namespace shardscope {

MpiWorld::MpiWorld() {
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
    throw Error(ErrorKind::kDevice, "MPI does not start");
  }
  any_thread_ = provided == MPI_THREAD_MULTIPLE;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  MPI_Comm machine = MPI_COMM_NULL;
  int on_machine = 0;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine);
  MPI_Comm_size(machine, &on_machine);
  MPI_Comm_free(&machine);
  one_machine_ = on_machine == size_;
}

void MpiWorld::finish() { MPI_Finalize(); }

std::string MpiWorld::share(const std::string& text) const {
  std::string shared = text;
  int size = static_cast<int>(shared.size());
  MPI_Bcast(&size, 1, MPI_INT, 0, MPI_COMM_WORLD);
  shared.resize(static_cast<std::size_t>(size));
  MPI_Bcast(shared.data(), size, MPI_CHAR, 0, MPI_COMM_WORLD);
  return shared;
}

WireFactory MpiWorld::wires() const {
  if (!any_thread_) return nullptr;
  return [](WireEnds ends) { return std::make_unique<MpiWire>(std::move(ends)); };
}

}  // namespace shardscope
