// The calls of NCCL.

#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "tests/cudasim/nccl/group.h"
#include "tests/cudasim/runtime/call.h"

namespace cudasim {

namespace {

using CommPtr = std::shared_ptr<Comm>;

thread_local std::string last_failure;

ncclResult_t fail(ncclResult_t code, const std::string& why) {
  last_failure = why;
  return code;
}

const CommPtr& of(ncclComm_t handle) { return *reinterpret_cast<CommPtr*>(handle); }
ncclComm_t handle_of(const CommPtr& comm) { return reinterpret_cast<ncclComm_t>(new CommPtr(comm)); }

u64 hash_of(const std::string& name) { return std::hash<std::string>{}(name); }

ncclResult_t join(const std::string& board, int rank, int ranks, int device, bool blocking, CommPtr& out) {
  if (ranks < 1 || ranks > kMostRanks || rank < 0 || rank >= ranks) {
    return fail(ncclInvalidArgument, "rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                                         " (the emulation has at most " + std::to_string(kMostRanks) + ")");
  }
  out = std::make_shared<Comm>(board, rank, ranks, device, blocking);
  if (!out->board.valid()) return fail(ncclSystemError, "no communicator is being made under this id");
  out->hash = hash_of(board);
  out->board.join(rank, ranks, machine().settings.physical(device));
  return ncclSuccess;
}

ncclResult_t init(const char* name, ncclComm_t* handle, int ranks, const ncclUniqueId& id, int rank, bool blocking) {
  Machine& m = machine();
  if (const int injected = m.injected(name)) return fail(static_cast<ncclResult_t>(injected), "injected");
  if (m.settings.unavailable() != cudaSuccess) return fail(ncclUnhandledCudaError, "no device");
  CommPtr comm;
  if (const ncclResult_t code = join(id.internal, rank, ranks, current_device(), blocking, comm); code != ncclSuccess)
    return code;
  *handle = handle_of(comm);
  Group& group = this_threads_group();
  if (group.depth > 0) {
    group.joining.push_back(comm);
    return blocking ? ncclSuccess : ncclInProgress;
  }
  const ncclResult_t code = wait_joined(*comm);
  if (code != ncclSuccess && code != ncclInProgress) last_failure = comm->why();
  return code;
}

ncclResult_t call(ncclComm_t handle, cudaStream_t stream, s32 what, const void* send, void* receive, size_t count,
                  ncclDataType_t type, int reduction, int root, bool sends = false) {
  if (handle == nullptr) return fail(ncclInvalidArgument, "no communicator");
  const CommPtr& comm = of(handle);
  if (comm->error() != ncclSuccess) return fail(comm->error(), comm->why());
  if (const int injected = machine().injected((std::string("nccl") + name_of(what)).c_str()))
    return fail(static_cast<ncclResult_t>(injected), "injected");
  if (const int injected = machine().injected("ncclAsync"))
    comm->fail(static_cast<ncclResult_t>(injected), "injected asynchronous error");
  const bool rooted = what == kBroadcast || what == kReduce || what == kSendRecv;
  if (bytes_of_type(type) == 0 || reduction < 0 || reduction > ncclAvg ||
      (rooted && (root < 0 || root >= comm->ranks))) {
    return fail(ncclInvalidArgument,
                std::string(name_of(what)) + ": a type, reduction, root or peer that is not implemented or not there");
  }
  Stream* const to = machine().stream(stream, comm->device);
  if (to == nullptr || to->device != comm->device)
    return fail(ncclInvalidArgument, "the stream is not of the communicator's device");
  if (machine().captures.is_capturing(*to)) {
    machine().reports.add(std::string(name_of(what)) + ": collectives in a graph are not implemented");
    return fail(ncclInvalidUsage, "the stream captures");
  }
  return this_threads_group().add({comm, to, {what, type, reduction, root, count}, send, receive, sends});
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::string name = Board::create();
  if (name.empty()) return fail(ncclSystemError, "no shared memory");
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->internal, name.c_str(), name.size());
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return init("ncclCommInitRank", comm, ranks, id, rank, true);
}
CUDASIM_API ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                                ncclConfig_t* config) {
  return init("ncclCommInitRankConfig", comm, ranks, id, rank, config == nullptr || config->blocking != 0);
}
CUDASIM_API ncclResult_t ncclCommInitAll(ncclComm_t* comms, int ranks, const int* devices) {
  const std::string board = Board::create();
  std::vector<CommPtr> made(static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    const int device = devices != nullptr ? devices[rank] : rank;
    if (device < 0 || device >= machine().settings.devices)
      return fail(ncclInvalidUsage, "no device " + std::to_string(device));
    if (const ncclResult_t code = join(board, rank, ranks, device, true, made[static_cast<size_t>(rank)]);
        code != ncclSuccess)
      return code;
  }
  for (size_t rank = 0; rank < made.size(); ++rank) {
    if (const ncclResult_t code = wait_joined(*made[rank]); code != ncclSuccess) return fail(code, made[rank]->why());
    comms[rank] = handle_of(made[rank]);
  }
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclCommSplit(ncclComm_t handle, int colour, int key, ncclComm_t* out, ncclConfig_t*) {
  Comm& comm = *of(handle);
  *out = nullptr;
  Slot& mine = comm.board->slots[comm.rank];
  const u64 side = ++comm.splits % 2;
  mine.colour[side] = colour;
  mine.key[side] = key;
  mine.split_round.store(comm.splits);
  std::vector<std::pair<int, int>> members;  // key, rank
  for (int r = 0; r < comm.ranks; ++r) {
    while (comm.board->slots[r].split_round < comm.splits) {
      if (comm.hopeless() || comm.aborted) return fail(ncclRemoteError, comm.why());
      usleep(50);
    }
    if (comm.board->slots[r].colour[side] == colour) members.emplace_back(comm.board->slots[r].key[side], r);
  }
  if (colour == NCCL_SPLIT_NOCOLOR) return ncclSuccess;
  std::stable_sort(members.begin(), members.end());
  const std::string board = comm.board.name() + "_" + std::to_string(comm.splits) + "_" + std::to_string(colour);
  const Board made_by_the_first(board, true);
  const int rank = static_cast<int>(
      std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.second == comm.rank; }) -
      members.begin());
  CommPtr made;
  if (const ncclResult_t code = join(board, rank, static_cast<int>(members.size()), comm.device, true, made);
      code != ncclSuccess)
    return code;
  *out = handle_of(made);
  return wait_joined(*made);
}
CUDASIM_API ncclResult_t ncclCommFinalize(ncclComm_t handle) {
  Comm& comm = *of(handle);
  if (comm.error() == ncclSuccess) comm.wait_for_all();
  comm.board->slots[comm.rank].finished = true;
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclCommDestroy(ncclComm_t handle) {
  if (handle == nullptr) return ncclSuccess;
  const CommPtr comm = of(handle);
  if (comm->board.complete(comm->ranks)) ncclCommFinalize(handle);
  comm->aborted = true;
  comm->profiler.close();
  delete reinterpret_cast<CommPtr*>(handle);
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclCommAbort(ncclComm_t handle) {
  if (handle == nullptr) return ncclSuccess;
  const CommPtr comm = of(handle);
  comm->aborted = true;  // its operations end at their next turn
  comm->board->slots[comm->rank].left = true;
  machine().notify();
  comm->profiler.close();
  delete reinterpret_cast<CommPtr*>(handle);
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  *count = of(comm)->ranks;
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  *rank = of(comm)->rank;
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int* device) {
  *device = of(comm)->device;
  return ncclSuccess;
}
/// A communicator that does not block is in progress until all have joined, and for one answer after each call.
CUDASIM_API ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* error) {
  Comm& comm = *of(handle);
  const bool joined = comm.ready();
  if (joined) comm.hopeless();
  *error = comm.error();
  if (comm.error() == ncclSuccess && !comm.blocking && (!joined || comm.pending.exchange(0) > 0))
    *error = ncclInProgress;
  return ncclSuccess;
}
CUDASIM_API const char* ncclGetErrorString(ncclResult_t code) {
  switch (code) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError:
      return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError:
      return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument:
      return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage:
      return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}
CUDASIM_API const char* ncclGetLastError(ncclComm_t handle) {
  static thread_local std::string text;
  text = handle != nullptr && !of(handle)->why().empty() ? of(handle)->why() : last_failure;
  return text.c_str();
}
CUDASIM_API ncclResult_t ncclGroupStart() {
  ++this_threads_group().depth;
  return ncclSuccess;
}
CUDASIM_API ncclResult_t ncclGroupEnd() { return this_threads_group().end(); }

CUDASIM_API ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                                       ncclRedOp_t reduction, ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, kAllReduce, send, receive, count, type, reduction, 0);
}
CUDASIM_API ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                                           ncclRedOp_t reduction, ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, kReduceScatter, send, receive, count, type, reduction, 0);
}
CUDASIM_API ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type,
                                       ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, kAllGather, send, receive, count, type, 0, 0);
}
CUDASIM_API ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                                       ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, kBroadcast, send != nullptr ? send : receive, receive, count, type, 0, root);
}
CUDASIM_API ncclResult_t ncclReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                                    ncclRedOp_t reduction, int root, ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, kReduce, send, receive, count, type, reduction, root);
}
CUDASIM_API ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                                  cudaStream_t stream) {
  return call(comm, stream, kSendRecv, send, nullptr, count, type, 0, peer, true);
}
CUDASIM_API ncclResult_t ncclRecv(void* receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                                  cudaStream_t stream) {
  return call(comm, stream, kSendRecv, nullptr, receive, count, type, 0, peer);
}
