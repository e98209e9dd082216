#include "profiler/query/pair_runs.h"

#include <algorithm>
#include <tuple>

namespace shardscope {
namespace {

/// Smaller is nearer. Ids count from 1, so none overflows here.
auto distance(const PairableRun& measured, const PairableRun& predicted) {
  const bool later = predicted.id > measured.id;
  return std::tuple(predicted.file != measured.file, !later, later ? predicted.id : -predicted.id);
}

std::optional<std::size_t> prediction_of(const PairableRun& measured, const std::vector<PairableRun>& runs) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].predicted || runs[i].name != measured.name) continue;
    if (!best || distance(measured, runs[i]) < distance(measured, runs[*best])) best = i;
  }
  return best;
}

}  // namespace

std::vector<RunPair> pair_runs(const std::vector<PairableRun>& runs) {
  std::vector<RunPair> pairs;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].predicted) pairs.push_back({i, prediction_of(runs[i], runs)});
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const bool taken = std::any_of(pairs.begin(), pairs.end(), [&](const RunPair& p) { return p.predicted == i; });
    if (runs[i].predicted && !taken) pairs.push_back({std::nullopt, i});
  }
  return pairs;
}

}  // namespace shardscope
