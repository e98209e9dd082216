#pragma once
// What runs ops: one backend object per rank. CPU is the reference; CUDA implements the same functions.
// A lane is in order: a worker thread on a CPU, a stream on a GPU. All calls come from the rank's own thread and return
// at once, except synchronize().

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/engine/waiting.h"
#include "core/program/program.h"

namespace shardscope {

/// What a step knows only when it runs.
struct StepScalars {
  std::int64_t applied_steps = 1;  ///< Adam's t: 1 for the first applied step
  double learning_rate = 0;
  std::uint64_t seed = 0;  ///< of what Sample draws
  double loss_scale = 1;   ///< by which the gradient of the loss is multiplied (fp16)
};

/// How a step is launched.
struct LaunchCounts {
  std::int64_t ops = 0;                    ///< that backends run: all but communication, drives, batches and memory
  std::int64_t in_graphs = 0, graphs = 0;  ///< of them in CUDA graphs, and how many those are
};

/// Ops of one lane that follow each other in every step, with nothing else of the lane between them.
class OpSequence {
 public:
  OpSequence() = default;
  OpSequence(const OpSequence&) = delete;
  OpSequence& operator=(const OpSequence&) = delete;
  virtual ~OpSequence() = default;
  virtual LaunchCounts counts() const = 0;  ///< between steps
};

class NvmeFile;
class Backend;
class Communicator;

/// Turns regions into addresses. `bases[space]` is the start of the space's arena; the nvme space is a file instead.
/// The device space may be out of the host's reach: region_io.h reads and writes any region.
struct Memory {
  const Program* program = nullptr;
  std::byte* bases[kSpaces] = {};
  NvmeFile* nvme = nullptr;          ///< null where the program has nothing there
  const Backend* backend = nullptr;  ///< whose device memory it is; null: the host can read it

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
  /// Of an op that it does not run: why, where there is more to say than its name. Never throws.
  virtual std::string why_not(const Op&) const { return {}; }
  /// `bytes` of memory in a space, zeroed lazily, aligned to at least kAlignment. Throws Error{kDevice}.
  virtual std::byte* allocate(Space space, std::int64_t bytes) = 0;
  virtual void release(Space space, std::byte* data, std::int64_t bytes) = 0;
  /// Copies between the host's memory and any space, at once: between steps, or in work that the lane was called to do.
  virtual void copy_out(const std::byte* from, void* to, std::int64_t bytes) const {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  virtual void copy_in(std::byte* to, const void* from, std::int64_t bytes) const {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  /// Enqueues a compute or copy op. `op`, `memory` and `scalars` must stay valid until it has run.
  virtual void run(const Op& op, const Memory& memory, const StepScalars& scalars, Lane lane) = 0;
  /// For a backend that would rather have them at once. They stay as they are while the sequence lives, and it goes
  /// before the backend, when the lane is idle. Null: run() each of them.
  virtual std::unique_ptr<OpSequence> keep(std::span<const Op* const> /*ops*/, const Memory& /*memory*/,
                                           Lane /*lane*/) {
    return nullptr;
  }
  /// Enqueues all ops of a sequence of this backend.
  virtual void run(OpSequence& /*sequence*/, const StepScalars& /*scalars*/) {}
  /// Enqueues host work in lane order: collectives of threads, reading a batch.
  virtual void call(Lane lane, std::function<void()> work) = 0;
  /// The same for an op of a program.
  virtual void call_op(const Op& /*op*/, const Memory& /*memory*/, Lane lane, std::function<void()> work) {
    call(lane, std::move(work));
  }
  /// For an op whose host work itself only enqueues on the lane (Communicator::enqueues()): it need not wait for what
  /// the lane does before.
  virtual void enqueue(const Op& op, const Memory& memory, Lane lane, std::function<void()> work) {
    call_op(op, memory, lane, std::move(work));
  }
  /// then(the steady_now_ns() at which the lane got there): at once on the lane's thread, or, where the lane is a
  /// device's queue, from synchronize(), in the order of the stamps.
  virtual void stamp(Lane lane, std::function<void(std::int64_t at_ns)> then) {
    call(lane, [then = std::move(then)] { then(steady_now_ns()); });
  }
  /// A step begins, or (without a number) ends: for who watches the process from outside.
  virtual void mark_step(std::optional<std::int64_t> /*step*/) {}
  /// A communicator over this backend's device memory, out of one over host memory that connects the same ranks.
  virtual std::unique_ptr<Communicator> on_device(std::unique_ptr<Communicator> host, Lane lane);
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
