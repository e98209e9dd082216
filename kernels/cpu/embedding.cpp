#include "kernels/cpu/kernel.h"

#include <cstring>
#include <string>

#include "core/error.h"

namespace shardscope {
namespace {

/// Throws Error{kDevice} for a token outside the whole table: the data does not fit the model.
template <class T>
void check_tokens(const T& op, const std::int32_t* tokens) {
  const std::int64_t rows = op.rows, vocab = op.total > 0 ? op.total : op.vocab;
  for (std::int64_t r = 0; r < rows; ++r) {
    if (tokens[r] < 0 || tokens[r] >= vocab) {
      throw Error(ErrorKind::kDevice, "embedding: token " + std::to_string(tokens[r]) +
                                          " is outside the model's vocabulary of " + std::to_string(vocab));
    }
  }
}

/// The token's row of this rank's part of the table, or null.
template <class T>
T* row_of(T* table, std::int32_t token, std::int64_t first, std::int64_t vocab, std::int64_t hidden) {
  const std::int64_t row = token - first;
  return table != nullptr && row >= 0 && row < vocab ? table + row * hidden : nullptr;
}

}  // namespace

void run(const Embedding& op, Kernel& kernel) {
  const auto* tokens = kernel.data<std::int32_t>(op.tokens);
  const float *table = kernel.data(op.table), *positions = kernel.data(op.positions);
  float* out = kernel.data(op.out);
  check_tokens(op, tokens);
  parallel_for(kernel, op.rows, 1 + kElementGrain / op.hidden, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* token_row = row_of(table, tokens[r], op.first, op.vocab, op.hidden);
      const std::int64_t position = op.part.position(r % op.seq, op.seq);
      const float* position_row = positions == nullptr ? nullptr : positions + position * op.hidden;
      float* to = out + r * op.hidden;
      if (token_row != nullptr && position_row != nullptr) {
        kernel.loops.elementwise.add(token_row, position_row, to, op.hidden);
      } else if (const float* only = token_row != nullptr ? token_row : position_row; only != nullptr) {
        std::memcpy(to, only, static_cast<std::size_t>(op.hidden) * sizeof(float));
      } else {
        std::memset(to, 0, static_cast<std::size_t>(op.hidden) * sizeof(float));
      }
    }
  });
}

/// Each thread takes a range of columns, so that no two add to one place and rows keep their order.
void run(const EmbeddingBackward& op, Kernel& kernel) {
  const auto* tokens = kernel.data<std::int32_t>(op.tokens);
  const float* d_out = kernel.data(op.d_out);
  float *d_table = kernel.data(op.d_table), *d_positions = kernel.data(op.d_positions);
  check_tokens(op, tokens);
  const auto add = kernel.loops.elementwise.accumulate;
  parallel_for(kernel, op.hidden, 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = 0; r < op.rows; ++r) {
      const float* from = d_out + r * op.hidden + begin;
      float* row = row_of(d_table, tokens[r], op.first, op.vocab, op.hidden);
      if (row != nullptr) add(from, row + begin, end - begin);
      if (d_positions == nullptr) continue;
      add(from, d_positions + op.part.position(r % op.seq, op.seq) * op.hidden + begin, end - begin);
    }
  });
}

}  // namespace shardscope
