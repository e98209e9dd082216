#include "simulator/predict.h"

#include <algorithm>

#include "core/program/lower.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/fold/longest_path.h"
#include "simulator/fold/rank_classes.h"
#include "simulator/make_prediction.h"

namespace shardscope {

namespace {

/// A rank's program as segments.
struct Folded {
  std::vector<int> segments;
  MemoryTable persistent;
};

class JobFolder {
 public:
  JobFolder(const Job& job, const ClusterSpec& cluster, const CostModel& costs)
      : job_(job), classes_(find_rank_classes(job, cluster)), store_(costs) {}

  Prediction run(const CostModel& costs, const SimulateOptions& options) {
    const RankPartition& fine = classes_.fine;
    std::vector<RankPrediction> ranks;
    for (int c = 0; c < fine.size(); ++c) {
      const auto i = static_cast<std::size_t>(c);
      folded_.push_back(fold(fine.first[i]));
      const MemoryPeak peak = fold_memory(store_, folded_.back().persistent, folded_.back().segments);
      ranks.push_back({fine.first[i], fine.members[i], peak, {}});
    }
    const ClockResult clock = run_folded(store_, levels(), to_ns(costs.step_overhead()));
    const std::int64_t tokens = job_.training.train_batch_size * job_.data.seq_len;
    Prediction prediction = make_prediction(std::move(ranks), clock, costs, tokens, options);
    prediction.speaker = std::move(classes_.fine.of);
    return prediction;
  }

  const PredictStatistics& statistics() const { return statistics_; }

 private:
  Folded fold(int rank) {
    const Program program = lower(job_, rank);
    ++statistics_.lowered;
    statistics_.lowered_instructions += static_cast<std::int64_t>(program.instructions.size());
    SplitProgram split = store_.split(program);
    return {std::move(split.segments), split.persistent};
  }

  // Ranks that differ in the optimizer's step only have one run up to there for all of them, if that is so everywhere.
  std::vector<FoldedLevel> levels() const {
    const RankPartition &fine = classes_.fine, &coarse = classes_.coarse;
    const bool shares = fine.size() > coarse.size() && differ_at_end_only();
    std::vector<FoldedLevel> levels(shares ? 2 : 1);
    levels.back().partition = &fine;
    for (std::size_t c = 0; c < folded_.size(); ++c) {
      const std::vector<int>& segments = folded_[c].segments;
      const int parent = shares ? classes_.coarse_of[c] : -1;
      levels.back().ranks.push_back({segments, parent, shares ? segments.size() - 1 : 0});
    }
    if (!shares) return levels;
    levels.front().partition = &coarse;
    for (int first : coarse.first) {
      std::vector<int> segments = folded_[static_cast<std::size_t>(fine.of[static_cast<std::size_t>(first)])].segments;
      segments.pop_back();
      levels.front().ranks.push_back({std::move(segments), -1, 0});
    }
    return levels;
  }

  bool differ_at_end_only() const {
    std::vector<const std::vector<int>*> like(static_cast<std::size_t>(classes_.coarse.size()), nullptr);
    for (std::size_t c = 0; c < folded_.size(); ++c) {
      const std::vector<int>& own = folded_[c].segments;
      const std::vector<int>*& theirs = like[static_cast<std::size_t>(classes_.coarse_of[c])];
      if (theirs == nullptr) theirs = &own;
      if (own.size() != theirs->size() || !std::equal(own.begin(), own.end() - 1, theirs->begin())) return false;
    }
    return true;
  }

  const Job& job_;
  RankClasses classes_;
  SegmentStore store_;
  std::vector<Folded> folded_;  ///< by fine class
  PredictStatistics statistics_;
};

Prediction predict_unfolded(const Job& job, const CostModel& costs, const SimulateOptions& options) {
  std::vector<Program> programs;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) programs.push_back(lower(job, rank));
  return simulate(programs, costs, options);
}

}  // namespace

Prediction predict(const Job& job, const ClusterSpec& cluster, const PredictOptions& options,
                   PredictStatistics* statistics) {
  const ClusterCosts costs(cluster);
  const SimulateOptions rates{.flops_per_token = training_flops_per_token(job.model, job.data.seq_len)};
  // What ranks share, and lanes that take a moment to wake, need the clock.
  const bool folds = options.fold_ranks && costs.resources().empty() && to_ns(costs.wake_latency()) == 0;
  if (!folds) return predict_unfolded(job, costs, rates);
  JobFolder folder(job, cluster, costs);
  Prediction prediction = folder.run(costs, rates);
  if (statistics != nullptr) *statistics = folder.statistics();
  return prediction;
}

}  // namespace shardscope
