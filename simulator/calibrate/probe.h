#pragma once
// Times one op, as ranks that train would run it: on as many backends at once as the machine has room for; over several
// sets of operands in turn, so that weights come from as far as they do in training; and each time right after another
// op has written its input, the threads' shares of it cut differently, so that part of it lies in another core's cache.
//
//   ProbeTeam team(make_backend, /*workers=*/2, /*threads=*/1);
//   double s = team.seconds([](ProbeProgram& p) { return Op(Fill{p.floats(1024), 1.0}); });

#include <functional>
#include <memory>
#include <vector>

#include "core/engine/backend.h"
#include "core/engine/trainer.h"
#include "core/program/program.h"

namespace shardscope {

/// Collects the operands of probed ops, one after another in the device space.
class ProbeProgram {
 public:
  Region floats(std::int64_t count) { return add(DType::kF32, count); }
  /// What mixed precision keeps in 16 bits: of the dtype last set, fp32 at first.
  Region values(std::int64_t count) { return add(dtype_, count); }
  void set_dtype(DType dtype) { dtype_ = dtype; }
  Region doubles(std::int64_t count) { return add(DType::kF64, count); }
  Region bytes(std::int64_t count) { return add(DType::kI8, count); }
  Region of(DType dtype, std::int64_t count) { return add(dtype, count); }
  /// Token numbers in [0, limit).
  Region tokens(std::int64_t count, std::int64_t limit);
  /// i32, all of them `value`.
  Region integers(std::int64_t count, std::int32_t value);

  const Program& program() const { return program_; }
  std::int64_t size_bytes() const { return next_address_; }
  /// Writes harmless values into every operand. `base` is host memory.
  void fill_memory(std::byte* base) const;

 private:
  Region add(DType dtype, std::int64_t count);

  Program program_;
  DType dtype_ = DType::kF32;
  std::int64_t next_address_ = 0;
  struct Integers {  // values from `least` on, `limit` of them
    std::int64_t least = 0, limit = 1;
  };
  std::vector<Integers> integers_;  // by buffer
};

using MakeOp = std::function<Op(ProbeProgram&)>;

/// Operand sets in turn are together about this large, so that what was not just written comes from memory: a training
/// step touches more than the caches hold before it comes back to a weight or a saved activation.
inline constexpr std::int64_t kRotationBytes = 48 << 20;

class ProbeTeam {
 public:
  /// `workers` backends of `threads` threads each. The backend's device memory must be host memory.
  ProbeTeam(const BackendFactory& make_backend, int workers, int threads);
  ~ProbeTeam();
  ProbeTeam(const ProbeTeam&) = delete;
  ProbeTeam& operator=(const ProbeTeam&) = delete;

  int threads() const { return threads_; }
  /// Seconds of one op in a busy compute lane, without the lane's own time for it. Mean over the workers, lower
  /// quartile over a few batches.
  double seconds(const MakeOp& make, std::int64_t rotation_bytes = kRotationBytes);
  /// Seconds from one tiny op to the next on a busy lane.
  double lane_seconds();
  /// Seconds from the end of an op on one lane to the start of the next on another that waits for it.
  double wake_seconds();
  /// Seconds from giving an idle lane one tiny op to seeing it done.
  double round_trip_seconds();

 private:
  struct Prepared;
  void run_batch(Prepared& prepared, std::int64_t ops, std::vector<double>& seconds);
  std::byte* memory_of(std::size_t worker, std::int64_t bytes);
  template <class Work>
  void run_workers(const Work& work);

  struct Block {
    std::byte* data = nullptr;
    std::int64_t bytes = 0;
  };
  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<Block> blocks_;  ///< by worker, kept from probe to probe
  int threads_;
};

}  // namespace shardscope
