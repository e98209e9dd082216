// layers: the rank's schedule, and each layer as ops with its hand-derived backward.
// Before: groups and stages. After: a sequential program of this rank on whole, unsharded parameters, each with a
// gradient buffer that starts at 0 every step and is added to by every micro-batch; loss = this rank's part of the mean
// over the global batch. Activations go to the next stage and gradients to the previous one; messages to the next rank
// and to the previous one have lanes of their own.
// Everything later only moves, shards and reorders what stands here; the mathematics of the model is all in this pass.

#include <fmt/format.h>

#include <array>
#include <deque>

#include "core/check.h"
#include "core/program/passes/messages.h"
#include "core/program/passes/model_chunk.h"
#include "core/spec/inference_spec.h"

namespace shardscope {
namespace {

/// Whether one of this rank's stages uses the tensor, and no other rank has it instead of this one.
bool is_here(const Draft& draft, const TensorSpec& tensor) {
  const ModelSpec& model = draft.job->model;
  const ExpertPart experts = draft.experts();
  if (tensor.expert >= 0 && (tensor.expert < experts.first || tensor.expert >= experts.first + experts.count)) {
    return false;
  }
  const bool is_table = tensor.layer < 0 && tensor.shape[0] == model.vocab_size && tensor.shape[1] == model.hidden &&
                        tensor.name.find("wpe") == std::string::npos;
  for (const StageSpan& span : draft.stages) {
    if (tensor.layer < 0 && span.has_embedding) return true;
    if (is_table && model.tied_embeddings && span.has_head) return true;
    if (tensor.layer >= model.layers && span.has_head) return true;
    if (tensor.layer >= span.first_block && tensor.layer < span.end_block) return true;
  }
  return false;
}

/// Matrices of the blocks, and an untied head.
bool is_int8(const Draft& draft, const TensorSpec& tensor) {
  return draft.inference != nullptr && draft.inference->spec->weights == WeightFormat::kInt8 &&
         tensor.shape.size() == 2 && tensor.layer >= 0;
}

/// The dimension of output channels: of gpt2's Conv1D in blocks the second, else the first.
std::int32_t channel_dim(const ModelSpec& model, const TensorSpec& tensor) {
  return model.family == ModelFamily::kGpt2 && tensor.layer < model.layers ? 1 : 0;
}

BufferId add_scales(Draft& draft, const TensorSpec& tensor, const Parameter& parameter) {
  const auto dim = static_cast<std::size_t>(channel_dim(draft.job->model, tensor));
  return draft.program.add_buffer(
      {tensor.name + ".scales", DType::kF32, parameter.local_shape()[dim], Category::kParameter, Space::kDevice, true});
}

}  // namespace

void add_parameters(Draft& draft) {
  Program& program = draft.program;
  for (const TensorSpec& tensor : list_tensors(draft.job->model)) {
    if (!is_here(draft, tensor)) continue;
    Parameter parameter{tensor.name, tensor.shape, tensor.layer, tensor.init_std, tensor.init_value};
    if (draft.tensor_group.valid()) {
      parameter.slice = tensor_slice(tensor, program.group(draft.tensor_group).self, draft.job->parallel.tp);
    }
    draft.roles.push_back(tensor_role(tensor, draft.job->parallel));
    const bool dealt_out = tensor.expert >= 0 && draft.expert_group.valid();
    draft.sharers.push_back(dealt_out ? draft.expert_data_parallel : draft.shard_group);
    const std::int64_t elements = parameter.local_elements();
    const bool int8 = is_int8(draft, tensor);
    const BufferId value = program.add_buffer(
        {tensor.name, int8 ? DType::kI8 : draft.dtypes.model, elements, Category::kParameter, Space::kDevice, true});
    const BufferId gradient =
        program.add_buffer({"grad." + tensor.name, draft.dtypes.gradient, elements, Category::kGradient});
    draft.buffers.push_back({value, gradient, int8 ? add_scales(draft, tensor, parameter) : BufferId{}});
    draft.modules.push_back(tensor.module);
    const auto index = static_cast<std::int32_t>(program.parameters.size());
    if (draft.tied_group.valid() && draft.tied_parameter < 0 && tensor.layer < 0) draft.tied_parameter = index;
    program.state.push_back({index, StateRole::kParameter, 0, program.whole(value)});
    if (int8) {
      program.state.back().scales = program.whole(draft.buffers.back().scales);
      program.state.back().channel_dim = channel_dim(draft.job->model, tensor);
    }
    program.parameters.push_back(std::move(parameter));
  }
}

namespace {

/// Runs the rank's schedule: one ModelChunk per chunk and micro-batch, with messages in between.
class ScheduleBuilder {
 public:
  ScheduleBuilder(Draft& draft, LayerBuilder& builder)
      : d_(draft),
        b_(builder),
        plan_(draft.pipeline),
        rank_(draft.pipeline_group.valid() ? draft.program.group(draft.pipeline_group).self : 0),
        held_(plan_.actions(rank_).size()) {
    for (const bool from_previous : {false, true}) {
      const std::vector<std::size_t> order = plan_.arrivals(rank_, from_previous);
      due_[from_previous ? 1 : 0].assign(order.begin(), order.end());
    }
  }

