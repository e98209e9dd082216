// Gradients in place: every gradient is written where its chunk's reduction reads it, and the reduction is issued as
// soon as the chunk's last gradient is complete.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/program/passes/zero.h"
#include "core/program/passes/zero_quantize.h"

namespace shardscope {
namespace {

/// One life of a chunk's flat gradient buffer: a step, or a micro-batch where gradients are sharded.
struct Life {
  std::size_t chunk = 0;
  int micro_batch = 0;
  std::size_t first = 0, last = 0;
  BufferId buffer;
  std::map<std::int32_t, std::size_t> first_touch;  ///< by parameter
};

class InPlaceReducer {
 public:
  explicit InPlaceReducer(ZeroContext& c) : c_(c) {}

  void run() {
    find_lives();
    for (Life& life : lives_) start(life);
    point_writes();
    // Stable: those that one op completes keep the order in which they began, the same in every micro-batch.
    std::stable_sort(lives_.begin(), lives_.end(), [](const Life& a, const Life& b) { return a.last < b.last; });
    for (const Life& life : lives_) reduce(life);
    sum_tied();
  }

 private:
  std::size_t life_of(std::int32_t parameter, int micro_batch) {
    const std::size_t chunk = c_.places[static_cast<std::size_t>(parameter)].chunk;
    const int mb = c_.chunks[chunk].shards_gradients() ? micro_batch : 0;
    const auto [it, is_new] = index_.try_emplace({chunk, mb}, lives_.size());
    if (is_new) lives_.push_back({chunk, mb, SIZE_MAX, 0, {}, {}});
    return it->second;
  }

  void find_lives() {
    c_.take_gradients([&](std::size_t i, std::int32_t p, const Region&) {
      Life& life = lives_[life_of(p, c_.program().instructions[i].label.micro_batch)];
      life.first = std::min(life.first, i);
      life.last = i;
      life.first_touch.try_emplace(p, i);
    });
  }

  void start(Life& life) {
    const Chunk& chunk = c_.chunks[life.chunk];
    const std::string suffix = chunk.shards_gradients() ? fmt::format(".mb{}", life.micro_batch) : "";
    const DType dtype = chunk.shards_gradients() ? c_.dtypes().communication : c_.dtypes().gradient;
    life.buffer = c_.add("grad." + chunk.name + suffix, dtype, chunk.elements,
                         chunk.shards_gradients() ? Category::kBucket : Category::kGradient);
    const Region whole = c_.program().whole(life.buffer);
    if (chunk.used < chunk.elements) fill(whole.part(chunk.used, chunk.elements - chunk.used), life.first);
    for (const auto& [parameter, position] : life.first_touch) {
      const ZeroContext::Place& place = c_.places[static_cast<std::size_t>(parameter)];
      fill(whole.part(place.offset, place.count), position);
    }
  }

  void fill(Region region, std::size_t position) {
    Emitter emit(c_.before[position]);
    emit.label = c_.program().instructions[position].label;
    emit(Fill{region, 0});
  }

  void point_writes() {
    for (Instruction& in : c_.program().instructions) {
      for_each_region(in.op, [&](Region& region) {
        const std::int32_t p = c_.gradient_parameter(region);
        if (p < 0 || std::holds_alternative<Fill>(in.op)) return;
        const BufferId buffer = lives_[life_of(p, in.label.micro_batch)].buffer;
        region = {buffer, c_.places[static_cast<std::size_t>(p)].offset + region.offset, region.count};
      });
    }
  }

  void reduce(const Life& life) {
    const Chunk& chunk = c_.chunks[life.chunk];
    const Region whole = c_.program().whole(life.buffer);
    Emitter emit(c_.after[life.last]);
    emit.label = c_.program().instructions[life.last].label;
    emit.label.name = c_.program().intern(chunk.name);
    if (c_.group(chunk).size() == 1) {
      c_.reduced[life.chunk] = whole;
      sum_tensor_parts(emit, life, chunk);
      return;
    }
    if (chunk.shards_gradients()) {
      scatter(emit, life, chunk, whole);
    } else {
      reduce_once(emit, life, chunk, whole);
    }
    sum_replicas(emit, life, chunk);
    sum_tensor_parts(emit, life, chunk);
    wait(emit, chunk, whole);
  }

  bool completes_step(const Life& life, const Chunk& chunk) const {
    return !chunk.shards_gradients() || life.micro_batch == c_.draft.pipeline.micro_batches - 1;
  }

  /// Under sequence parallelism each tensor-parallel rank has seen only its rows of what the norms work on.
  void sum_tensor_parts(Emitter& emit, const Life& life, const Chunk& chunk) {
    if (!completes_step(life, chunk)) return;
    const Region reduced = c_.reduced[life.chunk];
    for (const Region& part :
         parts_with_role(c_.draft, chunk.members, TensorRole::kPartial, reduced, c_.first(chunk))) {
      emit(AllReduce{c_.draft.tensor_group, part}, Lane::kReduce);
    }
  }

