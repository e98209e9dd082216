#include "simulator/fold/trace_classes.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/program/passes/precision.h"
#include "simulator/clock/virtual_clock.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/fold/class_resources.h"
#include "simulator/fold/rank_classes.h"
#include "simulator/make_prediction.h"

namespace shardscope {
namespace {

constexpr double kLowered = 0.7;  ///< part of the work, roughly

class Tracer {
 public:
  Tracer(const Job& job, const ClusterSpec& cluster, TraceSink& sink, const TraceClassesOptions& options)
      : job_(job),
        sink_(sink),
        options_(options),
        costs_(cluster),
        classes_(find_rank_classes(job, cluster, sharing_sizes(costs_.resources(), job.parallel.ranks()))) {}

  TracedClasses run() {
    RankPartition& partition = classes_.fine.size() <= options_.most_ranks ? classes_.fine : classes_.coarse;
    lower_all(partition);
    report(kLowered);
    const FlatProgram flat = flatten(programs_, costs_, true, &partition);
    std::vector<RankTrace*> traces;
    for (const Program& program : programs_) traces.push_back(sink_.open_rank(program.rank, program));
    report(kLowered + 0.1);
    const ClockResult clock = run_clock(flat, {1, traces});
    std::vector<RankPrediction> about;
    for (std::size_t c = 0; c < programs_.size(); ++c) {
      about.push_back({programs_[c].rank, partition.members[c], compute_memory_peak(programs_[c]), {}});
      if (traces[c] != nullptr) traces[c]->finish(about.back().peak, 0);
    }
    const SimulateOptions rates{.flops_per_token = training_flops_per_token(job_.model, job_.data.seq_len)};
    TracedClasses traced{make_prediction(std::move(about), clock, costs_, programs_.front().tokens_per_step,
                                         dtypes_of(job_).model, rates),
                         partition.first, micro_batches_};
    traced.prediction.speaker = std::move(partition.of);
    return traced;
  }

 private:
  void report(double done) const {
    if (options_.progress && !options_.progress(done)) throw Error(ErrorKind::kConfig, "the simulation was stopped");
  }

  void lower_all(const RankPartition& partition) {
    const auto count = static_cast<std::size_t>(partition.size());
    programs_.push_back(lower(job_, partition.first.front()));
    const auto all = static_cast<std::int64_t>(programs_.front().instructions.size() * count);
    if (all > options_.most_instructions) {
      micro_batches_ = fewer_micro_batches(static_cast<double>(options_.most_instructions) / static_cast<double>(all));
      if (micro_batches_ > 0)
        programs_.front() = lower(job_, partition.first.front(), {.micro_batches = micro_batches_});
    }
    for (std::size_t c = 1; c < count; ++c) {
      report(kLowered * static_cast<double>(c) / static_cast<double>(count));
      programs_.push_back(lower(job_, partition.first[c], {.micro_batches = micro_batches_}));
    }
  }

  /// Whole rounds of the pipeline, two at least, so that it fills; 0 if the job has no more than that.
  int fewer_micro_batches(double part) const {
    const std::int64_t all = job_.training.accumulation, round = std::max(job_.parallel.pp, 1);
    const auto wanted = static_cast<std::int64_t>(part * static_cast<double>(all)) / round * round;
    const std::int64_t few = std::max(wanted, 2 * round);
    return few < all ? static_cast<int>(few) : 0;
  }

  const Job& job_;
  TraceSink& sink_;
  const TraceClassesOptions& options_;
  ClusterCosts costs_;
  RankClasses classes_;
  std::vector<Program> programs_;
  int micro_batches_ = 0;
};

}  // namespace

TracedClasses trace_classes(const Job& job, const ClusterSpec& cluster, TraceSink& sink,
                            const TraceClassesOptions& options) {
  return Tracer(job, cluster, sink, options).run();
}

}  // namespace shardscope
