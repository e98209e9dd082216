#include "kernels/conformance/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace shardscope::reference {

NormForward norm(const Doubles& x, const Doubles& weight, const Doubles& bias, std::size_t hidden, double eps,
                 bool centred) {
  NormForward result;
  result.out.resize(x.size());
  for (std::size_t row = 0; row < x.size(); row += hidden) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < hidden; ++i) sum += x[row + i];
    const double mean = centred ? sum / static_cast<double>(hidden) : 0;
    for (std::size_t i = 0; i < hidden; ++i) squares += (x[row + i] - mean) * (x[row + i] - mean);
    const double rstd = 1 / std::sqrt(squares / static_cast<double>(hidden) + eps);
    for (std::size_t i = 0; i < hidden; ++i) {
      result.out[row + i] = (x[row + i] - mean) * rstd * weight[i] + (bias.empty() ? 0 : bias[i]);
    }
    result.mean.push_back(mean);
    result.rstd.push_back(rstd);
  }
  return result;
}

NormBackward norm_backward(const Doubles& d_out, const Doubles& x, const Doubles& weight, double eps, bool centred) {
  const std::size_t hidden = weight.size();
  const auto n = static_cast<double>(hidden);
  const NormForward forward = norm(x, weight, {}, hidden, eps, centred);
  NormBackward result{Doubles(x.size()), Doubles(hidden), Doubles(hidden)};
  for (std::size_t r = 0; r < x.size() / hidden; ++r) {
    double mean_g = 0, mean_gh = 0;
    const auto hat = [&](std::size_t i) { return (x[r * hidden + i] - forward.mean[r]) * forward.rstd[r]; };
    for (std::size_t i = 0; i < hidden; ++i) {
      const double d = d_out[r * hidden + i];
      mean_g += d * weight[i] / n;
      mean_gh += d * weight[i] * hat(i) / n;
      result.d_weight[i] += d * hat(i);
      result.d_bias[i] += d;
    }
    for (std::size_t i = 0; i < hidden; ++i) {
      const double g = d_out[r * hidden + i] * weight[i];
      result.d_x[r * hidden + i] = forward.rstd[r] * (g - (centred ? mean_g : 0) - hat(i) * mean_gh);
    }
  }
  return result;
}

Doubles matmul(const MatMul& op, const Doubles& a, const Doubles& b) {
  const auto m = static_cast<std::size_t>(op.m), n = static_cast<std::size_t>(op.n), k = static_cast<std::size_t>(op.k);
  Doubles c(m * n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t p = 0; p < k; ++p) {
      const double left = op.trans_a ? a[p * m + i] : a[i * k + p];
      for (std::size_t j = 0; j < n; ++j) c[i * n + j] += left * (op.trans_b ? b[j * k + p] : b[p * n + j]);
    }
  }
  return c;
}

Doubles through_fp8(Fp8 format, Doubles x) {
  double peak = kFp8LeastPeak;
  for (const double v : x) {
    if (!std::isfinite(v)) return Doubles(x.size(), std::numeric_limits<double>::quiet_NaN());
    peak = std::max(peak, std::abs(v));
  }
  const float scale = largest_of(format) / static_cast<float>(peak);
  for (double& v : x) v = rounded(format, static_cast<double>(static_cast<float>(v) * scale)) / scale;
  return x;
}

namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }
const double kGeluRoot = std::sqrt(2 / std::numbers::pi);

}  // namespace

double activation(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(kGeluRoot * (x + 0.044715 * x * x * x)));
    case ActivationKind::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case ActivationKind::kRelu:
      return std::max(x, 0.0);
    case ActivationKind::kSilu:
      return x * logistic(x);
  }
  return 0;
}

double activation_slope(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::kGeluTanh: {
      const double t = std::tanh(kGeluRoot * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kGeluRoot * (1 + 3 * 0.044715 * x * x);
    }
    case ActivationKind::kGeluErf:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * normal_density(x);
    case ActivationKind::kRelu:
      return x > 0 ? 1 : 0;
    case ActivationKind::kSilu:
      return logistic(x) * (1 + x * (1 - logistic(x)));
  }
  return 0;
}

Doubles rope(const Rope& op, Doubles x) {
  const std::int64_t half = op.head_dim / 2;
  for (std::int64_t row = 0; row < op.rows; ++row) {
    for (std::int64_t head = 0; head < op.heads; ++head) {
      for (std::int64_t i = 0; i < half; ++i) {
        const auto at = static_cast<std::size_t>((row * op.heads + head) * op.head_dim + i);
        const double power = -2.0 * static_cast<double>(i) / static_cast<double>(op.head_dim);
        const auto position = static_cast<double>(op.part.position(row % op.seq, op.seq));
        const double angle = position * std::pow(op.theta, power) * (op.inverse ? -1 : 1);
        double &a = x[at], &b = x[at + static_cast<std::size_t>(half)];
        const double rotated = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = rotated;
      }
    }
  }
  return x;
}

