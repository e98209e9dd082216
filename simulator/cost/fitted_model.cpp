#include "simulator/cost/fitted_model.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace shardscope {

namespace {

// Correction from neighbours: Gaussian weights, half an octave wide, and a weight that pulls to "no correction" where
// no neighbour is within about an octave. Both are choices of smoothness, not measurements. Guess.
constexpr double kWidthOctaves = 0.5, kPullToFit = 0.02;

// Least squares with coefficients >= 0: fits, drops the most negative term, fits again. Not the exact optimum of
// non-negative least squares, but terms that come out negative are noise here.
std::array<double, kFitTerms> fit_non_negative(const Eigen::MatrixXd& terms) {
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(terms.rows());
  std::vector<int> kept;
  for (int t = 0; t < kFitTerms; ++t) {
    if (terms.col(t).maxCoeff() > 0) kept.push_back(t);
  }
  std::array<double, kFitTerms> result{};
  while (!kept.empty()) {
    Eigen::MatrixXd columns(terms.rows(), static_cast<int>(kept.size()));
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const auto column = terms.col(kept[i]);
      columns.col(static_cast<int>(i)) = column / column.norm();
    }
    const Eigen::VectorXd solution = columns.completeOrthogonalDecomposition().solve(ones);
    Eigen::Index worst = 0;
    if (solution.minCoeff(&worst) < 0) {
      kept.erase(kept.begin() + worst);
      continue;
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
      result[static_cast<std::size_t>(kept[i])] = solution(static_cast<int>(i)) / terms.col(kept[i]).norm();
    }
    break;
  }
  return result;
}

double distance_squared(const std::array<double, kFitSizes>& a, const std::array<double, kFitSizes>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

}  // namespace

FittedModel::FittedModel(std::vector<FitSample> samples) : samples_(std::move(samples)) {
  if (samples_.empty()) return;
  Eigen::MatrixXd relative(static_cast<int>(samples_.size()), kFitTerms);
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    SS_CHECK(samples_[i].seconds > 0, samples_[i].seconds);
    for (int t = 0; t < kFitTerms; ++t) {
      relative(static_cast<int>(i), t) = samples_[i].terms[static_cast<std::size_t>(t)] / samples_[i].seconds;
    }
  }
  coefficients_ = fit_non_negative(relative);
  for (const FitSample& sample : samples_) log_ratios_.push_back(std::log(sample.seconds / fitted(sample.terms)));
}

double FittedModel::fitted(const std::array<double, kFitTerms>& terms) const {
  double seconds = 0;
  for (std::size_t t = 0; t < terms.size(); ++t) seconds += coefficients_[t] * terms[t];
  return std::max(seconds, 1e-12);
}

double FittedModel::at(const std::array<double, kFitSizes>& log2_sizes,
                       const std::array<double, kFitTerms>& terms) const {
  SS_CHECK(!samples_.empty());
  double weighted = 0, weights = kPullToFit;
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    const double d2 = distance_squared(samples_[i].log2_sizes, log2_sizes);
    const double weight = std::exp(-d2 / (2 * kWidthOctaves * kWidthOctaves));
    weighted += weight * log_ratios_[i];
    weights += weight;
  }
  return fitted(terms) * std::exp(weighted / weights);
}

}  // namespace shardscope
