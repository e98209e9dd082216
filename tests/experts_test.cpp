// A Mixtral written out token by token in double precision, with gradients by finite differences: what the engine's
// routers, experts, drops and exchanges must come to, on one rank and on several.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>

#include "core/engine/initialize.h"
#include "core/engine/trainer.h"
#include "core/program/parameter_runs.h"
#include "kernels/cpu/cpu_backend.h"

namespace shardscope {
namespace {

using Doubles = std::vector<double>;
using Tensors = std::map<std::string, Doubles>;

class PlainMixtral {
 public:
  PlainMixtral(const Job& job, const SequenceSource& data) : job_(job), m_(job.model), data_(data) {}

  /// The step's loss: the mean over its micro-batches of cross-entropy plus the routers' loss.
  double loss(const Tensors& weights) {
    w_ = &weights;
    dropped_ = 0;
    const std::int64_t micro = job_.training.micro_batch, batches = job_.training.train_batch_size / micro;
    double total = 0;
    for (std::int64_t b = 0; b < batches; ++b) total += micro_batch_loss(b * micro) / static_cast<double>(batches);
    return total;
  }
  int dropped() const { return dropped_; }

 private:
  const double* weight(const std::string& name) const { return w_->at(name + ".weight").data(); }
  std::string layer_name(std::int64_t layer, const std::string& rest) const {
    return "model.layers." + std::to_string(layer) + "." + rest;
  }

