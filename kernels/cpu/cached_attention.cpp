// The cache of keys and values: AppendCache, CachedAttention; and what else goes by the place of a sequence's new
// tokens: RopeAt, LastRows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cpu/float_rows.h"

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
  const FloatRows rows(kernel, width, {{op.x, Access::kUpdate}});
  rows.for_all(op.rows, 1 + kElementGrain / width, [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t i = 0; i < count * op.heads; ++i) {
      const std::int64_t angle = positions[first + i / op.heads] * half;
      kernel.loops.activation.rotate(at[0] + i * op.head_dim, table.cos.data() + angle, table.sin.data() + angle, 1.0f,
                                     half);
    }
  });
}

void run(const AppendCache& op, Kernel& kernel) {
  const Starts starts(op, kernel);
  const std::int64_t size = size_of(kernel.memory.dtype(op.k)), head_bytes = op.head_dim * size;
  const std::pair<const std::byte*, std::byte*> copies[] = {
      {kernel.data<std::byte>(op.k), kernel.data<std::byte>(op.k_cache)},
      {kernel.data<std::byte>(op.v), kernel.data<std::byte>(op.v_cache)}};
  const std::int64_t rows = op.batch * op.seq, grain = 1 + kElementGrain / (op.kv_heads * op.head_dim);
  parallel_for(kernel, rows, grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t sequence = row / op.seq, place = starts[sequence] + row % op.seq;
      for (std::int64_t head = 0; head < op.kv_heads; ++head) {
        const std::int64_t from = row * op.kv_stride * size + head * head_bytes;
        const std::int64_t to = ((sequence * op.kv_heads + head) * op.capacity + place) * head_bytes;
        for (const auto& [src, cache] : copies) {
          std::memcpy(cache + to, src + from, static_cast<std::size_t>(head_bytes));
        }
      }
    }
  });
}

void run(const CachedAttention& op, Kernel& kernel) {
  SS_CHECK(op.kv_heads > 0 && op.heads % op.kv_heads == 0, op.heads, op.kv_heads);
  const Starts starts(op, kernel);
  const std::int64_t group = op.heads / op.kv_heads, size = size_of(kernel.memory.dtype(op.q));
  const auto* q = kernel.data<std::byte>(op.q);
  auto* out = kernel.data<std::byte>(op.out);
  const auto *keys = kernel.data<std::byte>(op.k_cache), *values = kernel.data<std::byte>(op.v_cache);
  CachedAttentionHead shape{};
  shape.rows = op.seq, shape.group = group, shape.head_dim = op.head_dim;
  shape.q_stride = op.q_stride, shape.out_stride = op.heads * op.head_dim;
  shape.type = element_of(kernel.memory.dtype(op.q));
  const std::int64_t floats = (kernel.loops.cache.scratch_floats(shape) + 15) / 16 * 16;
  float* scratch = kernel.lane.scratch.take<float>(floats * kernel.threads);
  parallel_for(kernel, op.batch * op.kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t pair = begin; pair < end; ++pair) {
      const std::int64_t sequence = pair / op.kv_heads, column = pair % op.kv_heads * group * op.head_dim;
      const std::int64_t cache = pair * op.capacity * op.head_dim * size;
      CachedAttentionHead head = shape;
      head.q = q + (sequence * op.seq * op.q_stride + column) * size;
      head.out = out + (sequence * op.seq * shape.out_stride + column) * size;
      head.k = keys + cache, head.v = values + cache;
      head.first = starts[sequence];
      kernel.loops.cache.forward(head, scratch + thread * floats);
    }
  });
}

void run(const LastRows& op, Kernel& kernel) {
  const auto* counts = kernel.data<std::int32_t>(op.counts);
  const auto* x = kernel.data<std::byte>(op.x);
  auto* out = kernel.data<std::byte>(op.out);
  const std::int64_t row_bytes = op.hidden * size_of(kernel.memory.dtype(op.x));
  for (std::int64_t b = 0; b < op.batch; ++b) {
    if (counts[b] < 1 || counts[b] > op.seq) {
      throw Error(ErrorKind::kDevice, "last_rows: sequence " + std::to_string(b) + " has " + std::to_string(counts[b]) +
                                          " new tokens; there may be 1 to " + std::to_string(op.seq));
    }
    std::memcpy(out + b * row_bytes, x + (b * op.seq + counts[b] - 1) * row_bytes, static_cast<std::size_t>(row_bytes));
  }
}

}  // namespace shardscope
