#include "simulator/validate/ranking.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "core/check.h"

namespace shardscope {
namespace {

constexpr std::size_t kLeastSweep = 3;  // rows

int sign(double x) { return (x > 0) - (x < 0); }

double gap(double x, double y) { return std::max(x, y) / std::min(x, y) - 1; }

struct TimePerToken {
  double published = 0, predicted = 0;
};

TimePerToken time_per_token(const ValidatedRow& row) {
  const double tokens = static_cast<double>(row.plan.global_batch * row.setup.workload.seq);
  return {*row.published_step_time_s / tokens, row.estimate.step_time_s / tokens};
}

void find_widest_wrong(Sweep& sweep) {
  for (const ValidatedRow* one : sweep.rows) {
    for (const ValidatedRow* other : sweep.rows) {
      const TimePerToken fast = time_per_token(*one), slow = time_per_token(*other);
      const double published = slow.published / fast.published - 1;
      if (published <= sweep.published || slow.predicted >= fast.predicted) continue;
      sweep.faster = one->run.id, sweep.slower = other->run.id;
      sweep.published = published, sweep.predicted = slow.predicted / fast.predicted - 1;
    }
  }
}

void rank(Sweep& sweep) {
  std::vector<double> published, predicted;
  for (const ValidatedRow* row : sweep.rows) {
    const TimePerToken time = time_per_token(*row);
    published.push_back(time.published), predicted.push_back(time.predicted);
  }
  sweep.pairs = count_pairs(published, predicted);
  find_widest_wrong(sweep);
}

}  // namespace

void Pairs::add(const Pairs& more) {
  agreement += more.agreement, a += more.a, b += more.b;
  for (std::size_t i = 0; i < by_gap.size(); ++i) {
    by_gap[i].pairs += more.by_gap[i].pairs, by_gap[i].wrong += more.by_gap[i].wrong;
  }
}

std::optional<double> Pairs::tau() const {
  if (a == 0 || b == 0) return std::nullopt;
  return agreement / std::sqrt(a * b);
}

Pairs count_pairs(const std::vector<double>& a, const std::vector<double>& b) {
  SS_CHECK(a.size() == b.size(), a.size(), b.size());
  Pairs pairs;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const int sa = sign(a[i] - a[j]), sb = sign(b[i] - b[j]);
      pairs.agreement += sa * sb;
      pairs.a += sa != 0, pairs.b += sb != 0;
      if (sa == 0 || sb == 0) continue;
      const auto kind = std::upper_bound(kPairGaps.begin(), kPairGaps.end(), gap(a[i], a[j])) - kPairGaps.begin();
      PairCount& count = pairs.by_gap[static_cast<std::size_t>(kind)];
      ++count.pairs, count.wrong += sa != sb;
    }
  }
  return pairs;
}

std::vector<Sweep> sweeps_of(const std::vector<const ValidatedRow*>& rows) {
  std::map<std::tuple<std::string, std::string, std::string, std::int64_t>, Sweep> found;
  for (const ValidatedRow* row : rows) {
    if (!row->step_time_error()) continue;
    const PublishedRun& run = row->run;
    const std::int64_t gpus = run.n_gpus.value_or(0);
    Sweep& sweep = found[{run.source, run.model_name, run.gpu, gpus}];
    sweep.source = run.source, sweep.model = run.model_name, sweep.gpu = run.gpu, sweep.gpus = gpus;
    sweep.rows.push_back(row);
  }
  std::vector<Sweep> sweeps;
  for (auto& [key, sweep] : found) {
    if (sweep.rows.size() < kLeastSweep) continue;
    rank(sweep);
    sweeps.push_back(std::move(sweep));
  }
  return sweeps;
}

}  // namespace shardscope
