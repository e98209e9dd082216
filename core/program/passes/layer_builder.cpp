#include "core/program/passes/layer_builder.h"

#include <fmt/format.h>

#include "core/check.h"
#include "core/program/passes/sequence_parallel.h"

namespace shardscope {
namespace {

SequencePlace place_of(const Draft& draft) {
  SequencePlace at;
  const auto look = [&](GroupId id, std::int64_t& ranks, std::int64_t& self) {
    if (!id.valid()) return;
    ranks = draft.program.group(id).size();
    self = draft.program.group(id).self;
  };
  look(draft.ring_group, at.ring, at.place);
  look(draft.ulysses_group, at.ulysses, at.neighbour);
  return at;
}

}  // namespace

LayerBuilder::LayerBuilder(Draft& draft, std::vector<Instruction>& out)
    : draft_(draft),
      emit_(out),
      batch_(draft.job->training.micro_batch),
      seq_(draft.job->data.seq_len / draft.job->parallel.cp),
      rows_(batch_ * seq_),
      part_(rank_part(draft.job->data.seq_len, place_of(draft))),
      started_(draft.program.parameters.size(), false) {
  if (draft.tensor_group.valid()) {
    const Group& group = draft.program.group(draft.tensor_group);
    tensor_rank_ = group.self;
    tensor_ranks_ = group.size();
    splits_rows_ = draft.job->parallel.sp;
  }
  for (std::size_t i = 0; i < draft.program.parameters.size(); ++i) index_[draft.program.parameters[i].name] = i;
}

void LayerBuilder::begin_micro_batch(int micro_batch) {
  micro_batch_ = micro_batch;
  emit_.label.micro_batch = micro_batch;
}

void LayerBuilder::begin(Phase phase, int layer) {
  emit_.label.phase = phase;
  emit_.label.layer = layer;
}

void LayerBuilder::emit(Op op, const std::string& module, Lane lane) {
  emit_.label.name = draft_.program.intern(module);
  emit_(std::move(op), lane);
}

Region LayerBuilder::temporary(const std::string& name, std::int64_t elements, Category category, DType dtype) {
  Buffer buffer{fmt::format("{}.mb{}", name, micro_batch_), dtype, elements, category};
  return draft_.program.whole(draft_.program.add_buffer(std::move(buffer)));
}

Region LayerBuilder::value(const std::string& parameter) const {
  const auto it = index_.find(parameter);
  SS_CHECK(it != index_.end(), parameter);
  return draft_.program.whole(draft_.buffers[it->second].value);
}

Region LayerBuilder::scales_of(const std::string& parameter) const {
  const BufferId scales = draft_.buffers[index_.at(parameter)].scales;
  return scales.valid() ? draft_.program.whole(scales) : Region{};
}

Region LayerBuilder::gradient(const std::string& parameter) {
  const auto it = index_.find(parameter);
  SS_CHECK(it != index_.end(), parameter);
  const Region region = draft_.program.whole(draft_.buffers[it->second].gradient);
  if (!started_[it->second]) {
    started_[it->second] = true;
    emit(Fill{region, 0}, draft_.modules[it->second]);
  }
  return region;
}

Region LayerBuilder::forward(const Linear& linear, Region x, const std::string& out_name) {
  const Region out = temporary(out_name, x.count / linear.in * linear.out);
  forward(linear, x, out);
  return out;
}

void LayerBuilder::forward(const Linear& linear, Region x, Region out) {
  const Region weight = value(linear.module + ".weight"), scales = scales_of(linear.module + ".weight");
  MatMul op{x, weight, {}, out, x.count / linear.in, linear.out, linear.in};
  if (linear.bias && !(linear.sums_over_ranks && tensor_rank_ > 0)) op.bias = value(linear.module + ".bias");
  op.trans_b = linear.transposed;
  if (scales.empty()) return emit(narrowed(op, linear), linear.module);
  emit(MatMulInt8{op.a, op.b, scales, op.bias, op.c, op.m, op.n, op.k, op.trans_b}, linear.module);
}

MatMul LayerBuilder::narrowed(MatMul op, const Linear& linear, const Region& gradient) const {
  const Fp8Spec& fp8 = draft_.job->fp8;
  if (!fp8.enabled || linear.wide || !op.suits_fp8()) return op;
  const auto format = [&](const Region& operand) {
    return operand == gradient && fp8.format == Fp8Spec::Format::kHybrid ? Fp8::kE5M2 : Fp8::kE4M3;
  };
  op.cast_a = format(op.a), op.cast_b = format(op.b);
  return op;
}

void LayerBuilder::flush_weights(std::vector<DeferredWeight>& list) {
  const Label label = emit_.label;
  for (const DeferredWeight& w : list) {
    emit_.label = w.label;
    backward_weight(w.linear, w.x, w.d_out);
  }
  list.clear();
  emit_.label = label;
}

Region LayerBuilder::fork(Region d_x, const std::string& name) {
  if (deferred_ == nullptr) return d_x;
  const Region copy = temporary(name, d_x.count);
  emit(Copy{d_x, copy}, name);
  return copy;
}

void LayerBuilder::backward_weight(const Linear& linear, Region x, Region d_out) {
  if (deferred_ != nullptr) {
    deferred_->push_back({linear, x, d_out, emit_.label});
    return;
  }
  const std::int64_t rows = x.count / linear.in;
  MatMul op{x, d_out, {}, gradient(linear.module + ".weight"), linear.in, linear.out, rows};
  if (linear.transposed) {
    std::swap(op.a, op.b);
    std::swap(op.m, op.n);
  }
  op.trans_a = true;
  op.accumulate = true;
  emit(narrowed(op, linear, d_out), linear.module);
  if (linear.bias) {
    emit(BiasGradient{d_out, gradient(linear.module + ".bias"), rows, linear.out, true}, linear.module);
  }
}

void LayerBuilder::backward_input(const Linear& linear, Region d_out, Region d_x, bool accumulate) {
  MatMul op{d_out, value(linear.module + ".weight"), {}, d_x, d_out.count / linear.out, linear.in, linear.out};
  op.trans_b = !linear.transposed;
  op.accumulate = accumulate;
  emit(narrowed(op, linear, d_out), linear.module);
}

Region LayerBuilder::all_rows(Region stream, const std::string& name) {
  if (!splits_rows_) return stream;
  const Region all = temporary(name, stream.count * tensor_ranks_);
  emit(AllGather{draft_.tensor_group, stream, all}, name, Lane::kTensor);
  return all;
}

Region LayerBuilder::all_parts(Region part, const std::string& name) {
  if (tensor_ranks_ == 1) return part;
  const DType dtype = draft_.program.buffer(part.buffer).dtype;
  const Region all = temporary(name, part.count * tensor_ranks_, Category::kActivation, dtype);
  emit(AllGather{draft_.tensor_group, part, all}, name, Lane::kTensor);
  return all;
}

Region LayerBuilder::sum_parts(Region part, const std::string& name) {
  if (tensor_ranks_ == 1) return part;
  if (!splits_rows_) {
    emit(AllReduce{draft_.tensor_group, part}, name, Lane::kTensor);
    return part;
  }
  const Region own = temporary(name, part.count / tensor_ranks_);
  emit(ReduceScatter{draft_.tensor_group, part, own}, name, Lane::kTensor);
  return own;
}

NormState LayerBuilder::norm(const std::string& module, Region x, const std::string& out_name) {
  const ModelSpec& m = model();
  const std::int64_t rows = stream_rows();
  NormState state{module, x, temporary(out_name, rows * m.hidden), {}, statistic(out_name + ".rstd", rows)};
  const Region weight = value(module + ".weight");
  if (m.norm == NormKind::kLayerNorm) {
    state.mean = statistic(out_name + ".mean", rows);
    emit(LayerNorm{x, weight, value(module + ".bias"), state.out, state.mean, state.rstd, rows, m.hidden, m.norm_eps},
         module);
  } else {
    emit(RmsNorm{x, weight, state.out, state.rstd, rows, m.hidden, m.norm_eps}, module);
  }
  return state;
}

void LayerBuilder::norm_backward(const NormState& s, Region d_out, Region d_x, bool accumulate_d_x) {
  const std::int64_t hidden = model().hidden;
  const Region weight = value(s.module + ".weight"), d_weight = gradient(s.module + ".weight");
  if (model().norm == NormKind::kLayerNorm) {
    const Region d_bias = gradient(s.module + ".bias");
    emit(LayerNormBackward{d_out, s.x, weight, s.mean, s.rstd, d_x, d_weight, d_bias, stream_rows(), hidden, true,
                           accumulate_d_x},
         s.module);
  } else {
    emit(RmsNormBackward{d_out, s.x, weight, s.rstd, d_x, d_weight, stream_rows(), hidden, true, accumulate_d_x},
         s.module);
  }
}

}  // namespace shardscope
