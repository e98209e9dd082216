#pragma once
// One chunk of the model on one micro-batch: its forward, then its backward, as ops.

#include <memory>
#include <string>
#include <vector>

#include "core/program/passes/layer_builder.h"

namespace shardscope {

/// Names of the modules around the blocks; `positions` is empty where they are rotary.
struct ModelEnds {
  std::string embedding, positions, norm, head;
};
ModelEnds ends_of(const ModelSpec& model);

/// The blocks of the model's family.
std::unique_ptr<BlockBuilder> make_blocks(LayerBuilder& builder);

/// Rows of the residual stream for tokens [R], with those of learned positions added if `with_positions`.
Region embed_tokens(LayerBuilder& builder, Region tokens, bool with_positions);

/// From the last norm to the logits of this rank's part of the vocabulary.
Linear head_of(const LayerBuilder& builder);

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
