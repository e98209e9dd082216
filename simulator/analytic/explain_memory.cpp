#include <fmt/format.h>

#include <algorithm>

#include "simulator/analytic/explain_parts.h"

namespace shardscope {
namespace {

/// A sum as it is written, and what it comes to.
struct Formula {
  double bytes = 0;
  std::string text;

  void add(double more, const std::string& how) {
    if (more <= 0) return;
    bytes += more;
    text += (text.empty() ? "" : " + ") + how;
  }
  void add(const Formula& other) { add(other.bytes, other.text); }
};

std::string bytes_text(double bytes) { return quantity(bytes, "B"); }

class MemoryText {
 public:
  explicit MemoryText(const Explained& x)
      : x_(x),
        f_(x.framework),
        plan_(x.plan),
        p_(x.notes.parameters),
        stage_(x.notes.fullest),
        costs_(x.notes.costs),
        copies_(copies_of(x.plan, x.framework.engine)) {}

  /// What a framework holds beside the plain sum (DeepSpeed's buffers) is said as one part.
  Formula of(MemoryTerm term) const {
    const bool same = term == MemoryTerm::kParameters || term == MemoryTerm::kOptimizer;
    if (f_.engine && !same && engine_text(term) != nullptr)
      return one(x_.estimate[term], engine_text(term) + more(term));
    Formula f = plain(term);
    const double rest = x_.estimate[term] - f.bytes;
    if (rest > 1) f.add(rest, fmt::format("{} of buffers that {} holds beside", bytes_text(rest), f_.name));
    if (rest < -1) f = one(x_.estimate[term], fmt::format("as {} holds it (data/frameworks)", f_.name));
    return f;
  }

 private:
  /// What our own engine has at the fullest moment of its program; null where others have the same.
  static const char* engine_text(MemoryTerm term) {
    switch (term) {
      case MemoryTerm::kGradients:
        return "gradients that are there at the fullest moment of the program";
      case MemoryTerm::kActivations:
        return "kept for backward at that moment, by all micro-batches in work";
      case MemoryTerm::kGathered:
        return "whole parameters of the part in work and of what is gathered ahead";
      case MemoryTerm::kBuckets:
        return "gradients being filled and, with overlap, those being reduced";
      case MemoryTerm::kWorkspace:
        return "gradients of activations inside the block in work, and messages between stages";
      case MemoryTerm::kRecomputed:
        return "results of one block, computed again";
      case MemoryTerm::kParameters:
      case MemoryTerm::kOptimizer:
      case MemoryTerm::kLogits:
      case MemoryTerm::kContext:
      case MemoryTerm::kCollectives:
      case MemoryTerm::kFragmentation:
        break;
    }
    return nullptr;
  }

  /// Of ZeRO++.
  std::string more(MemoryTerm term) const {
    const bool messages = plan_.quantized_weights || plan_.quantized_gradients;
    if (term == MemoryTerm::kBuckets && messages) return ", and what is on its way in int8 or int4";
    if (term == MemoryTerm::kGathered && plan_.hpz > 1) {
      return fmt::format(", and second copies of blocks, each over {} ranks", plan_.hpz);
    }
    return "";
  }

  Formula plain(MemoryTerm term) const {
    switch (term) {
      case MemoryTerm::kParameters:
        return parameters();
      case MemoryTerm::kGradients:
        return gradients();
      case MemoryTerm::kOptimizer:
        return spread(1, f_.master_bytes + f_.moment_bytes);
      case MemoryTerm::kActivations:
        return activations();
      case MemoryTerm::kRecomputed:
        return one(std::max(costs_.dense.kept.recomputed, costs_.mixture.kept.recomputed),
                   "results of one block, computed again");
      case MemoryTerm::kLogits:
        return logits();
      case MemoryTerm::kGathered:
        return gathered();
      case MemoryTerm::kBuckets:
        return buckets();
      case MemoryTerm::kWorkspace:
        return workspace();
      case MemoryTerm::kContext:
        return one(x_.estimate[term], "CUDA context and libraries, a guess: 0.5 to 3.5 GB were seen");
      case MemoryTerm::kCollectives:
        return one(x_.estimate[term], "buffers of a process's collectives, measured on 2 and on 4 to 8 GPUs");
      case MemoryTerm::kFragmentation:
        return one(x_.estimate[term],
                   fmt::format("{:.3g} % of the {} allocated", 100 * x_.estimate[term] / x_.estimate.allocated,
                               bytes_text(x_.estimate.allocated)));
    }
    return {};
  }

  static Formula one(double bytes, std::string text) { return {bytes, std::move(text)}; }

  /// "6.74 G parameters x 12 bytes / 64 ranks"; experts have copies on fewer ranks.
  Formula spread(int at_stage, double bytes) const {
    Formula f;
    const auto part = [&](double parameters, double copies, const char* of) {
      const double ranks = shards_of(copies, plan_.zero, at_stage, plan_.shard);
      f.add(parameters * bytes / ranks, fmt::format("{} parameters{} x {:g} bytes{}", quantity(parameters, ""), of,
                                                    bytes, ranks > 1 ? fmt::format(" / {:g} ranks", ranks) : ""));
    };
    part(p_.shared, copies_.shared, "");
    part(p_.experts, copies_.experts, " of experts");
    return f;
  }

  Formula whole(double bytes, const char* what) const {
    return one(p_.all() * bytes, fmt::format("{} {} x {:g} bytes", quantity(p_.all(), ""), what, bytes));
  }

  bool whole_gradients() const { return plan_.zero < 2 && !(plan_.zero == 1 && f_.shards_gradients_at_1); }

