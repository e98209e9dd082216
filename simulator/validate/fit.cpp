#include "simulator/validate/fit.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace shardscope {
namespace {

/// Rows of a source are alike, so it says less than as many of different ones would, but more than few do.
double weight_of(int rows) { return std::sqrt(rows / 36.0); }

constexpr double kStep = 1e-3;    // of the range, for derivatives
constexpr double kEnough = 1e-4;  // relative gain of an iteration below which the fit ends
constexpr int kTries = 8;         // shorter and shorter steps before an iteration gives up
constexpr double kLeastDamping = 1e-6;

using Eigen::MatrixXd;
using Eigen::VectorXd;

bool is_owner(const Constant& constant, const RowSetup& row) {
  if (constant.scope == "device") {
    const GpuSpec& gpu = row.target.gpu;
    return constant.owner == family_of(gpu.architecture) || constant.owner == gpu.architecture ||
           constant.owner == gpu.name;
  }
  if (constant.scope == "fabric") return constant.owner == row.target.fabric.name;
  return constant.owner == row.framework.name;
}

/// Whether a row's prediction goes by the constant. What holds for any owner does where none of its own is there.
bool concerns(const Constants& table, const Constant& constant, const RowSetup& row) {
  if (constant.owner != "any") return is_owner(constant, row);
  return std::none_of(table.begin(), table.end(), [&](const Constant& other) {
    return other.scope == constant.scope && other.name == constant.name && is_owner(other, row);
  });
}

/// Unknowns are scaled to 0..1 over low..high.
class Fit {
 public:
  Fit(const std::vector<ValidatedRow>& all, const Constants& start, const FitOptions& options)
      : options_(options), table_(start) {
    std::map<std::string, int> count;
    for (const ValidatedRow& row : all) {
      if (!row.predicted() || !row.published_step_time_s || !is_chosen(row.run, options.qualities)) continue;
      rows_.push_back(row);
      ++count[row.run.source];
    }
    weights_.resize(static_cast<Eigen::Index>(rows_.size()));
    for (std::size_t i = 0; i < rows_.size(); ++i)
      weights_[at(i)] = weight_of(count[rows_[i].run.source]) / count[rows_[i].run.source];
    for (std::size_t i = 0; i < table_.size(); ++i) {
      if (table_[i].fitted() && table_[i].high > table_[i].low) unknowns_.push_back(i);
    }
    for (Constant& constant : table_) {
      if (options.from_start && constant.fitted()) constant.value = constant.start;
    }
    find_kin();
    for (const std::size_t j : unknowns_) {
      std::vector<bool>& of = concerned_.emplace_back();
      for (const ValidatedRow& row : rows_) of.push_back(concerns(table_, table_[j], row.setup));
    }
  }

  FitResult run() {
    VectorXd u = scaled([](const Constant& c) { return c.value; });
    VectorXd errors = errors_at(u);
    FitResult result{.cost_before = cost(errors), .rows = static_cast<int>(rows_.size())};
    result.cost_after = result.cost_before;
    double damping = 1e-2;
    for (; result.iterations < options_.iterations && !rows_.empty() && !unknowns_.empty(); ++result.iterations) {
      const double before = result.cost_after;
      if (!improve(u, errors, damping, result.cost_after)) break;
      if (options_.progress) options_.progress(result.iterations, result.cost_after);
      if (before - result.cost_after < kEnough * before) break;
    }
    set(u);
    polish();
    result.constants = table_;
    return result;
  }

 private:
  // ---- what is believed of a constant: what is found for all owners, if that is fitted too; else its start

  void find_kin() {
    for (const std::size_t i : unknowns_) {
      const Constant& own = table_[i];
      const auto all = std::find_if(unknowns_.begin(), unknowns_.end(), [&](std::size_t j) {
        return j != i && table_[j].owner == "any" && table_[j].scope == own.scope && table_[j].name == own.name;
      });
      kin_.push_back(all == unknowns_.end() ? kNone : static_cast<std::size_t>(all - unknowns_.begin()));
    }
  }

  static double range(const Constant& c) { return c.high - c.low; }
  const Constant& unknown(std::size_t j) const { return table_[unknowns_[j]]; }

  double believed(std::size_t j) const {
    const Constant& c = unknown(j);
    return kin_[j] == kNone ? c.start : std::clamp(unknown(kin_[j]).value, c.low, c.high);
  }

  /// How far it lies from that, over its range. Table as set.
  VectorXd strays() const {
    VectorXd out(count());
    for (std::size_t j = 0; j < unknowns_.size(); ++j)
      out[at(j)] = (unknown(j).value - believed(j)) / range(unknown(j));
    return out;
  }

