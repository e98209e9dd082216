// The master test of inference: decoding over the cache gives what a forward pass over the whole sequence gives, for
// every sequence of a batch and on any number of ranks; and its memory is what the programs say, to the byte.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "core/engine/generator.h"
#include "core/engine/initialize.h"
#include "core/engine/trainer.h"
#include "core/program/text.h"
#include "core/program/verify.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/random_inference.h"

namespace shardscope {
namespace {

std::unique_ptr<Backend> backend(int /*rank*/, int threads) { return make_cpu_backend(threads); }

GenerateResult run(const InferenceSpec& spec, std::span<const Tokens> prompts, std::uint64_t seed = 0) {
  return generate(spec, prompts, backend, {.seed = seed, .threads_per_rank = 1, .poison_memory = true});
}

/// One sequence by itself, `new_tokens` long.
Continuation run_alone(InferenceSpec spec, const Tokens& prompt, std::int64_t new_tokens) {
  spec.batch = 1;
  spec.prompt = static_cast<std::int64_t>(prompt.size());
  spec.new_tokens = new_tokens;
  return run(spec, std::span(&prompt, 1)).continuations[0];
}

bool is_int8(const InferenceChoice& c) { return static_cast<WeightFormat>(c.weights) == WeightFormat::kInt8; }

/// Sums in another order differ by this much in a log-probability; two tokens closer than that may change places. In 16
/// bits every activation is rounded, in another place if it was summed in another order.
float tolerance(const InferenceChoice& c) {
  switch (static_cast<WeightFormat>(c.weights)) {
    case WeightFormat::kBF16:
      return 0.15F;
    case WeightFormat::kF16:
      return 0.02F;
    case WeightFormat::kF32:
    case WeightFormat::kInt8:
      break;
  }
  return 2e-4F;
}

/// The same tokens, as far as the model tells them apart.
void expect_same(const InferenceChoice& choice, const Continuation& a, const Continuation& b) {
  RC_ASSERT(a.tokens.size() == b.tokens.size());
  for (std::size_t i = 0; i < a.tokens.size(); ++i) {
    RC_ASSERT(std::isfinite(a.logprobs[i]));
    RC_ASSERT(std::abs(a.logprobs[i] - b.logprobs[i]) <= tolerance(choice) * std::max(1.0F, std::abs(b.logprobs[i])));
    if (a.tokens[i] != b.tokens[i]) return;  // a tie: what follows is another sequence
  }
}

RC_GTEST_PROP(Generate, EveryTokenIsWhatAFullForwardPassChooses, ()) {
  const InferenceChoice choice = *gen_inference();
  const InferenceSpec spec = spec_of(choice);
  const std::vector<Tokens> prompts = prompts_of(choice);
  const GenerateResult result = run(spec, prompts);
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    const Continuation& got = result.continuations[b];
    Tokens sequence = prompts[b];
    for (std::size_t i = 0; i < got.tokens.size(); ++i) {
      const Continuation whole = run_alone(spec, sequence, 1);  // prefill alone: no cache is read
      expect_same(choice, {{got.tokens[i]}, {got.logprobs[i]}}, whole);
      sequence.push_back(got.tokens[i]);
    }
  }
}

RC_GTEST_PROP(Generate, ASequenceDoesNotDependOnItsBatch, ()) {
  const InferenceChoice choice = *gen_inference();
  const std::vector<Tokens> prompts = prompts_of(choice);
  const GenerateResult result = run(spec_of(choice), prompts);
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    expect_same(choice, result.continuations[b], run_alone(spec_of(choice), prompts[b], choice.new_tokens));
  }
}

RC_GTEST_PROP(Generate, TensorParallelRanksChooseTheSameTokens, ()) {
  InferenceChoice choice = *gen_inference();
  choice.tp = 1;
  if (is_int8(choice)) choice.weights = 0;  // a rank's part of a channel has a scale of its own
  const GenerateResult whole = run(spec_of(choice), prompts_of(choice));
  choice.tp = choice.model.heads / choice.model.kv_divisor;
  const GenerateResult split = run(spec_of(choice), prompts_of(choice));
  for (std::size_t b = 0; b < choice.prompts.size(); ++b)
    expect_same(choice, split.continuations[b], whole.continuations[b]);
}

