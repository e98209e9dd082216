#pragma once
// The binary interface of NCCL's profiler plugins, versions 3 to 6, as libnccl calls them: declared here so that the
// library builds without NCCL's sources. Layouts after NCCL's include/plugin/profiler/profiler_v{3,4,5,6}.h (2.26 to
// 2.30); the sizes asserted below are those of its own headers.

#include <cstddef>
#include <cstdint>

namespace shardscope::capture::nccl {

/// Kinds of events; descriptors carry one, a mask asks for several. Of v5 unless said otherwise.
enum EventType : std::uint64_t {
  kGroup = 1,
  kColl = 2,
  kP2p = 4,
  kProxyOp = 8,
  kProxyStep = 16,
  kProxyCtrl = 32,
  kKernelCh = 64,
  kNetPlugin = 128,
  kGroupApi = 256,
  kCollApi = 512,
  kP2pApi = 1024,
  kKernelLaunch = 2048,
  kCeColl = 4096,  ///< v6
  kCeSync = 8192,
  kCeBatch = 16384
};

/// The state of recordEventState that says when a channel's kernel ended, by the GPU's timer.
inline constexpr int kKernelChStop = 22;

struct CollV3 {
  const char* name;
  std::uint64_t communicator, sequence;
  const char* function;
  const void* send;
  void* receive;
  std::size_t count;
  int root;
  const char* datatype;
  std::uint8_t channels, warps;
  const char* algorithm;
  const char* protocol;
};
struct P2pV3 {
  const char* name;
  std::uint64_t communicator;
  const char* function;
  void* buffer;
  const char* datatype;
  std::size_t count;
  int peer;
};
struct CollV4 {
  std::uint64_t sequence;
  const char* function;
  const void* send;
  void* receive;
  std::size_t count;
  int root;
  const char* datatype;
  std::uint8_t channels, warps;
  const char* algorithm;
  const char* protocol;
};
struct P2pV4 {
  const char* function;
  void* buffer;
  const char* datatype;
  std::size_t count;
  int peer;
  std::uint8_t channels;
};
struct ProxyOp {
  std::int32_t pid;
  std::uint8_t channel;
  int peer, steps, chunk_bytes, is_send;
};
struct KernelChannel {
  std::uint8_t channel;
  std::uint64_t timer;  ///< GPU's global timer, ns; not in v3
};
struct GroupApi {
  bool captured;
  int depth;
};
struct CollApi {
  const char* function;
  std::size_t count;
  const char* datatype;
  int root;
  void* stream;
  bool captured;
};
struct P2pApi {
  const char* function;
  std::size_t count;
  const char* datatype;
  void* stream;
  bool captured;
};
struct CopyEngineColl {
  std::uint64_t sequence;
  const char* function;
  const void* send;
  void* receive;
  std::size_t count;
  int root;
  const char* datatype;
  const char* strategy;
  bool intra_batch_sync;
  std::uint32_t batch_size, batches, copy_sequence;
  void* stream;
};
struct NetPlugin {
  std::int64_t id;
  void* data;
};

struct DescriptorV3 {
  std::uint8_t type;
  void* parent;
  int rank;
  union {
    CollV3 coll;
    P2pV3 p2p;
    ProxyOp proxy_op;
    int proxy_step;
    KernelChannel kernel_channel;
    NetPlugin net;
  };
};
struct DescriptorV4 {
  std::uint8_t type;
  void* parent;
  int rank;
  union {
    CollV4 coll;
    P2pV4 p2p;
    ProxyOp proxy_op;
    int proxy_step;
    KernelChannel kernel_channel;
    NetPlugin net;
    char padding[80];
  };
};
struct DescriptorV5 {
  std::uint64_t type;
  void* parent;
  int rank;
  union {
    GroupApi group_api;
    CollApi coll_api;
    P2pApi p2p_api;
    void* launch_stream;
    struct {
      CollV4 head;
      void* parent_group;
    } coll;
    struct {
      P2pV4 head;
      void* parent_group;
    } p2p;
    ProxyOp proxy_op;
    int proxy_step;
    KernelChannel kernel_channel;
    NetPlugin net;
    CopyEngineColl copy_engine;  ///< v6
  };
};
static_assert(sizeof(DescriptorV3) == 120 && sizeof(DescriptorV4) == 104 && sizeof(DescriptorV5) == 112);
static_assert(offsetof(DescriptorV5, coll_api.stream) == 56 && offsetof(DescriptorV5, coll.head.algorithm) == 88);

union StateArguments {
  std::size_t bytes;    ///< proxy step
  int appended;         ///< proxy control
  void* data;           ///< net plugin
  std::uint64_t timer;  ///< kernel channel
};

using Logger = void (*)(int level, unsigned long flags, const char* file, int line, const char* format, ...);

template <class Descriptor>
struct Operations {
  int (*start)(void* context, void** handle, Descriptor* descriptor);
  int (*stop)(void* handle);
  int (*state)(void* handle, int state, StateArguments* arguments);
  int (*finalize)(void* context);
};
struct PluginV3 {
  const char* name;
  int (*init)(void** context, int* mask);
  Operations<DescriptorV3> operations;
};
struct PluginV4 {
  const char* name;
  int (*init)(void** context, int* mask, const char* name, std::uint64_t communicator, int nodes, int ranks, int rank,
              Logger logger);
  Operations<DescriptorV4> operations;
};
struct PluginV5 {
  const char* name;
  int (*init)(void** context, std::uint64_t communicator, int* mask, const char* name, int nodes, int ranks, int rank,
              Logger logger);
  Operations<DescriptorV5> operations;
};

}  // namespace shardscope::capture::nccl
