#include "simulator/predict.h"

#include <algorithm>
#include <map>

#include "core/program/lower.h"
#include "core/program/passes/precision.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/fold/folded_clock.h"
#include "simulator/fold/rank_classes.h"
#include "simulator/fold/rank_folder.h"
#include "simulator/make_prediction.h"

namespace shardscope {

namespace {

class JobFolder {
 public:
  JobFolder(const Job& job, const ClusterSpec& cluster, const CostModel& costs, const PredictOptions& options)
      : job_(job),
        classes_(find_rank_classes(job, cluster, sharing_sizes(costs.resources(), job.parallel.ranks()))),
        store_(costs),
        folder_(job, store_, options.fold_schedule) {}

  Prediction run(const CostModel& costs, const SimulateOptions& options) {
    const RankPartition &coarse = classes_.coarse, &fine = classes_.fine;
    for (int c = 0; c < coarse.size(); ++c) coarse_.push_back(folder_.fold(coarse.first[static_cast<std::size_t>(c)]));
    fine_.resize(static_cast<std::size_t>(fine.size()));
    for (int c = fine.size() - 1; c >= 0; --c) {  // late stages first: few micro-batches fill what follows them
      fine_[static_cast<std::size_t>(c)] = fold_fine(static_cast<std::size_t>(c));
    }
    std::vector<RankPrediction> ranks;
    for (std::size_t c = 0; c < fine_.size(); ++c) {
      const MemoryPeak peak = fold_memory(store_, fine_[c].persistent, fine_[c].segments);
      ranks.push_back({fine.first[c], fine.members[c], peak, {}});
    }
    FoldedWork work;
    const ClockResult clock = run_folded(store_, costs.resources(), levels(), to_ns(costs.step_overhead()), &work);
    statistics_ = {folder_.statistics(), work.slowed, work.again};
    const std::int64_t tokens = job_.training.train_batch_size * job_.data.seq_len;
    Prediction prediction = make_prediction(std::move(ranks), clock, costs, tokens, dtypes_of(job_).model, options);
    prediction.speaker = std::move(classes_.fine.of);
    return prediction;
  }

  const PredictStatistics& statistics() const { return statistics_; }

 private:
  // A rank whose program differs from that of its coarse class in the optimizer's step only needs only that.
  FoldedProgram fold_fine(std::size_t c) {
    const int rank = classes_.fine.first[c];
    const auto parent = static_cast<std::size_t>(classes_.coarse_of[c]);
    FoldedProgram folded = coarse_[parent];
    if (rank == classes_.coarse.first[parent]) return folded;
    if (folded.few == 0) return folder_.fold(rank);
    // Stages alike that end alike do so for all their ranks.
    std::vector<std::int64_t> key = classes_.study[parent];
    key.push_back(classes_.kind[c].slices);
    key.push_back(folded.segments.back());
    const auto [it, is_new] = ends_.try_emplace(key, -1);
    if (is_new) {
      const SplitProgram own = folder_.split(rank, folded.few);
      const bool is_parents = differ_at_end_only(own.segments, folded.few_segments);
      if (is_parents && own.by_chance.back() == 0) it->second = own.segments.back();
    }
    if (it->second < 0) return folder_.fold(rank);
    folded.segments.back() = it->second;
    return folded;
  }

  static bool differ_at_end_only(const std::vector<int>& a, const std::vector<int>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end() - 1, b.begin());
  }

  // Ranks that differ in the optimizer's step only have one run up to there for all of them, if that is so everywhere.
  std::vector<FoldedLevel> levels() {
    // The last backward too: what it reduces may still be under way in the optimizer's step.
    constexpr std::size_t kRunApart = 2;
    bool shares = fine_.size() > coarse_.size();
    for (std::size_t c = 0; c < fine_.size(); ++c) {
      const FoldedProgram& parent = coarse_[static_cast<std::size_t>(classes_.coarse_of[c])];
      shares = shares && differ_at_end_only(fine_[c].segments, parent.segments) && parent.segments.size() > kRunApart;
    }
    std::vector<FoldedLevel> levels(shares ? 2 : 1);
    levels.back().partition = &classes_.fine;
    for (std::size_t c = 0; c < fine_.size(); ++c) {
      const std::size_t own = shares ? fine_[c].segments.size() - kRunApart : 0;
      levels.back().ranks.push_back({std::move(fine_[c].segments), shares ? classes_.coarse_of[c] : -1, own});
    }
    if (!shares) return levels;
    levels.front().partition = &classes_.coarse;
    for (FoldedProgram& parent : coarse_) {
      parent.segments.resize(parent.segments.size() - kRunApart);
      levels.front().ranks.push_back({std::move(parent.segments), -1, 0});
    }
    return levels;
  }

  const Job& job_;
  RankClasses classes_;
  SegmentStore store_;
  RankFolder folder_;
  std::vector<FoldedProgram> coarse_, fine_;       ///< by class
  std::map<std::vector<std::int64_t>, int> ends_;  ///< last segments of fine classes; -1: more differs
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
  // Lanes that take a moment to wake need the other clock.
  const bool folds = options.fold_ranks && to_ns(costs.wake_latency()) == 0;
  if (!folds) return predict_unfolded(job, costs, rates);
  JobFolder folder(job, cluster, costs, options);
  Prediction prediction = folder.run(costs, rates);
  if (statistics != nullptr) *statistics = folder.statistics();
  return prediction;
}

}  // namespace shardscope
