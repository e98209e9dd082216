#include "kernels/cpu/kernel.h"

#include <cstring>
#include <string>

#include "core/error.h"

namespace shardscope {
namespace {

/// Throws Error{kDevice} for a token outside the table: the data does not fit the model.
void check_tokens(const std::int32_t* tokens, std::int64_t rows, std::int64_t vocab) {
  for (std::int64_t r = 0; r < rows; ++r) {
    if (tokens[r] < 0 || tokens[r] >= vocab) {
      throw Error(ErrorKind::kDevice, "embedding: token " + std::to_string(tokens[r]) +
                                          " is outside the model's vocabulary of " + std::to_string(vocab));
    }
  }
}

}  // namespace

void run(const Embedding& op, Kernel& kernel) {
  const auto* tokens = kernel.data<std::int32_t>(op.tokens);
  const float *table = kernel.data(op.table), *positions = kernel.data(op.positions);
  float* out = kernel.data(op.out);
  check_tokens(tokens, op.rows, op.vocab);
  parallel_for(kernel, op.rows, 1 + kElementGrain / op.hidden, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* token_row = table + tokens[r] * op.hidden;
      float* to = out + r * op.hidden;
      if (positions == nullptr) {
        std::memcpy(to, token_row, static_cast<std::size_t>(op.hidden) * sizeof(float));
      } else {
        kernel.loops.elementwise.add(token_row, positions + r % op.seq * op.hidden, to, op.hidden);
      }
    }
  });
}

/// Each thread takes a range of columns, so that no two add to one place and rows keep their order.
void run(const EmbeddingBackward& op, Kernel& kernel) {
  const auto* tokens = kernel.data<std::int32_t>(op.tokens);
  const float* d_out = kernel.data(op.d_out);
  float *d_table = kernel.data(op.d_table), *d_positions = kernel.data(op.d_positions);
  check_tokens(tokens, op.rows, op.vocab);
  const auto add = kernel.loops.elementwise.accumulate;
  parallel_for(kernel, op.hidden, 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = 0; r < op.rows; ++r) {
      const float* from = d_out + r * op.hidden + begin;
      if (d_table != nullptr) add(from, d_table + tokens[r] * op.hidden + begin, end - begin);
      if (d_positions != nullptr) add(from, d_positions + r % op.seq * op.hidden + begin, end - begin);
    }
  });
}

}  // namespace shardscope
