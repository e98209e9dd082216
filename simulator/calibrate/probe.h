#pragma once
// Times one op, as ranks that train would run it: on as many backends at once as the machine has room for, over several
// sets of operands in turn, so that caches are neither empty nor full of just these bytes.
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
  Region doubles(std::int64_t count) { return add(DType::kF64, count); }
  /// Token numbers in [0, limit).
  Region tokens(std::int64_t count, std::int64_t limit);

  const Program& program() const { return program_; }
  std::int64_t size_bytes() const { return next_address_; }
  /// Writes harmless values into every operand. `base` is host memory.
  void fill_memory(std::byte* base) const;

 private:
  Region add(DType dtype, std::int64_t count);

  Program program_;
  std::int64_t next_address_ = 0;
  std::vector<std::int64_t> token_limits_;  // by buffer; 0: not tokens
};

using MakeOp = std::function<Op(ProbeProgram&)>;

class ProbeTeam {
 public:
  /// `workers` backends of `threads` threads each. The backend's device memory must be host memory.
  ProbeTeam(const BackendFactory& make_backend, int workers, int threads);
  ~ProbeTeam();

  int threads() const { return threads_; }
  /// Seconds of one op in a busy compute lane, mean over the workers, lower quartile over a few batches.
  double seconds(const MakeOp& make);
  /// Seconds from the end of an op on one lane to the start of the next on another that waits for it.
  double wake_seconds();
  /// Seconds from giving an idle lane one tiny op to seeing it done.
  double round_trip_seconds();

 private:
  struct Prepared;
  double batch_seconds(const Prepared& prepared, std::int64_t rounds);

  std::vector<std::unique_ptr<Backend>> backends_;
  int threads_;
};

}  // namespace shardscope