  /// d strays / d u.
  MatrixXd stray_derivatives() const {
    MatrixXd out = MatrixXd::Identity(count(), count());
    for (std::size_t j = 0; j < unknowns_.size(); ++j) {
      if (kin_[j] != kNone) out(at(j), at(kin_[j])) = -range(unknown(kin_[j])) / range(unknown(j));
    }
    return out;
  }

  /// Its factor over what is believed, as a logarithm; a hundredth of its range stands in for 0.
  double log_stray(std::size_t j) const {
    const double least = 0.01 * range(unknown(j));
    return std::log((unknown(j).value + least) / (believed(j) + least));
  }

  // ---- the second stage: one constant after the other, by what is reported: mean and p90 of absolute errors

  double reported_cost(const std::vector<double>& errors) const {
    double sum = 0;
    for (const auto& [name, rows] : rows_of_source_) {
      std::vector<double> e;
      for (const std::size_t i : rows) e.push_back(std::min(1.0, std::abs(std::exp(errors[i]) - 1)));
      const auto p90 = e.begin() + std::lround(0.9 * static_cast<double>(e.size() - 1));
      const double mean = std::accumulate(e.begin(), e.end(), 0.0) / static_cast<double>(e.size());
      std::nth_element(e.begin(), p90, e.end());
      sum += weight_of(static_cast<int>(e.size())) * (mean + 0.5 * *p90);
    }
    for (std::size_t j = 0; j < unknowns_.size(); ++j) sum += options_.reported_pull * std::pow(log_stray(j), 2);
    return sum;
  }

  /// The errors with constant j as it is now; rows that it does not concern keep theirs.
  std::vector<double> errors_with(std::size_t j, const std::vector<double>& errors) {
    std::vector<double> out = errors;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (concerned_[j][i]) out[i] = error_of(rows_[i]);
    }
    return out;
  }

  bool try_step(std::size_t j, double step, std::vector<double>& errors, double& best) {
    Constant& c = table_[unknowns_[j]];
    const double old = c.value;
    c.value = std::clamp(old * std::exp(step) + (old < 1e-6 ? 1e-2 * (c.high - c.low) * step : 0), c.low, c.high);
    if (c.value == old) return false;
    std::vector<double> found = errors_with(j, errors);
    const double now = reported_cost(found);
    if (now < best - 1e-6) return errors = std::move(found), best = now, true;
    c.value = old;
    return false;
  }

  void polish() {
    if (rows_.empty() || unknowns_.empty()) return;
    for (std::size_t i = 0; i < rows_.size(); ++i) rows_of_source_[rows_[i].run.source].push_back(i);
    std::vector<double> errors = errors_now();
    std::vector<double> steps(unknowns_.size(), 0.2);
    double best = reported_cost(errors);
    for (int round = 0; round < options_.rounds; ++round) {
      const double before = best;
      for (std::size_t j = 0; j < unknowns_.size(); ++j) {
        const bool better = try_step(j, steps[j], errors, best) || try_step(j, -steps[j], errors, best);
        steps[j] = better ? std::min(0.5, steps[j] * 1.4) : std::max(0.01, steps[j] * 0.6);
      }
      if (options_.progress) options_.progress(options_.iterations + round, best);
      if (before - best < kEnough * before && round > 8) break;
    }
  }

  static Eigen::Index at(std::size_t i) { return static_cast<Eigen::Index>(i); }
  Eigen::Index count() const { return at(unknowns_.size()); }

  template <class Field>
  VectorXd scaled(Field field) const {
    VectorXd u(count());
    for (std::size_t j = 0; j < unknowns_.size(); ++j) {
      const Constant& c = table_[unknowns_[j]];
      u[at(j)] = (field(c) - c.low) / (c.high - c.low);
    }
    return u;
  }

  void set(std::size_t j, double u) {
    Constant& c = table_[unknowns_[j]];
    c.value = c.low + u * (c.high - c.low);
  }
  void set(const VectorXd& u) {
    for (std::size_t j = 0; j < unknowns_.size(); ++j) set(j, u[at(j)]);
  }

  double error_of(ValidatedRow& row) const {
    predict_row(row, table_);
    return std::log(row.estimate.step_time_s / *row.published_step_time_s);
  }

  std::vector<double> errors_now() {
    std::vector<double> errors;
    for (ValidatedRow& row : rows_) errors.push_back(error_of(row));
    return errors;
  }

  VectorXd errors_at(const VectorXd& u) {
    set(u);
    const std::vector<double> errors = errors_now();
    return Eigen::Map<const VectorXd>(errors.data(), at(errors.size()));
  }