  void run() {
    const std::vector<Action>& actions = plan_.actions(rank_);
    std::size_t blocks = 0;
    for (const StageSpan& span : d_.stages) blocks += static_cast<std::size_t>(span.end_block - span.first_block);
    constexpr std::size_t kOpsOfBlock = 24;  // about, of one direction; saves moving them time and again
    d_.program.instructions.reserve(actions.size() * blocks / d_.stages.size() * kOpsOfBlock);
    for (std::size_t i = 0; i < actions.size(); ++i) act(i, actions[i]);
    b_.begin(Phase::kBackward, -1);
    for (Region sent : held_at_end_) b_.emit(Hold{sent}, "sent");
  }

 private:
  void act(std::size_t index, const Action& a) {
    b_.begin_micro_batch(a.micro_batch);
    std::unique_ptr<ModelChunk>& chunk = chunks_[{a.chunk, a.micro_batch}];
    if (a.kind == ActionKind::kWeight) {
      chunk->backward_weights();
      chunk.reset();
      return;
    }
    const StageSpan& span = d_.stages[static_cast<std::size_t>(a.chunk)];
    const Region in = take_in(index, a, span);
    Region out;
    if (a.kind == ActionKind::kForward) {
      const double scale = 1.0 / static_cast<double>(d_.program.tokens_per_step);
      chunk = std::make_unique<ModelChunk>(b_, span, d_.program.loss, scale);
      out = chunk->forward(a.micro_batch, in);
    } else {
      out = chunk->backward(in, a.kind == ActionKind::kInput);
      if (a.kind == ActionKind::kBackward) chunk.reset();
    }
    if (!out.empty()) hand_on(index, a, span, out);
  }

  /// What the neighbouring stage made: from this rank itself, or received, and before it all that was sent before it.
  Region take_in(std::size_t index, const Action& a, const StageSpan& span) {
    const std::optional<int> source = plan_.source(a.kind, span.stage);
    if (!source) return {};
    if (owner_of(plan_.shape(), *source).rank == rank_) {
      return here_.at({{a.kind == ActionKind::kForward, *source}, a.micro_batch});
    }
    std::deque<std::size_t>& due = due_[plan_.goes_to_next(a.kind, *source) ? 1 : 0];
    for (; !arrived_.contains(index); due.pop_front()) arrived_[due.front()] = receive(due.front());
    begin(a);
    for (Region sent : held_[index]) b_.emit(Hold{sent}, "sent");
    return arrived_.extract(index).mapped();
  }

  /// The input of the action, on the lane of the rank that sends it.
  Region receive(std::size_t index) {
    const Action& a = plan_.actions(rank_)[index];
    const int stage = d_.stages[static_cast<std::size_t>(a.chunk)].stage, source = *plan_.source(a.kind, stage);
    begin(a);
    const Region in = b_.temporary(fmt::format("stage.{}.{}", stage, a.kind == ActionKind::kForward ? "x" : "d_x"),
                                   b_.stream_rows() * d_.job->model.hidden);
    b_.emit(Recv{d_.pipeline_group, in, owner_of(plan_.shape(), source).rank}, "stage",
            plan_.goes_to_next(a.kind, source) ? Lane::kRecvPrevious : Lane::kRecvNext);
    return in;
  }

  /// What is emitted next belongs to the action, outside blocks.
  void begin(const Action& a) {
    b_.begin_micro_batch(a.micro_batch);
    b_.begin(a.kind == ActionKind::kForward ? Phase::kForward : Phase::kBackward, -1);
  }

  void hand_on(std::size_t index, const Action& a, const StageSpan& span, Region out) {
    const bool forward = a.kind == ActionKind::kForward;
    const std::optional<int> target = plan_.target(a.kind, span.stage);
    SS_CHECK(target.has_value(), span.stage);
    const int to = owner_of(plan_.shape(), *target).rank;
    if (to == rank_) {
      here_[{{forward, span.stage}, a.micro_batch}] = out;
      return;
    }
    begin(a);
    b_.emit(Send{d_.pipeline_group, out, to}, "stage",
            plan_.goes_to_next(a.kind, span.stage) ? Lane::kSendNext : Lane::kSendPrevious);
    const std::optional<std::size_t> delivered = plan_.delivered_at(rank_, index);
    (delivered ? held_[*delivered] : held_at_end_).push_back(out);
  }

  Draft& d_;
  LayerBuilder& b_;
  PipelinePlan plan_;
  int rank_;
  std::map<std::pair<int, int>, std::unique_ptr<ModelChunk>> chunks_;  ///< by chunk and micro-batch
  std::map<std::pair<std::pair<bool, int>, int>, Region> here_;        ///< made by (forward?, stage), micro-batch
  std::array<std::deque<std::size_t>, 2> due_;  ///< from the next, the previous rank: actions whose inputs come
  std::map<std::size_t, Region> arrived_;       ///< by action: inputs that no action has taken yet
  std::vector<std::vector<Region>> held_;       ///< by action: sent regions that are delivered when it has its input
  std::vector<Region> held_at_end_;
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
  ScheduleBuilder(draft, builder).run();
}

}  // namespace shardscope
