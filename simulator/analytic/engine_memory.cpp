#include "simulator/analytic/engine_memory.h"

#include <algorithm>
#include <cmath>

#include "simulator/analytic/zero_plus_plus.h"

namespace shardscope {
namespace {

/// Bytes that are not there all the time.
struct Moment {
  double gradients = 0, activations = 0, recomputed = 0, logits = 0, gathered = 0, buckets = 0, workspace = 0;
  double total() const { return gradients + activations + recomputed + logits + gathered + buckets + workspace; }
};

/// Elements of gradients that backward has been through, or that have begun.
struct Elements {
  double shared = 0, experts = 0;
  double all() const { return shared + experts; }
};

class Moments {
 public:
  explicit Moments(const EngineRank& r)
      : chunks_(r.parts.chunks),
        plan_(r.plan),
        stage_(r.stage),
        costs_(r.costs),
        tapes_(r.parts.tapes),
        f_(r.framework),
        p_(r.parameters),
        c_(r.copies),
        buckets_(r.parts.buckets),
        by_chunk_(r.parts.by_chunk),
        zero_(stage_in_use(r.plan, r.copies)) {
    several_ = plan_.micro_batches() > 1;
    offloads_ = plan_.offload != Offload::kNone;
    row_ = costs_.message;
    // Experts that no other rank has are whole here anyway.
    const double alone = plan_.ep > 1 && c_.experts <= 1 ? costs_.mixture.expert_parameters : 0;
    block_ = std::max(costs_.dense.parameters, costs_.mixture.parameters - alone);
    bucket_ = std::min(p_.all(), static_cast<double>(f_.bucket_elements));
    by_chunk_.clear();
    for (int c = 0; c < chunks_.shape.chunks; ++c) {
      const Stage& chunk = chunks_.chunk(c);
      by_chunk_.push_back({kept_of(chunk), put_off(chunk)});
    }
    plus_plus_ = zero_ == 3 && plan_.zero_plus_plus();
    packs_gradients_ = plus_plus_ && plan_.quantized_gradients;
    dealt_out_ = plan_.ep > 1 && c_.experts > 1 ? costs_.mixture.expert_parameters : 0;
  }

  /// Textbook stages mean nothing where there is nobody to share with.
  static int stage_in_use(const Plan& plan, const Copies& c) {
    const bool offloads = plan.offload == Offload::kParameters || plan.offload == Offload::kParametersNvme;
    return (c.shared > 1 && plan.shard != 1) || offloads ? plan.zero : 0;
  }

  double spread(int at_stage, double bytes) const {
    return bytes * (p_.shared / shards_of(c_.shared, zero_, at_stage, plan_.shard) +
                    p_.experts / shards_of(c_.experts, zero_, at_stage, plan_.shard));
  }

  Moment fullest() {
    best_ = update();
    for (const HeldMoment& h : *chunks_.moments) h.kind == ActionKind::kForward ? forward(h) : backward(h);
    if (stage_.blocks() > 0) bucket_ends();
    return best_;
  }

 private:
  // ---------------------------------------------------------------- activations

  void take(const Moment& m) {
    if (m.total() > best_.total()) best_ = m;
  }

  /// Bytes that a micro-batch's forward through a chunk leaves, with what it received and without what it sent.
  double kept_of(const Stage& s) const {
    return s.dense * tapes_.dense.forward.net + s.mixture * tapes_.mixture.forward.net +
           (s.first ? tapes_.embedding.forward.net : row_) + (s.last ? tapes_.head.forward.net : -row_);
  }
  /// For weights' gradients that are put off.
  double put_off(const Stage& s) const {
    return kept_of(s) + s.dense * tapes_.dense.input.net + s.mixture * tapes_.mixture.input.net +
           (s.last ? tapes_.head.input.net - row_ : 0);
  }
  Elements parameters_of_chunk(const Stage& s) const {
    const double experts = s.mixture * costs_.mixture.expert_parameters;
    return {s.dense * costs_.dense.parameters + s.mixture * costs_.mixture.parameters - experts +
                (s.first ? costs_.embedding.parameters : 0) + (s.last ? costs_.head.parameters : 0),
            experts};
  }

