#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "simulator/analytic/explain_parts.h"

namespace shardscope {
namespace {

/// Moves of one kind: dense blocks and those of experts gather different sizes.
struct Kind {
  std::string_view what;
  double ranks = 1, times = 0, bytes = 0, seconds = 0;  ///< bytes and seconds of all together
};

class TimeText {
 public:
  explicit TimeText(const Explained& x)
      : x_(x),
        gpu_(x.target.gpu, device_constants(x.constants, x.target.gpu)),
        host_(framework_constants(x.constants, x.framework.name)) {}

  std::string of(TimeTerm term) const {
    switch (term) {
      case TimeTerm::kMatmul:
        return per_block(term, &PassCosts::matmul) + peak_text();
      case TimeTerm::kAttention:
        return per_block(term, &PassCosts::attention) + attention_text();
      case TimeTerm::kElements:
        return elements_text();
      case TimeTerm::kHost:
        return host_text();
      case TimeTerm::kRecompute:
        return recompute_text();
      case TimeTerm::kBubble:
        return bubble_text();
      case TimeTerm::kOptimizer:
        return optimizer_text();
      case TimeTerm::kFixed:
        return fmt::format("{:g} ms a step + {} x {:g} ms", host_.fixed_ms, micro_batches(), host_.micro_batch_ms);
      case TimeTerm::kTensor:
      case TimeTerm::kContext:
      case TimeTerm::kExpert:
      case TimeTerm::kData:
      case TimeTerm::kPipeline:
      case TimeTerm::kOffload:
        return moves_text(term);
    }
    return "";
  }

 private:
  std::string micro_batches() const {
    const std::int64_t m = x_.plan.micro_batches();
    return fmt::format("{} micro-batch{}", m, m == 1 ? "" : "es");
  }
  double micro_batch_s(TimeTerm term) const { return x_.estimate[term] / static_cast<double>(x_.plan.micro_batches()); }

  /// "32 blocks x 1.21 ms + 3.40 ms of ends, x 8 micro-batches": the slowest stage, forward and backward.
  std::string per_block(TimeTerm term, double PassCosts::*kind) const {
    const auto both = [&](const PartCosts& part) { return part.forward.*kind + part.backward.*kind; };
    const Stage& stage = x_.notes.slowest;
    double rest = micro_batch_s(term);
    std::string text;
    const auto add = [&](double count, const PartCosts& part, const char* name) {
      if (count <= 0) return;
      text += fmt::format("{}{:g} {} x {}", text.empty() ? "" : " + ", count, name, duration(both(part)));
      rest -= count * both(part);
    };
    add(stage.dense, x_.notes.costs.dense, stage.mixture > 0 ? "dense blocks" : "blocks");
    add(stage.mixture, x_.notes.costs.mixture, "blocks of experts");
    if (rest > 1e-4 * micro_batch_s(term)) text += fmt::format(" + {} of embedding and head", duration(rest));
    return text + fmt::format(", x {}", micro_batches());
  }

  /// The head's products stay in bf16.
  std::string peak_text() const {
    const Arithmetic a = x_.workload.arithmetic;
    const ModelCosts& c = x_.notes.costs;
    const Stage& stage = x_.notes.slowest;
    const double blocks = stage.dense * c.dense.product_flops + stage.mixture * c.mixture.product_flops,
                 head = stage.last ? c.head.product_flops : 0;
    const double least = blocks / gpu_.peak(a) + head / gpu_.peak(Arithmetic::kBf16);
    return fmt::format("; {:.0f} % of the {} peak of {}", 100 * least / micro_batch_s(TimeTerm::kMatmul), to_string(a),
                       quantity(gpu_.peak(a), "FLOP/s"));
  }

  std::string attention_text() const {
    const AttentionKernel kernel = x_.framework.attention;
    const char* kinds[] = {"plain products", "flash", "the vendor's kernels"};
    return fmt::format("; {:g} heads of a rank, {} keys, {}",
                       static_cast<double>(x_.workload.model.heads) / x_.plan.tp / x_.plan.ulysses, x_.workload.seq,
                       kinds[static_cast<std::size_t>(kernel)]);
  }

  std::string elements_text() const {
    const double peak = x_.target.gpu.memory_bandwidth.value, share = gpu_.constants().memory_efficiency;
    return fmt::format("{} of {} x {}; memory at {} of {}", blocks_text(x_.notes.slowest), micro_batches(),
                       duration(micro_batch_s(TimeTerm::kElements)), quantity(peak * share, "B/s"),
                       quantity(peak, "B/s"));
  }

