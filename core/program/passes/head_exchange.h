#pragma once
// Ulysses sequence parallelism: neighbours that each hold a stretch of every sequence, with all heads, swap it for the
// whole of what they hold together, with a part of the heads; and back. One all-to-all each way, whatever goes along.
//
//   const Region all = exchange.to_heads("h.0.attn", "h.0.qkv", {{q, 64, 32}, {k, 64, 32}, {v, 64, 32}});

#include <span>
#include <string>

#include "core/program/passes/layer_builder.h"

namespace shardscope {

/// A matrix of the rows here: `width` columns for each neighbour's heads, in their order.
struct HeadColumns {
  Region matrix;
  std::int64_t stride = 0, width = 0;
};

/// Legend: U neighbours, B sequences, S rows of each here, W sum of the widths.
class HeadExchange {
 public:
  explicit HeadExchange(LayerBuilder& builder);

  std::int64_t ranks() const { return ranks_; }
  /// [B, U * S, W]: the matrices' columns of this rank's heads, side by side. Buffers are named after `name`.
  Region to_heads(const std::string& module, const std::string& name, std::span<const HeadColumns> from);
  /// The way back: overwrites the matrices.
  void to_rows(const std::string& module, const std::string& name, Region heads, std::span<const HeadColumns> to);

 private:
  Region scratch(const std::string& name, std::int64_t elements) {
    return b_.temporary(name, elements, Category::kBucket, b_.draft().dtypes.model);
  }
  /// Slices by neighbour [U, B, S, W] to whole sequences [B, U, S, W], or with `back` the other way round.
  void regroup(const std::string& module, Region from, Region to, bool back);

  LayerBuilder& b_;
  std::int64_t ranks_ = 1;
};

}  // namespace shardscope
