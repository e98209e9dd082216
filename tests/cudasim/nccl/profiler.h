#pragma once
// The profiler plugin named in NCCL_PROFILER_PLUGIN, called as libnccl calls it: version 6 of its table, or 5. One load
// for the process, a context for each communicator.
//
//   Profiler profiler;
//   profiler.open(hash, ranks, rank);
//   ProfiledOperation op = profiler.collective(...);      // group, call and collective begin; the call ends
//   profiler.ran(op, start_ns, end_ns);                    // from the proxy's thread

#include <string>

#include "profiler/capture/inject/nccl_profiler.h"
#include "tests/cudasim/core/types.h"

namespace cudasim {

struct ProfiledOperation {
  void* event = nullptr;  ///< the collective's or message's handle
};

/// What a call tells the plugin.
struct ProfiledCall {
  const char* function;
  const char* type;
  const void* send;
  void* receive;
  u64 count;
  int root;  ///< or the peer
  void* stream;
  u64 sequence;
  bool message;  ///< send or receive
};

class Profiler {
 public:
  void open(u64 hash, int ranks, int rank);
  void close();
  ProfiledOperation called(const ProfiledCall& call);
  void ran(const ProfiledOperation& operation, u64 start_ns, u64 end_ns);

 private:
  bool wants(u64 kind) const;
  void* start(shardscope::capture::nccl::DescriptorV5 descriptor);
  void stop(void* handle);

  const shardscope::capture::nccl::PluginV5* plugin_ = nullptr;
  void* context_ = nullptr;
  int rank_ = 0;
};

}  // namespace cudasim
