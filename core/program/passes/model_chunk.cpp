#include "core/program/passes/model_chunk.h"

#include "core/check.h"

namespace shardscope {

ModelEnds ends_of(const ModelSpec& model) {
  if (model.family == ModelFamily::kGpt2) {
    return {"transformer.wte", "transformer.wpe", "transformer.ln_f",
            model.tied_embeddings ? "transformer.wte" : "lm_head"};
  }
  return {"model.embed_tokens", "", "model.norm", model.tied_embeddings ? "model.embed_tokens" : "lm_head"};
}

std::unique_ptr<BlockBuilder> make_blocks(LayerBuilder& builder) {
  return builder.model().family == ModelFamily::kGpt2 ? make_gpt2_block(builder) : make_llama_block(builder);
}

Region embed_tokens(LayerBuilder& b, Region tokens, bool with_positions) {
  const ModelSpec& m = b.model();
  const ModelEnds ends = ends_of(m);
  const Region x = b.temporary("embedded", b.rows() * m.hidden);
  Embedding op{tokens,         b.value(ends.embedding + ".weight"), {}, x, b.rows(), m.hidden, b.seq(), b.vocab().rows,
               b.vocab().first};
  op.part = b.part();
  if (b.tensor_ranks() > 1) op.total = m.vocab_size;
  if (with_positions && !ends.positions.empty() && b.tensor_rank() == 0) {
    op.positions = b.value(ends.positions + ".weight");
  }
  b.emit(op, ends.embedding);
  return b.sum_parts(x, "embedded.sum");
}

Linear head_of(const LayerBuilder& builder) {
  const ModelSpec& m = builder.model();
  return {ends_of(m).head, m.hidden, builder.vocab().rows, true, false, false, true};
}

ModelChunk::ModelChunk(LayerBuilder& builder, const StageSpan& span, Region loss, double loss_scale)
    : b_(builder),
      m_(builder.model()),
      span_(span),
      loss_(loss),
      loss_scale_(loss_scale),
      blocks_(make_blocks(builder)),
      head_(head_of(builder)) {}

Region ModelChunk::embed(int micro_batch) {
  b_.begin(Phase::kLoad, -1);
  tokens_ = b_.temporary(span_.has_embedding ? "tokens" : "tokens.head", b_.rows(), Category::kBatch, DType::kI32);
  targets_ = b_.temporary(span_.has_embedding ? "targets" : "targets.head", b_.rows(), Category::kBatch, DType::kI32);
  b_.emit(LoadBatch{tokens_, targets_, micro_batch, b_.batch(), b_.seq(), b_.part()}, "batch");
  if (!span_.has_embedding) return {};
  b_.begin(Phase::kForward, -1);
  return embed_tokens(b_, tokens_, true);
}

Region ModelChunk::forward(int micro_batch, Region x) {
  if (span_.has_embedding || span_.has_head) {
    const Region embedded = embed(micro_batch);
    if (span_.has_embedding) x = embedded;
  }
  for (int block = span_.first_block; block < span_.end_block; ++block) {
    b_.begin(Phase::kForward, block);
    x = blocks_->forward(block, x);
  }
  if (!span_.has_head) return x;
  b_.begin(Phase::kForward, -1);
  norm_ = b_.norm(ends_of(m_).norm, x, "final_norm");
  logits_ = b_.forward(head_, b_.all_rows(norm_.out, "final_norm.all"), "logits");
  emit_loss();
  return {};
}

void ModelChunk::emit_loss() {
  if (b_.tensor_ranks() == 1) {
    b_.emit(CrossEntropy{logits_, targets_, loss_, b_.rows(), m_.vocab_size, loss_scale_}, "loss");
    return;
  }
  const VocabPart part = b_.vocab();
  const Region top = b_.temporary("loss.top", b_.rows(), Category::kWorkspace, DType::kF32),
               sums = b_.temporary("loss.sums", 2 * b_.rows(), Category::kWorkspace, DType::kF32);
  b_.emit(RowMax{logits_, top, b_.rows(), part.rows, part.real}, "loss");
  b_.reduce_over_tensor_ranks(top, ReduceOp::kMax, "loss");
  b_.emit(ShiftedExp{logits_, top, targets_, sums, b_.rows(), part.rows, part.real, part.first, m_.vocab_size}, "loss");
  b_.reduce_over_tensor_ranks(sums, ReduceOp::kSum, "loss");
  b_.emit(ShardedCrossEntropy{logits_, sums, targets_, loss_, b_.rows(), part.rows, part.real, part.first, loss_scale_},
          "loss");
}

Region ModelChunk::backward(Region d_x, bool defer_weights) {
  if (defer_weights) b_.defer_weights(&deferred_);
  if (span_.has_head) d_x = backward_head();
  for (int block = span_.end_block - 1; block >= span_.first_block; --block) {
    b_.begin(Phase::kBackward, block);
    d_x = blocks_->backward(block, d_x);
  }
  b_.defer_weights(nullptr);
  if (!span_.has_embedding) return d_x;
  backward_embedding(d_x);
  return {};
}

void ModelChunk::backward_weights() { b_.flush_weights(deferred_); }

Region ModelChunk::backward_head() {
  b_.begin(Phase::kBackward, -1);
  const Region d_norm = b_.temporary("d_final_norm", b_.rows() * m_.hidden);
  // the loss left the gradient in the logits
  b_.backward_weight(head_, b_.all_rows(norm_.out, "final_norm.again"), logits_);
  b_.backward_input(head_, logits_, d_norm, false);
  const Region d_x = b_.temporary("d_x", b_.stream_rows() * m_.hidden);
  b_.norm_backward(norm_, b_.sum_parts(d_norm, "d_final_norm.sum"), d_x, false);
  return d_x;
}

void ModelChunk::backward_embedding(Region d_x) {
  const ModelEnds ends = ends_of(m_);
  b_.begin(Phase::kBackward, -1);
  EmbeddingBackward op{tokens_,
                       b_.all_rows(d_x, "d_embedded.all"),
                       b_.gradient(ends.embedding + ".weight"),
                       {},
                       b_.rows(),
                       m_.hidden,
                       b_.seq(),
                       b_.vocab().rows,
                       b_.vocab().first};
  op.part = b_.part();
  if (b_.tensor_ranks() > 1) op.total = m_.vocab_size;
  if (!ends.positions.empty()) op.d_positions = b_.gradient(ends.positions + ".weight");
  b_.emit(op, ends.embedding);
}

}  // namespace shardscope
