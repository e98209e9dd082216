#include "core/spec/model_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "core/error.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kModels = std::string(SHARDSCOPE_SOURCE_DIR) + "/data/models/";

constexpr const char* kGpt2 =
    R"({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024})";

std::string refusal(const std::string& text) {
  try {
    parse_model(text, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

const TensorSpec& tensor(const std::vector<TensorSpec>& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const TensorSpec& t) { return t.name == name; });
  if (found == tensors.end()) throw std::runtime_error("no tensor " + name);
  return *found;
}

TEST(ModelSpec, PublishedCountsAreMatchedExactly) {
  std::ifstream table(kModels + "published_counts.csv");
  std::string line;
  std::getline(table, line);
  ASSERT_EQ(line, "model,config,parameters,source");
  int rows = 0;
  for (; std::getline(table, line); ++rows) {
    std::istringstream cells(line);
    std::string model, config, parameters;
    std::getline(cells, model, ',');
    std::getline(cells, config, ',');
    std::getline(cells, parameters, ',');
    EXPECT_EQ(parameter_count(load_model(kModels + config)), std::stoll(parameters)) << model;
  }
  EXPECT_GE(rows, 20);
}

TEST(ModelSpec, CountIsTheSumOfTheTensors) {
  for (const char* name : {"gpt2", "llama-3.2-1b", "qwen2.5-0.5b", "pythia-70m", "opt-350m", "bloom-560m", "llama-tiny",
                           "mixtral-tiny", "qwen1.5-moe-a2.7b"}) {
    const ModelSpec model = load_model(kModels + name + ".json");
    std::int64_t sum = 0;
    std::set<std::string> names;
    for (const TensorSpec& t : list_tensors(model)) {
      std::int64_t n = 1;
      for (const std::int64_t extent : t.shape) n *= extent;
      sum += n;
      EXPECT_TRUE(names.insert(t.name).second) << t.name << " is there twice";
      EXPECT_TRUE(t.name.starts_with(t.module + ".")) << t.name;
    }
    EXPECT_EQ(sum, parameter_count(model)) << name;
  }
}

TEST(ModelSpec, Gpt2TensorsAreNamedShapedAndInitialisedAsHuggingFaceDoes) {
  const auto tensors = list_tensors(parse_model(kGpt2, "gpt2"));
  EXPECT_EQ(tensors.size(), 2u + 12 * 12 + 2);
  EXPECT_EQ(tensors[0].name, "transformer.wte.weight");
  EXPECT_EQ(tensors[1].name, "transformer.wpe.weight");
  EXPECT_EQ(tensors[2].name, "transformer.h.0.ln_1.weight");
  EXPECT_EQ(tensors.back().name, "transformer.ln_f.bias");
  EXPECT_EQ(tensors.back().layer, 12);
  EXPECT_EQ(tensors[0].layer, -1);
  const TensorSpec& qkv = tensor(tensors, "transformer.h.3.attn.c_attn.weight");
  EXPECT_THAT(qkv.shape, ElementsAre(768, 2304));
  EXPECT_EQ(qkv.layer, 3);
  EXPECT_EQ(qkv.module, "transformer.h.3.attn.c_attn");
  EXPECT_EQ(qkv.init_std, 0.02);
  EXPECT_DOUBLE_EQ(tensor(tensors, "transformer.h.0.mlp.c_proj.weight").init_std, 0.02 / std::sqrt(24.0));
  EXPECT_EQ(tensor(tensors, "transformer.h.0.ln_1.weight").init_value, 1);
  EXPECT_EQ(tensor(tensors, "transformer.h.0.ln_1.bias").init_value, 0);
}

TEST(ModelSpec, LlamaTensorsAreNamedAndShapedAsHuggingFaceDoes) {
  const auto tensors = list_tensors(load_model(kModels + "llama-3-8b.json"));
  EXPECT_EQ(tensors.front().name, "model.embed_tokens.weight");
  EXPECT_EQ(tensors.back().name, "lm_head.weight");
  EXPECT_THAT(tensor(tensors, "model.layers.31.self_attn.k_proj.weight").shape, ElementsAre(1024, 4096));
  EXPECT_THAT(tensor(tensors, "model.layers.0.mlp.down_proj.weight").shape, ElementsAre(4096, 14336));
  const auto tied = list_tensors(load_model(kModels + "llama-3.2-1b.json"));
  EXPECT_EQ(tied.back().name, "model.norm.weight");
}

TEST(ModelSpec, MixtralTensorsAreNamedAndShapedAsItsCheckpoints) {
  const ModelSpec model = load_model(kModels + "mixtral-8x7b-v0.1.json");
  EXPECT_EQ(model.experts, 8);
  EXPECT_EQ(model.experts_per_token, 2);
  EXPECT_EQ(model.router_aux_coefficient, 0.02);
  const auto tensors = list_tensors(model);
  const TensorSpec& router = tensor(tensors, "model.layers.3.block_sparse_moe.gate.weight");
  EXPECT_THAT(router.shape, ElementsAre(8, 4096));
  EXPECT_EQ(router.expert, -1);
  const TensorSpec& down = tensor(tensors, "model.layers.3.block_sparse_moe.experts.5.w2.weight");
  EXPECT_THAT(down.shape, ElementsAre(4096, 14336));
  EXPECT_EQ(down.expert, 5);
  EXPECT_THAT(tensor(tensors, "model.layers.0.block_sparse_moe.experts.0.w3.weight").shape, ElementsAre(14336, 4096));
  EXPECT_EQ(tensors.back().expert, -1);
}

/// A token passes 2 of the 8 experts: Mixtral's authors call it 13B of 47B.
TEST(ModelSpec, OfTheExpertsOnlyThoseATokenIsSentToAreActive) {
  const ModelSpec model = load_model(kModels + "mixtral-8x7b-v0.1.json");
  EXPECT_EQ(active_parameter_count(model), 46'702'792'704 - 32 * 6 * 3 * 4096 * 14336LL);
  const double attention = 2.0 * 4096 * 4096 + 2.0 * 4096 * 1024, experts = 2 * 3.0 * 4096 * 14336;
  EXPECT_DOUBLE_EQ(training_flops_per_token(model, 1024),
                   6 * (32 * (attention + experts + 8 * 4096) + 32000.0 * 4096) + 6.0 * 32 * 4096 * 1025);
  const ModelSpec plain = load_model(kModels + "llama-3-8b.json");
  EXPECT_EQ(active_parameter_count(plain), parameter_count(plain));
}

TEST(ModelSpec, FlopsAreSixPerMatmulWeightPlusAttention) {
  const ModelSpec model = parse_model(kGpt2, "gpt2");
  const double block = 4.0 * 768 * 768 + 8.0 * 768 * 768;  // qkv, projection, two of the MLP
  const double head = 50257.0 * 768;                       // tied, but it multiplies
  EXPECT_DOUBLE_EQ(training_flops_per_token(model, 1024), 6 * (12 * block + head) + 6.0 * 12 * 768 * 1025);
}

TEST(ModelSpec, DemoModelsHaveTheSizeTheyAreFor) {
  const ModelSpec model = load_model(kModels + "gpt-10m.json");
  EXPECT_EQ(model.name, "gpt-10m");
  // wte 256*320 + wpe 256*320 + 8 blocks of 12*320^2 + 13*320, + final norm 2*320
  EXPECT_EQ(parameter_count(model), 2 * 256 * 320 + 8 * (12 * 320 * 320 + 13 * 320) + 2 * 320);
  EXPECT_EQ(parameter_count(model), 10'028'160);
}

TEST(ModelSpec, NewAndOldSpellingsOfRopeAreRead) {
  const std::string base = R"({"model_type": "llama", "vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1,
                              "num_attention_heads": 2, "intermediate_size": 8)";
  EXPECT_EQ(parse_model(base + "}", "c").rope_theta, 10000);
  EXPECT_EQ(parse_model(base + R"(, "rope_theta": 5e5})", "c").rope_theta, 5e5);
  const ModelSpec nested = parse_model(base + R"(, "dtype": "bfloat16", "rope_parameters": {"rope_theta": 1e6,
                                              "rope_type": "yarn"}})",
                                       "c");
  EXPECT_EQ(nested.rope_theta, 1e6);
  EXPECT_EQ(nested.rope_scaling, "yarn");
  EXPECT_EQ(parse_model(base + R"(, "rope_scaling": null})", "c").rope_scaling, "");
  EXPECT_EQ(parse_model(base + R"(, "rope_scaling": {"type": "linear", "factor": 2}})", "c").rope_scaling, "linear");
  EXPECT_EQ(load_model(kModels + "pythia-70m.json").rotary_fraction, 0.25);
}

