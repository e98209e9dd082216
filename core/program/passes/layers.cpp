// layers: micro-batches, and each layer as ops with its hand-derived backward.
// Before: groups. After: a sequential program of one rank on whole, unsharded parameters, each with a gradient buffer
// that starts at 0 every step and is added to by every micro-batch; loss = mean over the global batch (this rank's
// part). Everything later only moves, shards and reorders what stands here; the mathematics of the model is all in this
// pass.

#include <fmt/format.h>

#include "core/program/passes/layer_builder.h"

namespace shardscope {
namespace {

/// One parameter and one gradient buffer per tensor of the model.
void add_parameters(Draft& draft) {
  Program& program = draft.program;
  for (const TensorSpec& tensor : list_tensors(draft.job->model)) {
    Parameter parameter{tensor.name, tensor.shape, tensor.layer, tensor.init_std, tensor.init_value};
    const std::int64_t elements = parameter.elements();
    const BufferId value =
        program.add_buffer({tensor.name, DType::kF32, elements, Category::kParameter, Space::kDevice, true});
    const BufferId gradient = program.add_buffer({"grad." + tensor.name, DType::kF32, elements, Category::kGradient});
    draft.buffers.push_back({value, gradient});
    draft.modules.push_back(tensor.module);
    const auto index = static_cast<std::int32_t>(program.parameters.size());
    program.state.push_back({index, StateRole::kParameter, 0, program.whole(value)});
    program.parameters.push_back(std::move(parameter));
  }
}

/// Names of the modules around the blocks.
struct Ends {
  std::string embedding, positions, norm, head;
};
Ends ends_of(const ModelSpec& model) {
  if (model.family == ModelFamily::kGpt2) {
    return {"transformer.wte", "transformer.wpe", "transformer.ln_f",
            model.tied_embeddings ? "transformer.wte" : "lm_head"};
  }
  return {"model.embed_tokens", "", "model.norm", model.tied_embeddings ? "model.embed_tokens" : "lm_head"};
}

/// The layers of one micro-batch, forward then backward.
class MicroBatch {
 public:
  MicroBatch(LayerBuilder& builder, Region loss, double loss_scale)
      : b_(builder),
        m_(builder.model()),
        ends_(ends_of(m_)),
        blocks_(m_.family == ModelFamily::kGpt2 ? make_gpt2_block(builder) : make_llama_block(builder)),
        layers_(static_cast<int>(m_.layers)),
        loss_(loss),
        loss_scale_(loss_scale),
        head_{ends_.head, m_.hidden, m_.vocab_size, true, false} {}

  void forward(int micro_batch) {
    b_.begin(Phase::kLoad, -1);
    tokens_ = b_.temporary("tokens", b_.rows(), Category::kBatch, DType::kI32);
    targets_ = b_.temporary("targets", b_.rows(), Category::kBatch, DType::kI32);
    b_.emit(LoadBatch{tokens_, targets_, micro_batch, b_.batch(), b_.seq()}, "batch");
    b_.begin(Phase::kForward, -1);
    Region x = b_.temporary("embedded", b_.rows() * m_.hidden);
    b_.emit(Embedding{tokens_, b_.value(ends_.embedding + ".weight"),
                      ends_.positions.empty() ? Region{} : b_.value(ends_.positions + ".weight"), x, b_.rows(),
                      m_.hidden, b_.seq(), m_.vocab_size},
            ends_.embedding);
    for (int layer = 0; layer < layers_; ++layer) {
      b_.begin(Phase::kForward, layer);
      x = blocks_->forward(layer, x);
    }
    b_.begin(Phase::kForward, -1);
    norm_ = b_.norm(ends_.norm, x, "final_norm");
    logits_ = b_.forward(head_, norm_.out, "logits");
    b_.emit(CrossEntropy{logits_, targets_, loss_, b_.rows(), m_.vocab_size, loss_scale_}, "loss");
  }

  void backward() {
    b_.begin(Phase::kBackward, -1);
    const Region d_norm = b_.temporary("d_final_norm", b_.rows() * m_.hidden);
    b_.backward_weight(head_, norm_.out, logits_);  // the loss left the gradient in the logits
    b_.backward_input(head_, logits_, d_norm, false);
    const Region d_x = b_.temporary("d_x", b_.rows() * m_.hidden);
    b_.norm_backward(norm_, d_norm, d_x, false);
    for (int layer = layers_ - 1; layer >= 0; --layer) {
      b_.begin(Phase::kBackward, layer);
      blocks_->backward(layer, d_x);
    }
    b_.begin(Phase::kBackward, -1);
    EmbeddingBackward op{tokens_,  d_x,          b_.gradient(ends_.embedding + ".weight"), {}, b_.rows(), m_.hidden,
                         b_.seq(), m_.vocab_size};
    if (!ends_.positions.empty()) op.d_positions = b_.gradient(ends_.positions + ".weight");
    b_.emit(op, ends_.embedding);
  }

 private:
  LayerBuilder& b_;
  const ModelSpec& m_;
  Ends ends_;
  std::unique_ptr<BlockBuilder> blocks_;
  int layers_;
  Region loss_;
  double loss_scale_;
  Linear head_;
  Region tokens_, targets_, logits_;
  NormState norm_;
};

}  // namespace

void pass_layers(Draft& draft) {
  Program& program = draft.program;
  add_parameters(draft);
  program.loss =
      program.whole(program.add_buffer({"loss", DType::kF32, 1, Category::kWorkspace, Space::kDevice, true}));
  LayerBuilder builder(draft, program.instructions);
  builder.begin(Phase::kLoad, -1);
  builder.emit(Fill{program.loss, 0}, "loss");
  const double loss_scale = 1.0 / static_cast<double>(program.tokens_per_step);
  for (int mb = 0; mb < draft.job->training.accumulation; ++mb) {
    builder.begin_micro_batch(mb);
    MicroBatch micro_batch(builder, program.loss, loss_scale);
    micro_batch.forward(mb);
    micro_batch.backward();
  }
}

}  // namespace shardscope