  double kept_here(const HeldMoment& h) const { return by_chunk_[static_cast<std::size_t>(h.chunk)].kept; }
  double put_off_here(const HeldMoment& h) const { return by_chunk_[static_cast<std::size_t>(h.chunk)].put_off; }

  /// Of all micro-batches but the one in work.
  double others(const HeldMoment& h) const {
    double bytes = h.sent * row_;
    for (std::size_t c = 0; c < h.held.size(); ++c) {
      const ChunkBytes& chunk = by_chunk_[c];
      const double now = static_cast<int>(c) == h.chunk ? 1 : 0, weights = h.kind == ActionKind::kWeight ? now : 0;
      bytes += (h.held[c] - now + weights) * chunk.kept;
      if (h.pending[c] > weights) bytes += (h.pending[c] - weights) * chunk.put_off;
    }
    return bytes;
  }
  Elements begun_before(const HeldMoment& h) const {
    Elements done;
    for (std::size_t c = 0; c < h.begun.size(); ++c) {
      if (h.begun[c] < begins() || (offloads_ && h.begun[c] == HeldMoment::kComplete)) continue;  // or gone
      const Elements chunk = parameters_of_chunk(chunks_.chunk(static_cast<int>(c)));
      done.shared += chunk.shared, done.experts += chunk.experts;
    }
    return done;
  }
  /// A bucket is there from its first gradient on: large ones hold a norm's, which is not put off.
  int begins() const { return bucket_ >= block_ ? 1 : 2; }

  void forward(const HeldMoment& h) {
    const Stage& s = chunks_.chunk(h.chunk);
    const double held = others(h) + kept_here(h), gradients = gradients_of(begun_before(h));
    const auto in_block = [&](const PartTapes& part) {
      const double before = held + (s.last ? -tapes_.head.forward.net : row_) - part.forward.net;
      take({.gradients = gradients,
            .activations = before,
            .gathered = gathered(block_) + (plus_plus_ ? second_copies(s.blocks()) : 0),
            .workspace = part.forward.peaks[0].bytes});
    };
    if (s.dense > 0) in_block(tapes_.dense);
    if (s.mixture > 0) in_block(tapes_.mixture);
    if (plus_plus_) last_gathers(held + (s.last ? -tapes_.head.forward.net : row_), gradients);
  }

  void backward(const HeldMoment& h) {
    const Stage& s = chunks_.chunk(h.chunk);
    const bool halves = h.kind == ActionKind::kInput, weights = h.kind == ActionKind::kWeight;
    const auto pass = [&](const PartTapes& part) -> const Tape& {
      return halves ? part.input : weights ? part.weight : part.backward;
    };
    const double start = others(h) + (weights ? put_off_here(h) : kept_here(h));
    const bool begun = h.begun[static_cast<std::size_t>(h.chunk)] >= begins();
    // What comes is not there yet. Stages 2 and 3 begin anew with every micro-batch.
    Elements done = zero_ >= 2 ? Elements{} : begun_before(h);
    const bool counts = zero_ >= 2 || (!begun && !(halves && begins() > 1));
    if (s.last) {
      const double logits = tapes_.head.forward.net;
      in_part({.activations = start - logits, .logits = logits}, pass(tapes_.head), done, counts, true, 0);
      if (counts) done.shared += costs_.head.parameters;
    }
    const double after_head = start + (s.last ? pass(tapes_.head).net : weights ? 0 : row_);
    const auto in_block = [&](const PartTapes& part, const PartCosts& costs, double n) {
      const double experts = costs.expert_parameters, shared = costs.parameters - experts;
      double last = -1;
      for (const double j : {0.0, zero_ == 3 ? 1.0 : behind_first_bucket(shared + experts), n - 1}) {
        if (j <= last || j >= n || (j > 0 && !counts && pass(part).net <= 0)) continue;
        last = j;
        const Elements at{done.shared + (counts ? j * shared : 0), done.experts + (counts ? j * experts : 0)};
        in_part({.activations = after_head + j * pass(part).net}, pass(part), at, counts, false, j);
      }
    };
    if (s.dense > 0) in_block(tapes_.dense, costs_.dense, s.blocks());
    if (s.mixture > 0) in_block(tapes_.mixture, costs_.mixture, s.blocks());
    if (plus_plus_ && s.first) end_of_backward();
  }

