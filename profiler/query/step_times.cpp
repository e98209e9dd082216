#include "profiler/query/step_times.h"

#include <algorithm>
#include <cmath>

namespace shardscope {

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - std::floor(at)) * (values[above] - values[below]);
}

StepTimes step_times(const Profile& profile, std::int64_t run) {
  StepTimes times;
  Rows rows =
      profile.rows("SELECT max(loss), max(dur_ns) FROM step WHERE run = ? GROUP BY step ORDER BY step", {Value(run)});
  while (rows.next()) {
    times.losses.push_back(rows.real_or_nan(0));
    times.times_s.push_back(rows.real(1) * 1e-9);
  }
  const bool warms_up = times.times_s.size() >= 3;
  const std::vector<double> warm(times.times_s.begin() + (warms_up ? 1 : 0), times.times_s.end());
  times.median_s = quantile(warm, 0.5);
  times.p10_s = quantile(warm, 0.1);
  times.p90_s = quantile(warm, 0.9);
  Rows tokens = profile.rows("SELECT tokens_per_step FROM run WHERE id = ?", {Value(run)});
  if (tokens.next() && times.median_s > 0) times.tokens_per_s = tokens.real(0) / times.median_s;
  return times;
}

}  // namespace shardscope
