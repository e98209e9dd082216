#pragma once
// The CPU backend: the reference meaning of every compute op, and a fast one. One object per rank; its lanes are worker
// threads, its spaces are lazily committed memory.
//
//   std::unique_ptr<Backend> backend = make_cpu_backend(/*threads=*/2);
//   backend->run(op, memory, scalars, Lane::kCompute);
//   backend->synchronize();

#include <memory>

#include "core/engine/backend.h"

namespace shardscope {

/// A backend whose compute and host lanes use `threads` (>= 1) threads each for one op; other lanes use one.
/// Same inputs and shapes give the same bits at every call. Collectives, nvme ops, LoadBatch, Alloc, Free and Hold are
/// not its business: supports() is false, and run() of one throws Error{kUnsupported} out of synchronize().
std::unique_ptr<Backend> make_cpu_backend(int threads);

}  // namespace shardscope