  /// Backward of the head or of a block, of which `before` others are through.
  void in_part(const Moment& start, const Tape& tape, const Elements& done, bool counts, bool is_head, double before) {
    // Where gradients are all there, the first of the peaks is the highest. Reductions in int4 come once those of the
    // part are there, and of its experts.
    const int peaks = counts ? tape.count : std::min(1, tape.count),
              reductions = packs_gradients_ ? is_head ? 1 : 2 : 0;
    for (int i = 0; i < peaks + reductions; ++i) {
      const TapePeak& peak = i < peaks    ? tape.peaks[static_cast<std::size_t>(i)]
                             : i == peaks ? tape.complete
                                          : tape.experts_complete;
      Moment m = start;
      const Elements now{done.shared + (counts ? peak.gradients : 0),
                         done.experts + (counts ? peak.expert_gradients : 0)};
      m.recomputed = peak.again, m.workspace = peak.bytes - peak.again;
      m.gradients = gradients_of(now);
      m.gathered = gathered_beside(is_head, before);
      m.buckets = is_head ? head_buckets(now) : block_buckets(now, before);
      if (i >= peaks) m.buckets += packed_gradients(is_head, i > peaks);
      take(m);
    }
  }

  // ---------------------------------------------------------------- gradients

  /// Of buckets that are taken whole, by their first gradient.
  Elements begun(const Elements& done) const {
    const double dealt_out = buckets_.dealt_out, all = buckets_.all();
    const double shared = dealt_out > 0 ? done.shared : done.all();
    Elements e;
    if (shared > 0) e.shared = buckets_.count > 1 ? buckets_.first.parameters : all;
    if (shared > e.shared) {
      const double next = std::max(1.0, buckets_.count > 2 ? buckets_.between.parameters : buckets_.last.parameters);
      e.shared = std::min(all, e.shared + std::ceil((shared - e.shared) / next * (1 - 1e-9)) * next);
    }
    if (dealt_out > 0 && done.experts > 0)
      e.experts = std::min(dealt_out, std::ceil(done.experts / bucket_ * (1 - 1e-9)) * bucket_);
    return e;
  }

  double gradients_of(const Elements& done) const {
    if (offloads_ && !several_) return passing_gradients(done);
    if (zero_ < 2) return begun(done).all() * f_.gradient_bytes;
    const double reduced = several_ ? 1 : std::min(1.0, done.all() / std::max(1.0, p_.all()));
    return reduced * spread(2, f_.gradient_bytes);
  }

  /// On their way to the host: a bucket being filled, or a tensor that is larger than one.
  double passing_gradients(const Elements& done) const {
    if (zero_ < 2) {
      const Elements now = begun(done);
      const bool first = now.shared <= buckets_.first.parameters;
      const double shared = now.shared <= 0       ? 0
                            : buckets_.count <= 1 ? buckets_.all()
                            : first               ? buckets_.first.parameters
                                                  : std::max(buckets_.between.parameters, buckets_.last.parameters);
      const double before =
          f_.overlaps_gradients && !first && shared > 0 ? std::max(shared, buckets_.first.parameters) : 0;
      return (shared + before + std::min(now.experts, bucket_)) * f_.gradient_bytes;
    }
    const double first = buckets_.count > 1 ? buckets_.first.parameters : buckets_.all();
    if (zero_ == 2 && done.all() < first * (1 - 1e-9)) return 0;
    if (zero_ == 3 && !f_.overlaps_gradients) return 0;  // gone before anything else is taken
    const double filled = zero_ == 3 ? block_ : std::max(first, buckets_.between.parameters);
    const bool two = f_.overlaps_gradients && done.all() > first;
    return spread(2, f_.gradient_bytes) * std::min(1.0, (two ? 2 : 1) * filled / std::max(1.0, p_.all()));
  }

