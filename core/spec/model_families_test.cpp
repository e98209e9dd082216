// Shapes and FLOPs of the families that are only read: what the closed forms of memory and time rest on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "core/spec/model_catalog.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::int64_t> shape(const ModelSpec& model, const std::string& name) {
  for (const TensorSpec& tensor : list_tensors(model)) {
    if (tensor.name == name) return tensor.shape;
  }
  return {};
}

std::string refusal(const std::string& text) {
  try {
    parse_model(text, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

const std::string kDeepseek = R"({"model_type": "deepseek_v3", "vocab_size": 9, "hidden_size": 8,
    "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 8, "q_lora_rank": 6, "kv_lora_rank": 4,
    "qk_nope_head_dim": 3, "qk_rope_head_dim": 2, "v_head_dim": 5)";

/// Every catalog entry: the sum over all tensors is the count, and an active parameter is a parameter.
TEST(ModelFamilies, CountsAreTheSumsOfTheTensors) {
  for (const std::string& name : model_names()) {
    const ModelSpec model = find_model(name);
    if (model.layers * model.experts > 4000) continue;  // hundreds of thousands of tensors; the kinds are below
    std::int64_t sum = 0;
    for (const TensorSpec& tensor : list_tensors(model)) {
      std::int64_t elements = 1;
      for (const std::int64_t extent : tensor.shape) elements *= extent;
      sum += elements;
    }
    EXPECT_EQ(sum, parameter_count(model)) << name;
    EXPECT_LE(active_parameter_count(model), sum) << name;
    EXPECT_GT(training_flops_per_token(model, 1), 0) << name;
  }
}

/// DeepSeek-V3 by hand, from its config: 37B of 671B are active, and the prediction module adds 11.6B.
TEST(ModelFamilies, LatentAttentionAndDeepseekExperts) {
  const ModelSpec model = find_model("DeepSeek-V3");
  EXPECT_EQ(model.head_dim, 192);
  EXPECT_EQ(expert_blocks(model), 58);
  EXPECT_FALSE(has_experts(model, 2));
  EXPECT_TRUE(has_experts(model, 3));
  const std::int64_t h = 7168,
                     attention = h * 1536 + 1536 * 128 * 192 + h * (512 + 64) + 512 * 128 * 256 + 128 * 128 * h;
  const std::int64_t norms = 2 * h + 1536 + 512, expert = 3 * h * 2048, dense = 3 * h * 18432;
  const std::int64_t block = attention + norms + 257 * expert + 256 * h + 256;
  EXPECT_EQ(parameter_count(model), 2 * 129280 * h + h + 3 * (attention + norms + dense) + 58 * block);
  EXPECT_EQ(expert_parameter_count(model), expert);
  EXPECT_EQ(active_parameter_count(model), 37'552'297'472);
  EXPECT_EQ(prediction_parameter_count(model), block + 2 * h * h + 3 * h);
  EXPECT_THAT(shape(model, "model.layers.0.mlp.down_proj.weight"), ElementsAre(7168, 18432));
  const double weights = 129280.0 * h + 61.0 * attention + 3.0 * dense + 58.0 * (9.0 * expert + 256.0 * h);
  EXPECT_DOUBLE_EQ(training_flops_per_token(model, 4096), 6 * weights + 6 * 61.0 * 128 * (192 + 128) * 4097 / 2);
}

TEST(ModelFamilies, QueriesNeedNotBeCompressed) {
  const ModelSpec lite = find_model("deepseek-v2-lite");
  EXPECT_EQ(lite.q_lora_rank, 0);
  EXPECT_THAT(shape(lite, "model.layers.1.self_attn.q_proj.weight"), ElementsAre(16 * 192, 2048));
  EXPECT_THAT(shape(lite, "model.layers.1.self_attn.kv_b_proj.weight"), ElementsAre(16 * 256, 512));
  EXPECT_EQ(parse_model(kDeepseek + "}", "c").experts, 0);  // no routed experts: dense blocks
}

TEST(ModelFamilies, ExpertsInEverySecondBlock) {
  const ModelSpec model = find_model("Llama-4-Maverick-17B-128E-Instruct");
  EXPECT_EQ(expert_blocks(model), 24);
  EXPECT_FALSE(has_experts(model, 0));
  EXPECT_TRUE(has_experts(model, 1));
  EXPECT_THAT(shape(model, "model.layers.1.feed_forward.experts.gate_up_proj"), ElementsAre(128, 5120, 16384));
  EXPECT_THAT(shape(model, "model.layers.0.feed_forward.up_proj.weight"), ElementsAre(16384, 5120));
  const ModelSpec sparse = parse_model(R"({"model_type": "qwen3_moe", "vocab_size": 9, "hidden_size": 8,
      "num_hidden_layers": 4, "num_attention_heads": 2, "head_dim": 4, "intermediate_size": 24, "moe_intermediate_size": 8,
      "num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 2, "mlp_only_layers": [0, 1]})",
                                       "c");
  EXPECT_EQ(expert_blocks(sparse), 1);
  EXPECT_THAT(shape(sparse, "model.layers.2.mlp.up_proj.weight"), ElementsAre(24, 8));
  EXPECT_THAT(shape(sparse, "model.layers.3.mlp.experts.3.up_proj.weight"), ElementsAre(8, 8));
}

/// OpenAI's model card: 5.13B active of 116.83B, not counting the input embedding.
TEST(ModelFamilies, GptOssCountsLikeItsCard) {
  const ModelSpec model = find_model("gpt-oss-120b");
  EXPECT_EQ((active_parameter_count(model) - 201088 * 2880 + 5'000'000) / 10'000'000, 513);
  EXPECT_THAT(shape(model, "model.layers.0.self_attn.sinks"), ElementsAre(64));
}

TEST(ModelFamilies, WindowsShortenAttention) {
  const ModelSpec gemma = find_model("gemma-3-27b");
  EXPECT_EQ(attended_tokens(gemma, 0, 1024), 512.5);   // as long as the window
  EXPECT_EQ(attended_tokens(gemma, 5, 4096), 2048.5);  // every sixth block sees all
  EXPECT_EQ(attended_tokens(gemma, 0, 4096), (1024 * 1025 / 2 + 3072 * 1024) / 4096.0);
  EXPECT_EQ(attended_tokens(find_model("llama-3-8b"), 0, 4096), 2048.5);
}

TEST(ModelFamilies, BlocksDifferWhereTheyShould) {
  const ModelSpec falcon = find_model("falcon-7b"), groups = find_model("falcon-40b");
  EXPECT_EQ(falcon.kv_heads, 1);
  EXPECT_TRUE(falcon.one_norm && falcon.parallel_residual);
  EXPECT_EQ(groups.kv_heads, 8);
  EXPECT_FALSE(groups.one_norm);
  EXPECT_TRUE(find_model("gemma-2-9b").norm_after);
  EXPECT_FALSE(find_model("gemma-7b").norm_after);
  EXPECT_EQ(find_model("gemma-7b").mlp, MlpKind::kGeGlu);
  EXPECT_EQ(find_model("mpt-7b").positions, PositionKind::kAlibi);
  EXPECT_EQ(shape(find_model("mpt-1b"), "transformer.blocks.0.norm_1.bias").size(), 0U);
  EXPECT_THAT(shape(find_model("mpt-1b"), "transformer.wpe.weight"), ElementsAre(2048, 2048));
  EXPECT_THAT(shape(find_model("phi-2"), "lm_head.bias"), ElementsAre(51200));
  EXPECT_THAT(shape(find_model("phi-4"), "model.layers.0.mlp.gate_up_proj.weight"), ElementsAre(2 * 17920, 5120));
  EXPECT_THAT(shape(find_model("nemotron-4-340b"), "model.layers.0.mlp.gate_proj.weight"), ElementsAre());
}

/// Gemma 3's config.json of the larger models nests the text part and leaves out defaults.
TEST(ModelFamilies, TextPartOfModelsThatSee) {
  const ModelSpec model = parse_model(R"({"model_type": "gemma3", "vision_config": {}, "text_config": {"model_type":
      "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}})",
                                      "gemma-3-4b.json");
  EXPECT_EQ(parameter_count(model), parameter_count(find_model("gemma-3-4b")));
  EXPECT_THAT(refusal(R"({"model_type": "llama4"})"), HasSubstr("a family that is not known"));
}

TEST(ModelFamilies, RefusesWhatCannotBe) {
  EXPECT_THAT(refusal(kDeepseek + R"(, "qk_rope_head_dim": 0})"), HasSubstr("qk_rope_head_dim"));
  EXPECT_THAT(refusal(kDeepseek + R"(, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
      "first_k_dense_replace": 4})"),
              HasSubstr("no block would have experts"));
  EXPECT_THAT(refusal(kDeepseek + R"(, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
      "moe_layer_freq": 2})"),
              HasSubstr("moe_layer_freq is not 1"));
  EXPECT_THAT(refusal(R"({"model_type": "phi3", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2147483647, "head_dim": 2147483647, "intermediate_size": 8})"),
              HasSubstr("head_dim is 2147483647"));
  EXPECT_THAT(refusal(R"({"model_type": "gemma", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "intermediate_size": 8, "hidden_act": "relu"})"),
              HasSubstr("known with gelu only"));
}

}  // namespace
}  // namespace shardscope
