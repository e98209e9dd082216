#include "simulator/analytic/activation_tape.h"

#include <algorithm>
#include <map>
#include <vector>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

constexpr int kBlocks = 4;  // of which the second is read: it has neighbours of its kind on both sides

/// What one micro-batch of the shape is, as a job of few blocks. Buckets of one tensor each show when gradients begin.
Job job_of(const Workload& w, const BlockShape& s, bool halves) {
  Job job;
  job.model = w.model;
  job.model.layers = kBlocks;
  // Neither changes a buffer, and programs are not built for them.
  job.model.rope_scaling.clear(), job.model.sliding_window = 0, job.model.rotary_fraction = 1;
  job.data.seq_len = w.seq;
  job.moe.capacity_factor = w.capacity_factor;
  job.recompute = s.recompute;
  ParallelSpec& p = job.parallel;
  p.dp = p.ep = s.ep, p.tp = s.tp, p.cp = s.cp * s.ulysses, p.ulysses = s.ulysses, p.sp = s.sp;
  if (halves) p.pp = 2, p.schedule = PipelineSchedule::kZbH1, p.partition = Partition::kUniform;
  const bool wide = activation_bytes(w.arithmetic) == 4;
  job.training.precision.kind = wide ? Precision::kFp32 : Precision::kBf16;
  job.training.zero.reduce_bucket_size = 1;
  job.training.micro_batch = std::min(s.micro_batch, kReadMicroBatch), job.training.accumulation = 1;
  job.training.train_batch_size = job.training.micro_batch * p.dp;
  return job;
}

bool is_activation(const Buffer& b) {
  return b.space == Space::kDevice && b.category != Category::kParameter && b.category != Category::kMaster &&
         b.category != Category::kGradient && b.category != Category::kOptimizer;
}

/// Goes through Allocs and Frees and keeps a tape for each run of instructions of one block (-1: outside) and pass.
class TapeReader {
 public:
  TapeReader(const Program& program, double scale) : p_(program), scale_(scale) {}

  void read() {
    for (const Instruction& in : p_.instructions) {
      const Label& l = in.label;
      if (l.phase == Phase::kOptimizer) break;
      const bool forward = l.phase == Phase::kLoad || l.phase == Phase::kForward;
      if (l.layer != layer_ || forward != forward_ || runs_.empty()) {
        runs_[{forward, l.layer}].push_back({});
        layer_ = l.layer, forward_ = forward, gradients_ = experts_ = 0, first_ = live_;
      }
      Run& run = runs_[{forward, l.layer}].back();
      note_complete(in, run);
      note(in, run);
    }
  }

  /// The n-th pass over the block; empty if there were fewer.
  Tape tape(bool forward, int layer, std::size_t n) const {
    const auto found = runs_.find({forward, layer});
    if (found == runs_.end() || found->second.size() <= n) return {};
    return summed(found->second[n]);
  }

 private:
  struct Run {
    std::vector<TapePeak> instants;
    double net = 0;
    TapePeak complete, experts_complete;
  };

  /// Behind the op that a gradient's Alloc stands before, and behind the Frees of what only it needed.
  void note_complete(const Instruction& in, Run& run) {
    const bool is_free = std::holds_alternative<Free>(in.op);
    if (completing_ == Completing::kSoon && !std::holds_alternative<Alloc>(in.op)) {
      completing_ = Completing::kNow;
    } else if (completing_ == Completing::kNow && !is_free) {
      (completes_experts_ ? run.experts_complete : run.complete) = {live_ - first_, again(), gradients_, experts_};
      completing_ = Completing::kNot;
    }
  }
  double again() const {
    double bytes = 0;
    for (const auto& [buffer, size] : again_) bytes += size;
    return bytes;
  }

  void note(const Instruction& in, Run& run) {
    const auto* alloc = std::get_if<Alloc>(&in.op);
    const auto* free = std::get_if<Free>(&in.op);
    if (alloc == nullptr && free == nullptr) return;
    const BufferId id = alloc != nullptr ? alloc->buffer : free->buffer;
    const Buffer& b = p_.buffer(id);
    const double bytes = static_cast<double>(b.bytes()) * scale_;
    if (b.category == Category::kGradient && alloc != nullptr && b.space == Space::kDevice) {
      const bool expert = p_.name(in.label.name).find(".experts.") != std::string_view::npos;
      (expert ? experts_ : gradients_) += static_cast<double>(b.elements);
      if (b.elements > kSmallTensor) completing_ = Completing::kSoon, completes_experts_ = expert;
    } else if (is_activation(b)) {
      live_ += alloc != nullptr ? bytes : -bytes;
      if (alloc != nullptr && in.label.phase == Phase::kRecompute) again_[id.index] = bytes;
      if (free != nullptr) again_.erase(id.index);
    }
    run.instants.push_back({live_ - first_, again(), gradients_, experts_});
    run.net = live_ - first_;
  }