  Formula parameters() const {
    if (f_.master_bytes > 0 || plan_.zero == 0 || plan_.zero == 3) return spread(3, f_.parameter_bytes);
    Formula f = spread(1, f_.parameter_bytes);
    f.add(whole(f_.gather_bytes, "that kernels read"));
    return f;
  }

  Formula gradients() const {
    Formula f = whole_gradients() ? whole(f_.gradient_bytes, "parameters") : spread(1, f_.gradient_bytes);
    if (plan_.zero < 2) f.add(whole(f_.backward_bytes, "that backward writes"));
    return f;
  }

  Formula activations() const {
    Formula stage;
    const auto add = [&](double blocks, const PartCosts& part, const char* name) {
      stage.add(blocks * part.kept.block, fmt::format("{:g} {} x {}", blocks, name, bytes_text(part.kept.block)));
    };
    add(stage_.dense, costs_.dense, "blocks");
    add(stage_.mixture, costs_.mixture, "blocks of experts");
    if (stage_.first)
      stage.add(costs_.embedding.kept.block, fmt::format("embedding {}", bytes_text(costs_.embedding.kept.block)));
    const double held = in_flight(plan_, stage_);
    if (held == 1) return stage;
    return one(held * stage.bytes, fmt::format("{:.3g} micro-batches at once x ({})", held, stage.text));
  }

  Formula logits() const {
    const double kept = costs_.head.kept.block, own = costs_.head.largest_tensor, after = costs_.head.kept.backward;
    const double count = own / std::max(f_.logit_bytes, 1e-9);
    Formula f;
    if (after > own) {
      f.add(after, fmt::format("{} in the head's backward: gradients of {} logits, of its input, and one of its weight "
                               "that is scratch ({:g} bytes each)",
                               bytes_text(after), quantity(count, ""), f_.scratch_gradient_bytes));
    } else {
      f.add(own, fmt::format("{} logits x {:g} bytes", quantity(count, ""), f_.logit_bytes));
    }
    f.add(kept, fmt::format("the head's input {}", bytes_text(kept)));
    return f;
  }

  double block_parameters() const { return std::max(costs_.dense.parameters, costs_.mixture.parameters); }

  Formula gathered() const {
    const double ends = costs_.embedding.parameters + costs_.head.parameters,
                 blocks = static_cast<double>(f_.gathered_blocks) * block_parameters();
    if (ends > blocks) {
      return one(f_.gather_bytes * ends, fmt::format("whole embedding and head, {} parameters x {:g} bytes",
                                                     quantity(ends, ""), f_.gather_bytes));
    }
    return one(f_.gather_bytes * blocks,
               fmt::format("{} whole blocks of {} parameters x {:g} bytes", f_.gathered_blocks,
                           quantity(block_parameters(), ""), f_.gather_bytes));
  }

  Formula buckets() const {
    const double bucket = std::min(p_.all(), static_cast<double>(f_.bucket_elements));
    const double block = block_parameters() * (f_.reduce_bytes + f_.gather_bytes);
    if (plan_.zero == 3 && block >= bucket * f_.reduce_bytes) {
      return one(block, fmt::format("gradient and parameters of a block on their way, {} x {:g} bytes",
                                    quantity(block_parameters(), ""), f_.reduce_bytes + f_.gather_bytes));
    }
    const double copies = plan_.zero < 3 && f_.overlaps_gradients ? 2 : 1;
    return one(copies * bucket * f_.reduce_bytes,
               fmt::format("{:g} bucket{} of {} gradients x {:g} bytes", copies, copies > 1 ? "s" : "",
                           quantity(bucket, ""), f_.reduce_bytes));
  }

  /// At the peak of backward, or of the loss, or of the update.
  Formula workspace() const {
    const Estimate& e = x_.estimate;
    Formula f;
    const bool update =
        e[MemoryTerm::kActivations] + e[MemoryTerm::kLogits] + e[MemoryTerm::kRecomputed] <= 0 && f_.step_bytes > 0;
    if (update) {
      const Formula step = spread(1, f_.step_bytes);
      f.add(step.bytes, "temporaries of the update " + step.text);
    } else if (e[MemoryTerm::kLogits] <= 0) {
      const double largest = std::max(costs_.dense.largest_tensor, costs_.mixture.largest_tensor);
      f.add(2 * largest, fmt::format("2 x the largest activation of {}", bytes_text(largest)));
    }
    f.add(kBlasWorkspace, fmt::format("{} of the libraries", bytes_text(kBlasWorkspace)));
    const double block =
        std::max(costs_.dense.parameters, costs_.mixture.parameters - costs_.mixture.expert_parameters);
    f.add(block * f_.scratch_gradient_bytes, fmt::format("{} parameters of a block x {:g} bytes of scratch",
                                                         quantity(block, ""), f_.scratch_gradient_bytes));
    return f;
  }

  const Explained& x_;
  const FrameworkSpec& f_;
  const Plan& plan_;
  const StageParameters& p_;
  const Stage& stage_;
  const ModelCosts& costs_;
  Copies copies_;
};

}  // namespace

std::vector<ExplainedMemory> explain_memory(const Explained& x) {
  const MemoryText text(x);
  std::vector<ExplainedMemory> parts;
  for (int i = 0; i < kMemoryTerms; ++i) {
    const auto term = static_cast<MemoryTerm>(i);
    if (x.estimate[term] <= 0) continue;
    Formula f = text.of(term);
    parts.push_back({term, f.bytes, std::move(f.text)});
  }
  return parts;
}

}  // namespace shardscope