  std::string host_text() const {
    const double all = x_.notes.launch_s;
    return fmt::format("{:.0f} kernels x {:g} us{} are {}; {:.0f} % hidden behind kernels", x_.notes.kernels,
                       host_.host_us, x_.plan.tp > 1 ? " and collectives of tensor parallelism" : "", duration(all),
                       100 * hidden(x_.estimate[TimeTerm::kHost], all));
  }

  std::string recompute_text() const {
    return fmt::format("{} recompute: {} of {} x {}", to_string(x_.plan.recompute), blocks_text(x_.notes.slowest),
                       micro_batches(), duration(micro_batch_s(TimeTerm::kRecompute)));
  }

  std::string bubble_text() const {
    const Plan& p = x_.plan;
    const bool zero_bubble = p.schedule == PipelineSchedule::kZbH1 || p.schedule == PipelineSchedule::kZbv ||
                             p.schedule == PipelineSchedule::kDualPipeV;
    std::string text = fmt::format("{}: one micro-batch in {} other stages takes {}", to_string(p.schedule), p.pp - 1,
                                   duration(x_.notes.others_s));
    if (p.vpp > 1) text += fmt::format(", / {} virtual stages", p.vpp);
    if (zero_bubble) text += ", less what weight gradients fill";
    return text + fmt::format("; {} of {} are work", micro_batches(), duration(x_.notes.stage_s));
  }

  std::string optimizer_text() const {
    const FrameworkSpec& f = x_.framework;
    const double each = 2 * (f.master_bytes > 0 ? f.master_bytes : f.parameter_bytes) + 2 * f.moment_bytes +
                        2 * f.gradient_bytes + 2;  // as the closed form moves them
    const auto move = std::find_if(x_.notes.moves.begin(), x_.notes.moves.end(),
                                   [](const Move& m) { return m.term == TimeTerm::kOptimizer; });
    if (move == x_.notes.moves.end()) return "";
    return fmt::format("{} parameters of the rank x {:g} bytes of state, gradient and parameter moved at {}",
                       quantity(move->bytes / each, ""), each, quantity(move->bytes / move->seconds, "B/s"));
  }

  static double hidden(double shown, double all) { return all <= 0 ? 0 : std::clamp(1 - shown / all, 0.0, 1.0); }

  std::vector<Kind> kinds_of(TimeTerm term) const {
    std::vector<Kind> kinds;
    for (const Move& m : x_.notes.moves) {
      if (m.term != term) continue;
      const auto same = [&](const Kind& k) { return k.what == m.what; };
      auto kind = std::find_if(kinds.begin(), kinds.end(), same);
      if (kind == kinds.end()) kind = kinds.insert(kinds.end(), {m.what, m.ranks});
      kind->times += m.times, kind->bytes += m.times * m.bytes, kind->seconds += m.times * m.seconds;
    }
    std::stable_sort(kinds.begin(), kinds.end(), [](const Kind& a, const Kind& b) { return a.seconds > b.seconds; });
    return kinds;
  }

  /// "32 x reduce-scatter of 2.10 GB over 16 ranks at 38.0 GB/s; 84 % hidden behind compute".
  std::string moves_text(TimeTerm term) const {
    std::string text;
    double all = 0;
    for (const Kind& k : kinds_of(term)) {
      all += k.seconds;
      text += fmt::format("{}{:.0f} x {} of {}{} at {}", text.empty() ? "" : ", ", k.times, k.what,
                          quantity(k.bytes / k.times, "B"), k.ranks > 1 ? fmt::format(" over {:g} ranks", k.ranks) : "",
                          quantity(k.bytes / k.seconds, "B/s"));
    }
    const double part = hidden(x_.estimate[term], all);
    return text +
           fmt::format(": {}, {}", duration(all),
                       part < 5e-3 ? "none of it hidden" : fmt::format("{:.0f} % hidden behind compute", 100 * part));
  }

  const Explained& x_;
  GpuModel gpu_;
  FrameworkConstants host_;
};

}  // namespace

std::vector<ExplainedTime> explain_time(const Explained& x) {
  const TimeText text(x);
  std::vector<ExplainedTime> parts;
  for (int i = 0; i < kTimeTerms; ++i) {
    const auto term = static_cast<TimeTerm>(i);
    const double seconds = x.estimate[term];
    if (seconds > 0) parts.push_back({term, seconds, seconds / x.estimate.step_time_s, text.of(term)});
  }
  return parts;
}

}  // namespace shardscope
