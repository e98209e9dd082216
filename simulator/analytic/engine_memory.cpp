#include "simulator/analytic/engine_memory.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

/// Bytes that are not there all the time.
struct Moment {
  double gradients = 0, activations = 0, recomputed = 0, logits = 0, gathered = 0, buckets = 0, workspace = 0;
  double total() const { return gradients + activations + recomputed + logits + gathered + buckets + workspace; }
};

class Moments {
 public:
  Moments(const Plan& plan, const Stage& stage, const ModelCosts& costs, const FrameworkSpec& f,
          const StageParameters& p, const Copies& c, const HeldChunks* chunks)
      : chunks_(chunks), plan_(plan), stage_(stage), costs_(costs), f_(f), p_(p), c_(c), zero_(stage_in_use(plan, c)) {
    const auto m = static_cast<double>(plan.micro_batches());
    held_ = in_flight(plan, stage);
    steady_ = m > held_;
    offloads_ = plan.offload != Offload::kNone;
    row_ = costs.message, all_rows_ = costs.message * (plan.sp ? plan.tp : 1);
    // Experts that no other rank has are whole here anyway.
    const double alone = plan.ep > 1 && c.experts <= 1 ? costs.mixture.expert_parameters : 0;
    block_ = std::max(costs.dense.parameters, costs.mixture.parameters - alone);
    largest_ = std::max(1.0, stage.last ? costs.head.parameters : 0);
    bucket_ = std::min(p.all(), static_cast<double>(f.bucket_elements));
  }

  /// Textbook stages mean nothing where there is nobody to share with.
  static int stage_in_use(const Plan& plan, const Copies& c) {
    const bool offloads = plan.offload == Offload::kParameters || plan.offload == Offload::kParametersNvme;
    return (c.shared > 1 && plan.shard != 1) || offloads ? plan.zero : 0;
  }
  int zero() const { return zero_; }

  double spread(int at_stage, double bytes) const {
    return bytes * (p_.shared / shards_of(c_.shared, zero_, at_stage, plan_.shard) +
                    p_.experts / shards_of(c_.experts, zero_, at_stage, plan_.shard));
  }

  Moment fullest() const {
    Moment best = update();
    if (chunks_ != nullptr) {
      for (const HeldMoment& held : *chunks_->moments) take_fuller(best, held);
      for (const Moment& other : {bucket_end(1), bucket_end(full_buckets())})
        if (other.total() > best.total()) best = other;
      return best;
    }
    for (const Moment& other :
         {head(), last_block(), block_before(), first_block(), bucket_end(1), bucket_end(full_buckets())}) {
      if (other.total() > best.total()) best = other;
    }
    return best;
  }

 private:
  /// Backward of a chunk under any schedule: at its head, and in its last and first block.
  void take_fuller(Moment& best, const HeldMoment& h) const {
    const Stage& s = chunks_->chunk(h.chunk);
    // A bucket is there from its first gradient on: large ones hold a norm's, which is not put off.
    const int begins = bucket_ >= block_ ? 1 : 2;
    double others = h.sent * row_, gradients = 0;
    for (std::size_t c = 0; c < h.held.size(); ++c) {
      const Stage& chunk = chunks_->chunk(static_cast<int>(c));
      const bool now = static_cast<int>(c) == h.chunk;
      others += (h.held[c] - (now ? 1 : 0)) * kept_of(chunk) + h.pending[c] * put_off(chunk);
      if (h.begun[c] >= begins) gradients += parameters_of_chunk(chunk) * f_.gradient_bytes;
    }
    const double own = s.dense * costs_.dense.kept.block + s.mixture * costs_.mixture.kept.block;
    const double begun = std::min(p_.all() * f_.gradient_bytes, std::max(gradients, bucket_ * f_.gradient_bytes));
    const bool adds = h.begun[static_cast<std::size_t>(h.chunk)] < begins && !(h.puts_off && begins > 1);
    const double all =
        std::min(p_.all() * f_.gradient_bytes, gradients + (adds ? parameters_of_chunk(s) * f_.gradient_bytes : 0));
    const auto fuller = [&](const Moment& m) {
      if (m.total() > best.total()) best = m;
    };
    if (s.last) {
      fuller({.gradients = begun,
              .activations = others + own,
              .logits = costs_.head.largest_tensor + costs_.head.kept.block,
              .buckets = casts() && largest_ >= bucket_ ? largest_ * f_.reduce_bytes : 0,
              .workspace = all_rows_});
    }
    fuller({.gradients = begun, .activations = others + own, .recomputed = recomputed(), .workspace = inside_block()});
    // Of the block in work, inputs of products and gradients inside are among what is put off.
    const double inside = std::max(costs_.dense.kept.backward, costs_.mixture.kept.backward);
    const double inputs =
        h.puts_off ? std::max(costs_.dense.kept.put_off_inputs, costs_.mixture.kept.put_off_inputs) : 0;
    fuller({.gradients = all,
            .activations = others + (h.puts_off ? put_off(s) : 0) +
                           (recomputed() > kept_of_one() ? kept_of_one() : std::max(0.0, kept_of_one() - inputs)),
            .recomputed = recomputed() > kept_of_one() ? std::max(0.0, recomputed() - inputs) : recomputed(),
            .workspace = inside_block() - (h.puts_off ? inside : 0)});
  }