  /// W [out, in] times x.
  Doubles apply(const std::string& name, std::int64_t out, const Doubles& x) const {
    const double* w = weight(name);
    Doubles y(static_cast<std::size_t>(out));
    for (double& v : y) v = std::inner_product(x.begin(), x.end(), w, 0.0), w += x.size();
    return y;
  }
  Doubles norm(const std::string& name, Doubles x) const {
    const double mean = std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / static_cast<double>(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= weight(name)[i] / std::sqrt(mean + m_.norm_eps);
    return x;
  }
  static Doubles softmax(Doubles x) {
    double sum = 0;
    for (double& v : x) sum += v = std::exp(v);
    for (double& v : x) v /= sum;
    return x;
  }
  static void add(Doubles& to, const Doubles& x, double factor = 1) {
    for (std::size_t i = 0; i < x.size(); ++i) to[i] += factor * x[i];
  }

  void rotate(Doubles& heads, std::int64_t position) const {
    const std::int64_t d = m_.head_dim;
    for (std::size_t head = 0; head < heads.size(); head += static_cast<std::size_t>(d)) {
      for (std::int64_t i = 0; i < d / 2; ++i) {
        const double angle = static_cast<double>(position) *
                             std::pow(m_.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(d));
        double &a = heads[head + static_cast<std::size_t>(i)], &b = heads[head + static_cast<std::size_t>(i + d / 2)];
        const double a_before = a;
        a = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a_before * std::sin(angle);
      }
    }
  }

  /// Adds attention to the rows of one sequence.
  void attend(std::int64_t layer, Doubles* rows) const {
    const auto seq = static_cast<std::size_t>(job_.data.seq_len), d = static_cast<std::size_t>(m_.head_dim);
    std::vector<Doubles> q, k, v;
    for (std::size_t t = 0; t < seq; ++t) {
      const Doubles x = norm(layer_name(layer, "input_layernorm"), rows[t]);
      q.push_back(apply(layer_name(layer, "self_attn.q_proj"), m_.heads * m_.head_dim, x));
      k.push_back(apply(layer_name(layer, "self_attn.k_proj"), m_.kv_heads * m_.head_dim, x));
      v.push_back(apply(layer_name(layer, "self_attn.v_proj"), m_.kv_heads * m_.head_dim, x));
      rotate(q[t], static_cast<std::int64_t>(t));
      rotate(k[t], static_cast<std::int64_t>(t));
    }
    for (std::size_t t = 0; t < seq; ++t) {
      Doubles out(q[t].size());
      for (std::size_t head = 0; head < static_cast<std::size_t>(m_.heads); ++head) {
        const std::size_t at = head * d,
                          kv = head * static_cast<std::size_t>(m_.kv_heads) / static_cast<std::size_t>(m_.heads) * d;
        Doubles scores;
        for (std::size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (std::size_t i = 0; i < d; ++i) dot += q[t][at + i] * k[s][kv + i];
          scores.push_back(dot / std::sqrt(static_cast<double>(d)));
        }
        const Doubles p = softmax(scores);
        for (std::size_t s = 0; s <= t; ++s) {
          for (std::size_t i = 0; i < d; ++i) out[at + i] += p[s] * v[s][kv + i];
        }
      }
      add(rows[t], apply(layer_name(layer, "self_attn.o_proj"), m_.hidden, out));
    }
  }

  Doubles expert(std::int64_t layer, std::size_t e, const Doubles& x) const {
    const std::string name = layer_name(layer, "block_sparse_moe.experts.") + std::to_string(e);
    Doubles act = apply(name + ".w1", m_.intermediate, x);
    const Doubles up = apply(name + ".w3", m_.intermediate, x);
    for (std::size_t i = 0; i < act.size(); ++i) act[i] *= up[i] / (1 + std::exp(-act[i]));
    return apply(name + ".w2", m_.hidden, act);
  }

  /// Adds the experts' answers to the rows of a micro-batch; returns the router's loss.
  double consult(std::int64_t layer, std::vector<Doubles>& rows) {
    const auto experts = static_cast<std::size_t>(m_.experts), top_k = static_cast<std::size_t>(m_.experts_per_token);
    const auto tokens = static_cast<double>(rows.size());
    const double factor = job_.moe.capacity_factor;
    const double room =
        factor > 0 ? std::ceil(factor * tokens * static_cast<double>(top_k) / static_cast<double>(experts)) : tokens;
    Doubles counts(experts), mean_p(experts);
    for (Doubles& row : rows) {
      const Doubles x = norm(layer_name(layer, "post_attention_layernorm"), row);
      const Doubles p = softmax(apply(layer_name(layer, "block_sparse_moe.gate"), m_.experts, x));
      add(mean_p, p, 1 / tokens);
      std::vector<std::size_t> order(experts);
      std::iota(order.begin(), order.end(), 0U);
      std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
      double kept = 0;
      for (std::size_t j = 0; j < top_k; ++j) kept += p[order[j]];
      for (std::size_t j = 0; j < top_k; ++j) {
        const std::size_t e = order[j];
        if (counts[e]++ < room) {
          add(row, expert(layer, e, x), p[e] / kept);
        } else {
          ++dropped_;
        }
      }
    }
    return static_cast<double>(experts) * std::inner_product(counts.begin(), counts.end(), mean_p.begin(), 0.0) /
           tokens;
  }

  double micro_batch_loss(std::int64_t first) {
    const std::int64_t micro = job_.training.micro_batch, seq = job_.data.seq_len;
    std::vector<Doubles> rows;
    std::vector<std::int32_t> targets;
    for (std::int64_t b = first; b < first + micro; ++b) {
      std::vector<std::int32_t> tokens(static_cast<std::size_t>(seq + 1));
      data_.read(b, tokens);
      for (std::int64_t t = 0; t < seq; ++t) {
        const double* row = weight("model.embed_tokens") + tokens[static_cast<std::size_t>(t)] * m_.hidden;
        rows.emplace_back(row, row + m_.hidden);
        targets.push_back(tokens[static_cast<std::size_t>(t + 1)]);
      }
    }
    double routers = 0, cross_entropy = 0;
    for (std::int64_t layer = 0; layer < m_.layers; ++layer) {
      for (std::int64_t b = 0; b < micro; ++b) attend(layer, rows.data() + b * seq);
      routers += consult(layer, rows) / static_cast<double>(m_.layers);
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const Doubles p = softmax(apply("lm_head", m_.vocab_size, norm("model.norm", rows[r])));
      cross_entropy -= std::log(p[static_cast<std::size_t>(targets[r])]) / static_cast<double>(rows.size());
    }
    return cross_entropy + m_.router_aux_coefficient * routers;
  }

  const Job& job_;
  const ModelSpec& m_;
  const SequenceSource& data_;
  const Tensors* w_ = nullptr;
  int dropped_ = 0;
};

struct Case {
  int experts, top_k, capacity_percent, dp, ep, tp, stage, micro_batch;
};

Job make_job(const Case& c) {
  Job job;
  job.model =
      parse_model(R"({"model_type": "mixtral", "vocab_size": 7, "hidden_size": 8, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 4, "max_position_embeddings": 16,
      "rope_theta": 100, "initializer_range": 0.4, "router_aux_loss_coef": 0.1, "num_local_experts": )" +
                      std::to_string(c.experts) + R"(, "num_experts_per_tok": )" + std::to_string(c.top_k) + "}",
                  "small mixtral");
  job.data.seq_len = 5;
  job.parallel.dp = c.dp, job.parallel.ep = c.ep, job.parallel.tp = c.tp;
  job.moe.capacity_factor = c.capacity_percent / 100.0;
  job.training.micro_batch = c.micro_batch;
  job.training.accumulation = 2;
  job.training.train_batch_size = c.micro_batch * 2 * c.dp;
  job.training.zero.stage = c.stage;
  job.training.optimizer.beta1 = 0;  // exp_avg is then the gradient
  job.training.gradient_clipping = 0;
  job.steps = 1;
  return job;
}

Tensors initial_weights(const Job& job) {
  Tensors weights;
  for (const TensorSpec& t : list_tensors(job.model)) {
    const Parameter parameter{t.name, t.shape, t.layer, t.init_std, t.init_value, {}};
    std::vector<float> values(static_cast<std::size_t>(parameter.elements()));
    initial_values(parameter, job.seed, 0, values);
    weights[t.name].assign(values.begin(), values.end());
  }
  return weights;
}

/// The engine's gradients after one step, put together from what each rank has; and the loss.
Tensors engine_gradients(const Job& job, const SequenceSource& data, double& loss) {
  Tensors gradients;
  std::mutex mutex;
  TrainOptions options;
  options.data = &data;
  options.poison_memory = true;
  options.at_end = [&](int, const Program& program, const Memory& memory) {
    const std::lock_guard lock(mutex);
    for (const StatePiece& piece : program.state) {
      if (piece.role != StateRole::kExpAvg) continue;
      const Parameter& p = program.parameters[static_cast<std::size_t>(piece.parameter)];
      Doubles& whole = gradients[p.name];
      whole.resize(static_cast<std::size_t>(p.elements()), 1e9);
      const auto* here = memory.as<float>(piece.home);
      for_each_run(p, piece.begin, piece.home.count, [&](std::int64_t local, std::int64_t at, std::int64_t n) {
        std::copy_n(here + (local - piece.begin), n, whole.begin() + at);
      });
    }
  };
  loss = train(
             job, [](int, int threads) { return make_cpu_backend(threads); }, options)
             .losses.front();
  return gradients;
}

class Experts : public testing::TestWithParam<Case> {};

TEST_P(Experts, LossAndEveryGradientAreThoseOfThePlainModel) {
  const Job job = make_job(GetParam());
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 5);
  double loss = 0;
  const Tensors gradients = engine_gradients(job, *data, loss);
  PlainMixtral plain(job, *data);
  Tensors weights = initial_weights(job);
  EXPECT_NEAR(loss, plain.loss(weights), 2e-6 * loss);
  EXPECT_EQ(plain.dropped() > 0, job.moe.capacity_factor > 0) << plain.dropped();
  ASSERT_EQ(gradients.size(), weights.size());
  for (auto& [name, values] : weights) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      constexpr double kStep = 1e-5;
      const double middle = values[i];
      values[i] = middle + kStep;
      const double above = plain.loss(weights);
      values[i] = middle - kStep;
      const double slope = (above - plain.loss(weights)) / (2 * kStep);
      values[i] = middle;
      ASSERT_NEAR(gradients.at(name)[i], slope, 2e-6 + 2e-5 * std::abs(slope)) << name << " [" << i << "]";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, Experts,
                         testing::Values(Case{4, 2, 0, 1, 1, 1, 0, 2}, Case{3, 1, 0, 1, 1, 1, 0, 2},
                                         Case{4, 2, 75, 1, 1, 1, 0, 2}, Case{4, 2, 0, 2, 2, 1, 0, 1},
                                         Case{4, 2, 100, 4, 2, 1, 3, 2}, Case{4, 1, 50, 2, 2, 1, 2, 2},
                                         Case{4, 2, 100, 2, 2, 2, 1, 2}));

}  // namespace
}  // namespace shardscope
