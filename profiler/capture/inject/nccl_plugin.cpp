// NCCL's profiler plugin, versions 3 to 6: every call becomes one record. Handles are numbers, never pointers: NCCL
// passes handles of events that ended, of other processes (PXN) and of captured graphs, and none of them is looked
// into. Always answers success; a context may be null, because NCCL goes on calling after an init that failed.

#include <string_view>

#include "profiler/capture/inject/inject.h"
#include "profiler/capture/inject/nccl_profiler.h"
#include "profiler/capture/inject/spool_writer.h"

namespace shardscope::capture {

namespace {

std::atomic<std::uint64_t> next_handle{1};
std::atomic<int*> mask_of_nccl{nullptr};  ///< one int of the process, that NCCL reads at every call
std::atomic<int> version_of_nccl{0};      ///< of the interface that was given it

/// What a source costs and shows: see docs/record.md.
int wanted_mask(const Spool& spool, int version) {
  if (!spool.enabled(kSourceNccl)) return 0;
  std::uint64_t mask = nccl::kGroup | nccl::kColl | nccl::kP2p;
  if (version >= 5) mask |= nccl::kGroupApi | nccl::kCollApi | nccl::kP2pApi | nccl::kKernelLaunch;
  if (version >= 6) mask |= nccl::kCeColl;
  if (spool.enabled(kSourceNcclProxy)) mask |= nccl::kKernelCh | nccl::kProxyOp;
  return static_cast<int>(mask);
}

/// A number, never a pointer to something.
void* as_handle(std::uint64_t number) { return reinterpret_cast<void*>(number); }  // NOLINT(performance-no-int-to-ptr)
std::uint64_t number_of(const void* handle) { return reinterpret_cast<std::uint64_t>(handle); }
/// Ids of texts that live as long as the process, by where they stand: NCCL's names of functions, types and algorithms.
/// Names of communicators are not such.
std::uint64_t static_text_id(Spool& spool, const char* text) {
  struct Known {
    const Spool* spool;
    const char* text;
    std::uint64_t id;
  };
  thread_local Known known[32] = {};
  if (text == nullptr) return 0;
  Known& slot = known[(reinterpret_cast<std::uintptr_t>(text) >> 2) % 32];
  if (slot.text != text || slot.spool != &spool) slot = {&spool, text, spool.intern(text)};
  return slot.id;
}

/// Context: the communicator's id, or a number of ours where NCCL gives it only later (v3).
int init(void** context, int* mask, int version, const char* name, std::uint64_t communicator, int nodes, int ranks,
         int rank) {
  if (context != nullptr) *context = as_handle(communicator);
  if (mask != nullptr) *mask = 0;
  Spool* spool = Spool::get();
  if (spool == nullptr) return 0;
  if (mask != nullptr) {
    *mask = wanted_mask(*spool, version);
    version_of_nccl.store(version);
    mask_of_nccl.store(mask);
  }
  start_keeper();
  const std::uint64_t name_id = name != nullptr ? spool->intern(name) : 0;
  if (auto* record = spool->begin<NcclInitRecord>(RecordKind::kNcclInit)) {
    record->head.time_ns = now_ns();
    record->head.small = static_cast<std::uint32_t>(version);
    record->communicator = communicator;
    record->name = name_id;
    record->rank = rank;
    record->ranks = ranks;
    record->nodes = nodes;
    spool->commit(record);
  }
  return 0;
}

/// What start records of all versions have in common. Strings are interned before begin(): that may write, too.
struct Start {
  std::uint64_t type = 0, handle = 0, parent = 0, communicator = 0;
  const char* function = nullptr;
  const char* datatype = nullptr;
  const char* algorithm = nullptr;
  const char* protocol = nullptr;
  std::uint64_t sequence = 0, count = 0, address = 0, stream = 0;
  std::int32_t rank = 0, root = 0, peer = 0, channel = 0, pid = 0, steps = 0;
};

void write(Spool& spool, const Start& start) {
  const std::int64_t now = now_ns();
  const std::uint64_t function = static_text_id(spool, start.function);
  const std::uint64_t datatype = static_text_id(spool, start.datatype);
  const std::uint64_t algorithm = static_text_id(spool, start.algorithm);
  const std::uint64_t protocol = static_text_id(spool, start.protocol);
  auto* record = spool.begin<NcclStartRecord>(RecordKind::kNcclStart);
  if (record == nullptr) return;
  record->head.time_ns = now;
  record->head.small = static_cast<std::uint32_t>(start.type);
  record->handle = start.handle;
  record->parent = start.parent;
  record->communicator = start.communicator;
  record->function = function;
  record->datatype = datatype;
  record->algorithm = algorithm;
  record->protocol = protocol;
  record->sequence = start.sequence;
  record->count = start.count;
  record->address = start.address;
  record->stream = start.stream;
  record->rank = start.rank;
  record->root = start.root;
  record->peer = start.peer;
  record->channel = start.channel;
  record->pid = start.pid;
  record->steps = start.steps;
  spool.commit(record);
}

template <class Coll>
void take_coll(Start& start, const Coll& coll) {
  start.function = coll.function;
  start.datatype = coll.datatype;
  start.algorithm = coll.algorithm;
  start.protocol = coll.protocol;
  start.sequence = coll.sequence;
  start.count = coll.count;
  start.address = number_of(coll.send);
  start.root = coll.root;
  start.channel = coll.channels;
}

template <class P2p>
void take_p2p(Start& start, const P2p& p2p) {
  start.function = p2p.function;
  start.datatype = p2p.datatype;
  start.count = p2p.count;
  start.address = number_of(p2p.buffer);
  start.peer = p2p.peer;
}

void take_proxy(Start& start, const nccl::ProxyOp& op) {
  start.pid = op.pid;
  start.channel = op.channel;
  start.peer = op.peer;
  start.steps = op.steps;
  start.count = static_cast<std::uint64_t>(op.chunk_bytes);
  start.root = op.is_send;
}

void take(Start& start, const nccl::DescriptorV3& d) {
  if (d.type == nccl::kColl) {
    take_coll(start, d.coll);
    start.communicator = d.coll.communicator;
  } else if (d.type == nccl::kP2p) {
    take_p2p(start, d.p2p);
    start.communicator = d.p2p.communicator;
  } else if (d.type == nccl::kProxyOp) {
    take_proxy(start, d.proxy_op);
  } else if (d.type == nccl::kKernelCh) {
    start.channel = d.kernel_channel.channel;
  }
}

void take(Start& start, const nccl::DescriptorV4& d) {
  if (d.type == nccl::kColl) {
    take_coll(start, d.coll);
  } else if (d.type == nccl::kP2p) {
    take_p2p(start, d.p2p);
  } else if (d.type == nccl::kProxyOp) {
    take_proxy(start, d.proxy_op);
  } else if (d.type == nccl::kKernelCh) {
    start.channel = d.kernel_channel.channel;
    start.address = d.kernel_channel.timer;
  }
}

void take(Start& start, const nccl::DescriptorV5& d) {
  switch (d.type) {
    case nccl::kColl:
      take_coll(start, d.coll.head);
      break;
    case nccl::kP2p:
      take_p2p(start, d.p2p.head);
      break;
    case nccl::kProxyOp:
      take_proxy(start, d.proxy_op);
      break;
    case nccl::kProxyStep:
      start.steps = d.proxy_step;
      break;
    case nccl::kKernelCh:
      start.channel = d.kernel_channel.channel;
      start.address = d.kernel_channel.timer;
      break;
    case nccl::kGroupApi:
      start.steps = d.group_api.depth;
      start.peer = d.group_api.captured ? 1 : 0;
      break;
    case nccl::kCollApi:
      start.function = d.coll_api.function;
      start.datatype = d.coll_api.datatype;
      start.count = d.coll_api.count;
      start.root = d.coll_api.root;
      start.stream = number_of(d.coll_api.stream);
      start.peer = d.coll_api.captured ? 1 : 0;
      break;
    case nccl::kP2pApi:
      start.function = d.p2p_api.function;
      start.datatype = d.p2p_api.datatype;
      start.count = d.p2p_api.count;
      start.stream = number_of(d.p2p_api.stream);
      start.peer = d.p2p_api.captured ? 1 : 0;
      break;
    case nccl::kKernelLaunch:
      start.stream = number_of(d.launch_stream);
      break;
    case nccl::kCeColl:
      start.function = d.copy_engine.function;
      start.datatype = d.copy_engine.datatype;
      start.sequence = d.copy_engine.sequence;
      start.count = d.copy_engine.count;
      start.root = d.copy_engine.root;
      start.algorithm = d.copy_engine.strategy;
      start.address = number_of(d.copy_engine.send);
      start.stream = number_of(d.copy_engine.stream);
      break;
    default:
      break;
  }
}

template <class Descriptor>
int start_event(void* context, void** handle, Descriptor* descriptor) {
  const std::uint64_t number = next_handle.fetch_add(1, std::memory_order_relaxed);
  if (handle != nullptr) *handle = as_handle(number);
  Spool* spool = Spool::get();
  if (spool == nullptr || descriptor == nullptr || !spool->enabled(kSourceNccl)) return 0;
  Start start;
  start.type = descriptor->type;
  start.handle = number;
  start.parent = number_of(descriptor->parent);
  start.communicator = number_of(context);
  start.rank = descriptor->rank;
  take(start, *descriptor);
  write(*spool, start);
  return 0;
}

void write_state(RecordKind kind, std::uint32_t state, std::uint64_t handle, std::uint64_t value) {
  Spool* spool = Spool::get();
  if (spool == nullptr || !spool->enabled(kSourceNccl)) return;
  auto* record = spool->begin<NcclStateRecord>(kind);
  if (record == nullptr) return;
  record->head.time_ns = now_ns();
  record->head.small = state;
  record->handle = handle;
  record->value = value;
  spool->commit(record);
}

int stop_event(void* handle) {
  if (handle != nullptr) write_state(RecordKind::kNcclStop, 0, number_of(handle), 0);
  return 0;
}

int record_state(void* handle, int state, nccl::StateArguments* arguments) {
  if (handle == nullptr) return 0;
  const std::uint64_t value = arguments != nullptr ? arguments->timer : 0;
  write_state(RecordKind::kNcclState, static_cast<std::uint32_t>(state), number_of(handle), value);
  return 0;
}

int finalize(void* context) {
  write_state(RecordKind::kNcclFinalize, 0, number_of(context), 0);
  return 0;
}

int init_v3(void** context, int* mask) { return init(context, mask, 3, nullptr, 0, 0, 0, 0); }
int init_v4(void** context, int* mask, const char* name, std::uint64_t communicator, int nodes, int ranks, int rank,
            nccl::Logger) {
  return init(context, mask, 4, name, communicator, nodes, ranks, rank);
}
int init_v5(void** context, std::uint64_t communicator, int* mask, const char* name, int nodes, int ranks, int rank,
            nccl::Logger) {
  return init(context, mask, 5, name, communicator, nodes, ranks, rank);
}
int init_v6(void** context, std::uint64_t communicator, int* mask, const char* name, int nodes, int ranks, int rank,
            nccl::Logger) {
  return init(context, mask, 6, name, communicator, nodes, ranks, rank);
}

template <class Descriptor>
constexpr nccl::Operations<Descriptor> operations() {
  return {start_event<Descriptor>, stop_event, record_state, finalize};
}

}  // namespace

void refresh_nccl_mask() {
  int* mask = mask_of_nccl.load();
  if (Spool* spool = Spool::get(); spool != nullptr && mask != nullptr)
    __atomic_store_n(mask, wanted_mask(*spool, version_of_nccl.load()), __ATOMIC_RELAXED);
}

}  // namespace shardscope::capture

// NCCL looks for these names, newest first. Its library must stay loaded after the last finalize (which closes it):
// threads may still be in it. It is linked with -z nodelete.
extern "C" {
using namespace shardscope::capture;
#define EXPORT __attribute__((visibility("default"), used))
EXPORT nccl::PluginV3 ncclProfiler_v3 = {"shardscope", init_v3, operations<nccl::DescriptorV3>()};
EXPORT nccl::PluginV4 ncclProfiler_v4 = {"shardscope", init_v4, operations<nccl::DescriptorV4>()};
EXPORT nccl::PluginV5 ncclProfiler_v5 = {"shardscope", init_v5, operations<nccl::DescriptorV5>()};
EXPORT nccl::PluginV5 ncclProfiler_v6 = {"shardscope", init_v6, operations<nccl::DescriptorV5>()};
#undef EXPORT
}
