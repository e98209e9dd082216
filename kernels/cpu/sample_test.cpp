// What Sample draws, as statistics: seeds are fixed, so these numbers are the same in every run.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "kernels/conformance/case.h"
#include "kernels/cpu/cpu_backend.h"

namespace shardscope {
namespace {

const Doubles kLogits = {1.0, 3.0, 2.5, -1.0, 2.0, 0.0, 1.5, 2.9};
constexpr std::int64_t kVocab = 8, kDraws = 20000;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// The op over kDraws sequences, all with the same logits, whose next token has place `place`.
ConformanceCase draws(Sample op, std::int64_t place) {
  op.batch = kDraws, op.vocab = kVocab;
  const std::int64_t part = (kVocab + op.parts - 1) / op.parts;
  CaseBuilder b("draw");
  Doubles logits(at(op.parts * op.batch * part));
  for (std::int64_t s = 0; s < op.batch; ++s) {
    for (std::int64_t t = 0; t < kVocab; ++t) logits[at((t / part * op.batch + s) * part + t % part)] = kLogits[at(t)];
  }
  const Doubles counts(at(kDraws), 1), starts(at(kDraws), static_cast<double>(place - 1));
  op.logits = b.in(logits), op.starts = b.in(starts, DType::kI32), op.counts = b.in(counts, DType::kI32);
  op.tokens = b.out(kDraws, DType::kI32), op.logprobs = b.out(kDraws);
  return b.build(op);
}

std::vector<std::int32_t> draw(const Sample& op, std::uint64_t seed, std::int64_t place = 5) {
  const ConformanceCase test = draws(op, place);
  const auto backend = make_cpu_backend(2);
  const std::int64_t bytes = test.program.arena_bytes[0];
  std::byte* base = backend->allocate(Space::kDevice, bytes);
  for (std::size_t i = 0; i < test.contents.size(); ++i) {
    std::copy(test.contents[i].begin(), test.contents[i].end(), base + test.program.buffers[i].address);
  }
  const Memory memory{&test.program, {base}};
  const StepScalars scalars{.seed = seed};
  const Op& run = test.program.instructions[0].op;
  backend->run(run, memory, scalars, Lane::kCompute);
  backend->synchronize();
  const auto* tokens = memory.as<std::int32_t>(std::get<Sample>(run).tokens);
  std::vector<std::int32_t> drawn(tokens, tokens + kDraws);
  backend->release(Space::kDevice, base, bytes);
  return drawn;
}

Sample sampling(double temperature, std::int64_t top_k = 0, double top_p = 1) {
  Sample op;
  op.temperature = temperature, op.top_k = top_k, op.top_p = top_p;
  return op;
}

/// Chi-square of the draws against softmax(logits / temperature) over `tokens`, which must be all that is drawn.
void expect_softmax_over(const std::vector<std::int32_t>& drawn, double temperature, const std::vector<int>& tokens) {
  std::map<int, double> weights, seen;
  double total = 0, chi_square = 0;
  for (const int t : tokens) total += weights[t] = std::exp(kLogits[at(t)] / temperature);
  for (const std::int32_t t : drawn) seen[t] += 1;
  for (const auto& [token, weight] : weights) {
    const double want = weight / total * static_cast<double>(drawn.size());
    chi_square += (seen[token] - want) * (seen[token] - want) / want;
  }
  for (const auto& [token, count] : seen) EXPECT_TRUE(weights.contains(token)) << token << " drawn " << count;
  const double freedom = static_cast<double>(tokens.size()) - 1;  // mean; the variance is twice that
  EXPECT_LT(chi_square, freedom + 4 * std::sqrt(2 * freedom) + 1e-9);
}

TEST(Sample, DrawsFromTheSoftmaxAtATemperature) {
  const std::vector<int> all = {0, 1, 2, 3, 4, 5, 6, 7};
  for (const double t : {0.5, 1.0, 2.0}) expect_softmax_over(draw(sampling(t), 1), t, all);
}

TEST(Sample, TopKDrawsFromTheKMostProbable) { expect_softmax_over(draw(sampling(1, 3), 2), 1, {1, 7, 2}); }

/// Probabilities at temperature 1, largest first: 0.302 (token 1), 0.274 (7), 0.183 (2), 0.111 (4), ...
TEST(Sample, TopPDrawsFromTheFewestThatReachIt) {
  expect_softmax_over(draw(sampling(1, 0, 0.30), 3), 1, {1});
  expect_softmax_over(draw(sampling(1, 0, 0.57), 3), 1, {1, 7});
  expect_softmax_over(draw(sampling(1, 0, 0.59), 4), 1, {1, 7, 2});
}

/// Of the two most probable, the first has 0.525: top_p counts within what top_k left.
TEST(Sample, TopPCutsWhatTopKLeft) {
  expect_softmax_over(draw(sampling(1, 2, 0.5), 5), 1, {1});
  expect_softmax_over(draw(sampling(1, 2, 0.6), 6), 1, {1, 7});
}

TEST(Sample, SameSeedSameTokens) {
  EXPECT_EQ(draw(sampling(1), 9), draw(sampling(1), 9));
  EXPECT_NE(draw(sampling(1), 9), draw(sampling(1), 10));
}

TEST(Sample, SlicesOfTheVocabularyChangeNothing) {
  Sample sliced = sampling(1, 5, 0.9);
  const auto whole = draw(sliced, 11);
  sliced.parts = 3;
  EXPECT_EQ(draw(sliced, 11), whole);
}

/// Draws that say nothing about each other agree as often as the squares of the probabilities sum to.
TEST(Sample, PlacesAndSequencesAreIndependent) {
  const auto here = draw(sampling(1), 12, 5), next = draw(sampling(1), 12, 6);
  double same_place = 0, same_neighbour = 0, chance = 0, total = 0;
  for (const double l : kLogits) total += std::exp(l);
  for (const double l : kLogits) chance += std::exp(2 * l) / total / total;
  for (std::size_t i = 0; i + 1 < here.size(); ++i) {
    same_place += here[i] == next[i] ? 1 : 0;
    same_neighbour += here[i] == here[i + 1] ? 1 : 0;
  }
  const double spread = 4 * std::sqrt(chance * (1 - chance) / kDraws);
  EXPECT_NEAR(same_place / kDraws, chance, spread);
  EXPECT_NEAR(same_neighbour / kDraws, chance, spread);
}

}  // namespace
}  // namespace shardscope