  /// Whole gradients on their way, of stages 2 and 3. With overlap the one before is still being reduced, at the start
  /// of a micro-batch too.
  double buckets(double now, double before, bool is_start) const {
    if (zero_ < 2 || c_.shared <= 1) return 0;
    const bool two = f_.overlaps_gradients && (!is_start || several_);
    return f_.reduce_bytes * (now + (two ? before : 0));
  }
  /// Stage 2: the first bucket, until backward has been through it, then the next beside it. Before it, in all
  /// micro-batches but the first, the last one of the micro-batch before.
  double of_buckets(double done) const {
    const double last = buckets_.last.parameters, between = buckets_.between.parameters,
                 first = buckets_.count > 1 ? buckets_.first.parameters : last;
    if (done <= first) return buckets(first, last, true);
    const bool ends = buckets_.count <= 2 || done > buckets_.all() - last;
    const double before = ends ? buckets_.count > 2 ? between : first : done <= first + between ? first : between;
    return buckets(ends ? last : between, before, false);
  }
  /// Likewise of experts that are dealt out, whose buckets are apart: there whole from the first gradient on.
  double expert_buckets(double done) const {
    if (zero_ != 2 || buckets_.dealt_out <= 0 || done <= 0 || c_.experts <= 1) return 0;
    const double first = std::min(bucket_, buckets_.dealt_out),
                 next = done > first ? std::min(bucket_, buckets_.dealt_out - first) : 0;
    return f_.reduce_bytes * (next <= 0 ? first : f_.overlaps_gradients ? first + next : next);
  }
  /// Blocks that the first bucket of stage 2 spans: the next one lies beside it then.
  double behind_first_bucket(double block) const {
    if (zero_ != 2 || buckets_.count <= 1) return 0;
    return std::max(0.0, std::floor((buckets_.first.parameters - (stage_.last ? costs_.head.parameters : 0)) / block));
  }
  double head_buckets(const Elements& done) const {
    const double tensor = costs_.head.parameters;
    if (zero_ == 3) return buckets(tensor, costs_.embedding.parameters, true);
    return of_buckets(buckets_.dealt_out > 0 ? done.shared : done.all());
  }
  double block_buckets(const Elements& done, double before) const {
    if (zero_ == 3) return buckets(block_, before > 0 || !stage_.last ? block_ : costs_.head.parameters, false);
    return of_buckets(buckets_.dealt_out > 0 ? done.shared : done.all()) + expert_buckets(done.experts);
  }

  /// Stage 3: a part of the model that is in work, and the blocks gathered ahead.
  double gathered(double part) const {
    if (zero_ < 3) return 0;
    return f_.gather_bytes * (part + blocks_ahead(part) * block_);
  }
  double blocks_ahead(double part) const {
    if (!f_.overlaps_gathers || block_ <= 0) return 0;
    const double ahead = std::max(1.0, std::floor(static_cast<double>(f_.prefetch_elements) / block_)),
                 room = std::max(0.0, std::floor((static_cast<double>(f_.live_elements) - part) / block_));
    return std::min({ahead, room, stage_.blocks() - 1});
  }

  // ---------------------------------------------------------------- ZeRO++

  /// In backward of the head, or of a block that `before` others are through before.
  double gathered_beside(bool is_head, double before) const {
    const double whole = gathered(is_head ? costs_.head.parameters : block_);
    if (!plus_plus_) return whole;
    return whole + second_copies(stage_.blocks() - (is_head ? 0 : before + 1) - blocks_ahead(0));
  }
  /// hpz: of so many blocks of the only micro-batch; of several they are there until the last.
  double second_copies(double blocks) const {
    const double left = several_ ? stage_.blocks() : std::max(0.0, blocks);
    return second_copy_bytes(plan_, f_, left * (block_ - dealt_out_));
  }
  /// Gathers in int8 of the last block, and beside it of the head: nothing else is in work then.
  void last_gathers(double all_blocks, double gradients) {
    const bool ahead = f_.overlaps_gathers;
    const double block_kept = (stage_.mixture > 0 ? tapes_.mixture : tapes_.dense).forward.net,
                 before = all_blocks - block_kept;
    const auto gathers = [&](double activations, double whole, double part) {
      take({.gradients = gradients,
            .activations = activations,
            .gathered = f_.gather_bytes * whole + second_copies(stage_.blocks()),
            .buckets = gather_buffer_bytes(plan_, part)});
    };
    const double head = costs_.head.parameters, block = std::max(block_ - dealt_out_, dealt_out_);
    gathers(before, block_ + (ahead ? head : 0), ahead ? head : block);
    if (ahead && stage_.blocks() > 1) gathers(before - block_kept, 2 * block_, block);
    gathers(all_blocks, head + (ahead ? block_ : 0), ahead ? block : head);
  }
  bool hops() const { return plan_.hpz > 1 && plan_.hpz < c_.shared; }
  double packed_gradients(bool is_head, bool experts) const {
    if (experts) return reduce_buffer_bytes(plan_, f_, dealt_out_, false);
    return reduce_buffer_bytes(plan_, f_, is_head ? costs_.head.parameters : block_ - dealt_out_, hops());
  }
  /// The embedding's gradients are reduced last.
  void end_of_backward() {
    const double part = costs_.embedding.parameters;
    take({.gradients = offloads_ ? 0 : spread(2, f_.gradient_bytes),
          .gathered = second_copies(0),
          .buckets = buckets(part, block_, false) + reduce_buffer_bytes(plan_, f_, part, hops()),
          .workspace = row_});
  }

