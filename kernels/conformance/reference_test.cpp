// The references' own gradients, against finite differences of the references' forward in double precision; and the
// harness itself, against wrong expectations.
#include "kernels/conformance/reference.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

namespace shardscope {
namespace {

using Scalar = std::function<double(const Doubles&)>;

/// Central differences of f at x.
Doubles slopes(const Scalar& f, Doubles x) {
  constexpr double kStep = 1e-5;
  Doubles result;
  for (double& v : x) {
    const double middle = v;
    v = middle + kStep;
    const double above = f(x);
    v = middle - kStep;
    const double below = f(x);
    v = middle;
    result.push_back((above - below) / (2 * kStep));
  }
  return result;
}

double dot(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void expect_near(const Doubles& got, const Doubles& want) {
  EXPECT_THAT(got, testing::Pointwise(testing::DoubleNear(1e-7), want));
}

TEST(Reference, NormGradients) {
  for (const bool centred : {false, true}) {
    CaseBuilder b("norm gradients");
    const std::size_t hidden = 5;
    const Doubles x = b.random(15), weight = b.random(5), bias = b.random(5), d_out = b.random(15);
    const auto got = reference::norm_backward(d_out, x, weight, 1e-5, centred);
    const auto loss = [&](const Doubles& x_, const Doubles& w, const Doubles& s) {
      return dot(d_out, reference::norm(x_, w, s, hidden, 1e-5, centred).out);
    };
    expect_near(got.d_x, slopes([&](const Doubles& v) { return loss(v, weight, bias); }, x));
    expect_near(got.d_weight, slopes([&](const Doubles& v) { return loss(x, v, bias); }, weight));
    expect_near(got.d_bias, slopes([&](const Doubles& v) { return loss(x, weight, v); }, bias));
  }
}

/// The choice and the counts are constants to the gradient; steps here are too small to change them.
TEST(Reference, RouteGradients) {
  CaseBuilder b("route gradients");
  Route op;
  op.rows = 5, op.experts = 4, op.top_k = 2, op.capacity = 2;
  const LoadBalance balance{{}, {}, {}, 5, 4, 7, 0.5};
  const Doubles logits = b.random(20), d_weights = b.random(10);
  const reference::Routing routing = reference::route(op, logits);
  RouteBackward backward;
  backward.rows = 5, backward.experts = 4, backward.top_k = 2, backward.tokens = 7, backward.scale = 0.5;
  expect_near(reference::route_backward(backward, routing, d_weights),
              slopes(
                  [&](const Doubles& v) {
                    const auto r = reference::route(op, v);
                    return dot(d_weights, r.weights) +
                           reference::load_balance(balance, r.probabilities, routing.counts);
                  },
                  logits));
}

/// Each is linear in the rows, and the other without weights is its transpose.
TEST(Reference, CombineIsTheTransposeOfDispatch) {
  CaseBuilder b("dispatch and combine");
  Route op;
  op.rows = 5, op.experts = 4, op.top_k = 2, op.capacity = 2;
  const reference::Routing routing = reference::route(op, b.random(20));
  const Doubles x = b.random(15), y = b.random(24), weights = b.random(10);
  const Dispatch out{{}, {}, {}, {}, 5, 3, 2};
  const Combine in{{}, {}, {}, {}, 5, 3, 2};
  for (const Doubles& w : {Doubles(), weights}) {
    EXPECT_NEAR(dot(y, reference::dispatch(out, x, routing.source, w)),
                dot(x, reference::combine(in, y, routing.slots, w)), 1e-12);
  }
}

TEST(Reference, ActivationSlopes) {
  for (const auto kind :
       {ActivationKind::kGeluTanh, ActivationKind::kGeluErf, ActivationKind::kRelu, ActivationKind::kSilu}) {
    for (const double x : {-4.0, -1.0, -0.3, 0.2, 1.0, 5.0}) {
      const auto f = [&](const Doubles& v) { return reference::activation(kind, v[0]); };
      EXPECT_NEAR(reference::activation_slope(kind, x), slopes(f, {x})[0], 1e-8) << to_string(kind) << " at " << x;
    }
  }
}

TEST(Reference, RopeInverseIsItsGradient) {
  CaseBuilder b("rope gradient");
  Rope op{{}, 6, 2, 6, 3, 100, false};
  const Doubles x = b.random(72), d_out = b.random(72);
  const Doubles want = slopes([&](const Doubles& v) { return dot(d_out, reference::rope(op, v)); }, x);
  op.inverse = true;
  expect_near(reference::rope(op, d_out), want);
}

TEST(Reference, AttentionGradientsWithSharedKeys) {
  CaseBuilder b("attention gradients");
  const Attention op{{}, {}, {}, {}, {}, 2, 5, 4, 2, 3, 12, 6};
  const Doubles q = b.random(120), k = b.random(60), v = b.random(60), d_out = b.random(120);
  const auto got = reference::attention_backward(op, reference::attention(op, q, k, v), d_out, q, k, v);
  const auto loss = [&](const Doubles& q_, const Doubles& k_, const Doubles& v_) {
    return dot(d_out, reference::attention(op, q_, k_, v_).out);
  };
  expect_near(got.d_q, slopes([&](const Doubles& x) { return loss(x, k, v); }, q));
  expect_near(got.d_k, slopes([&](const Doubles& x) { return loss(q, x, v); }, k));
  expect_near(got.d_v, slopes([&](const Doubles& x) { return loss(q, k, x); }, v));
}

/// A sequence of 6 tokens on two ranks: tokens 0 1 4 5 and 2 3, as the parts of a ring of any sizes might lie.
TEST(Reference, AttentionOverPartsOfTheKeysMergesToTheWhole) {
  CaseBuilder b("attention parts");
  const Doubles q = b.random(12), k = b.random(12), v = b.random(12), d_out = b.random(12);
  const auto rows = [](const Doubles& x, std::initializer_list<std::size_t> of) {
    Doubles picked;
    for (const std::size_t row : of) picked.insert(picked.end(), {x[2 * row], x[2 * row + 1]});
    return picked;
  };
  const Attention whole{{}, {}, {}, {}, {}, 1, 6, 1, 1, 2, 2, 2};
  const auto forward = reference::attention(whole, q, k, v);
  const auto gradients = reference::attention_backward(whole, forward, d_out, q, k, v);
  Attention own{{}, {}, {}, {}, {}, 1, 4, 1, 1, 2, 2, 2, {{0, 2}, {0, 2}, 0}};
  Attention other = own;
  other.span.kv = {2, 0}, other.span.kv_seq = 2;
  const Doubles q4 = rows(q, {0, 1, 4, 5}), k4 = rows(k, {0, 1, 4, 5}), v4 = rows(v, {0, 1, 4, 5});
  const Doubles k2 = rows(k, {2, 3}), v2 = rows(v, {2, 3}), d4 = rows(d_out, {0, 1, 4, 5});
  const auto both =
      reference::merged(own, reference::attention(own, q4, k4, v4), reference::attention(other, q4, k2, v2));
  expect_near(both.out, rows(forward.out, {0, 1, 4, 5}));
  const auto first = reference::attention_backward(own, both, d4, q4, k4, v4);
  const auto second = reference::attention_backward(other, both, d4, q4, k2, v2);
  Doubles d_q = first.d_q;
  for (std::size_t i = 0; i < d_q.size(); ++i) d_q[i] += second.d_q[i];
  expect_near(d_q, rows(gradients.d_q, {0, 1, 4, 5}));
}

TEST(Reference, LossGradient) {
  CaseBuilder b("loss gradient");
  const Doubles logits = b.random(21), targets = {3, 0, 6};
  const auto loss = [&](const Doubles& x) { return reference::cross_entropy(x, targets, 7, 0.25).loss; };
  expect_near(reference::cross_entropy(logits, targets, 7, 0.25).d_logits, slopes(loss, logits));
}

TEST(Rounding, EightBitFormats) {
  for (const auto& [v, want] : {std::pair{447.0, 448.0},
                                {17.0, 16.0},
                                {19.0, 20.0},
                                {-1.0626, -1.125},
                                {1.0624, 1.0},
                                {0x1p-9, 0x1p-9},
                                {0x1.8p-9, 0x1p-8},
                                {0x1p-10, 0.0},
                                {0x1.02p-10, 0x1p-9}}) {
    EXPECT_EQ(rounded(Fp8::kE4M3, v), want) << v;
  }
  for (const auto& [v, want] : {std::pair{57000.0, 57344.0},
                                {9.0, 8.0},
                                {-11.0, -12.0},
                                {0x1.8p-16, 0x1p-15},
                                {0x1p-17, 0.0},
                                {0x1.4p-17, 0x1p-16}}) {
    EXPECT_EQ(rounded(Fp8::kE5M2, v), want) << v;
  }
}

/// 448 is 3 * 149.33, so the others move to multiples of 16 and 1 beside it; a half of the least number becomes 0.
TEST(Rounding, ACastToFp8IsInPartsOfTheLargest) {
  const Doubles got = reference::through_fp8(Fp8::kE4M3, {3, -1, 0.02, 0, 3 / 448.0 * 0x1p-10});
  EXPECT_THAT(got, testing::Pointwise(testing::DoubleNear(1e-6), Doubles{3, -144 / 448.0 * 3, 3 / 448.0 * 3, 0, 0}));
  EXPECT_THAT(reference::through_fp8(Fp8::kE5M2, {0, 0}), testing::ElementsAre(0, 0));
  EXPECT_TRUE(std::isnan(reference::through_fp8(Fp8::kE5M2, {0, HUGE_VAL})[0]));
}

TEST(Rounding, SixteenBitFormats) {
  EXPECT_EQ(rounded(DType::kBF16, 1.00390625), 1.0);       // halfway, to even
  EXPECT_EQ(rounded(DType::kBF16, 1.01171875), 1.015625);  // halfway, to even
  EXPECT_EQ(rounded(DType::kF16, 65519), 65504);
  EXPECT_EQ(rounded(DType::kF16, 65520), INFINITY);
  EXPECT_EQ(rounded(DType::kF16, 2.0e-8), 0);  // below half the smallest subnormal, 5.96e-8
  EXPECT_EQ(rounded(DType::kF16, 5.0e-8), std::ldexp(1, -24));
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    for (int bits = 0; bits < 0x10000; ++bits) {
      std::byte stored[2] = {static_cast<std::byte>(bits & 0xff), static_cast<std::byte>(bits >> 8)}, again[2];
      const double value = decode(dtype, stored);
      if (std::isnan(value)) continue;
      encode(dtype, value, again);
      ASSERT_EQ(decode(dtype, again), value) << bits;
    }
  }
}

}  // namespace
}  // namespace shardscope