  double cost(const VectorXd& errors) const {
    double sum = 0;
    for (Eigen::Index i = 0; i < errors.size(); ++i) {
      const double e = errors[i] / options_.scale;
      sum += weights_[i] * options_.scale * options_.scale * std::log1p(e * e);
    }
    return sum + options_.pull * strays().squaredNorm();
  }

  /// d error / d u, row by unknown; rows that a constant does not concern keep 0.
  MatrixXd derivatives(const VectorXd& u, const VectorXd& errors) {
    MatrixXd out = MatrixXd::Zero(errors.size(), count());
    set(u);
    for (std::size_t j = 0; j < unknowns_.size(); ++j) {
      const double step = u[at(j)] + kStep <= 1 ? kStep : -kStep;
      set(j, u[at(j)] + step);
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        if (!concerned_[j][i]) continue;
        out(at(i), at(j)) = (error_of(rows_[i]) - errors[at(i)]) / step;
      }
      set(j, u[at(j)]);
    }
    return out;
  }

  /// One accepted step, or false.
  bool improve(VectorXd& u, VectorXd& errors, double& damping, double& best) {
    const MatrixXd d = derivatives(u, errors);
    VectorXd weights = weights_;
    for (Eigen::Index i = 0; i < errors.size(); ++i) {
      const double e = errors[i] / options_.scale;
      weights[i] /= 1 + e * e;
    }
    const MatrixXd weighted = weights.asDiagonal() * d;
    MatrixXd normal = d.transpose() * weighted;
    set(u);
    const MatrixXd pulled = stray_derivatives();
    normal += options_.pull * pulled.transpose() * pulled;
    VectorXd gradient = weighted.transpose() * errors + options_.pull * pulled.transpose() * strays();
    hold_bounds(u, gradient, normal);
    for (int tries = 0; tries < kTries; ++tries, damping *= 4) {
      MatrixXd damped = normal;
      damped.diagonal() *= 1 + damping;
      const VectorXd next = (u - damped.ldlt().solve(gradient)).cwiseMax(0).cwiseMin(1);
      const VectorXd found = errors_at(next);
      const double now = cost(found);
      if (!(now < best)) continue;
      u = next, errors = found, best = now;
      damping = std::max(damping / 5, kLeastDamping);
      return true;
    }
    return false;
  }

  /// Unknowns that a step would push through a bound do not take part in it.
  static void hold_bounds(const VectorXd& u, VectorXd& gradient, MatrixXd& normal) {
    for (Eigen::Index j = 0; j < u.size(); ++j) {
      const bool held = (u[j] <= 0 && gradient[j] > 0) || (u[j] >= 1 && gradient[j] < 0);
      if (!held) continue;
      gradient[j] = 0;
      normal.row(j).setZero(), normal.col(j).setZero();
      normal(j, j) = 1;
    }
  }

  const FitOptions& options_;
  Constants table_;
  std::vector<ValidatedRow> rows_;
  VectorXd weights_;
  std::vector<std::size_t> unknowns_;  ///< places in table_
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::vector<std::vector<bool>> concerned_;  ///< by each unknown, the rows
  std::vector<std::size_t> kin_;  ///< of each unknown, the one that holds for all owners; kNone: there is none
  std::map<std::string, std::vector<std::size_t>> rows_of_source_;
};

std::vector<ValidatedRow> predicted(std::vector<ValidatedRow> rows, const Constants& constants) {
  for (ValidatedRow& row : rows) predict_row(row, constants);
  return rows;
}

}  // namespace

FitResult fit_constants(const std::vector<ValidatedRow>& rows, const Constants& start, const FitOptions& options) {
  return Fit(rows, start, options).run();
}

std::map<std::string, LeftOut> leave_one_source_out(const std::vector<ValidatedRow>& rows, const Constants& constants,
                                                    const FitOptions& options) {
  FitOptions fresh = options;
  fresh.from_start = true;
  std::map<std::string, LeftOut> out;
  for (const auto& entry : score_sources(rows, options.qualities)) {
    if (entry.second.predicted == 0) continue;
    std::vector<ValidatedRow> own, others;
    for (const ValidatedRow& row : rows) (row.run.source == entry.first ? own : others).push_back(row);
    LeftOut& result = out[entry.first];
    result.fitted = score_overall(predicted(own, constants), options.qualities).step_time;
    result.rows = predicted(std::move(own), fit_constants(others, constants, fresh).constants);
    result.left_out = score_overall(result.rows, options.qualities).step_time;
  }
  return out;
}

}  // namespace shardscope
