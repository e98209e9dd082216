// The cache of keys and values: AppendCache, CachedAttention; and what else goes by the place of a sequence's new
// tokens: RopeAt, LastRows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {
namespace {

/// Where each sequence's new tokens begin in its cache.
class Starts {
 public:
  /// Throws Error{kDevice} where `seq` more tokens do not fit.
  template <class Op>
  Starts(const Op& op, const Kernel& kernel) : starts_(kernel.data<std::int32_t>(op.starts)) {
    for (std::int64_t b = 0; b < op.batch; ++b) {
      const std::int64_t start = (*this)[b];
      if (start >= 0 && start + op.seq <= op.capacity) continue;
      throw Error(ErrorKind::kDevice, std::string(Op::kName) + ": sequence " + std::to_string(b) + " has " +
                                          std::to_string(start) + " tokens in the cache; " + std::to_string(op.seq) +
                                          " more do not fit its " + std::to_string(op.capacity) + " places");
    }
  }
  std::int64_t operator[](std::int64_t sequence) const { return starts_ == nullptr ? 0 : starts_[sequence]; }

 private:
  const std::int32_t* starts_;
};

/// Makes the table reach up to `position`. Angles in double, as in Rope.
void extend(RopeTable& table, std::int64_t position, std::int64_t head_dim, double theta) {
  const std::int64_t half = head_dim / 2;
  for (auto next = static_cast<std::int64_t>(table.cos.size()) / half; next <= position; ++next) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(next) * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      table.cos.push_back(static_cast<float>(std::cos(angle)));
      table.sin.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

}  // namespace

void run(const RopeAt& op, Kernel& kernel) {
  SS_CHECK(op.head_dim % 2 == 0, op.head_dim);
  const auto* positions = kernel.data<std::int32_t>(op.positions);
  const std::int32_t last = *std::max_element(positions, positions + op.rows);
  if (*std::min_element(positions, positions + op.rows) < 0) {
    throw Error(ErrorKind::kDevice, "rope_at: a position is below 0");
  }
  RopeTable& table = kernel.lane.position_tables[{op.head_dim, op.theta}];
  extend(table, last, op.head_dim, op.theta);
  const std::int64_t half = op.head_dim / 2, width = op.heads * op.head_dim;
  float* x = kernel.data(op.x);
  parallel_for(kernel, op.rows, 1 + kElementGrain / width, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin * op.heads; i < end * op.heads; ++i) {
      const std::int64_t angle = positions[i / op.heads] * half;
      kernel.loops.activation.rotate(x + i * op.head_dim, table.cos.data() + angle, table.sin.data() + angle, 1.0f,
                                     half);
    }
  });
}

void run(const AppendCache& op, Kernel& kernel) {
  const Starts starts(op, kernel);
  const auto row_bytes = static_cast<std::size_t>(op.head_dim) * sizeof(float);
  const std::pair<const float*, float*> copies[] = {{kernel.data(op.k), kernel.data(op.k_cache)},
                                                    {kernel.data(op.v), kernel.data(op.v_cache)}};
  const std::int64_t rows = op.batch * op.seq, grain = 1 + kElementGrain / (op.kv_heads * op.head_dim);
  parallel_for(kernel, rows, grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t sequence = row / op.seq, place = starts[sequence] + row % op.seq;
      for (std::int64_t head = 0; head < op.kv_heads; ++head) {
        const std::int64_t from = row * op.kv_stride + head * op.head_dim;
        const std::int64_t to = ((sequence * op.kv_heads + head) * op.capacity + place) * op.head_dim;
        for (const auto& [src, cache] : copies) std::memcpy(cache + to, src + from, row_bytes);
      }
    }
  });
}

void run(const CachedAttention& op, Kernel& kernel) {
  SS_CHECK(op.kv_heads > 0 && op.heads % op.kv_heads == 0, op.heads, op.kv_heads);
  const Starts starts(op, kernel);
  const std::int64_t group = op.heads / op.kv_heads, out_stride = op.heads * op.head_dim;
  const CachedAttentionHead first{kernel.data(op.q),
                                  kernel.data(op.k_cache),
                                  kernel.data(op.v_cache),
                                  kernel.data(op.out),
                                  op.seq,
                                  0,
                                  group,
                                  op.head_dim,
                                  op.q_stride,
                                  out_stride};
  const std::int64_t floats = (kernel.loops.cache.scratch_floats(first) + 15) / 16 * 16;
  float* scratch = kernel.lane.scratch.take<float>(floats * kernel.threads);
  parallel_for(kernel, op.batch * op.kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t pair = begin; pair < end; ++pair) {
      const std::int64_t sequence = pair / op.kv_heads, column = pair % op.kv_heads * group * op.head_dim;
      CachedAttentionHead head = first;
      head.q += sequence * op.seq * op.q_stride + column;
      head.out += sequence * op.seq * out_stride + column;
      head.k += pair * op.capacity * op.head_dim;
      head.v += pair * op.capacity * op.head_dim;
      head.first = starts[sequence];
      kernel.loops.cache.forward(head, scratch + thread * floats);
    }
  });
}

void run(const LastRows& op, Kernel& kernel) {
  const auto* counts = kernel.data<std::int32_t>(op.counts);
  const float* x = kernel.data(op.x);
  float* out = kernel.data(op.out);
  for (std::int64_t b = 0; b < op.batch; ++b) {
    if (counts[b] < 1 || counts[b] > op.seq) {
      throw Error(ErrorKind::kDevice, "last_rows: sequence " + std::to_string(b) + " has " + std::to_string(counts[b]) +
                                          " new tokens; there may be 1 to " + std::to_string(op.seq));
    }
    std::memcpy(out + b * op.hidden, x + (b * op.seq + counts[b] - 1) * op.hidden,
                static_cast<std::size_t>(op.hidden) * sizeof(float));
  }
}

}  // namespace shardscope
