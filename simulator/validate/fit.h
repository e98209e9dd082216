#pragma once
// Finds the constants marked fitted from published runs: robust least squares on log errors of step time; a source
// weighs as the root of its rows.
//
//   FitResult fit = fit_constants(rows, default_constants());     // rows from prepare_row()
//   constants_csv(fit.constants), fit.cost_before, fit.cost_after
//
// Cost: per source the mean over rows of scale^2 log(1 + e^2), e = log(predicted / published) / scale, plus a weak pull
// of each constant towards what is believed of it: the value found for all owners where that is fitted too, else its
// `start`, so that one that no run speaks of stays there. Levenberg-Marquardt with numeric derivatives inside
// low..high. Then a second stage moves one constant after the other by what is reported: mean and p90 of absolute
// errors.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/validate/score.h"
#include "simulator/validate/validation.h"

namespace shardscope {

struct FitOptions {
  std::string qualities = "AB";
  double scale = 0.15;  ///< log errors far beyond it count little: Cauchy's loss
  double pull = 0.02;   ///< cost of a constant that lies its whole range away from what is believed
  int iterations = 25;
  int rounds = 100;              ///< of the second stage
  double reported_pull = 0.003;  ///< its pull: cost of a constant e times what is believed
  bool from_start = false;       ///< begins at each constant's start and not at its value
  std::function<void(int iteration, double cost)> progress;
};

struct FitResult {
  Constants constants;
  double cost_before = 0, cost_after = 0;
  int iterations = 0, rows = 0;
};

/// Rows that cannot be predicted or have no published step time are passed over.
FitResult fit_constants(const std::vector<ValidatedRow>& rows, const Constants& start, const FitOptions& options = {});

/// Errors of each source under constants fitted on all others, from their start.
struct LeftOut {
  ErrorSummary fitted;             ///< under `constants`, which have seen the source
  ErrorSummary left_out;           ///< under constants that have not
  std::vector<ValidatedRow> rows;  ///< of the source, predicted under the latter
};
std::map<std::string, LeftOut> leave_one_source_out(const std::vector<ValidatedRow>& rows, const Constants& constants,
                                                    const FitOptions& options = {});

}  // namespace shardscope
