#include "core/program/lower_inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/text.h"
#include "core/program/verify.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ModelSpec llama() {
  return parse_model(R"({"model_type": "llama", "vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1,
                         "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16,
                         "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "tie_word_embeddings": false})",
                     "small");
}
ModelSpec gpt2() {
  return parse_model(R"({"model_type": "gpt2", "vocab_size": 11, "n_embd": 8, "n_layer": 1, "n_head": 2,
                         "n_positions": 16})",
                     "small");
}

std::vector<std::string> ops_of(const Program& program) {
  std::vector<std::string> names;
  for (const Instruction& in : program.instructions) {
    if (!std::holds_alternative<Alloc>(in.op) && !std::holds_alternative<Free>(in.op))
      names.emplace_back(op_name(in.op));
  }
  return names;
}

std::string refusal(const InferenceSpec& spec) {
  try {
    lower_inference(spec, 0);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(LowerInference, PrefillIsTheForwardPassOfTrainingAndFillsTheCache) {
  const InferenceSpec spec{.model = llama(), .batch = 2, .prompt = 3, .new_tokens = 4};
  const InferencePrograms p = lower_inference(spec, 0);
  EXPECT_THAT(ops_of(p.prefill),
              ElementsAre("load_tokens", "embedding", "rms_norm", "matmul", "matmul", "matmul", "rope", "rope",
                          "append_cache", "attention", "matmul", "add", "rms_norm", "matmul", "matmul", "swiglu",
                          "matmul", "add", "last_rows", "rms_norm", "matmul", "sample"));
  EXPECT_THAT(find_faults(p.prefill), IsEmpty());
  EXPECT_EQ(p.prefill.tokens_per_step, 6);
}

TEST(LowerInference, DecodeAttendsOverTheCacheAtPlacesThatComeWithTheTokens) {
  const InferenceSpec spec{.model = llama(), .batch = 2, .prompt = 3, .new_tokens = 4};
  const InferencePrograms p = lower_inference(spec, 0);
  EXPECT_THAT(ops_of(p.decode),
              ElementsAre("load_tokens", "embedding", "rms_norm", "matmul", "matmul", "matmul", "rope_at", "rope_at",
                          "append_cache", "cached_attention", "matmul", "add", "rms_norm", "matmul", "matmul", "swiglu",
                          "matmul", "add", "rms_norm", "matmul", "sample"));
  EXPECT_THAT(to_string(p.decode),
              HasSubstr("append_cache k=h.0.k.mb0[0:8] v=h.0.v.mb0[0:8] starts=starts.mb0[0:2] k_cache=cache.0.k[0:48] "
                        "v_cache=cache.0.v[0:48] batch=2 seq=1 kv_heads=1 head_dim=4 kv_stride=4 capacity=6 @compute"));
  EXPECT_THAT(to_string(p.decode), HasSubstr("capacity=6 context=5 @compute"));
  EXPECT_THAT(find_faults(p.decode), IsEmpty());
  EXPECT_EQ(p.decode.tokens_per_step, 2);
}

TEST(LowerInference, LearnedPositionsAreLookedUpByPlace) {
  const InferencePrograms p = lower_inference({.model = gpt2(), .prompt = 3, .new_tokens = 4}, 0);
  EXPECT_THAT(to_string(p.prefill), HasSubstr("positions=transformer.wpe.weight[0:128] out=embedded.mb0[0:24]"));
  EXPECT_THAT(to_string(p.decode), HasSubstr("embedding tokens=starts.mb0[0:1] table=transformer.wpe.weight[0:128]"));
}

TEST(LowerInference, BothProgramsShareWeightsAndCache) {
  const InferencePrograms p = lower_inference({.model = gpt2(), .batch = 3, .prompt = 5, .new_tokens = 2}, 0);
  EXPECT_EQ(p.prefill.arena_bytes, p.decode.arena_bytes);
  EXPECT_EQ(p.prefill.next_tokens, p.decode.next_tokens);
  EXPECT_EQ(p.prefill.state, p.decode.state);
  const MemoryPeak peak = compute_memory_peak(p);
  const auto cache = static_cast<std::size_t>(Category::kCache);
  EXPECT_EQ(peak.at_peak.bytes[0][cache], 2 * 576);  // 3 sequences, 6 places, 8 floats: keys and values
}

TEST(LowerInference, TensorParallelRanksSplitTheCacheAndGatherLogits) {
  InferenceSpec spec{.model = gpt2(), .tp = 2, .prompt = 3, .new_tokens = 4};
  std::vector<Program> decode;
  for (int rank : {0, 1}) decode.push_back(lower_inference(spec, rank).decode);
  EXPECT_THAT(find_mismatches(decode), IsEmpty());
  EXPECT_THAT(to_string(decode[1]), HasSubstr("buffer cache.0.k f32[24] cache"));  // 6 places of one head of two
  EXPECT_THAT(to_string(decode[1]), HasSubstr("all_gather group=tp in=logits.mb0[0:6] out=logits.all.mb0[0:12]"));
  EXPECT_THAT(to_string(decode[1]), HasSubstr("vocab=11 parts=2"));
}

TEST(LowerInference, RefusesWhatTheModelCannotDo) {
  EXPECT_THAT(refusal({.model = gpt2(), .prompt = 17}), HasSubstr("17 tokens, but model gpt2 has 16 positions"));
  EXPECT_THAT(refusal({.model = gpt2(), .prompt = 10, .new_tokens = 8}), HasSubstr("use at most 7"));
  EXPECT_EQ(refusal({.model = gpt2(), .prompt = 10, .new_tokens = 7}), "");
  EXPECT_THAT(refusal({.model = gpt2(), .new_tokens = 0}), HasSubstr("max-new-tokens: is 0"));
  EXPECT_THAT(refusal({.model = gpt2(), .tp = 3}), HasSubstr("parallel.tp"));
  EXPECT_THAT(refusal({.model = gpt2(), .sampling = {.temperature = -1}}), HasSubstr("temperature: is -1"));
  EXPECT_THAT(refusal({.model = gpt2(), .sampling = {.top_p = 0}}), HasSubstr("top-p: is 0"));
  EXPECT_THAT(refusal({.model = gpt2(), .sampling = {.top_k = -1}}), HasSubstr("top-k: is -1"));
  ModelSpec windowed = llama();
  windowed.sliding_window = 4;
  EXPECT_THAT(refusal({.model = windowed, .prompt = 4, .new_tokens = 2}), HasSubstr("sliding_window 4"));
}

}  // namespace
}  // namespace shardscope