  /// Stages 0 and 1 reduce a copy where gradients travel in another type.
  bool casts() const { return zero_ < 2 && c_.shared > 1 && f_.reduce_bytes != f_.gradient_bytes; }

  /// When a bucket is complete. Stages 0 and 1 reduce a copy where gradients travel in another type, in the last
  /// micro-batch. Of experts some gradients of the next bucket come before the last of this one.
  void bucket_ends() {
    if (casts()) return copies();
    if (zero_ != 2 || buckets_.count <= 1 || stage_.mixture <= 0) return;
    const Tape& tape = tapes_.mixture.backward;
    const TapePeak& peak = tape.peaks[static_cast<std::size_t>(std::max(0, tape.count - 1))];
    const double now = buckets_.first.parameters,
                 next = buckets_.count > 2 ? buckets_.between.parameters : buckets_.last.parameters;
    take({.gradients = gradients_of({now + 1, 0}),
          .activations = (1 - std::min(1.0, now / p_.all())) * kept_of(stage_),
          .recomputed = peak.again,
          .buckets = (now + next) * f_.reduce_bytes,
          .workspace = peak.bytes - peak.again});
  }
  /// With overlap the copies' memory, as large as the largest bucket, stays from the first to the last of them, beside
  /// the backward of the blocks in between.
  template <class Gradients>
  void behind_copies(double first, double largest, const Gradients& gradients) {
    const Stage& s = chunks_.chunk(chunks_.shape.chunks - 1);
    const PartTapes& part = s.mixture > 0 ? tapes_.mixture : tapes_.dense;
    const double head = s.last ? costs_.head.parameters : 0, n = s.blocks(),
                 apart = buckets_.dealt_out > 0 ? costs_.mixture.expert_parameters : 0;
    const double through = std::ceil(std::max(0.0, first - head) / std::max(1.0, block_ - apart) - 1e-9);
    for (const double j : {through, n - 1}) {
      for (int i = 0; i < part.backward.count && j >= through && j < n; ++i) {
        const TapePeak& peak = part.backward.peaks[static_cast<std::size_t>(i)];
        take({.gradients = gradients(head + j * block_ + peak.gradients + peak.expert_gradients, head + j * block_),
              .activations = (n - j) * part.forward.net,
              .recomputed = peak.again,
              .buckets = largest * f_.reduce_bytes,
              .workspace = peak.bytes - peak.again});
      }
    }
  }
  void copies() {
    const Stage& s = chunks_.chunk(chunks_.shape.chunks - 1);
    const double first = buckets_.count > 1 ? buckets_.first.parameters : buckets_.all(),
                 later = std::max(buckets_.between.parameters, buckets_.last.parameters), all = p_.all();
    const double next = buckets_.count <= 1 ? 0 : buckets_.count > 2 ? buckets_.between.parameters : later;
    const auto kept = [&](double done) {
      return std::max(0.0, 1 - done / std::max(1.0, parameters_of_chunk(s).all())) * kept_of(s);
    };
    const auto gradients = [&](double done, double gone) {  // in the last of several micro-batches, offloaded ones go
      return several_ ? (all - (offloads_ ? std::min(all, gone) : 0)) * f_.gradient_bytes : gradients_of({done, 0});
    };
    const bool is_head = s.last && first <= costs_.head.parameters;
    take({.gradients = gradients(is_head ? first : first + 1, 0),
          .activations = kept(is_head ? 0 : first),
          .buckets = first * f_.reduce_bytes,
          .workspace = row_});
    if (f_.overlaps_gradients) return behind_copies(first, std::max(first, later), gradients);
    take({.gradients = gradients(first + next, first),
          .activations = kept(first + next),
          .buckets = next * f_.reduce_bytes,
          .workspace = row_});
    take({.gradients = offloads_ ? later * f_.gradient_bytes : all * f_.gradient_bytes,
          .buckets = later * f_.reduce_bytes,
          .workspace = row_});
  }

