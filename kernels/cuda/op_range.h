#pragma once
// An NVTX range round the issue of each op, so that whoever watches the process (record, Nsight) can tell which op of
// the program a kernel is of (profiler/query/op_kernels.h). Nothing where nobody watches.
//
//   const OpRange range(program, op, device);   // "rank 0 gpu 0 op 57 matmul h.3.mlp.c_fc", on the lane's thread

#include <cstdint>
#include <optional>
#include <string>

#include "core/program/program.h"

namespace shardscope::cuda {

/// Whether anybody gets the ranges.
bool is_watched();

class OpRange {
 public:
  OpRange(const Program& program, const Op& op, int device);
  OpRange(const OpRange&) = delete;
  OpRange& operator=(const OpRange&) = delete;
  ~OpRange();
};

/// The range "step 3" of the calling thread begins, or the last ends.
void mark_step(std::optional<std::int64_t> step);

/// As describe_op(), or the op's name if it is none of the program's.
std::string describe(const Program& program, const Op& op);

}  // namespace shardscope::cuda
