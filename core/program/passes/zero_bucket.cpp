// Gradients as DeepSpeed 0.19 handles them: a tensor each, copied into a bucket when complete; a full bucket is divided
// by N and reduced, and this rank's slices are copied out. Facts: docs/zero_modes.md.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/program/passes/zero.h"

namespace shardscope {
namespace {

class BucketReducer {
 public:
  explicit BucketReducer(ZeroContext& c)
      : c_(c), ranks_(c.draft.shards_group().size()), lane_(c.plan.overlap ? Lane::kReduce : Lane::kCompute) {}

  void run() {
    give_tensors();
    if (c_.plan.stage == 3) make_partition();
    for (const Ready& ready : find_ready()) add(ready);
    flush();
    finish_micro_batch();
  }

 private:
  /// A parameter's gradient is complete after position `position`.
  struct Ready {
    std::int32_t parameter = 0;
    int micro_batch = 0;
    std::size_t position = 0;
  };
  struct Entry {
    std::int32_t parameter = 0;
    Region in_bucket;
  };

  // ---------------------------------------------------------- one tensor per gradient

  /// Keeps one gradient tensor per parameter, or gives it a fresh one each micro-batch where gradients are sharded.
  void give_tensors() {
    c_.take_gradients([&](std::size_t i, std::int32_t p, Region& region) {
      const int micro_batch = c_.program().instructions[i].label.micro_batch;
      region.buffer = tensor(p, c_.plan.shards_gradients() ? micro_batch : 0, i);
      last_touch_[{p, micro_batch}] = i;
    });
  }

  BufferId tensor(std::int32_t p, int mb, std::size_t position) {
    const auto [it, is_new] = tensors_.try_emplace({p, mb});
    if (!is_new) return it->second;
    const Parameter& parameter = c_.program().parameters[static_cast<std::size_t>(p)];
    const std::string name = fmt::format("tensor_grad.{}.mb{}", parameter.name, mb);
    it->second = c_.add(name, c_.dtypes().model, parameter.local_elements(), Category::kGradient);
    Emitter emit(c_.before[position]);
    emit.label = c_.program().instructions[position].label;
    emit(Fill{c_.program().whole(it->second), 0});
    return it->second;
  }

  /// In the order in which they are reduced.
  std::vector<Ready> find_ready() const {
    const int last_mb = c_.draft.pipeline.micro_batches - 1;
    std::vector<Ready> all;
    std::size_t end = 0;
    for (const auto& [key, position] : last_touch_) {
      const auto& [parameter, mb] = key;
      end = std::max(end, position);
      if (c_.plan.shards_gradients() || mb == last_mb) all.push_back({parameter, mb, position});
    }
    if (c_.plan.at_boundary) {
      for (Ready& ready : all) ready.position = end;
    }
    std::stable_sort(all.begin(), all.end(), [](const Ready& a, const Ready& b) { return a.position < b.position; });
    return all;
  }

  // ---------------------------------------------------------- buckets

  void add(const Ready& ready) {
    if (ready.micro_batch != micro_batch_) {
      flush();
      finish_micro_batch();
      micro_batch_ = ready.micro_batch;
    }
    const Region gradient =
        c_.program().whole(tensors_.at({ready.parameter, c_.plan.shards_gradients() ? ready.micro_batch : 0}));
    if (filled_ + gradient.count > c_.plan.bucket_elements) flush();
    position_ = ready.position;
    if (gradient.count > c_.plan.bucket_elements) {  // reduced alone, where it is
      entries_ = {{ready.parameter, gradient}};
      reduce(gradient);
      return;
    }
    open_bucket();
    const Region place = bucket_.part(filled_, gradient.count);
    emitter()(Copy{gradient, place}, lane_);
    entries_.push_back({ready.parameter, place});
    filled_ += gradient.count;
  }

  void open_bucket() {
    if (!entries_.empty()) return;
    if (c_.plan.permanent_bucket) {
      if (permanent_.empty()) {
        permanent_ =
            c_.program().whole(c_.add("bucket", c_.dtypes().model, c_.plan.bucket_elements, Category::kBucket, true));
      }
      bucket_ = permanent_;
    } else if (c_.plan.overlap) {  // two, in turn
      std::swap(bucket_, other_bucket_);
      if (bucket_.empty()) bucket_ = new_bucket();
    } else if (bucket_.empty()) {
      bucket_ = new_bucket();
    }
  }