RC_GTEST_PROP(Generate, MemoryIsAsPredictedAndProgramsAreSound, ()) {
  InferenceChoice choice = *gen_inference();
  choice.new_tokens += 1;  // so that both programs run
  const InferenceSpec spec = spec_of(choice);
  const GenerateResult result = run(spec, prompts_of(choice));
  std::vector<Program> prefill, decode;
  for (int rank = 0; rank < spec.tp; ++rank) {
    const InferencePrograms programs = lower_inference(spec, rank);
    for (const auto& [program, measured] :
         {std::pair{&programs.prefill, &result.prefill[static_cast<std::size_t>(rank)]},
          {&programs.decode, &result.decode[static_cast<std::size_t>(rank)]}}) {
      RC_ASSERT(find_faults(*program) == std::vector<std::string>());
      RC_ASSERT(parse_program(to_string(*program)) == *program);
      const MemoryPeak predicted = compute_memory_peak(*program);
      RC_ASSERT(measured->peak.peak_bytes == predicted.peak_bytes);
      RC_ASSERT(measured->peak.peak_by_category == predicted.peak_by_category);
      RC_ASSERT(measured->peak.at_peak == predicted.at_peak);
    }
    const auto cache = static_cast<std::size_t>(Category::kCache);
    const ModelSpec& m = spec.model;
    const bool narrow = spec.weights == WeightFormat::kBF16 || spec.weights == WeightFormat::kF16;
    const std::int64_t size = narrow ? 2 : 4;
    const std::int64_t tensor =
        (spec.batch * m.kv_heads / spec.tp * spec.capacity() * m.head_dim * size + 63) / 64 * 64;
    RC_ASSERT(result.decode[0].peak.at_peak.bytes[0][cache] == 2 * m.layers * tensor);
    prefill.push_back(programs.prefill);
    decode.push_back(programs.decode);
  }
  RC_ASSERT(find_mismatches(prefill) == std::vector<std::string>());
  RC_ASSERT(find_mismatches(decode) == std::vector<std::string>());
}

/// One sequence as training data.
class OneSequence : public SequenceSource {
 public:
  explicit OneSequence(Tokens tokens) : tokens_(std::move(tokens)) {}
  std::int64_t seq_len() const override { return static_cast<std::int64_t>(tokens_.size()) - 1; }
  std::int64_t sequences_per_epoch() const override { return 0; }
  std::string describe() const override { return "one sequence"; }
  void read(std::int64_t, std::span<std::int32_t> tokens) const override {
    std::copy(tokens_.begin(), tokens_.end(), tokens.begin());
  }

 private:
  Tokens tokens_;
};

/// The model is that of training: log-probabilities of a sequence generated from its first token are its loss.
RC_GTEST_PROP(Generate, LogProbabilitiesAreTheLossOfTraining, ()) {
  InferenceChoice choice = *gen_inference();
  choice.prompts = {1};
  choice.weights = 0;
  InferenceSpec spec = spec_of(choice);
  spec.model.router_aux_coefficient = 0;  // training adds that to the loss
  spec.sampling.temperature = 1;
  const Tokens prompt = prompts_of(choice)[0];
  const Continuation generated = run(spec, std::span(&prompt, 1), 5).continuations[0];
  Tokens whole = prompt;
  whole.insert(whole.end(), generated.tokens.begin(), generated.tokens.end());
  double sum = 0;
  for (const float logprob : generated.logprobs) sum -= static_cast<double>(logprob);
  Job job;
  job.model = spec.model;
  job.steps = 1;
  job.training.micro_batch = job.training.accumulation = job.training.train_batch_size = 1;
  job.data.seq_len = choice.new_tokens;
  const OneSequence data(whole);
  const TrainResult trained = train(job, backend, {.data = &data});
  RC_ASSERT(std::abs(trained.losses[0] - sum / choice.new_tokens) < 1e-5 * (1 + std::abs(trained.losses[0])));
}

/// Element by element what a matrix of the blocks, or an untied head, is in int8.
void round_as_int8(const Parameter& p, const ModelSpec& model, std::vector<float>& values) {
  if (p.shape.size() != 2 || p.layer < 0) return;
  const auto columns = static_cast<std::size_t>(p.shape[1]);
  const bool by_column = model.family == ModelFamily::kGpt2 && p.layer < model.layers;
  const std::size_t channels = static_cast<std::size_t>(p.shape[by_column ? 1 : 0]);
  for (std::size_t c = 0; c < channels; ++c) {
    std::vector<float*> channel;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if ((by_column ? i % columns : i / columns) == c) channel.push_back(&values[i]);
    }
    float largest = 0;
    for (const float* v : channel) largest = std::max(largest, std::abs(*v));
    for (float* v : channel) *v = largest == 0 ? 0 : std::nearbyint(*v / (largest / 127)) * (largest / 127);
  }
}

RC_GTEST_PROP(Generate, Int8IsTheModelWithItsWeightsRoundedByChannel, ()) {
  InferenceChoice choice = *gen_inference();
  choice.weights = static_cast<int>(WeightFormat::kInt8);
  choice.tp = 1;
  choice.model.experts = 0;  // another rounding can send a token to another expert
  const GenerateResult in_int8 = run(spec_of(choice), prompts_of(choice));
  choice.weights = 0;
  const InferenceSpec spec = spec_of(choice);
  GenerateOptions options{.threads_per_rank = 1};
  options.fill_state = [&](int, const Program& program, const Memory& memory) {
    fill_state(program, memory, [&](const Parameter& p, StateRole, std::int64_t begin, std::span<float> out) {
      std::vector<float> whole(static_cast<std::size_t>(p.elements()));
      initial_values(p, 42, 0, whole);
      round_as_int8(p, spec.model, whole);
      std::copy_n(whole.begin() + begin, out.size(), out.begin());
    });
  };
  const GenerateResult rounded = generate(spec, prompts_of(choice), backend, options);
  for (std::size_t b = 0; b < choice.prompts.size(); ++b)
    expect_same(choice, in_int8.continuations[b], rounded.continuations[b]);
}

