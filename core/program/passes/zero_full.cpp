// Gradients as DeepSpeed's BF16_Optimizer handles them: bf16 tensors of one micro-batch are added to an fp32 buffer of
// all gradients, which every rank has whole; after the last backward it is all-reduced in pieces, in the dtype of
// communication, and divided by N. Facts: docs/zero_modes.md.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/program/passes/zero.h"

namespace shardscope {
namespace {

class FullReducer {
 public:
  explicit FullReducer(ZeroContext& c) : c_(c), chunk_(c.chunks.front()) {}

  void run() {
    full_ =
        c_.program().whole(c_.add("full_gradients", c_.dtypes().gradient, chunk_.elements, Category::kGradient, true));
    give_tensors();
    for (const auto& [micro_batch, end] : ends_) add(micro_batch, end);
    reduce(ends_.rbegin()->second);
    c_.reduced[0] = c_.slice(chunk_, full_);
  }

 private:
  /// Points each micro-batch's gradients at tensors of its own, which start at 0.
  void give_tensors() {
    c_.take_gradients([&](std::size_t i, std::int32_t p, Region& region) {
      const int micro_batch = c_.program().instructions[i].label.micro_batch;
      region.buffer = tensor(p, micro_batch, i);
      ends_[micro_batch] = i;
    });
  }

  BufferId tensor(std::int32_t p, int micro_batch, std::size_t position) {
    const auto [it, is_new] = tensors_.try_emplace({micro_batch, p});
    if (!is_new) return it->second;
    const Parameter& parameter = c_.program().parameters[static_cast<std::size_t>(p)];
    it->second = c_.add(fmt::format("tensor_grad.{}.mb{}", parameter.name, micro_batch), c_.dtypes().model,
                        parameter.local_elements(), Category::kGradient);
    Emitter emit(c_.before[position]);
    emit.label = c_.program().instructions[position].label;
    emit(Fill{c_.program().whole(it->second), 0});
    return it->second;
  }

  Emitter after(std::size_t position, const char* name) {
    Emitter emit(c_.after[position]);
    emit.label = c_.program().instructions[position].label;
    emit.label.name = c_.program().intern(name);
    return emit;
  }

  void add(int micro_batch, std::size_t end) {
    Emitter emit = after(end, "full_gradients");
    if (micro_batch == ends_.begin()->first) emit(Fill{full_, 0});
    for (auto it = tensors_.lower_bound({micro_batch, 0}); it != tensors_.end() && it->first.first == micro_batch;
         ++it) {
      const ZeroContext::Place& place = c_.places[static_cast<std::size_t>(it->first.second)];
      emit(Accumulate{c_.program().whole(it->second), full_.part(place.offset, place.count)});
    }
  }

  void reduce(std::size_t end) {
    constexpr std::int64_t kPiece = 500'000'000;  // elements, whatever reduce_bucket_size says
    Emitter emit = after(end, "bucket");
    for (std::int64_t at = 0; at < full_.count; at += kPiece) {
      const Region piece = full_.part(at, std::min(kPiece, full_.count - at));
      Region work = piece;
      if (c_.dtypes().communication != c_.dtypes().gradient) {
        work = c_.program().whole(
            c_.add(fmt::format("bucket.{}", at / kPiece), c_.dtypes().communication, piece.count, Category::kBucket));
        emit(Copy{piece, work});
      }
      emit(AllReduce{chunk_.group, work}, Lane::kReduce);
      emit(Scale{work, 1.0 / c_.group(chunk_).size()});
      if (!(work == piece)) emit(Copy{work, piece});
    }
  }

  ZeroContext& c_;
  const Chunk& chunk_;
  Region full_;
  std::map<std::pair<int, std::int32_t>, BufferId> tensors_;  ///< by micro-batch and parameter
  std::map<int, std::size_t> ends_;                           ///< by micro-batch: its last op on a gradient
};

}  // namespace

void zero_reduce_full(ZeroContext& context) { FullReducer(context).run(); }

}  // namespace shardscope
