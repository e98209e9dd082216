#pragma once
// What runs ops: one backend object per rank. CPU is the reference; CUDA implements the same functions.
// A lane is in order: a worker thread on a CPU, a stream on a GPU. All calls come from the rank's own thread and return
// at once, except synchronize().

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string_view>

#include "core/program/program.h"

namespace shardscope {

/// What a step knows only when it runs.
struct StepScalars {
  std::int64_t applied_steps = 1;  ///< Adam's t: 1 for the first applied step
  double learning_rate = 0;
  std::uint64_t seed = 0;  ///< of what Sample draws
  double loss_scale = 1;   ///< by which the gradient of the loss is multiplied (fp16)
};

class NvmeFile;

/// Turns regions into addresses. `bases[space]` is the start of the space's arena; the nvme space is a file instead.
struct Memory {
  const Program* program = nullptr;
  std::byte* bases[kSpaces] = {};
  NvmeFile* nvme = nullptr;  ///< null where the program has nothing there

  std::byte* at(const Region& region) const {
    const Buffer& buffer = program->buffer(region.buffer);
    return bases[static_cast<int>(buffer.space)] + buffer.address + region.offset * size_of(buffer.dtype);
  }
  template <class T>
  T* as(const Region& region) const {
    return region.empty() ? nullptr : reinterpret_cast<T*>(at(region));
  }
  /// Of a region in the nvme space: where its bytes begin in the file.
  std::int64_t file_offset(const Region& region) const {
    const Buffer& buffer = program->buffer(region.buffer);
    return buffer.address + region.offset * size_of(buffer.dtype);
  }
  DType dtype(const Region& region) const { return program->buffer(region.buffer).dtype; }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  /// Whether this backend runs the op with these dtypes. Never throws.
  virtual bool supports(const Program& program, const Op& op) const = 0;
  /// `bytes` of memory in a space, zeroed lazily, aligned to at least kAlignment. Throws Error{kDevice}.
  virtual std::byte* allocate(Space space, std::int64_t bytes) = 0;
  virtual void release(Space space, std::byte* data, std::int64_t bytes) = 0;
  /// Enqueues a compute or copy op. `op`, `memory` and `scalars` must stay valid until it has run.
  virtual void run(const Op& op, const Memory& memory, const StepScalars& scalars, Lane lane) = 0;
  /// Enqueues host work in lane order: tracing, thread collectives, reading a batch.
  virtual void call(Lane lane, std::function<void()> work) = 0;
  /// Marks the point reached by a lane; wait() makes another lane wait for the point. Points count up from 1 per lane.
  virtual std::int64_t record(Lane lane) = 0;
  virtual void wait(Lane lane, Lane other, std::int64_t point) = 0;
  /// `notify` gets the first exception that work throws, on the lane's thread, while synchronize() still waits: to stop
  /// peers that other lanes of ours wait for. Set before any work.
  virtual void on_failure(std::function<void(const std::exception_ptr&)> notify) = 0;
  /// The op of run() that a lane is at now, null if none; from any thread, to find hangs. Nothing: it cannot be told.
  virtual std::optional<const Op*> running(Lane /*lane*/) const { return std::nullopt; }
  /// Waits until every lane is idle. Rethrows the first exception thrown by work on any lane.
  virtual void synchronize() = 0;
};

}  // namespace shardscope
