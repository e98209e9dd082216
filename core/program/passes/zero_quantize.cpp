#include "core/program/passes/zero_quantize.h"

#include <fmt/format.h>

#include "core/check.h"

namespace shardscope {
namespace {

/// Quantised elements and their scales.
struct Packed {
  Region q, scales;
};

class QuantizedExchange {
 public:
  QuantizedExchange(ZeroContext& c, Emitter& emit, Lane lane, std::string name, std::int64_t slice, std::int64_t bits)
      : c_(c), emit_(emit), lane_(lane), name_(std::move(name)), slice_(slice), bits_(bits) {}

  Packed pack(Region values) {
    const Packed packed = buffers(values.count);
    emit_(Quantize{values, packed.q, packed.scales, slice_, kQuantizeGroup, bits_}, lane_);
    return packed;
  }

  Packed gather(GroupId group, const Packed& own) {
    const Packed all = buffers(own.q.count * 8 / bits_ * size(group));
    emit_(AllGather{group, own.q, all.q}, lane_);
    emit_(AllGather{group, own.scales, all.scales}, lane_);
    return all;
  }

  Packed exchange(GroupId group, const Packed& mine) {
    const Packed theirs = buffers(mine.q.count * 8 / bits_);
    emit_(AllToAll{group, mine.q, theirs.q}, lane_);
    emit_(AllToAll{group, mine.scales, theirs.scales}, lane_);
    return theirs;
  }

  void unpack(const Packed& packed, Region out, std::int64_t parts) {
    emit_(Dequantize{packed.q, packed.scales, out, slice_, kQuantizeGroup, bits_, parts}, lane_);
  }

  /// A buffer like `like`, of `count` elements.
  Region temporary(std::int64_t count, Region like) {
    const Buffer& model = c_.program().buffer(like.buffer);
    return add(fmt::format("{}.sum", name_), count, model.dtype);
  }

 private:
  int size(GroupId group) const { return c_.program().group(group).size(); }

  Packed buffers(std::int64_t elements) {
    const std::int64_t scales = elements / slice_ * ((slice_ + kQuantizeGroup - 1) / kQuantizeGroup);
    const int n = buffers_++;
    return {add(fmt::format("{}.q{}", name_, n), elements * bits_ / 8, DType::kI8),
            add(fmt::format("{}.scales{}", name_, n), scales, DType::kF32)};
  }

  Region add(const std::string& name, std::int64_t elements, DType dtype) {
    return c_.program().whole(c_.program().add_buffer({name, dtype, elements, Category::kBucket}));
  }

  ZeroContext& c_;
  Emitter& emit_;
  Lane lane_;
  std::string name_;
  std::int64_t slice_, bits_;
  int buffers_ = 0;
};

}  // namespace

void gather_shards(ZeroContext& c, Emitter& emit, GroupId group, Region shard, Region whole, const std::string& name) {
  if (!c.draft.job->training.zero.quantized_weights) {
    emit(AllGather{group, shard, whole}, Lane::kGather);
    return;
  }
  QuantizedExchange exchange(c, emit, Lane::kGather, name, shard.count, 8);
  exchange.unpack(exchange.gather(group, exchange.pack(shard)), whole, 1);
}

void reduce_to_slice(ZeroContext& c, Emitter& emit, const Chunk& chunk, Region whole, Region out,
                     const std::string& name) {
  if (!c.draft.job->training.zero.quantized_gradients) {
    emit(ReduceScatter{chunk.group, whole, out}, Lane::kReduce);
    return;
  }
  QuantizedExchange exchange(c, emit, Lane::kReduce, name, chunk.slice, 4);
  const GroupId node = c.draft.node_group, across = c.draft.across_group;
  const int ranks = c.group(chunk).size();
  if (!across.valid() || chunk.group != c.draft.shard_group) {
    exchange.unpack(exchange.exchange(chunk.group, exchange.pack(whole)), out, ranks);
    return;
  }
  // Slices in the order of their owner's place in the node, so that one all-to-all brings each its own of every node.
  const std::int64_t local = c.program().group(node).size(), nodes = ranks / local, slice = chunk.slice;
  const Region swizzled = exchange.temporary(whole.count, whole);
  for (std::int64_t i = 0; i < local; ++i) {
    emit(CopyRows{whole.part(i * slice, whole.count - i * slice), swizzled.part(i * nodes * slice, nodes * slice),
                  nodes, slice, local * slice, slice},
         Lane::kReduce);
  }
  const Region partial = swizzled.part(0, nodes * slice);  // its own summands are quantised by then
  exchange.unpack(exchange.exchange(node, exchange.pack(swizzled)), partial, local);
  exchange.unpack(exchange.exchange(across, exchange.pack(partial)), out, nodes);
}

}  // namespace shardscope
