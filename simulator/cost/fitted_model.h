#pragma once
// Seconds of a kind of op as a function of a few sizes, from measurements: a non-negative least-squares fit of known
// terms (work, bytes, ...) carries it far from what was measured, and the ratios measured / fitted, smoothed over
// the sizes, correct it near by.
//
//   FittedModel model(samples);       // sample: {log2 sizes}, {terms}, seconds
//   double t = model.at(log2_sizes, terms);

#include <array>
#include <vector>

namespace shardscope {

inline constexpr int kFitSizes = 4, kFitTerms = 6;

struct FitSample {
  std::array<double, kFitSizes> log2_sizes{};  ///< where it lies: neighbours are found by distance here
  std::array<double, kFitTerms> terms{};       ///< >= 0; unused ones 0
  double seconds = 0;                          ///< > 0
};

class FittedModel {
 public:
  FittedModel() = default;
  /// Fits relative errors (a microsecond counts as much as a second). No samples: an empty model.
  explicit FittedModel(std::vector<FitSample> samples);

  bool empty() const { return samples_.empty(); }
  /// Positive. Must not be empty.
  double at(const std::array<double, kFitSizes>& log2_sizes, const std::array<double, kFitTerms>& terms) const;
  /// Seconds per unit of each term.
  const std::array<double, kFitTerms>& coefficients() const { return coefficients_; }

 private:
  double fitted(const std::array<double, kFitTerms>& terms) const;

  std::vector<FitSample> samples_;
  std::vector<double> log_ratios_;  ///< ln(measured / fitted) by sample
  std::array<double, kFitTerms> coefficients_{};
};

}  // namespace shardscope