  Region new_bucket() {
    std::int64_t elements = c_.plan.bucket_elements;
    if (c_.plan.stage == 0) {  // flattened as large as its tensors, not as large as it may be
      std::int64_t total = 0;
      for (const Chunk& chunk : c_.chunks) total += chunk.used;
      elements = std::min(elements, total);
    }
    return c_.program().whole(
        c_.add(fmt::format("bucket.{}", buckets_++), c_.dtypes().model, elements, Category::kBucket));
  }

  Region new_work(std::int64_t elements, DType dtype) {
    return c_.program().whole(c_.add(fmt::format("reduce.{}", works_++), dtype, elements, Category::kBucket));
  }

  void flush() {
    if (entries_.empty() || filled_ == 0) return;
    reduce(bucket_.part(0, filled_));
    filled_ = 0;
  }

  Emitter emitter() {
    Emitter emit(c_.after[position_]);
    emit.label = c_.program().instructions[position_].label;
    emit.label.name = c_.program().intern("bucket");
    return emit;
  }

  void reduce(Region filled) {
    Emitter emit = emitter();
    if (c_.plan.stage == 3) {
      reduce_scatter(emit);
    } else {
      all_reduce(emit, filled);
    }
    entries_.clear();
  }

  /// Stages 0 to 2: divide, all-reduce all of it (1 and 2: of a second copy), copy back what is needed.
  void all_reduce(Emitter& emit, Region filled) {
    emit(Scale{filled, 1.0 / ranks_}, lane_);
    Region work = filled;
    if (c_.plan.stage > 0 || c_.dtypes().communication != c_.dtypes().model) {
      work = new_work(filled.count, c_.dtypes().communication);
      emit(Copy{filled, work}, lane_);
    }
    emit(AllReduce{c_.draft.shard_group, work}, Lane::kReduce);
    if (!c_.plan.overlap) emit(Hold{work});
    for (const Entry& entry : entries_) copy_back(emit, entry, work, filled);
    limit_in_flight(emit, work);
    if (c_.plan.stage == 0) return;
    for (const Entry& entry : entries_) keep_owned(emit, entry);  // the second copy is gone by then
  }

  /// The part of the entry that this rank owns, from the start of the entry.
  std::pair<std::int64_t, std::int64_t> owned_part(const Entry& entry) const {
    const ZeroContext::Place& place = c_.places[static_cast<std::size_t>(entry.parameter)];
    const Chunk& chunk = c_.chunks[place.chunk];
    const std::int64_t first = c_.first(chunk);
    return {std::max(place.offset, first) - place.offset,
            std::min(place.offset + place.count, first + chunk.slice) - place.offset};
  }

  void copy_back(Emitter& emit, const Entry& entry, Region work, Region filled) {
    const Region reduced = work.part(entry.in_bucket.offset - filled.offset, entry.in_bucket.count);
    if (c_.plan.stage == 0) {
      const Region gradient = c_.program().whole(tensors_.at({entry.parameter, 0}));
      emit(Copy{reduced, gradient}, lane_);
      c_.reduced[c_.places[static_cast<std::size_t>(entry.parameter)].chunk] = gradient;
      return;
    }
    const auto [begin, end] = owned_part(entry);
    if (begin < end) emit(Copy{reduced.part(begin, end - begin), entry.in_bucket.part(begin, end - begin)}, lane_);
  }

  void keep_owned(Emitter& emit, const Entry& entry) {
    const auto [begin, end] = owned_part(entry);
    if (begin >= end) return;
    const ZeroContext::Place& place = c_.places[static_cast<std::size_t>(entry.parameter)];
    const Chunk& chunk = c_.chunks[place.chunk];
    const Region part = partition(emit, chunk).part(place.offset + begin - c_.first(chunk), end - begin);
    emit(Copy{entry.in_bucket.part(begin, end - begin), part}, lane_);
  }

  /// Stages 1 and 2: this rank's part of the one flat buffer, a fresh one each micro-batch, summed at its end.
  Region partition(Emitter& emit, const Chunk& chunk) {
    if (!partition_.empty()) return partition_;
    const std::string name = fmt::format("grads_in_partition.mb{}", micro_batch_);
    partition_ = c_.program().whole(c_.add(name, c_.dtypes().model, chunk.slice, Category::kGradient));
    const std::int64_t real = std::clamp<std::int64_t>(chunk.used - c_.first(chunk), 0, chunk.slice);
    if (real < chunk.slice) emit(Fill{partition_.part(real, chunk.slice - real), 0}, lane_);
    return partition_;
  }

