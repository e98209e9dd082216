#pragma once
// The ops that calibrate times: each family of element-wise ops at a size, matrix products and attention of a shape.

#include <string>
#include <vector>

#include "simulator/calibrate/probe.h"
#include "simulator/machine.h"

namespace shardscope {

struct FamilyProbe {
  std::string family;
  /// An op of the family over about `elements` elements.
  std::function<Op(ProbeProgram&, std::int64_t elements)> make;
  bool is_flat = false;       ///< runs over whole buckets or the whole state, so far larger sizes matter
  DType dtype = DType::kF32;  ///< of what mixed precision keeps in 16 bits
};

/// One per family of all_families() that a backend runs, load_batch apart.
const std::vector<FamilyProbe>& family_probes();

Op make_matmul(ProbeProgram& p, const MatMulPoint& shape);
Op make_attention(ProbeProgram& p, const AttentionPoint& shape);

}  // namespace shardscope
