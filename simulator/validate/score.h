#pragma once
// How good predictions are: errors of step time and memory, ranking within sweeps, verdicts whether a run fits.
//
//   const auto scores = score_sources(validation.rows, "AB");   // by source; overall(scores...) gives each equal
//   weight

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/validate/ranking.h"
#include "simulator/validate/validation.h"

namespace shardscope {

/// Of absolute errors. Empty where there is nothing to compare.
struct ErrorSummary {
  int n = 0;
  std::optional<double> mape, median, p90;
  double bias = 0;  ///< mean of the signed errors
};

struct Score {
  int rows = 0, skipped = 0;  ///< of the chosen quality
  ErrorSummary step_time, memory;
  std::optional<double> kendall_tau;  ///< over all pairs within sweeps; overall the mean of the sources'
  int sweeps = 0;
  Pairs pairs;                 ///< of all sweeps
  int predicted = 0, fit = 0;  ///< of the runs predicted (all of them ran), those that are told to fit
};

/// An error and how much it counts.
struct Weighted {
  double value = 0, weight = 1;
};
/// Least value such that this share of the weight is at or below it; between two values of equal share their mean.
double weighted_quantile(std::vector<Weighted> values, double share);

/// Whether the row's quality is among the letters; rows without a quality always are.
bool is_chosen(const PublishedRun&, std::string_view qualities);

std::map<std::string, Score> score_sources(const std::vector<ValidatedRow>&, std::string_view qualities);

/// Every source weighs the same: means are means of theirs, quantiles are over all rows with weight 1 / n.
Score score_overall(const std::vector<ValidatedRow>&, std::string_view qualities);

}  // namespace shardscope