  /// Bytes that a micro-batch's forward through a chunk leaves: the loss leaves the gradient of logits in them.
  double kept_of(const Stage& s) const {
    return s.dense * costs_.dense.kept.block + s.mixture * costs_.mixture.kept.block +
           (s.last ? costs_.head.largest_tensor + costs_.head.kept.block : 0);
  }
  /// Inputs of products and gradients of their results, for weights' gradients that are put off.
  double put_off(const Stage& s) const {
    return s.dense * costs_.dense.kept.put_off + s.mixture * costs_.mixture.kept.put_off +
           (s.last ? costs_.head.largest_tensor + costs_.head.kept.block : 0);
  }
  double parameters_of_chunk(const Stage& s) const {
    return s.dense * costs_.dense.parameters + s.mixture * costs_.mixture.parameters +
           (s.first ? costs_.embedding.parameters : 0) + (s.last ? costs_.head.parameters : 0);
  }

  double kept() const { return stage_.dense * costs_.dense.kept.block + stage_.mixture * costs_.mixture.kept.block; }
  double kept_of_one() const { return std::max(costs_.dense.kept.block, costs_.mixture.kept.block); }
  double recomputed() const {
    const double again = std::max(costs_.dense.kept.recomputed, costs_.mixture.kept.recomputed);
    return plan_.recompute == Recompute::kFull ? std::max(0.0, again - row_) : again;  // its input was kept
  }
  /// In a pipeline also what arrives from the stage before, and what leaves for the next.
  double inside_block() const {
    const double messages = plan_.pp == 1 ? 0 : (stage_.first ? 0 : 1) + (stage_.last ? 0 : 1);
    return std::max(costs_.dense.kept.backward, costs_.mixture.kept.backward) + (1 + messages) * row_;
  }

  /// Gradients once backward has been through so many parameters. Buckets are taken whole, by their first gradient.
  double gradients(double done) const {
    if (offloads_ && plan_.micro_batches() == 1) return passing_gradients(done);
    const double part = steady_ ? 1 : std::min(1.0, std::max(done, bucket_) / std::max(1.0, p_.all()));
    if (zero_ < 2) return part * p_.all() * f_.gradient_bytes;
    const double reduced = steady_ ? 1 : std::min(1.0, done / std::max(1.0, p_.all()));
    return reduced * spread(2, f_.gradient_bytes);
  }

  /// Whole gradients on their way, of stages 2 and 3. With overlap the one before is still being reduced, at the start
  /// of a micro-batch too.
  double buckets(double now, double before, bool is_start) const {
    if (zero_ < 2 || c_.shared <= 1) return 0;
    const bool two = f_.overlaps_gradients && (!is_start || plan_.micro_batches() > 1);
    return f_.reduce_bytes * (now + (two ? before : 0));
  }
  /// Stage 2: the first bucket, until backward has been through it, then the next beside it. Before it, in all
  /// micro-batches but the first, the last one of the micro-batch before.
  double of_buckets(double done) const {
    const double first = std::min(p_.all(), std::max(bucket_, largest_));
    const double rest = p_.all() - std::floor(p_.all() / bucket_) * bucket_,
                 end = std::max(rest > 0 ? rest : bucket_, stage_.first ? costs_.embedding.parameters : 0);
    if (done <= first) return buckets(first, end, true);
    return buckets(std::min(bucket_, p_.all() - first), first, false);
  }

  /// Stage 3: a part of the model that is in work, and the blocks gathered ahead.
  double gathered(double part) const {
    if (zero_ < 3) return 0;
    if (!f_.overlaps_gathers || block_ <= 0) return f_.gather_bytes * part;
    const double ahead = std::max(1.0, std::floor(static_cast<double>(f_.prefetch_elements) / block_)),
                 room = std::max(0.0, std::floor((static_cast<double>(f_.live_elements) - part) / block_));
    return f_.gather_bytes * (part + std::min({ahead, room, stage_.blocks() - 1}) * block_);
  }

