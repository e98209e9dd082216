#pragma once
// One chunk of the model on one micro-batch: its forward, then its backward, as ops.

#include <memory>
#include <string>
#include <vector>

#include "core/program/passes/layer_builder.h"

namespace shardscope {

class ModelChunk {
 public:
  ModelChunk(LayerBuilder& builder, const StageSpan& span, Region loss, double loss_scale);

  /// `x` [R,H] is what the previous stage sent; unused by the first stage. Returns what the next one gets; empty after
  /// the head, which leaves the loss.
  Region forward(int micro_batch, Region x);
  /// `d_x` is what the next stage sent back; unused by the last. Returns what the previous one gets; empty before the
  /// embedding. With `defer_weights` the weight gradients wait for backward_weights().
  Region backward(Region d_x, bool defer_weights);
  void backward_weights();

 private:
  Region embed(int micro_batch);
  void emit_loss();
  Region backward_head();
  void backward_embedding(Region d_x);

  LayerBuilder& b_;
  const ModelSpec& m_;
  const StageSpan span_;
  Region loss_;
  double loss_scale_;
  std::unique_ptr<BlockBuilder> blocks_;
  Linear head_;
  Region tokens_, targets_, logits_;
  NormState norm_;
  std::vector<DeferredWeight> deferred_;
};

}  // namespace shardscope