  /// Those instants after which never again so much is live: what later ones have more is gradients.
  static Tape summed(const Run& run) {
    std::vector<TapePeak> kept;
    for (auto it = run.instants.rbegin(); it != run.instants.rend(); ++it) {
      if (kept.empty() || it->bytes > kept.back().bytes) kept.push_back(*it);
    }
    std::reverse(kept.begin(), kept.end());  // by falling bytes and growing gradients
    Tape t{.net = run.net, .complete = run.complete, .experts_complete = run.experts_complete};
    for (const TapePeak& peak : kept) {
      TapePeak* const last = t.count > 0 ? &t.peaks[static_cast<std::size_t>(t.count) - 1] : nullptr;
      const bool same =
          last != nullptr && last->gradients == peak.gradients && last->expert_gradients == peak.expert_gradients;
      if (same) continue;
      if (t.count < static_cast<int>(t.peaks.size())) {
        t.peaks[static_cast<std::size_t>(t.count++)] = peak;
      } else {  // the last ones together
        last->gradients = peak.gradients, last->expert_gradients = peak.expert_gradients;
      }
    }
    return t;
  }

  const Program& p_;
  double scale_ = 1, live_ = 0, first_ = 0, gradients_ = 0, experts_ = 0;
  std::map<std::int32_t, double> again_;
  std::map<std::pair<bool, int>, std::vector<Run>> runs_;
  int layer_ = -2;
  bool forward_ = true;
  enum class Completing : std::uint8_t { kNot, kSoon, kNow } completing_ = Completing::kNot;  ///< a gradient
  bool completes_experts_ = false;
};

/// The block that stands for all of its kind; -1: there is none among the first.
int block_of(const ModelSpec& model, bool mixture) {
  for (const int block : {1, 2, 0, 3}) {
    if (has_experts(model, block) == mixture) return block;
  }
  return -1;
}

}  // namespace

ModelTapes scaled(ModelTapes t, double times) {
  for (PartTapes* part : {&t.embedding, &t.dense, &t.mixture, &t.head}) {
    for (Tape* tape : {&part->forward, &part->backward, &part->input, &part->weight}) {
      tape->net *= times;
      for (TapePeak* peak : {&tape->complete, &tape->experts_complete}) peak->bytes *= times, peak->again *= times;
      for (TapePeak& peak : tape->peaks) peak.bytes *= times, peak.again *= times;
    }
  }
  return t;
}

std::optional<ModelTapes> read_tapes(const Workload& w, const BlockShape& s, bool halves) try {
  const Job job = job_of(w, s, false);
  const double scale = static_cast<double>(s.micro_batch) / static_cast<double>(job.training.micro_batch);
  const auto program_of = [](const Job& of, int rank) { return lower(of, rank, {.until = "lifetimes"}); };
  const Program whole = program_of(job, 0);
  TapeReader both(whole, scale);
  both.read();
  ModelTapes t;
  t.embedding.forward = both.tape(true, -1, 0), t.head.forward = both.tape(true, -1, 1);
  t.head.backward = both.tape(false, -1, 0), t.embedding.backward = both.tape(false, -1, 1);
  const auto blocks = [&](auto take) {
    for (const bool mixture : {false, true}) {
      const int block = block_of(job.model, mixture);
      if (block >= 0) take(mixture ? t.mixture : t.dense, block);
    }
  };
  blocks([&](PartTapes& part, int block) {
    part.forward = both.tape(true, block, 0), part.backward = both.tape(false, block, 0);
  });
  t.has_halves = halves;
  if (!halves) return t;
  const Job parted = job_of(w, s, true);
  const int next = parted.parallel.ranks() / 2;
  const Program first = program_of(parted, 0), last = program_of(parted, next);
  TapeReader a(first, scale), b(last, scale);
  a.read(), b.read();
  t.head.input = b.tape(false, -1, 0), t.head.weight = b.tape(false, -1, 1);
  blocks([&](PartTapes& part, int block) {
    const TapeReader& reader = block < kBlocks / 2 ? a : b;
    part.input = reader.tape(false, block, 0), part.weight = reader.tape(false, block, 1);
  });
  return t;
} catch (const Error&) {
  return std::nullopt;
}

}  // namespace shardscope
