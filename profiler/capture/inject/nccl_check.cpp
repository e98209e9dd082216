// Plays NCCL: opens the library as libnccl does and calls its plugins in NCCL's order, with NCCL's oddities. Prints
// what it saw go wrong; nccl_plugin_test reads the spool.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "profiler/capture/inject/nccl_profiler.h"

using namespace shardscope::capture::nccl;

namespace {

int problems = 0;
int mask = 0;  ///< one of the process, as NCCL's: plugins keep its address

void check(bool good, const char* what) {
  if (good) return;
  std::printf("wrong: %s\n", what);
  ++problems;
}

template <class Plugin>
Plugin* find(void* library, const char* name) {
  auto* plugin = static_cast<Plugin*>(dlsym(library, name));
  check(plugin != nullptr && std::strcmp(plugin->name, "shardscope") == 0, name);
  return plugin;
}

/// One all-reduce as libnccl 2.28 reports it: API call, group, collective, launch, channels on the proxy's thread.
void all_reduce(const PluginV5& plugin, void* context, int rank, std::uint64_t sequence, std::size_t count) {
  void *api = nullptr, *call = nullptr, *group = nullptr, *coll = nullptr, *launch = nullptr;
  DescriptorV5 d{};
  d.type = kGroupApi;
  plugin.operations.start(context, &api, &d);
  d = {};
  d.type = kCollApi;
  d.parent = api;
  d.coll_api = {"AllReduce", count, "ncclFloat32", 0, reinterpret_cast<void*>(0x77), false};
  plugin.operations.start(context, &call, &d);
  d = {};
  d.type = kGroup;
  plugin.operations.start(context, &group, &d);
  d = {};
  d.type = kColl;
  d.parent = call;
  d.rank = rank;
  d.coll.head = {sequence, "AllReduce", nullptr, nullptr, count, 0, "ncclFloat32", 2, 16, "RING", "LL128"};
  d.coll.parent_group = group;
  plugin.operations.start(context, &coll, &d);
  check(coll != nullptr, "a handle that is not null");
  plugin.operations.stop(coll);  // enqueued, not done
  d = {};
  d.type = kKernelLaunch;
  d.parent = api;
  d.launch_stream = reinterpret_cast<void*>(0x77);
  plugin.operations.start(context, &launch, &d);
  plugin.operations.stop(launch);
  plugin.operations.stop(group);
  plugin.operations.stop(call);
  plugin.operations.stop(api);
  std::thread([&] {
    for (std::uint8_t channel = 0; channel < 2; ++channel) {
      void* on_device = nullptr;
      DescriptorV5 k{};
      k.type = kKernelCh;
      k.parent = coll;
      k.rank = rank;
      k.kernel_channel = {channel, 1'000'000 * sequence + channel};
      plugin.operations.start(context, &on_device, &k);
      StateArguments stopped{};
      stopped.timer = 1'000'000 * sequence + 5'000 + channel;
      plugin.operations.state(on_device, kKernelChStop, &stopped);
      plugin.operations.stop(on_device);
    }
  }).join();
}

void newest(void* library) {
  auto* plugin = find<PluginV5>(library, "ncclProfiler_v5");
  if (plugin == nullptr) return;
  void* context = nullptr;
  check(plugin->init(&context, 0x1234, &mask, "dp", 1, 2, 1, nullptr) == 0, "init");
  check((mask & kColl) != 0, "mask");
  for (std::uint64_t sequence = 0; sequence < 3; ++sequence) all_reduce(*plugin, context, 1, sequence, 1024);
  // What NCCL 2.28 does, too: stops a handle again, names a parent of another process, passes null.
  void* handle = nullptr;
  DescriptorV5 d{};
  d.type = kProxyOp;
  d.parent = reinterpret_cast<void*>(0xdeadbeefdeadbeef);
  d.proxy_op = {1, 3, 0, 8, 65536, 1};
  plugin->operations.start(context, &handle, &d);
  plugin->operations.stop(handle);
  plugin->operations.stop(handle);
  plugin->operations.stop(nullptr);
  plugin->operations.start(nullptr, &handle, &d);
  plugin->operations.start(context, nullptr, &d);
  plugin->operations.state(handle, 19, nullptr);
  plugin->operations.finalize(context);
}

void older(void* library) {
  void* context = nullptr;
  void* handle = nullptr;
  if (auto* v3 = find<PluginV3>(library, "ncclProfiler_v3")) {
    v3->init(&context, &mask);
    DescriptorV3 d{};
    d.type = kColl;
    d.coll = {"tp", 0x33, 7, "AllGather", nullptr, nullptr, 64, 0, "ncclInt8", 4, 8, "TREE", "SIMPLE"};
    v3->operations.start(context, &handle, &d);
    v3->operations.stop(handle);
    v3->operations.finalize(context);
  }
  if (auto* v4 = find<PluginV4>(library, "ncclProfiler_v4")) {
    v4->init(&context, &mask, nullptr, 0x44, 2, 16, 9, nullptr);
    DescriptorV4 d{};
    d.type = kP2p;
    d.rank = 9;
    d.p2p = {"Send", nullptr, "ncclBfloat16", 4096, 10, 2};
    v4->operations.start(context, &handle, &d);
    v4->operations.stop(handle);
    v4->operations.finalize(context);
  }
  if (auto* v6 = find<PluginV5>(library, "ncclProfiler_v6")) {
    v6->init(&context, 0x66, &mask, "ce", 1, 8, 0, nullptr);
    check((mask & kCeColl) != 0, "v6 mask");
    DescriptorV5 d{};
    d.type = kCeColl;
    d.copy_engine.sequence = 2;
    d.copy_engine.function = "AllGather";
    d.copy_engine.datatype = "ncclInt8";
    d.copy_engine.count = 1 << 20;
    d.copy_engine.strategy = "MC";
    v6->operations.start(context, &handle, &d);
    v6->operations.stop(handle);
    v6->operations.finalize(context);
  }
}

/// One rank of a job of three that enters five collectives together; rank 1 comes to the sixth only much later.
void hang(void* library, int rank, int milliseconds) {
  auto* plugin = find<PluginV5>(library, "ncclProfiler_v5");
  if (plugin == nullptr) return;
  void* context = nullptr;
  plugin->init(&context, 0x1234, &mask, "dp", 1, 3, rank, nullptr);
  for (std::uint64_t sequence = 0; sequence < 5; ++sequence) all_reduce(*plugin, context, rank, sequence, 1024);
  if (rank == 1) usleep(static_cast<useconds_t>(milliseconds) * 1000);
  all_reduce(*plugin, context, rank, 5, 1024);
  if (rank != 1) usleep(static_cast<useconds_t>(milliseconds) * 1000);  // as one that waits for it
}

}  // namespace

int main(int argc, char** argv) {
  void* library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (library == nullptr) {
    std::printf("cannot open the library: %s\n", dlerror());
    return 2;
  }
  if (argc > 3) {  // LIBRARY RANK MILLISECONDS
    hang(library, std::atoi(argv[2]), std::atoi(argv[3]));
    return problems == 0 ? 0 : 1;
  }
  newest(library);
  older(library);
  dlclose(library);  // as NCCL does after the last communicator; our thread is still running
  usleep(150'000);   // it has looked at what is switched on since
  check((mask & kCeColl) != 0, "the mask of the version that NCCL took last");
  return problems == 0 ? 0 : 1;
}