TEST(ModelSpec, FamiliesDifferWhereTheyShould) {
  const ModelSpec qwen = load_model(kModels + "qwen2-7b.json"), opt = load_model(kModels + "opt-350m.json");
  EXPECT_TRUE(qwen.qkv_bias);
  EXPECT_FALSE(qwen.attention_out_bias);
  EXPECT_EQ(qwen.kv_heads, 4);
  EXPECT_FALSE(opt.final_norm);
  EXPECT_EQ(opt.embedding_dim, 512);
  EXPECT_EQ(load_model(kModels + "mistral-7b-v0.1.json").sliding_window, 4096);
  EXPECT_TRUE(load_model(kModels + "pythia-70m.json").parallel_residual);
  EXPECT_EQ(load_model(kModels + "bloom-560m.json").positions, PositionKind::kAlibi);
}

TEST(ModelSpec, RefusesWithFileKeyAndRemedy) {
  EXPECT_THAT(refusal("{}"), HasSubstr("model_type is missing; it must be one of gpt2, llama"));
  EXPECT_THAT(refusal(R"({"model_type": "mamba"})"), HasSubstr("known: gpt2, llama, mistral"));
  EXPECT_THAT(refusal(R"({"model_type": "gpt2", "vocab_size": 10})"), HasSubstr("config.json:1: n_embd is missing"));
  EXPECT_THAT(refusal("{\"model_type\": \"gpt2\",\n\"vocab_size\": -5}"), HasSubstr("config.json:2: vocab_size is -5"));
  EXPECT_THAT(refusal(R"({"model_type": "gpt2", "vocab_size": 1.5})"), HasSubstr("an integer from 1"));
  EXPECT_THAT(refusal(R"({"model_type": "gpt2", "vocab_size": 1e99})"), HasSubstr("vocab_size is 1e+99"));
  EXPECT_THAT(refusal(R"({"model_type": "gpt2", "vocab_size": 99999999999999999999999999})"), HasSubstr("vocab_size"));
  EXPECT_THAT(refusal(R"({"model_type": "gpt2", "vocab_size": 9, "n_embd": 10, "n_layer": 1, "n_head": 3})"),
              HasSubstr("n_head is 3; the hidden size 10 must be a multiple"));
  EXPECT_THAT(refusal(R"({"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 1000000000, "n_head": 1})"),
              HasSubstr("n_layer is 1000000000; it must be an integer from 1 to 10000"));
  EXPECT_THAT(
      refusal(
          R"({"model_type": "gpt2", "vocab_size": 2147483647, "n_embd": 2147483647, "n_layer": 9999, "n_head": 1})"),
      HasSubstr("more than 2^63 parameters"));
  EXPECT_THAT(refusal(R"({"model_type": "llama", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 4, "num_key_value_heads": 3, "intermediate_size": 8})"),
              HasSubstr("num_key_value_heads is 3; it must divide"));
  const std::string mixtral = R"({"model_type": "mixtral", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "intermediate_size": 8)";
  EXPECT_THAT(refusal(mixtral + "}"), HasSubstr("num_local_experts is missing"));
  EXPECT_THAT(refusal(mixtral + R"(, "num_local_experts": 4, "num_experts_per_tok": 5})"),
              HasSubstr("num_experts_per_tok is 5; there are 4 experts in a block"));
  EXPECT_THAT(refusal(R"({"model_type": "qwen3_moe", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "intermediate_size": 8, "moe_intermediate_size": 8, "num_experts": 4,
      "num_experts_per_tok": 2, "mlp_only_layers": [1]})"),
              HasSubstr("mlp_only_layers is not 0, 1, 2"));
  EXPECT_THAT(refusal("{\"model_type\": \"gpt2\", \"vocab_size\":"), HasSubstr("config.json:1: not valid JSON"));
  EXPECT_THROW(load_model("/no/such/config.json"), Error);
  EXPECT_THROW(load_model("/"), Error);
}

}  // namespace
}  // namespace shardscope
