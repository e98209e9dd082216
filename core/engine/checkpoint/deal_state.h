#pragma once
// Who writes which part of the training state: every element once, although replicas hold it several times, and as
// evenly as whole tensors go. Every rank comes to the same answer by itself.
//
//   std::vector<std::vector<OwnedPart>> parts = deal_state(programs);   // by rank

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// Elements [begin + i * stride, + length) of a whole tensor, for i in [0, times): what a rank's columns of a matrix
/// look like from outside, in four numbers.
struct RunGroup {
  std::int64_t begin = 0, length = 0, stride = 0, times = 1;
  std::int64_t elements() const { return length * times; }
  friend bool operator==(const RunGroup&, const RunGroup&) = default;
};

/// What one rank writes of one tensor in one role (kParameter, kExpAvg or kExpAvgSq): the bytes of `regions`, one after
/// the other, are the elements of `runs`, one after the other.
struct OwnedPart {
  std::string tensor;
  StateRole role = StateRole::kParameter;
  DType dtype = DType::kF32;
  std::vector<Region> regions;
  std::vector<RunGroup> runs;
  std::int64_t elements() const;
};

/// A value is taken from its master where a rank keeps one. `programs`: of all ranks, in order.
std::vector<std::vector<OwnedPart>> deal_state(std::span<const Program> programs);

}  // namespace shardscope
