// Shares (sequence, key/value head) pairs out to threads; each thread has its own scratch.
#include "core/check.h"
#include "kernels/cpu/float_rows.h"

namespace shardscope {
namespace {

template <class Op>
AttentionShape shape_of(const Op& op, const Kernel& kernel, bool add) {
  SS_CHECK(op.kv_heads > 0 && op.heads % op.kv_heads == 0, op.heads, op.kv_heads);
  const AttentionSpan& span = op.span;
  return {{op.seq, span.q.start, span.q.jump},
          {span.keys(op.seq), span.kv.start, span.kv.jump},
          op.heads / op.kv_heads,
          op.head_dim,
          op.q_stride,
          op.kv_stride,
          op.heads * op.head_dim,
          elements_of(kernel, op.q).type,
          add};
}

/// Where a pair's data begins: in q, k or v, out, lse.
struct Place {
  std::int64_t q, kv, out, lse;
};

template <class Op>
Place place_of(const Op& op, const AttentionShape& shape, std::int64_t pair) {
  const std::int64_t sequence = pair / op.kv_heads, kv_head = pair % op.kv_heads, head = kv_head * shape.group;
  const std::int64_t row = sequence * op.seq, key = sequence * shape.keys.count;
  return {row * op.q_stride + head * op.head_dim, key * op.kv_stride + kv_head * op.head_dim,
          row * shape.out_stride + head * op.head_dim, (sequence * op.heads + head) * op.seq};
}

/// f(place, scratch) for each pair.
template <class Op, class Body>
void for_each_pair(const Op& op, Kernel& kernel, const AttentionShape& shape, Body&& f) {
  const std::int64_t floats = (kernel.loops.attention.scratch_floats(shape) + 15) / 16 * 16;
  float* scratch = kernel.lane.scratch.take<float>(floats * kernel.threads);
  parallel_for(kernel, op.batch * op.kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t pair = begin; pair < end; ++pair) f(place_of(op, shape, pair), scratch + thread * floats);
  });
}

/// Where a region's elements begin, `at` elements further on.
class Pointers {
 public:
  Pointers(const Kernel& kernel, const AttentionShape& shape)
      : kernel_(kernel), size_(shape.type == Element::kF32 ? 4 : 2) {}
  void* operator()(const Region& region, std::int64_t at) const { return kernel_.data<std::byte>(region) + at * size_; }

 private:
  const Kernel& kernel_;
  std::int64_t size_;
};

}  // namespace

void run(const Attention& op, Kernel& kernel) {
  const AttentionShape shape = shape_of(op, kernel, op.merge);
  const Pointers to(kernel, shape);
  for_each_pair(op, kernel, shape, [&](const Place& at, float* scratch) {
    const AttentionHead head{to(op.q, at.q), to(op.k, at.kv), to(op.v, at.kv), to(op.out, at.out),
                             kernel.data(op.lse) + at.lse};
    kernel.loops.attention.forward(shape, head, scratch);
  });
}

void run(const AttentionBackward& op, Kernel& kernel) {
  const AttentionShape shape = shape_of(op, kernel, op.accumulate);
  const Pointers to(kernel, shape);
  for_each_pair(op, kernel, shape, [&](const Place& at, float* scratch) {
    const AttentionBackwardHead head{to(op.d_out, at.out), to(op.q, at.q),     to(op.k, at.kv),
                                     to(op.v, at.kv),      to(op.out, at.out), kernel.data(op.lse) + at.lse,
                                     to(op.d_q, at.q),     to(op.d_k, at.kv),  to(op.d_v, at.kv)};
    kernel.loops.attention.backward(shape, head, scratch);
  });
}

}  // namespace shardscope
