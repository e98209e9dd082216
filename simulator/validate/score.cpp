#include "simulator/validate/score.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace shardscope {
namespace {

using Rows = std::vector<const ValidatedRow*>;
using ErrorOf = std::optional<double> (ValidatedRow::*)() const;

std::vector<double> errors_of(const Rows& rows, ErrorOf error) {
  std::vector<double> errors;
  for (const ValidatedRow* row : rows) {
    if (const auto e = (row->*error)()) errors.push_back(*e);
  }
  return errors;
}

ErrorSummary summarise(const std::vector<double>& errors) {
  ErrorSummary out{.n = static_cast<int>(errors.size())};
  if (errors.empty()) return out;
  std::vector<Weighted> sizes;
  double sum = 0;
  for (const double e : errors) sizes.push_back({std::abs(e)}), sum += std::abs(e), out.bias += e;
  out.mape = sum / out.n;
  out.bias /= out.n;
  out.median = weighted_quantile(sizes, 0.5);
  out.p90 = weighted_quantile(sizes, 0.9);
  return out;
}

Score score_rows(const Rows& rows) {
  Score score{.rows = static_cast<int>(rows.size())};
  for (const ValidatedRow* row : rows) {
    score.skipped += row->predicted() ? 0 : 1;
    score.predicted += row->predicted() ? 1 : 0;
    score.fit += row->predicted() && row->estimate.fits ? 1 : 0;
  }
  score.step_time = summarise(errors_of(rows, &ValidatedRow::step_time_error));
  score.memory = summarise(errors_of(rows, &ValidatedRow::mem_error));
  for (const Sweep& sweep : sweeps_of(rows)) score.pairs.add(sweep.pairs), ++score.sweeps;
  score.kendall_tau = score.pairs.tau();
  return score;
}

std::map<std::string, Rows> by_source(const std::vector<ValidatedRow>& all, std::string_view qualities) {
  std::map<std::string, Rows> sources;
  for (const ValidatedRow& row : all) {
    if (is_chosen(row.run, qualities)) sources[row.run.source].push_back(&row);
  }
  return sources;
}

/// Means over sources, quantiles over all of their rows.
ErrorSummary pool(const std::map<std::string, Rows>& sources, ErrorOf error) {
  ErrorSummary out;
  std::vector<Weighted> sizes;
  double count = 0, mape = 0;
  for (const auto& [name, rows] : sources) {
    const std::vector<double> errors = errors_of(rows, error);
    const ErrorSummary one = summarise(errors);
    if (one.n == 0) continue;
    for (const double e : errors) sizes.push_back({std::abs(e), 1.0 / one.n});
    out.n += one.n, out.bias += one.bias, mape += *one.mape, count += 1;
  }
  if (out.n == 0) return out;
  out.bias /= count;
  out.mape = mape / count;
  out.median = weighted_quantile(sizes, 0.5);
  out.p90 = weighted_quantile(sizes, 0.9);
  return out;
}

}  // namespace

double weighted_quantile(std::vector<Weighted> values, double share) {
  SS_CHECK(!values.empty(), share);
  std::sort(values.begin(), values.end(), [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double total = 0, below = 0;
  for (const Weighted& v : values) total += v.weight;
  const double slack = 1e-9 * total;
  for (std::size_t i = 0; i < values.size(); ++i) {
    below += values[i].weight;
    const bool exact = std::abs(below - share * total) <= slack;
    if (exact && i + 1 < values.size()) return (values[i].value + values[i + 1].value) / 2;
    if (below >= share * total - slack) return values[i].value;
  }
  return values.back().value;
}

bool is_chosen(const PublishedRun& run, std::string_view qualities) {
  return run.quality == ' ' || qualities.find(run.quality) != std::string_view::npos;
}

std::map<std::string, Score> score_sources(const std::vector<ValidatedRow>& rows, std::string_view qualities) {
  std::map<std::string, Score> scores;
  for (const auto& [name, of_source] : by_source(rows, qualities)) scores[name] = score_rows(of_source);
  return scores;
}

Score score_overall(const std::vector<ValidatedRow>& rows, std::string_view qualities) {
  const auto sources = by_source(rows, qualities);
  Score out;
  double tau = 0, ranked = 0;
  for (const auto& [name, of_source] : sources) {
    const Score one = score_rows(of_source);
    out.rows += one.rows, out.skipped += one.skipped, out.predicted += one.predicted, out.fit += one.fit;
    out.sweeps += one.sweeps, out.pairs.add(one.pairs);
    if (one.kendall_tau) tau += *one.kendall_tau, ranked += 1;
  }
  if (ranked > 0) out.kendall_tau = tau / ranked;
  out.step_time = pool(sources, &ValidatedRow::step_time_error);
  out.memory = pool(sources, &ValidatedRow::mem_error);
  return out;
}

}  // namespace shardscope