  /// With several copies of the sharded state (MiCS), slices are summed over the copies after the last micro-batch.
  void sum_replicas(Emitter& emit, const Life& life, const Chunk& chunk) {
    if (!c_.draft.replica_group.valid() || !completes_step(life, chunk)) return;
    emit(AllReduce{c_.draft.replica_group, c_.reduced[life.chunk]}, Lane::kReduce);
  }

  /// A tied embedding is summed over the two ends of the pipeline, after all backward work: the last stage is done with
  /// it long before the first, and must not wait for what the first can only compute from its messages.
  void sum_tied() {
    if (!c_.draft.tied_group.valid()) return;
    const std::size_t chunk = c_.places[static_cast<std::size_t>(c_.draft.tied_parameter)].chunk;
    Emitter emit(c_.after.back());
    emit.label = c_.program().instructions.back().label;
    emit.label.name = c_.program().intern(c_.chunks[chunk].name);
    emit(AllReduce{c_.draft.tied_group, c_.reduced[chunk]}, Lane::kReduce);
  }

  /// Stages 0 and 1: after the last micro-batch, in place; in the dtype of communication, so on a copy if that is
  /// another one.
  void reduce_once(Emitter& emit, const Life& life, const Chunk& chunk, Region whole) {
    const bool casts = c_.dtypes().communication != c_.dtypes().gradient;
    Region work = whole;
    if (casts) {
      work = cast_of(life, whole);
      emit(Copy{whole, work}, Lane::kReduce);
    }
    if (chunk.stage == 0) {
      emit(AllReduce{chunk.group, work}, Lane::kReduce);
    } else {
      emit(ReduceScatter{chunk.group, work, c_.slice(chunk, work)}, Lane::kReduce);
    }
    c_.reduced[life.chunk] = c_.slice(chunk, whole);
    if (casts) emit(Copy{c_.slice(chunk, work), c_.reduced[life.chunk]}, Lane::kReduce);
  }

  /// Where a chunk is reduced in another dtype. With overlap all of them, one after the other on their lane, have the
  /// memory of the largest, and nobody else has it in between: compute would wait for a reduction to get it.
  Region cast_of(const Life& life, const Region& whole) {
    const DType dtype = c_.dtypes().communication;
    if (!c_.plan.overlap) {
      const std::string name = "cast." + c_.program().buffer(life.buffer).name;
      return c_.program().whole(c_.add(name, dtype, whole.count, Category::kBucket));
    }
    if (!cast_.valid()) cast_ = c_.add("cast.grad", dtype, largest_cast(), Category::kBucket);
    return c_.program().whole(cast_).part(0, whole.count);
  }
  std::int64_t largest_cast() const {
    std::int64_t most = 0;
    for (const Chunk& chunk : c_.chunks) {
      if (!chunk.shards_gradients() && c_.group(chunk).size() > 1) most = std::max(most, chunk.elements);
    }
    return most;
  }

  /// Stages 2 and 3: only the slice stays, summed over micro-batches. The whole is in the dtype of communication.
  void scatter(Emitter& emit, const Life& life, const Chunk& chunk, Region whole) {
    const std::string name = c_.program().buffer(life.buffer).name;
    const Region slice = c_.slice(chunk, whole);
    Region& sum = c_.reduced[life.chunk];
    const bool is_first = sum.empty(), casts = c_.dtypes().communication != c_.dtypes().gradient;
    if (is_first) {
      sum = c_.program().whole(
          c_.add("grad_shard." + chunk.name, c_.dtypes().gradient, chunk.slice, Category::kGradient));
    }
    reduce_to_slice(c_, emit, chunk, whole, is_first && !casts ? sum : slice, name);
    if (is_first && casts) emit(Copy{slice, sum}, Lane::kReduce);
    if (!is_first) emit(Accumulate{slice, sum}, Lane::kReduce);
  }

  /// Without overlap compute waits at once; with it, when the next reduction is issued, so two buckets live at most.
  void wait(Emitter& emit, const Chunk& chunk, Region whole) {
    if (!c_.plan.overlap) {
      emit(Hold{whole});
    } else if (chunk.shards_gradients()) {
      if (!in_flight_.empty()) emit(Hold{in_flight_});
      in_flight_ = whole;
    }
  }

  ZeroContext& c_;
  std::vector<Life> lives_;
  std::map<std::pair<std::size_t, int>, std::size_t> index_;
  Region in_flight_;
  BufferId cast_;
};

}  // namespace

void zero_reduce_in_place(ZeroContext& context) { InPlaceReducer(context).run(); }

}  // namespace shardscope
