#include "tests/cudasim/nccl/profiler.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace cudasim {

using namespace shardscope::capture::nccl;

namespace {

int mask = 0;  ///< one of the process, as in NCCL: the plugin keeps its address

const PluginV5* load() {
  const char* path = std::getenv("NCCL_PROFILER_PLUGIN");
  if (path == nullptr || *path == 0) return nullptr;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "[cudasim] NCCL_PROFILER_PLUGIN: %s\n", dlerror());
    return nullptr;
  }
  const char* const versions[] = {"ncclProfiler_v6", "ncclProfiler_v5"};
  for (const char* name : versions) {
    if (const void* table = dlsym(library, name)) return static_cast<const PluginV5*>(table);
  }
  std::fprintf(stderr, "[cudasim] NCCL_PROFILER_PLUGIN: %s has neither version 6 nor 5 of the table\n", path);
  return nullptr;
}

}  // namespace

void Profiler::open(u64 hash, int ranks, int rank) {
  static const PluginV5* const loaded = load();
  if (loaded == nullptr || loaded->init(&context_, hash, &mask, "cudasim", 1, ranks, rank, nullptr) != 0) return;
  plugin_ = loaded;
  rank_ = rank;
}

void Profiler::close() {
  if (plugin_ != nullptr) plugin_->operations.finalize(context_);
  plugin_ = nullptr;
}

bool Profiler::wants(u64 kind) const {
  return plugin_ != nullptr && (static_cast<u64>(__atomic_load_n(&mask, __ATOMIC_RELAXED)) & kind) != 0;
}

void* Profiler::start(DescriptorV5 descriptor) {
  if (!wants(descriptor.type)) return nullptr;
  void* handle = nullptr;
  descriptor.rank = rank_;
  plugin_->operations.start(context_, &handle, &descriptor);
  return handle;
}

void Profiler::stop(void* handle) {
  if (handle != nullptr) plugin_->operations.stop(handle);
}

/// In libnccl's order: the API group, the API call, the group, the work (which ends when it is enqueued), the launch.
ProfiledOperation Profiler::called(const ProfiledCall& call) {
  if (plugin_ == nullptr) return {};
  DescriptorV5 d{};
  d.type = kGroupApi;
  void* const group_api = start(d);
  d = {};
  d.parent = group_api;
  if (call.message) {
    d.type = kP2pApi;
    d.p2p_api = {call.function, call.count, call.type, call.stream, false};
  } else {
    d.type = kCollApi;
    d.coll_api = {call.function, call.count, call.type, call.root, call.stream, false};
  }
  void* const api = start(d);
  d = {};
  d.type = kGroup;
  void* const group = start(d);
  d = {};
  d.parent = api;
  if (call.message) {
    d.type = kP2p;
    d.p2p.head = {call.function, call.receive, call.type, call.count, call.root, 1};
    d.p2p.parent_group = group;
  } else {
    d.type = kColl;
    d.coll.head = {call.sequence, call.function, call.send, call.receive, call.count, call.root, call.type, 1, 16,
                   "RING",        "SIMPLE"};
    d.coll.parent_group = group;
  }
  const ProfiledOperation out{start(d)};
  stop(out.event);
  d = {};
  d.type = kKernelLaunch;
  d.parent = group_api;
  d.launch_stream = call.stream;
  stop(start(d));
  stop(group);
  stop(api);
  stop(group_api);
  return out;
}

void Profiler::ran(const ProfiledOperation& operation, u64 start_ns, u64 end_ns) {
  if (!wants(kKernelCh)) return;
  DescriptorV5 d{};
  d.type = kKernelCh;
  d.parent = operation.event;
  d.kernel_channel = {0, start_ns};
  void* const channel = start(d);
  StateArguments stopped{};
  stopped.timer = end_ns;
  plugin_->operations.state(channel, kKernelChStop, &stopped);
  stop(channel);
}

}  // namespace cudasim
