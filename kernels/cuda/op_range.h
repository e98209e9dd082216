#pragma once
// An NVTX range round the issue of each op, so that whoever watches the process (record, Nsight) can tell which op of
// the program a kernel is of. Nothing where nobody watches.
//
//   const OpRange range(memory, op);   // "op 57 matmul h.3.mlp.c_fc", on the lane's thread

#include "core/engine/backend.h"

namespace shardscope::cuda {

class OpRange {
 public:
  OpRange(const Memory& memory, const Op& op);
  OpRange(const OpRange&) = delete;
  OpRange& operator=(const OpRange&) = delete;
  ~OpRange();
};

}  // namespace shardscope::cuda
