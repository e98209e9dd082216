#pragma once
// Emits the ops of model layers for one micro-batch, forward and hand-derived backward, on whole parameters.
// Legend: R rows (micro-batch * sequence), H hidden. Gradients of parameters are always added to; the first touch of
// each in a step is preceded by a Fill with 0 (fold_fills later turns most of these pairs into plain writes).

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/program/passes/draft.h"
#include "core/program/passes/tensor_parallel.h"

namespace shardscope {

/// y [R,out] = x [R,in] * W + b. W is stored [in,out] (gpt2's Conv1D), or [out,in] with `transposed` (nn.Linear).
/// Sizes are of this rank's part under tensor parallelism.
struct Linear {
  std::string module;
  std::int64_t in = 0, out = 0;
  bool transposed = false, bias = false;
  bool sums_over_ranks = false;  ///< split by rows: each rank's output is one summand, the bias counts in the first
  bool wide = false;             ///< never in fp8: the head, as in Megatron-LM, and what chooses experts
};

/// A weight gradient to be computed later.
struct DeferredWeight {
  Linear linear;
  Region x, d_out;
  Label label;
};

/// What a norm keeps for its backward.
struct NormState {
  std::string module;
  Region x, out, mean, rstd;
};

/// Keys and values of earlier tokens (inference), by layer.
struct KvCache {
  std::vector<Region> keys, values;
  Region starts;  ///< i32 [batch]: where each sequence's new tokens go; empty: the cache is filled from its beginning
  std::int64_t capacity = 0, context = 0;
};

/// The parts of a layer that all families share. Parameter gradients remember over micro-batches whether they started.
class LayerBuilder {
 public:
  LayerBuilder(Draft& draft, std::vector<Instruction>& out);

  /// From now on attention keeps keys and values there, and tokens have the positions of their places.
  void use_cache(KvCache cache) { cache_ = std::move(cache); }
  const std::optional<KvCache>& cache() const { return cache_; }
  /// From now on the rows are the last of each sequence.
  void go_on_with_last_rows() { seq_ = 1, rows_ = batch_; }

  void begin_micro_batch(int micro_batch);
  void begin(Phase phase, int layer);

  std::int64_t rows() const { return rows_; }
  /// Rows of the residual stream: rows(), or this rank's part of them with sequence parallelism.
  std::int64_t stream_rows() const { return splits_rows_ ? rows_ / tensor_ranks_ : rows_; }
  std::int64_t batch() const { return batch_; }
  std::int64_t seq() const { return seq_; }           ///< tokens of each sequence here, ...
  const SequencePart& part() const { return part_; }  ///< ... and which they are
  const Draft& draft() const { return draft_; }
  const ModelSpec& model() const { return draft_.job->model; }
  /// This rank's part of the model's heads, MLP and vocabulary.
  std::int64_t heads() const { return model().heads / tensor_ranks_; }
  std::int64_t kv_heads() const { return model().kv_heads / tensor_ranks_; }
  std::int64_t intermediate() const { return model().intermediate / tensor_ranks_; }
  VocabPart vocab() const { return vocab_part(model().vocab_size, tensor_rank_, tensor_ranks_); }
  int layer() const { return emit_.label.layer; }  ///< of begin()
  int tensor_rank() const { return tensor_rank_; }
  int tensor_ranks() const { return tensor_ranks_; }
  void emit(Op op, const std::string& module, Lane lane = Lane::kCompute);

  /// A new buffer of this micro-batch, e.g. "h.0.x.mb1": an activation in the model's dtype, or what is said.
  Region temporary(const std::string& name, std::int64_t elements) {
    return temporary(name, elements, Category::kActivation, draft_.dtypes.model);
  }
  Region temporary(const std::string& name, std::int64_t elements, Category category, DType dtype);
  /// An activation that is fp32 whatever the model's dtype: a mean, a log-sum-exp.
  Region statistic(const std::string& name, std::int64_t elements) {
    return temporary(name, elements, Category::kActivation, DType::kF32);
  }
  Region value(const std::string& parameter) const;
  Region scales_of(const std::string& parameter) const;  ///< of int8 values; else empty
  Region gradient(const std::string& parameter);

  Region forward(const Linear& linear, Region x, const std::string& out_name);
  void forward(const Linear& linear, Region x, Region out);
  /// Adds to the gradients of weight and bias: now, or at flush_weights() while deferring.
  void backward_weight(const Linear& linear, Region x, Region d_out);
  /// d_x = (or +=, with accumulate) d_out * W^T.
  void backward_input(const Linear& linear, Region d_out, Region d_x, bool accumulate);

  /// While on, weight gradients wait in `list`; what they read must then not be overwritten.
  void defer_weights(std::vector<DeferredWeight>* list) { deferred_ = list; }
  void flush_weights(std::vector<DeferredWeight>& list);
  /// What to go on with before changing `d_x` in place: d_x itself, or a copy if a deferred weight gradient reads it.
  Region fork(Region d_x, const std::string& name);

  // Between the residual stream and what tensor-parallel ranks split (Megatron's f and g). Without tensor parallelism
  // both return their argument.
  /// From the rows of the stream to all rows; `name` names the new buffer.
  Region all_rows(Region stream, const std::string& name);
  /// From summands of all rows, one per rank, to the rows of the stream: in place, or in a new buffer.
  Region sum_parts(Region part, const std::string& name);
  /// Every rank's `part`, in rank order: in a new buffer, or `part` itself if there is one rank.
  Region all_parts(Region part, const std::string& name);
  void reduce_over_tensor_ranks(Region data, ReduceOp reduce, const std::string& module) {
    emit(AllReduce{draft_.tensor_group, data, reduce}, module, Lane::kTensor);
  }
  /// Slices of `in` to the ranks that deal the experts out, theirs to `out`.
  void exchange_experts(Region in, Region out, const std::string& module) {
    emit(AllToAll{draft_.expert_group, in, out}, module, Lane::kContext);
  }

  NormState norm(const std::string& module, Region x, const std::string& out_name);
  /// d_x += (or =) the norm's gradient.
  void norm_backward(const NormState& state, Region d_out, Region d_x, bool accumulate_d_x);

 private:
  /// In fp8 where the job wants it and the sizes allow it, else as it is. `gradient`: the operand that is one.
  MatMul narrowed(MatMul op, const Linear& linear, const Region& gradient = {}) const;

  Draft& draft_;
  Emitter emit_;
  std::int64_t batch_, seq_, rows_;
  SequencePart part_;
  int tensor_rank_ = 0, tensor_ranks_ = 1;
  bool splits_rows_ = false;
  int micro_batch_ = 0;
  std::map<std::string, std::size_t, std::less<>> index_;  ///< parameter name -> index
  std::vector<bool> started_;                              ///< by parameter: its gradient has been zeroed this step
  std::vector<DeferredWeight>* deferred_ = nullptr;
  std::optional<KvCache> cache_;
};

/// One transformer block of a family; keeps what its backward needs. One object per micro-batch.
class BlockBuilder {
 public:
  virtual ~BlockBuilder() = default;
  virtual Region forward(int layer, Region x) = 0;  ///< returns the block's output [R,H]
  /// From the gradient of the block's output to that of its input; usually in place.
  virtual Region backward(int layer, Region d_x) = 0;
};
std::unique_ptr<BlockBuilder> make_gpt2_block(LayerBuilder& builder);
std::unique_ptr<BlockBuilder> make_llama_block(LayerBuilder& builder);

}  // namespace shardscope
