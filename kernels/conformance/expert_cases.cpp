// Ops of a mixture of experts. Rows crowd on some experts, so that capacities drop some and leave other slots free.
#include "kernels/conformance/conformance.h"
#include "kernels/conformance/reference.h"

namespace shardscope {
namespace {

struct ExpertCase {
  std::int64_t rows, experts, top_k, capacity, parts, hidden;
};

std::string name_of(const std::string& op, const ExpertCase& c) {
  std::string name = op;
  for (const std::int64_t n : {c.rows, c.experts, c.top_k, c.capacity, c.parts, c.hidden}) {
    name += " " + std::to_string(n);
  }
  return name;
}

Route route_of(const ExpertCase& c) {
  Route op;
  op.rows = c.rows, op.experts = c.experts, op.top_k = c.top_k, op.capacity = c.capacity, op.parts = c.parts;
  return op;
}

/// The first experts are liked best.
Doubles crowded_logits(CaseBuilder& b, DType dtype, const ExpertCase& c) {
  Doubles logits = b.random(c.rows * c.experts);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = rounded(dtype, logits[i] - 0.3 * static_cast<double>(i % static_cast<std::size_t>(c.experts)));
  }
  return logits;
}

ConformanceCase route_case(CaseBuilder& b, const ExpertCase& c, const Doubles& logits) {
  Route op = route_of(c);
  const reference::Routing want = reference::route(op, logits);
  op.logits = b.in(logits);
  op.probabilities = b.out(c.rows * c.experts, DType::kF32);
  op.weights = b.out(c.rows * c.top_k, DType::kF32);
  op.chosen = b.out(c.rows * c.top_k, DType::kI32);
  op.counts = b.out(c.experts, DType::kI32);
  op.slots = b.out(c.rows * c.top_k, DType::kI32);
  op.source = b.out(c.experts * c.capacity, DType::kI32);
  b.expect(op.probabilities, want.probabilities, {2e-6, 1e-7});
  b.expect(op.weights, want.weights, {2e-6, 1e-7});
  b.expect(op.chosen, want.chosen);
  b.expect(op.counts, want.counts);
  b.expect(op.slots, want.slots);
  b.expect(op.source, want.source);
  return b.build(op);
}

void add_routing(std::vector<ConformanceCase>& cases, DType dtype, const ExpertCase& c) {
  CaseBuilder forward(name_of("route", c), dtype), balance(name_of("load_balance", c));
  CaseBuilder back(name_of("route_backward", c), dtype);
  const Doubles logits = crowded_logits(forward, dtype, c), d_weights = back.random(c.rows * c.top_k);
  const reference::Routing routing = reference::route(route_of(c), logits);
  cases.push_back(route_case(forward, c, logits));

  LoadBalance loss{balance.in(routing.probabilities),
                   balance.in(routing.counts, DType::kI32),
                   balance.in({1.5}),
                   c.rows,
                   c.experts,
                   c.rows,
                   0.25};
  balance.expect(loss.loss, {1.5 + reference::load_balance(loss, routing.probabilities, routing.counts)}, {2e-6});
  if (dtype == DType::kF32) cases.push_back(balance.build(loss));  // nothing of it comes in 16 bits

  constexpr double kLossScale = 4;
  back.scalars().loss_scale = kLossScale;
  RouteBackward op{back.in(d_weights, DType::kF32),
                   back.in(routing.weights, DType::kF32),
                   back.in(routing.probabilities, DType::kF32),
                   back.in(routing.chosen, DType::kI32),
                   back.in(routing.counts, DType::kI32),
                   back.out(c.rows * c.experts),
                   c.rows,
                   c.experts,
                   c.top_k,
                   2 * c.rows,  // as where counts are those of two ranks' rows
                   0.5};
  RouteBackward scaled = op;  // of the balance's gradient; d_weights carry the loss scale already
  scaled.scale *= kLossScale;
  back.expect(op.d_logits, reference::route_backward(scaled, routing, d_weights), {2e-6, 2e-6});
  cases.push_back(back.build(op));
}

void add_moves(std::vector<ConformanceCase>& cases, DType dtype, const ExpertCase& c, bool weighted) {
  const std::string suffix = weighted ? " weights" : "";
  CaseBuilder out(name_of("dispatch", c) + suffix, dtype), in(name_of("combine", c) + suffix, dtype);
  const reference::Routing routing = reference::route(route_of(c), crowded_logits(out, dtype, c));
  const Doubles x = out.random(c.rows * c.hidden), y = in.random(c.experts * c.capacity * c.hidden);
  const Doubles weights = weighted ? out.random(c.rows * c.top_k) : Doubles();

  Dispatch dispatch{out.in(x),
                    out.in(routing.source, DType::kI32),
                    weighted ? out.in(weights, DType::kF32) : Region{},
                    out.out(c.experts * c.capacity * c.hidden),
                    c.rows,
                    c.hidden,
                    c.top_k};
  out.expect(dispatch.out, reference::dispatch(dispatch, x, routing.source, weights), {1e-7});
  cases.push_back(out.build(dispatch));

  Combine combine{in.in(y),
                  in.in(routing.slots, DType::kI32),
                  weighted ? in.in(weights, DType::kF32) : Region{},
                  in.out(c.rows * c.hidden),
                  c.rows,
                  c.hidden,
                  c.top_k};
  in.expect(combine.out, reference::combine(combine, y, routing.slots, weights), {1e-6, 1e-6});
  cases.push_back(in.build(combine));
}

/// A weight's gradient is what a row's output would gain from it: Combine of that slot alone, times d_out.
void add_combine_backward(std::vector<ConformanceCase>& cases, DType dtype, const ExpertCase& c) {
  CaseBuilder b(name_of("combine_backward", c), dtype);
  const reference::Routing routing = reference::route(route_of(c), crowded_logits(b, dtype, c));
  const Doubles d_out = b.random(c.rows * c.hidden), y = b.random(c.experts * c.capacity * c.hidden);
  Doubles want;
  for (std::size_t i = 0; i < routing.slots.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / c.top_k * c.hidden;
    const auto slot = static_cast<std::int64_t>(routing.slots[i]) * c.hidden;
    double sum = 0;
    for (std::int64_t h = 0; h < c.hidden && slot >= 0; ++h) {
      sum += d_out[static_cast<std::size_t>(row + h)] * y[static_cast<std::size_t>(slot + h)];
    }
    want.push_back(sum);
  }
  CombineBackward op{
      b.in(d_out), b.in(y), b.in(routing.slots, DType::kI32), b.out(c.rows * c.top_k, DType::kF32), c.rows,
      c.hidden,    c.top_k};
  b.expect(op.d_weights, want, {1e-6, 1e-6});
  cases.push_back(b.build(op));
}

/// Moves of rows that are whole vectors.
void add_aligned_moves(std::vector<ConformanceCase>& cases, DType dtype) {
  const std::size_t first = cases.size();
  const ExpertCase c{16, 4, 4, 16, 4, 64};
  add_moves(cases, dtype, c, false);
  add_moves(cases, dtype, c, true);
  add_combine_backward(cases, dtype, c);
  for (std::size_t i = first; i < cases.size(); ++i) cases[i] = aligned(std::move(cases[i]));
}

}  // namespace

void add_expert_cases(std::vector<ConformanceCase>& cases) {
  for (const ExpertCase& c : {ExpertCase{1, 1, 1, 1, 1, 1},
                              {3, 2, 1, 3, 1, 5},     // room for all
                              {7, 4, 2, 2, 2, 17},    // drops; two experts to a rank
                              {16, 4, 4, 16, 4, 64},  // every expert sees every row
                              {33, 8, 2, 5, 4, 31},
                              {129, 3, 2, 40, 3, 16},
                              {257, 64, 6, 24, 8, 33}}) {
    for (const DType dtype : kFloats) {
      add_routing(cases, dtype, c);
      add_moves(cases, dtype, c, false);
      add_moves(cases, dtype, c, true);
      add_combine_backward(cases, dtype, c);
    }
  }
  for (const DType dtype : kFloats) add_aligned_moves(cases, dtype);
  const ExpertCase tied{5, 6, 3, 5, 1, 1};
  CaseBuilder b("route with ties");
  cases.push_back(route_case(b, tied, Doubles(30, 0.5)));
}

}  // namespace shardscope
