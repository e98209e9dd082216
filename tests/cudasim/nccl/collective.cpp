// Collectives: every rank publishes its payload a chunk at a time and reads the others'. They wait, as on the device,
// until all have come; a rank that calls something else is found by comparing what was called.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/cudasim/nccl/comm.h"

namespace cudasim {

namespace {

std::string describe(const Called& called) {
  return fmt::format("{}(count {}, type {}, reduction {}, root {})", name_of(called.what), called.count,
                     name_of_type(called.type), called.reduction, called.root);
}

/// What this collective is for this rank, in elements.
struct Extent {
  u64 in, out, size, chunk_elements;
  bool publishes, receives;
  u64 chunks() const { return std::max<u64>(1, (in + chunk_elements - 1) / chunk_elements); }
};
Extent extent_of(const Comm& comm, const Called& called) {
  Extent e{};
  e.size = bytes_of_type(called.type);
  e.chunk_elements = kChunk / e.size;
  const u64 all = called.count * static_cast<u64>(comm.ranks);
  e.in = called.what == kReduceScatter ? all : called.count;
  e.out = called.what == kAllGather ? all : called.count;
  e.publishes = called.what != kBroadcast || comm.rank == called.root;
  e.receives = called.what != kReduce || comm.rank == called.root;
  return e;
}

u8* checked(Operation& op, const void* at, u64 bytes, bool writes, s32 what) {
  const Access access{reinterpret_cast<u64>(at), bytes, writes, op.device, std::string("NCCL ") + name_of(what)};
  return machine().memory.access(access, &op.accesses);
}

bool publish(Comm& comm, Collective& call, Operation& op, const Extent& e, u64 token) {
  for (int r = 0; r < comm.ranks; ++r) {
    if (r != comm.rank && comm.board->slots[r].read[comm.rank] < token - 1) return false;  // still reads the last one
  }
  Slot& mine = comm.board->slots[comm.rank];
  mine.called = call.called;
  const u64 first = call.chunk * e.chunk_elements, last = std::min(e.in, first + e.chunk_elements);
  mine.bytes = e.publishes && last > first ? (last - first) * e.size : 0;
  if (mine.bytes > 0) {
    // Of a chunk only its own part is read, so that results already written in place are not taken for input.
    std::memcpy(mine.data,
                checked(op, static_cast<const u8*>(call.send) + first * e.size, mine.bytes, false, call.called.what),
                mine.bytes);
  }
  mine.token.store(token);
  machine().notify();
  return true;
}

/// All ranks have published; whether they called the same.
bool agreed(Comm& comm, const Collective& call, u64 token, bool& all_here) {
  all_here = true;
  for (int r = 0; r < comm.ranks; ++r) {
    const Slot& slot = comm.board->slots[r];
    if (slot.token < token) {
      all_here = false;
      continue;
    }
    if (slot.called == call.called) continue;
    const std::string what =
        fmt::format("mismatched collective: rank {} calls {} and rank {} calls {}; NCCL would hang or mix up memory",
                    comm.rank, describe(call.called), r, describe(slot.called));
    if (comm.error() == ncclSuccess) machine().reports.add(what);
    comm.fail(ncclInvalidUsage, what);
    return false;
  }
  return true;
}

/// Elements [from, to) of this chunk's payload, reduced over all ranks, into `out`. The order depends on the place
/// only.
void reduce_into(const Comm& comm, const Called& called, u8* out, u64 from, u64 to, const Extent& e, int first_rank) {
  for (int k = 0; k < comm.ranks; ++k) {
    const u8* data = comm.board->slots[(first_rank + k) % comm.ranks].data + from * e.size;
    if (k == 0) {
      std::memcpy(out, data, (to - from) * e.size);
    } else {
      combine(out, data, to - from, called.type, called.reduction);
    }
  }
  if (called.reduction == ncclAvg) divide(out, to - from, called.type, comm.ranks);
}

void receive(Comm& comm, const Collective& call, Operation& op, const Extent& e) {
  const u64 first = call.chunk * e.chunk_elements, last = std::min(e.in, first + e.chunk_elements);
  if (last <= first || !e.receives) return;
  u8* const to = static_cast<u8*>(call.receive);
  const auto place = [&](u64 element, u64 count) {
    return checked(op, to + element * e.size, count * e.size, true, call.called.what);
  };
  switch (call.called.what) {
    case kAllGather:
      for (int r = 0; r < comm.ranks; ++r) {
        std::memcpy(place(static_cast<u64>(r) * call.called.count + first, last - first), comm.board->slots[r].data,
                    (last - first) * e.size);
      }
      return;
    case kBroadcast:
      std::memcpy(place(first, last - first), comm.board->slots[call.called.root].data, (last - first) * e.size);
      return;
    case kReduceScatter: {
      const u64 mine = static_cast<u64>(comm.rank) * call.called.count;
      const u64 from = std::max(first, mine), until = std::min(last, mine + call.called.count);
      if (from >= until) return;
      return reduce_into(comm, call.called, place(from - mine, until - from), from - first, until - first, e,
                         (comm.rank + 1) % comm.ranks);
    }
    default:
      reduce_into(comm, call.called, place(first, last - first), 0, last - first, e,
                  static_cast<int>(call.chunk % static_cast<u64>(comm.ranks)));
  }
}

}  // namespace

bool poll(Comm& comm, Collective& call, Operation& op) {
  if (comm.aborted) return true;
  if (!comm.ready() || comm.hopeless() || now_ns() < call.not_before_ns) return false;
  const Extent e = extent_of(comm, call.called);
  for (; call.chunk < e.chunks(); ++call.chunk, call.published = false) {
    const u64 token = call.first_token + call.chunk;
    if (!call.published && !publish(comm, call, op, e, token)) return false;
    call.published = true;
    bool all_here = false;
    if (!agreed(comm, call, token, all_here) || !all_here) return false;
    receive(comm, call, op, e);
    for (int r = 0; r < comm.ranks; ++r) comm.board->slots[comm.rank].read[r].store(token);
    machine().notify();
  }
  comm.profiler.ran(call.profiled, op.start_ns, now_ns());
  return true;
}

/// Chunks of the collective: how many tokens it takes.
u64 chunks_of(const Comm& comm, const Called& called) { return extent_of(comm, called).chunks(); }

}  // namespace cudasim