  Moment update() const {
    if (offloads_) return {};
    return {.gradients = zero_ < 2 ? p_.all() * f_.gradient_bytes : spread(2, f_.gradient_bytes)};
  }

  const HeldChunks& chunks_;
  const Plan& plan_;
  const Stage& stage_;
  const ModelCosts& costs_;
  const ModelTapes& tapes_;
  const FrameworkSpec& f_;
  const StageParameters& p_;
  const Copies& c_;
  const Buckets& buckets_;
  std::vector<ChunkBytes>& by_chunk_;
  Moment best_;
  int zero_;
  double row_ = 0, block_ = 0, bucket_ = 0;
  bool offloads_ = false;
  bool several_ = false;  ///< micro-batches
  bool plus_plus_ = false, packs_gradients_ = false;
  double dealt_out_ = 0;  ///< of a block: experts that are gathered and reduced apart
};

Tape one_peak(double bytes, double again, double net) {
  Tape t{.count = 1, .net = net};
  t.peaks[0] = {bytes, again};
  return t;
}

/// Within a block's backward some of what it reads is gone, and not all of its gradients are there: where a part would
/// come out below nothing, there is less of another.
void settle_negative(Estimate& e) {
  double less = 0;
  for (const MemoryTerm term : {MemoryTerm::kWorkspace, MemoryTerm::kActivations, MemoryTerm::kRecomputed,
                                MemoryTerm::kGathered, MemoryTerm::kBuckets}) {
    less += std::max(-e[term], 0.0);
    e[term] = std::max(e[term], 0.0);
  }
  for (const MemoryTerm term : {MemoryTerm::kActivations, MemoryTerm::kGradients, MemoryTerm::kWorkspace}) {
    const double some = std::clamp(less, 0.0, std::max(e[term], 0.0));
    e[term] -= some;
    less -= some;
  }
}

}  // namespace

ModelTapes guess_tapes(const ModelCosts& costs) {
  const auto block = [&](const PartCosts& part) {
    const double kept = part.kept.block, again = std::max(0.0, part.kept.recomputed - (kept > 0 ? costs.message : 0));
    PartTapes t{.forward = one_peak(kept + part.largest_tensor, 0, kept),
                .backward = one_peak(again + part.largest_tensor + costs.message, again, -kept)};
    t.backward.peaks[0].gradients = part.parameters - part.expert_parameters;
    t.backward.peaks[0].expert_gradients = part.expert_parameters;
    t.input = one_peak(t.backward.peaks[0].bytes, again, 0), t.weight = one_peak(0, 0, -kept);
    return t;
  };
  ModelTapes t{.dense = block(costs.dense), .mixture = block(costs.mixture), .has_halves = true};
  const double row = costs.message, logits = costs.head.largest_tensor + costs.head.kept.block;
  t.embedding.forward = one_peak(row, 0, row);
  t.head = {one_peak(logits, 0, logits), one_peak(row, 0, row - logits), one_peak(row, 0, row),
            one_peak(0, 0, -logits)};
  t.head.backward.peaks[0].gradients = costs.head.parameters;
  return t;
}

void fill_engine_memory(Estimate& e, const EngineRank& rank) {
  Moments moments(rank);
  const FrameworkSpec& f = rank.framework;
  const Moment m = moments.fullest();
  e[MemoryTerm::kParameters] = moments.spread(3, f.parameter_bytes);
  e[MemoryTerm::kOptimizer] = moments.spread(1, f.master_bytes + f.moment_bytes);
  e[MemoryTerm::kGradients] = m.gradients;
  e[MemoryTerm::kActivations] = m.activations;
  e[MemoryTerm::kRecomputed] = m.recomputed;
  e[MemoryTerm::kLogits] = m.logits;
  e[MemoryTerm::kGathered] = m.gathered;
  e[MemoryTerm::kBuckets] = m.buckets;
  e[MemoryTerm::kWorkspace] = m.workspace;
  settle_negative(e);
}

}  // namespace shardscope
