#pragma once
// What a kernel gets, and how it shares its work out. One run() per op, one source file per op family; the op's meaning
// is in core/program/ops.h, its hot loop in cpu/loops.
//
//   void run(const Scale& op, Kernel& kernel);   // throws Error{kDevice} for operands that make no sense

#include <omp.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "core/engine/backend.h"
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/scratch.h"

namespace shardscope {

/// cos and sin of every angle of a Rope: [seq, head_dim / 2] each.
struct RopeTable {
  std::vector<float> cos, sin;
};

/// What one lane keeps between ops.
struct LaneState {
  Scratch scratch;
  /// By seq, head_dim, theta, start and jump.
  std::map<std::tuple<std::int64_t, std::int64_t, double, std::int64_t, std::int64_t>, RopeTable> rope_tables;
  std::map<std::pair<std::int64_t, double>, RopeTable> position_tables;  ///< by head_dim, theta; as far as needed yet
};

struct Kernel {
  const Memory& memory;
  const StepScalars& scalars;
  const Loops& loops;
  LaneState& lane;
  int threads;

  template <class T = float>
  T* data(const Region& region) const {
    return memory.as<T>(region);
  }
};

/// f(begin, end, thread) over [0, n): one range per thread, cut at multiples of `grain`. In the calling thread alone
/// when there is one, or nothing to share. f must not throw.
template <class Body>
void parallel_for(const Kernel& kernel, std::int64_t n, std::int64_t grain, Body&& f) {
  const std::int64_t pieces = (n + grain - 1) / grain;
  const int threads = static_cast<int>(pieces < kernel.threads ? pieces : kernel.threads);
  if (threads <= 1) {
    if (n > 0) f(std::int64_t{0}, n, 0);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num(), team = omp_get_num_threads();
    const std::int64_t begin = pieces * thread / team * grain, end = pieces * (thread + 1) / team * grain;
    if (begin < n) f(begin, end < n ? end : n, thread);
  }
}

/// Elements of a thread's share of an element-wise op: below this, starting threads costs more than it gains.
inline constexpr std::int64_t kElementGrain = 16384;

#include "kernels/run_each_op.inc"

/// Any op: those above, or Error{kUnsupported}.
void run_op(const Op& op, Kernel& kernel);
/// Whether run_op() takes the op with these dtypes.
bool runs(const Program& program, const Op& op);

}  // namespace shardscope
