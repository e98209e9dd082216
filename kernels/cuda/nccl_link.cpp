#include "kernels/cuda/nccl_link.h"

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <thread>

namespace shardscope::cuda {

Error nccl_error(ncclResult_t status, const char* what, ncclComm_t comm) {
  const char* const detail = ncclGetLastError(comm);
  const std::string more = detail == nullptr || *detail == '\0' ? "" : fmt::format(": {}", detail);
  return {ErrorKind::kDevice, fmt::format("{}: NCCL says {}{}", what, ncclGetErrorString(status), more)};
}

ncclUniqueId new_nccl_id() {
  ncclUniqueId id{};
  const ncclResult_t status = ncclGetUniqueId(&id);
  if (status != ncclSuccess) throw nccl_error(status, "ncclGetUniqueId", nullptr);
  return id;
}

NcclLink::NcclLink(const ncclUniqueId& id, int ranks, int rank, std::function<void()> check_peers)
    : check_peers_(std::move(check_peers)) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // so that a peer that is gone can be left
  ncclComm_t comm = nullptr;
  const ncclResult_t status = ncclCommInitRankConfig(&comm, ranks, id, rank, &config);
  comm_ = comm;
  settle(status, "ncclCommInitRankConfig");
}

/// NCCL sees that a connection ended; the host's watch knows whose process died, a moment later.
Error NcclLink::explained(ncclResult_t status, const char* what) const {
  const Error error = nccl_error(status, what, comm_);
  const bool is_peers = status == ncclRemoteError || status == ncclSystemError;
  for (int i = 0; is_peers && i < 200; ++i) {
    check_peers_();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return error;
}

void NcclLink::settle(ncclResult_t status, const char* what) {
  while (status == ncclInProgress) {
    check_peers_();
    std::this_thread::yield();
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &status);
    if (asked != ncclSuccess) status = asked;
  }
  if (status != ncclSuccess) throw explained(status, what);
}

void NcclLink::check_health() const {
  const ncclComm_t comm = comm_;
  if (comm == nullptr) return;
  ncclResult_t status = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm, &status);
  if (asked != ncclSuccess) status = asked;
  if (status != ncclSuccess && status != ncclInProgress) throw explained(status, "a collective");
}

void NcclLink::abort() {
  if (ncclComm_t comm = comm_.exchange(nullptr)) (void)ncclCommAbort(comm);
}

}  // namespace shardscope::cuda