  void finish_micro_batch() {
    if (partition_.empty()) {
      if (c_.plan.stage == 1 || c_.plan.stage == 2) own_padding_only();
      if (partition_.empty()) return;
    }
    Region& sum = c_.reduced[0];
    if (sum.empty() && c_.dtypes().gradient == c_.dtypes().model) {
      sum = partition_;
    } else if (sum.empty()) {
      sum =
          c_.program().whole(c_.add("accumulated_grads", c_.dtypes().gradient, partition_.count, Category::kGradient));
      emitter()(Copy{partition_, sum}, lane_);
    } else {
      emitter()(Accumulate{partition_, sum}, lane_);
    }
    partition_ = {};
    bucket_ = other_bucket_ = {};
  }

  /// A rank whose slice is all padding still has a partition, of zeros.
  void own_padding_only() {
    if (last_touch_.empty() || micro_batch_ < 0) return;
    Emitter emit = emitter();
    partition(emit, c_.chunks[0]);
  }

  /// Stage 3: shards of the bucket's parameters, rank by rank, in a second buffer; its reduce-scatter leaves ours.
  void reduce_scatter(Emitter& emit) {
    std::int64_t total = 0;
    for (const Entry& entry : entries_) total += chunk_of(entry).slice;
    Region work = new_work(total * ranks_, c_.dtypes().model);
    std::int64_t at = 0;
    for (const Entry& entry : entries_) {
      const std::int64_t slice = chunk_of(entry).slice;
      const Region rows = work.part(at, (ranks_ - 1) * total + slice);
      emit(CopyRows{entry.in_bucket, rows, ranks_, slice, slice, total}, lane_);
      at += slice;
    }
    if (c_.dtypes().communication != c_.dtypes().model) {
      const Region cast = new_work(work.count, c_.dtypes().communication);
      emit(Copy{work, cast}, lane_);
      work = cast;
    }
    emit(Scale{work, 1.0 / ranks_}, lane_);
    const Region own = work.part(c_.draft.shards_group().self * total, total);
    emit(ReduceScatter{c_.draft.shard_group, work, own}, Lane::kReduce);
    if (!c_.plan.overlap) emit(Hold{work});
    at = 0;
    for (const Entry& entry : entries_) {
      const std::size_t chunk = c_.places[static_cast<std::size_t>(entry.parameter)].chunk;
      const Region from = own.part(at, c_.chunks[chunk].slice);
      if (micro_batch_ == 0) {
        emit(Copy{from, c_.reduced[chunk]}, lane_);
      } else {
        emit(Accumulate{from, c_.reduced[chunk]}, lane_);
      }
      at += c_.chunks[chunk].slice;
    }
    limit_in_flight(emit, work);
  }

  const Chunk& chunk_of(const Entry& entry) const {
    return c_.chunks[c_.places[static_cast<std::size_t>(entry.parameter)].chunk];
  }

  /// With overlap compute waits for the reduction before the last one: one is in flight.
  void limit_in_flight(Emitter& emit, Region work) {
    if (!c_.plan.overlap) return;
    if (!in_flight_.empty()) emit(Hold{in_flight_});
    in_flight_ = work;
  }

  /// Stage 3: all gradient shards lie in one permanent buffer.
  void make_partition() {
    std::int64_t total = 0;
    for (const Chunk& chunk : c_.chunks) total += chunk.slice;
    const BufferId buffer = c_.add("grad_partitions", c_.dtypes().gradient, total, Category::kGradient, true);
    std::int64_t at = 0;
    for (std::size_t i = 0; i < c_.chunks.size(); ++i) {
      c_.reduced[i] = {buffer, at, c_.chunks[i].slice};
      at += c_.chunks[i].slice;
    }
  }

  ZeroContext& c_;
  int ranks_;
  Lane lane_;  ///< of the copies: beside backward with overlap, on the compute lane without
  std::map<std::pair<std::int32_t, int>, BufferId> tensors_;        ///< by parameter and micro-batch
  std::map<std::pair<std::int32_t, int>, std::size_t> last_touch_;  ///< by parameter and micro-batch
  int micro_batch_ = -1;
  std::size_t position_ = 0;
  Region bucket_, other_bucket_, permanent_, partition_, in_flight_;
  std::vector<Entry> entries_;
  std::int64_t filled_ = 0;
  int buckets_ = 0, works_ = 0;
};

}  // namespace

void zero_reduce_buckets(ZeroContext& context) { BucketReducer(context).run(); }

}  // namespace shardscope
