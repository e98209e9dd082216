#pragma once
// Which part of each tensor a tensor-parallel rank holds, after Megatron-LM: matrices that spread the hidden state are
// split by columns of their output, those that gather it by rows of their input, tables by vocabulary; the rest is
// whole on every rank.
//
//   parameter.slice = tensor_slice(tensor, /*part=*/1, /*parts=*/4);

#include <cstdint>

#include "core/program/program.h"
#include "core/spec/job.h"

namespace shardscope {

enum class TensorRole : std::uint8_t {
  kSame,     ///< whole on every rank, and every rank has the same gradient
  kSplit,    ///< each rank has a part of it
  kPartial,  ///< whole on every rank, each of which has a summand of its gradient: they must be summed
};

TensorRole tensor_role(const TensorSpec& tensor, const ParallelSpec& parallel);
TensorSlice tensor_slice(const TensorSpec& tensor, int part, int parts);

/// A rank's part of the vocabulary: tokens [first, first + real), in tables of `rows` rows, of which the last are
/// padding on the ranks where the vocabulary ends.
struct VocabPart {
  std::int64_t rows = 0, first = 0, real = 0;
};
VocabPart vocab_part(std::int64_t vocab, int part, int parts);

/// Throws Error{kConfig} if the model's shape does not divide.
void check_tensor_parallel(const Job& job);

}  // namespace shardscope
