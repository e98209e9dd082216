#include "core/program/passes/experts_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

/// Slots that an expert has for the rows of one rank: for all of them, or `factor` times its even share.
std::int64_t capacity_of(const ModelSpec& m, double factor, std::int64_t rows) {
  if (factor == 0) return rows;
  const double share = static_cast<double>(rows * m.experts_per_token) / static_cast<double>(m.experts);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(std::min(factor * share, 1e15))), 1, rows);
}

}  // namespace

ExpertsBuilder::ExpertsBuilder(LayerBuilder& builder)
    : b_(builder), mlp_(builder), m_(builder.model()), part_(builder.draft().experts()) {}

ExpertsState ExpertsBuilder::forward(const std::string& module, const std::string& at, Region x, Region out) {
  ExpertsState s;
  s.module = module;
  choose(s, at, x);
  const Route& r = s.route;
  const Region sent = b_.temporary(at + "sent", r.source.count * m_.hidden);
  b_.emit(Dispatch{x, r.source, {}, sent, r.rows, m_.hidden, r.top_k}, module);
  s.inputs = send(module, at, sent);
  s.answers = b_.temporary(at + "answers", sent.count);
  for (std::size_t e = 0; e < s.inputs.size(); ++e) {
    const std::string expert = fmt::format("{}.experts.{}.", module, part_.first + e);
    const GatedMlp mlp{module,
                       {expert + "w1", m_.hidden, b_.intermediate(), true},
                       {expert + "w3", m_.hidden, b_.intermediate(), true},
                       {expert + "w2", b_.intermediate(), m_.hidden, true}};
    const Region answer = reply(name_of(at, e) + "out", share(s.answers, e));
    s.mlps.push_back(mlp_.forward(mlp, name_of(at, e), s.inputs[e], answer));
    send_back(module, answer, share(s.answers, e));
  }
  b_.emit(Combine{s.answers, r.slots, r.weights, out, r.rows, m_.hidden, r.top_k}, module);
  return s;
}

void ExpertsBuilder::choose(ExpertsState& s, const std::string& at, Region x) {
  const std::int64_t rows = x.count / m_.hidden, chosen = rows * m_.experts_per_token;
  s.router = {s.module + ".gate", m_.hidden, m_.experts, true};
  s.router.wide = true;
  const auto indices = [&](const char* name, std::int64_t count) {
    return b_.temporary(at + name, count, Category::kActivation, DType::kI32);
  };
  Route& r = s.route;
  r.rows = rows, r.experts = m_.experts, r.top_k = m_.experts_per_token, r.parts = part_.ranks;
  r.capacity = capacity_of(m_, b_.draft().job->moe.capacity_factor, rows);
  r.logits = b_.forward(s.router, x, at + "router");
  r.probabilities = b_.statistic(at + "router.p", r.logits.count);
  r.weights = b_.statistic(at + "router.weights", chosen);
  r.chosen = indices("router.chosen", chosen), r.counts = indices("router.counts", m_.experts);
  r.slots = indices("router.slots", chosen), r.source = indices("router.source", m_.experts * r.capacity);
  b_.emit(r, s.module);
  const Region loss = b_.draft().program.loss;
  if (loss.empty()) return;  // inference
  b_.emit(LoadBalance{r.probabilities, r.counts, loss, rows, m_.experts, rows, balance_scale()}, s.module);
}

/// The router's loss is the mean over layers and over the step's micro-batches, as the loss is.
double ExpertsBuilder::balance_scale() const {
  const double share = static_cast<double>(b_.rows()) / static_cast<double>(b_.draft().program.tokens_per_step);
  return m_.router_aux_coefficient / static_cast<double>(m_.layers) * share;
}

void ExpertsBuilder::backward(const ExpertsState& s, const std::string& at, Region x, Region d_out, Region d_x) {
  const Route& r = s.route;
  const Region d_weights = b_.statistic(at + "router.weights", r.weights.count);
  b_.emit(CombineBackward{d_out, s.answers, r.slots, d_weights, r.rows, m_.hidden, r.top_k}, s.module);
  const Region d_answers = b_.temporary(at + "answers", s.answers.count);
  b_.emit(Dispatch{d_out, r.source, r.weights, d_answers, r.rows, m_.hidden, r.top_k}, s.module);
  const std::vector<Region> d_outs = send(s.module, at, d_answers);
  const Region d_sent = b_.temporary(at + "sent", s.answers.count);
  for (std::size_t e = 0; e < d_outs.size(); ++e) {
    const GatedMlpGradients d = mlp_.backward_act(s.mlps[e], name_of(at, e), d_outs[e]);
    const Region d_in = reply(name_of(at, e) + "out", share(d_sent, e));
    mlp_.backward_in(s.mlps[e], s.inputs[e], d, d_in);
    send_back(s.module, d_in, share(d_sent, e));
  }
  b_.emit(Combine{d_sent, r.slots, {}, d_x, r.rows, m_.hidden, r.top_k}, s.module);
  backward_choice(s, at, x, d_weights, d_x);
}

/// Tensor-parallel ranks each have a summand of every answer, so d_weights and all that follows are summands too: the
/// part that does not come from answers counts on the first rank only.
void ExpertsBuilder::backward_choice(const ExpertsState& s, const std::string& at, Region x, Region d_weights,
                                     Region d_x) {
  const Route& r = s.route;
  const Region d_logits = b_.temporary(at + "router", r.logits.count);
  b_.emit(RouteBackward{d_weights, r.weights, r.probabilities, r.chosen, r.counts, d_logits, r.rows, r.experts, r.top_k,
                        r.rows, b_.tensor_rank() == 0 ? balance_scale() : 0},
          s.module);
  b_.backward_weight(s.router, x, d_logits);
  b_.backward_input(s.router, d_logits, d_x, true);
}

Region ExpertsBuilder::share(Region slots, std::size_t e) const {
  const std::int64_t each = slots.count / part_.count;
  return slots.part(static_cast<std::int64_t>(e) * each, each);
}

std::vector<Region> ExpertsBuilder::send(const std::string& module, const std::string& at, Region slots) {
  std::vector<Region> arrived;
  for (std::size_t e = 0; e < static_cast<std::size_t>(part_.count); ++e) {
    arrived.push_back(reply(name_of(at, e) + "in", share(slots, e)));
    if (part_.ranks > 1) b_.exchange_experts(share(slots, e), arrived.back(), module);
  }
  return arrived;
}

Region ExpertsBuilder::reply(const std::string& name, Region share) {
  return part_.ranks > 1 ? b_.temporary(name, share.count) : share;
}

void ExpertsBuilder::send_back(const std::string& module, Region reply, Region share) {
  if (part_.ranks > 1) b_.exchange_experts(reply, share, module);
}

std::string ExpertsBuilder::name_of(const std::string& at, std::size_t e) const {
  return fmt::format("{}expert.{}.", at, part_.first + e);
}

}  // namespace shardscope
