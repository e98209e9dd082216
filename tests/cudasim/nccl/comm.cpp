#include "tests/cudasim/nccl/comm.h"

#include <fmt/format.h>

#include <utility>

namespace cudasim {

namespace {

constexpr size_t kManyOperations = 256;  ///< before those that are done are forgotten

}  // namespace

const char* name_of(s32 what) {
  static constexpr const char* kNames[] = {"AllReduce", "ReduceScatter", "AllGather",
                                           "Broadcast", "Reduce",        "SendRecv"};
  return what >= 0 && what <= kSendRecv ? kNames[what] : "something unknown";
}

const char* name_of_type(s32 type) {
  static constexpr const char* kNames[] = {"ncclInt8",    "ncclUint8",    "ncclInt32",      "ncclUint32",
                                           "ncclInt64",   "ncclUint64",   "ncclFloat16",    "ncclFloat32",
                                           "ncclFloat64", "ncclBfloat16", "ncclFloat8e4m3", "ncclFloat8e5m2"};
  return type >= 0 && type < 12 ? kNames[type] : "an unknown type";
}

u64 bytes_of_type(s32 type) {
  static constexpr u8 kBytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
  return type >= 0 && type < 12 ? kBytes[type] : 0;
}

void Comm::fail(ncclResult_t code, const std::string& what) {
  std::lock_guard lock(mutex_);
  if (error_ != ncclSuccess) return;  // the first one counts
  why_ = what;
  error_ = code;
}

std::string Comm::why() const {
  std::lock_guard lock(mutex_);
  return why_;
}

bool Comm::ready() {
  if (checked) return error() == ncclSuccess;
  if (!board.complete(ranks)) return false;
  if (checked.exchange(true)) return error() == ncclSuccess;
  for (int a = 0; a < ranks; ++a) {
    for (int b = 0; b < a; ++b) {
      if (board->slots[a].gpu != board->slots[b].gpu) continue;
      fail(ncclInvalidUsage, fmt::format("Duplicate GPU detected : rank {} and rank {} both on CUDA device {:x}000",
                                         rank, rank == a ? b : a, board->slots[a].gpu + 1));
    }
  }
  if (error() == ncclSuccess) profiler.open(hash, ranks, rank);
  return error() == ncclSuccess;
}

void Comm::enqueued(const OperationPtr& operation) {
  std::lock_guard lock(mutex_);
  if (under_way_.size() >= kManyOperations) {
    std::erase_if(under_way_, [](const OperationPtr& one) { return machine().has_run(one); });
  }
  under_way_.push_back(operation);
}

void Comm::wait_for_all() {
  std::vector<OperationPtr> all;
  {
    std::lock_guard lock(mutex_);
    all = std::exchange(under_way_, {});
  }
  for (const OperationPtr& one : all) machine().wait(one);
}

bool Comm::hopeless() {
  if (error() != ncclSuccess) return true;
  const int gone = board.missing(rank, ranks);
  if (gone < 0) return false;
  fail(ncclRemoteError, fmt::format("rank {} is gone: its connection was closed", gone));
  return true;
}

}  // namespace cudasim
