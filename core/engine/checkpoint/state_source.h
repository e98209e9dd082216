#pragma once
// Training state of a whole model, tensor by tensor, wherever it lies: a checkpoint of ours, DeepSpeed's, or weights in
// safetensors. Every rank reads the ranges that it holds, so it does not matter how many ranks wrote it, and no more
// than a block is in memory at a time.
//
//   check_same_tensors(*source, job.model);
//   restore_state(program, arena.memory(), *source);

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/engine/backend.h"
#include "core/program/program.h"
#include "core/spec/model_spec.h"

namespace shardscope {

struct StoredTensor {
  std::string name;  ///< as list_tensors() names it
  std::vector<std::int64_t> shape;
  std::int64_t elements() const;
};

/// Not thread-safe: every rank opens its own.
class StateSource {
 public:
  virtual ~StateSource() = default;
  virtual const std::string& path() const = 0;  ///< for messages
  virtual const std::vector<StoredTensor>& tensors() const = 0;
  /// False: it has weights only.
  virtual bool has_moments() const = 0;
  /// Elements [begin, begin + out.size()) of a tensor, flattened row-major, as fp32. Role kParameter means the value in
  /// the best precision there is (the master, where one was kept); kExpAvg and kExpAvgSq need has_moments(). Throws
  /// Error{kParse} for bytes that are damaged or missing.
  virtual void read(std::size_t tensor, StateRole role, std::int64_t begin, std::span<float> out) = 0;
};

/// Throws Error{kConfig} naming what is missing, unknown, or of another shape.
void check_same_tensors(const StateSource& source, const ModelSpec& model);

/// Fills every piece of Program::state. Moments are zero if the source has none.
void restore_state(const Program& program, const Memory& memory, StateSource& source);

}  // namespace shardscope
