#include <algorithm>
#include <string>

#include "core/error.h"
#include "kernels/cpu/float_rows.h"

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

/// The token's row of this rank's part of the table, or -1.
template <class T>
std::int64_t row_of(const T& op, std::int32_t token) {
  const std::int64_t row = token - op.first;
  return row >= 0 && row < op.vocab ? row : -1;
}

/// Rows of `from` are added to those rows of `to` that `target` names (-1: none), each sum in fp32, in row order,
/// rounded once.
class RowAdder {
 public:
  RowAdder(Kernel& kernel, const Region& from, const Region& to, std::int64_t hidden)
      : kernel_(kernel), from_(elements_of(kernel, from)), to_(elements_of(kernel, to)), hidden_(hidden) {
    buffers_ = kernel.lane.scratch.take<float>(2 * hidden * kernel.threads);
  }

  /// Each thread takes a range of columns, so that no two add to one place.
  template <class Target>
  void add(std::int64_t rows, Target&& target) {
    if (to_.data == nullptr) return;
    std::int64_t* order = kernel_.lane.scratch.take<std::int64_t>(rows);  // by target, then by row
    std::int64_t count = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t to = target(r);
      if (to >= 0) order[count++] = to * rows + r;
    }
    std::sort(order, order + count);
    parallel_for(kernel_, hidden_, 64, [&](std::int64_t begin, std::int64_t end, int thread) {
      float *sums = buffers_ + 2 * thread * hidden_, *addends = sums + hidden_;
      const std::int64_t n = end - begin;
      for (std::int64_t i = 0; i < count;) {
        const std::int64_t to = order[i] / rows, at = to * hidden_ + begin;
        widen(kernel_, to_, at, n, sums);
        for (; i < count && order[i] / rows == to; ++i) {
          const float* row = floats_at(kernel_, from_, order[i] % rows * hidden_ + begin, n, addends);
          kernel_.loops.elementwise.accumulate(row, sums, n);
        }
        narrow(kernel_, sums, to_, at, n);
      }
    });
  }

 private:
  Kernel& kernel_;
  Elements from_, to_;
  std::int64_t hidden_;
  float* buffers_;
};

}  // namespace

void run(const Embedding& op, Kernel& kernel) {
  const auto* tokens = kernel.data<std::int32_t>(op.tokens);
  check_tokens(op, tokens);
  const Elements table = elements_of(kernel, op.table), positions = elements_of(kernel, op.positions);
  const std::int64_t hidden = op.hidden;
  const FloatRows out(kernel, hidden, {{op.out, Access::kWrite}});
  float* buffers = kernel.lane.scratch.take<float>(hidden * kernel.threads);
  parallel_for(kernel, op.rows, 1 + kElementGrain / hidden, [&](std::int64_t begin, std::int64_t end, int thread) {
    out.for_each_block(begin, end, thread, [&](std::int64_t first, std::int64_t count, float* const* at) {
      for (std::int64_t r = first; r < first + count; ++r) {
        float *to = at[0] + (r - first) * hidden, *buffer = buffers + thread * hidden;
        const std::int64_t row = row_of(op, tokens[r]);
        if (row >= 0) {
          widen(kernel, table, row * hidden, hidden, to);
        } else {
          std::fill_n(to, hidden, 0.0f);
        }
        if (positions.data == nullptr) continue;
        const std::int64_t position = op.part.position(r % op.seq, op.seq) * hidden;
        kernel.loops.elementwise.accumulate(floats_at(kernel, positions, position, hidden, buffer), to, hidden);
      }
    });
  });
}

void run(const EmbeddingBackward& op, Kernel& kernel) {
  const auto* tokens = kernel.data<std::int32_t>(op.tokens);
  check_tokens(op, tokens);
  RowAdder(kernel, op.d_out, op.d_table, op.hidden).add(op.rows, [&](std::int64_t r) { return row_of(op, tokens[r]); });
  RowAdder(kernel, op.d_out, op.d_positions, op.hidden).add(op.rows, [&](std::int64_t r) {
    return op.part.position(r % op.seq, op.seq);
  });
}

}  // namespace shardscope