/// One byte for each element of a matrix and four for each of its channels.
TEST(Generate, Int8TakesTheBytesItSays) {
  InferenceChoice choice;
  choice.model.heads = 4, choice.model.head_dim = 16, choice.model.mlp = 256, choice.model.vocab = 64;
  choice.new_tokens = 2;
  const auto parameters = [&](WeightFormat weights) {
    choice.weights = static_cast<int>(weights);
    const GenerateResult result = run(spec_of(choice), prompts_of(choice));
    return result.decode[0].peak.at_peak.bytes[0][static_cast<std::size_t>(Category::kParameter)];
  };
  const std::int64_t matrices = 64 * 192 + 64 * 64 + 2 * 64 * 256, channels = 192 + 64 + 256 + 64;
  EXPECT_EQ(parameters(WeightFormat::kF32) - parameters(WeightFormat::kInt8), 4 * matrices - (matrices + 4 * channels));
}

RC_GTEST_PROP(Generate, SameSeedSameTokens, ()) {
  const InferenceChoice choice = *gen_inference();
  InferenceSpec spec = spec_of(choice);
  spec.sampling = {.temperature = 1.2, .top_k = 8, .top_p = 0.95};
  const GenerateResult a = run(spec, prompts_of(choice), 3), b = run(spec, prompts_of(choice), 3);
  for (std::size_t s = 0; s < choice.prompts.size(); ++s) {
    RC_ASSERT(a.continuations[s].tokens == b.continuations[s].tokens);
    RC_ASSERT(a.continuations[s].logprobs == b.continuations[s].logprobs);
  }
}

InferenceChoice small_choice() {
  InferenceChoice c;
  c.model.heads = 2, c.model.vocab = 64, c.model.layers = 2;
  c.new_tokens = 12;
  c.prompts = {3, 7};
  return c;
}

// The table of positions that decoding looks up has fewer rows than that of tokens.
TEST(Generate, TokensMayBeMoreThanPositions) {
  InferenceChoice choice = small_choice();
  choice.model.vocab = 97, choice.prompts = {3, 7, 5, 4};
  InferenceSpec spec = spec_of(choice);
  spec.sampling.temperature = 1;
  ASSERT_LT(spec.model.max_positions, 97);
  const GenerateResult result = run(spec, prompts_of(choice));
  std::int32_t largest = 0;
  for (const Continuation& c : result.continuations)
    largest = std::max(largest, *std::max_element(c.tokens.begin(), c.tokens.end()));
  EXPECT_GE(largest, spec.model.max_positions);
}

TEST(Generate, StopsAtTheEndToken) {
  const InferenceChoice choice = small_choice();
  const auto prompts = prompts_of(choice);
  const GenerateResult free = run(spec_of(choice), prompts);
  const std::int32_t end = free.continuations[0].tokens[4];
  const GenerateResult ended =
      generate(spec_of(choice), prompts, backend, {.end_token = end, .threads_per_rank = 1, .poison_memory = true});
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    const Tokens& all = free.continuations[b].tokens;
    const auto found = std::find(all.begin(), all.end(), end);
    EXPECT_EQ(ended.continuations[b].tokens, Tokens(all.begin(), found == all.end() ? found : found + 1));
    EXPECT_EQ(ended.continuations[b].ended, found != all.end());
  }
}

TEST(Generate, StopsWhenToldTo) {
  const InferenceChoice choice = small_choice();
  std::atomic<bool> stop = false;
  std::size_t steps = 0;
  GenerateOptions options{.stop = &stop};
  options.on_step = [&](const SequenceBatch&) { stop = ++steps == 3; };
  const GenerateResult result = generate(spec_of(choice), prompts_of(choice), backend, options);
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.continuations[1].tokens.size(), 3U);
  EXPECT_EQ(result.decode_times_s.size(), 2U);
}

TEST(Generate, SaysWhatDoesNotFit) {
  const InferenceChoice choice = small_choice();
  try {
    generate(spec_of(choice), prompts_of(choice), backend, {.device_memory_bytes = 1000});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("device memory"), std::string::npos) << error.what();
  }
  const Tokens strange = {3, 64};
  InferenceSpec spec = spec_of(choice);
  spec.batch = 1;
  EXPECT_THROW(generate(spec, std::span(&strange, 1), backend), Error);
}

}  // namespace
}  // namespace shardscope