  Moment head() const {
    if (!stage_.last) return {};
    const double tensor = largest_;
    return {.gradients = zero_ < 2 ? gradients(tensor)
                         : steady_ ? gradients(0)
                                   : 0,
            .activations = held_ * kept(),
            .logits = costs_.head.largest_tensor + costs_.head.kept.block,
            .gathered = gathered(tensor),
            .buckets = zero_ == 3                     ? buckets(tensor, costs_.embedding.parameters, true)
                       : casts() && tensor >= bucket_ ? tensor * f_.reduce_bytes
                                                      : of_buckets(0),
            .workspace = all_rows_};
  }

  Moment last_block() const {
    const double head = stage_.last ? costs_.head.parameters : 0;
    return {.gradients = gradients(head + block_),
            .activations = held_ * kept(),
            .recomputed = recomputed(),
            .gathered = gathered(block_),
            .buckets = zero_ == 3 ? buckets(block_, head, false) : of_buckets(head + block_),
            .workspace = inside_block()};
  }

  /// While the last block's gradients are still on their way.
  Moment block_before() const {
    if (zero_ < 3 || stage_.blocks() < 2) return {};
    Moment m = last_block();
    m.activations -= kept_of_one();
    m.buckets = buckets(block_, block_, false);
    return m;
  }

  Moment first_block() const {
    return {.gradients = gradients(p_.all() - (stage_.first ? costs_.embedding.parameters : 0)),
            .activations = (held_ - 1) * kept() + kept_of_one(),
            .recomputed = recomputed(),
            .gathered = gathered(block_),
            .buckets = zero_ == 3 ? buckets(block_, block_, false) : of_buckets(p_.all()),
            .workspace = inside_block()};
  }

  /// Stages 0 and 1 reduce a copy where gradients travel in another type.
  bool casts() const { return zero_ < 2 && c_.shared > 1 && f_.reduce_bytes != f_.gradient_bytes; }
  double full_buckets() const { return std::max(1.0, std::ceil(p_.all() / bucket_) - 1); }

  /// When so many buckets are complete, in the last micro-batch. Stages 0 and 1 reduce a copy where gradients travel in
  /// another type. Some gradients of the next bucket come before the last of this one.
  Moment bucket_end(double complete) const {
    const bool copies = casts();
    if (!copies && (zero_ != 2 || bucket_ >= p_.all())) return {};
    const double through = std::min(1.0, complete * bucket_ / std::max(1.0, p_.all()));
    const double both = copies ? bucket_ : std::min(p_.all(), 2 * bucket_);
    return {.gradients = gradients((complete + 1) * bucket_),
            .activations = (1 - through) * kept(),
            .recomputed = copies ? 0 : recomputed(),
            .buckets = both * f_.reduce_bytes,
            .workspace = copies ? row_ : inside_block()};
  }

  /// On their way to the host: a bucket being filled, or a tensor that is larger than one.
  double passing_gradients(double done) const {
    const double filled = std::min(p_.all(), std::max(bucket_, done <= largest_ ? done : 0));
    if (zero_ < 2) return filled * f_.gradient_bytes;
    return spread(2, f_.gradient_bytes) * std::min(1.0, std::max(filled, block_) / std::max(1.0, p_.all()));
  }

  Moment update() const {
    if (offloads_) return {};
    return {.gradients = zero_ < 2 ? p_.all() * f_.gradient_bytes : spread(2, f_.gradient_bytes)};
  }

  const HeldChunks* chunks_ = nullptr;
  const Plan& plan_;
  const Stage& stage_;
  const ModelCosts& costs_;
  const FrameworkSpec& f_;
  const StageParameters& p_;
  const Copies& c_;
  int zero_;
  double largest_ = 1;  ///< elements of the head's tensor: may be larger than a bucket
  double held_ = 1, row_ = 0, all_rows_ = 0, block_ = 0, bucket_ = 0;
  bool offloads_ = false;
  bool steady_ = false;  ///< a micro-batch begins when gradients of others are there already
};

}  // namespace

void fill_engine_memory(Estimate& e, const Plan& plan, const Stage& stage, const ModelCosts& costs,
                        const FrameworkSpec& f, const StageParameters& p, const Copies& c, const HeldChunks* chunks) {
  const Moments moments(plan, stage, costs, f, p, c, chunks);
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
}

}  // namespace shardscope