namespace {

/// Where row r of a head begins in q, k or v, and out.
struct Places {
  const Attention& op;
  std::int64_t sequence, head;
  std::size_t q(std::int64_t r) const { return index((sequence * op.seq + r) * op.q_stride + head * op.head_dim); }
  std::size_t kv(std::int64_t r) const {
    return index((sequence * keys() + r) * op.kv_stride + head * op.kv_heads / op.heads * op.head_dim);
  }
  std::int64_t keys() const { return op.span.keys(op.seq); }
  bool sees(std::int64_t r, std::int64_t key) const {
    return op.span.kv.position(key, keys()) <= op.span.q.position(r, op.seq);
  }
  std::size_t out(std::int64_t r) const { return index(((sequence * op.seq + r) * op.heads + head) * op.head_dim); }
  std::size_t lse(std::int64_t r) const { return index((sequence * op.heads + head) * op.seq + r); }
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
};

template <class Body>
void for_each_query(const Attention& op, Body&& f) {
  for (std::int64_t sequence = 0; sequence < op.batch; ++sequence) {
    for (std::int64_t head = 0; head < op.heads; ++head) {
      for (std::int64_t r = 0; r < op.seq; ++r) f(Places{op, sequence, head}, r);
    }
  }
}

double dot(const Doubles& a, std::size_t at_a, const Doubles& b, std::size_t at_b, std::int64_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) sum += a[at_a + i] * b[at_b + i];
  return sum;
}

void add_scaled(Doubles& to, std::size_t at, const Doubles& from, std::size_t at_from, double factor, std::int64_t n) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) to[at + i] += factor * from[at_from + i];
}

/// Scaled scores of query r with every key, -infinity where it does not see it.
Doubles scores_of(const Places& at, std::int64_t r, const Doubles& q, const Doubles& k) {
  const std::int64_t d = at.op.head_dim;
  Doubles scores;
  for (std::int64_t j = 0; j < at.keys(); ++j) {
    const double score = dot(q, at.q(r), k, at.kv(j), d) / std::sqrt(static_cast<double>(d));
    scores.push_back(at.sees(r, j) ? score : -std::numeric_limits<double>::infinity());
  }
  return scores;
}

/// Logarithm of the sum of exponentials; -infinity if all of them are 0.
double log_sum_exp(const Doubles& scores) {
  const double top = *std::max_element(scores.begin(), scores.end());
  if (std::isinf(top)) return top;
  double sum = 0;
  for (const double s : scores) sum += std::exp(s - top);
  return top + std::log(sum);
}

/// e^(score - lse), 0 for what is not seen.
double probability(double score, double lse) { return std::isinf(score) ? 0 : std::exp(score - lse); }

}  // namespace

AttentionForward attention(const Attention& op, const Doubles& q, const Doubles& k, const Doubles& v) {
  const auto rows = static_cast<std::size_t>(op.batch * op.seq * op.heads);
  AttentionForward result{Doubles(rows * static_cast<std::size_t>(op.head_dim)), Doubles(rows)};
  for_each_query(op, [&](const Places& at, std::int64_t r) {
    const Doubles scores = scores_of(at, r, q, k);
    const double lse = result.lse[at.lse(r)] = log_sum_exp(scores);
    for (std::int64_t j = 0; j < at.keys(); ++j) {
      const double p = probability(scores[static_cast<std::size_t>(j)], lse);
      add_scaled(result.out, at.out(r), v, at.kv(j), p, op.head_dim);
    }
  });
  return result;
}

AttentionForward merged(const Attention& op, const AttentionForward& a, const AttentionForward& b) {
  AttentionForward result{Doubles(a.out.size()), Doubles(a.lse.size())};
  for_each_query(op, [&](const Places& at, std::int64_t r) {
    const double lse = result.lse[at.lse(r)] = log_sum_exp({a.lse[at.lse(r)], b.lse[at.lse(r)]});
    for (const AttentionForward* part : {&a, &b}) {
      add_scaled(result.out, at.out(r), part->out, at.out(r), probability(part->lse[at.lse(r)], lse), op.head_dim);
    }
  });
  return result;
}

AttentionGradients attention_backward(const Attention& op, const AttentionForward& forward, const Doubles& d_out,
                                      const Doubles& q, const Doubles& k, const Doubles& v) {
  AttentionGradients result{Doubles(q.size()), Doubles(k.size()), Doubles(v.size())};
  const double scale = 1 / std::sqrt(static_cast<double>(op.head_dim));
  for_each_query(op, [&](const Places& at, std::int64_t r) {
    const Doubles scores = scores_of(at, r, q, k);
    const double delta = dot(d_out, at.out(r), forward.out, at.out(r), op.head_dim);
    for (std::int64_t j = 0; j < at.keys(); ++j) {
      const double p = probability(scores[static_cast<std::size_t>(j)], forward.lse[at.lse(r)]);
      const double d_score = p * (dot(d_out, at.out(r), v, at.kv(j), op.head_dim) - delta) * scale;
      add_scaled(result.d_v, at.kv(j), d_out, at.out(r), p, op.head_dim);
      add_scaled(result.d_q, at.q(r), k, at.kv(j), d_score, op.head_dim);
      add_scaled(result.d_k, at.kv(j), q, at.q(r), d_score, op.head_dim);
    }
  });
  return result;
}

Loss cross_entropy(const Doubles& logits, const Doubles& targets, std::size_t vocab, double scale) {
  Loss result{0, Doubles(logits.size())};
  for (std::size_t r = 0; r < targets.size(); ++r) {
    const double* row = logits.data() + r * vocab;
    const auto target = static_cast<std::size_t>(targets[r]);
    const double top = *std::max_element(row, row + vocab);
    double sum = 0;
    for (std::size_t i = 0; i < vocab; ++i) sum += std::exp(row[i] - top);
    result.loss += scale * (std::log(sum) + top - row[target]);
    for (std::size_t i = 0; i < vocab; ++i) result.d_logits[r * vocab + i] = scale * std::exp(row[i] - top) / sum;
    result.d_logits[r * vocab + target] -= scale;
  }
  return result;
}

}  // namespace shardscope::reference
