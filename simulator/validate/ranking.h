#pragma once
// How well predictions rank the runs of a sweep: those of one source, model, GPU and number of GPUs, by time per token.
// That is what one compares to choose a plan.
//
//   for (const Sweep& sweep : sweeps_of(rows)) sweep.pairs.tau(), sweep.pairs.by_gap[0].wrong
//
// Runs of the same job differ by 1 to 3 % in good sources: nobody can rank two that lie nearer, so pairs are also
// counted by how far apart they were published.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "simulator/validate/validation.h"

namespace shardscope {

/// Pairs whose slower run took less than this much longer than the other; the last kind: all others.
inline constexpr std::array<double, 3> kPairGaps{0.02, 0.05, 0.1};

struct PairCount {
  int pairs = 0, wrong = 0;  ///< wrong: predicted the other way round
};

struct Pairs {
  double agreement = 0, a = 0, b = 0;  ///< pairs that agree less those that do not; pairs not tied in either list
  std::array<PairCount, kPairGaps.size() + 1> by_gap;  ///< of those that are tied in neither

  void add(const Pairs&);
  std::optional<double> tau() const;  ///< Kendall's tau-b; nothing if one of the lists is constant
};

/// Of two lists of equal length: published and predicted.
Pairs count_pairs(const std::vector<double>& a, const std::vector<double>& b);

struct Sweep {
  std::string source, model, gpu;
  std::int64_t gpus = 0;
  std::vector<const ValidatedRow*> rows;
  Pairs pairs;
  // Of the pairs told the wrong way round, the one published furthest apart; no id: there is none.
  std::string faster, slower;
  double published = 0, predicted = 0;  ///< slower over faster, less 1
};

/// Of at least three rows with a published and a predicted time. Points into `rows`.
std::vector<Sweep> sweeps_of(const std::vector<const ValidatedRow*>& rows);

}  // namespace shardscope
