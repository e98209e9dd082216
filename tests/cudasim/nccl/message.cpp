// Sends and receives, through a box for each pair of ranks.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/cudasim/nccl/comm.h"

namespace cudasim {

namespace {

void check_memory(Message& m, Operation& op) {
  if (m.place != nullptr || m.bytes == 0) return;
  const Access access{reinterpret_cast<u64>(m.data), m.bytes, !m.sends, op.device, m.sends ? "ncclSend" : "ncclRecv"};
  m.place = machine().memory.access(access, &op.accesses);
}

/// Moves what can be moved now; whether something was.
bool step(Message& m) {
  Comm& comm = *m.comm;
  Box& box = m.sends ? comm.board->boxes[comm.rank][m.peer] : comm.board->boxes[m.peer][comm.rank];
  const u64 written = box.written, read = box.read;
  if (m.sends) {
    if (written != read) return false;
    box.bytes = std::min(m.bytes - m.done, kChunk);
    box.total = m.bytes;
    std::memcpy(box.data, m.place + m.done, box.bytes);
    m.done += box.bytes;
    box.written.store(written + 1);
    return true;
  }
  if (written == read) return false;
  if (box.total != m.bytes) {
    const std::string what = fmt::format("mismatched messages: rank {} sends {} bytes and rank {} receives {}", m.peer,
                                         u64{box.total}, comm.rank, m.bytes);
    if (comm.error() == ncclSuccess) machine().reports.add(what);
    comm.fail(ncclInvalidUsage, what);
    return false;
  }
  std::memcpy(m.place + m.done, box.data, box.bytes);
  m.done += box.bytes;
  box.read.store(read + 1);
  return true;
}

}  // namespace

namespace {

/// Whether an earlier message of the list goes the same way and is not through.
bool has_to_wait(const std::vector<Message>& messages, const Message& m) {
  for (const Message* earlier = messages.data(); earlier != &m; ++earlier) {
    if (earlier->comm == m.comm && earlier->peer == m.peer && earlier->sends == m.sends &&
        earlier->done < earlier->bytes)
      return true;
  }
  return false;
}

}  // namespace

bool poll(std::vector<Message>& messages, Operation& op) {
  bool all = true, moved = true;
  for (Message& m : messages) {
    if (m.comm->aborted) return true;
    if (!m.comm->ready() || m.comm->hopeless()) return false;
    check_memory(m, op);
  }
  while (moved) {
    moved = false;
    all = true;
    for (Message& m : messages) {
      if (m.done < m.bytes && !has_to_wait(messages, m)) moved = step(m) || moved;
      all = all && m.done == m.bytes;
    }
    if (moved) machine().notify();
  }
  if (all) {
    for (Message& m : messages) m.comm->profiler.ran(m.profiled, op.start_ns, now_ns());
  }
  return all;
}

}  // namespace cudasim
