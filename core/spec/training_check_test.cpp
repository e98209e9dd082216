// What `shardscope check` finds, one configuration per finding.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "core/spec/model_spec.h"
#include "core/spec/training_spec.h"

namespace shardscope {
namespace {

using Kind = Finding::Kind;
using testing::HasSubstr;

std::vector<Finding> check(const std::string& more, const ModelSpec* model = nullptr, int ranks = 1) {
  return check_training(R"({"train_micro_batch_size_per_gpu": 1, )" + more + "}", "ds.json", model, ranks);
}

/// The text of the finding of this kind about this key, or "".
std::string text_of(const std::vector<Finding>& findings, Kind kind, const std::string& key) {
  const auto found =
      std::find_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.kind == kind && f.key == key; });
  return found == findings.end() ? "" : found->text;
}

ModelSpec gpt2() {
  return parse_model(R"({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12})",
                     "gpt2");
}

ModelSpec llama_7b() {
  return parse_model(R"({"model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32,
                         "num_attention_heads": 32, "intermediate_size": 11008})",
                     "llama");
}

TEST(Check, WhatDeepSpeedIgnores) {
  EXPECT_THAT(text_of(check(R"("zero_optimisation": {"stage": 3})"), Kind::kIgnoredByDeepSpeed, "zero_optimisation"),
              HasSubstr("did you mean \"zero_optimization\"?"));
  EXPECT_THAT(text_of(check(R"("activation_checkpointing": {"cpu_checkpoint": true})"), Kind::kIgnoredByDeepSpeed,
                      "activation_checkpointing.cpu_checkpoint"),
              HasSubstr("cpu_checkpointing"));
  EXPECT_THAT(text_of(check(R"("aio": {"thread_count": 4})"), Kind::kIgnoredByDeepSpeed, "aio.thread_count"),
              HasSubstr("intra_op_parallelism"));
  EXPECT_THAT(text_of(check(R"("zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}})"),
                      Kind::kIgnoredByDeepSpeed, "zero_optimization.offload_param"),
              HasSubstr("stage 3"));
}

TEST(Check, WhatIsDead) {
  const auto findings =
      check(R"("zero_optimization": {"stage": 2, "allgather_bucket_size": 2e8, "sub_group_size": 1})");
  EXPECT_NE(text_of(findings, Kind::kDead, "zero_optimization.allgather_bucket_size"), "");
  EXPECT_NE(text_of(findings, Kind::kDead, "zero_optimization.sub_group_size"), "");
  EXPECT_NE(
      text_of(check(R"("zero_optimization": {"overlap_comm": true})"), Kind::kDead, "zero_optimization.overlap_comm"),
      "");
}

TEST(Check, WhatWouldStopDeepSpeed) {
  const auto swap = [](const std::string& more) {
    return check(R"("zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme", "nvme_path": "/n")" +
                 more + "}}");
  };
  const std::string key = "zero_optimization.offload_optimizer.buffer_count";
  EXPECT_EQ(text_of(swap(""), Kind::kWouldAssert, key), "");
  EXPECT_THAT(text_of(swap(R"(, "pipeline_read": true)"), Kind::kWouldAssert, key), HasSubstr("at least 8"));
  EXPECT_THAT(text_of(swap(R"(, "pipeline_read": true, "pipeline_write": true)"), Kind::kWouldAssert, key),
              HasSubstr("at least 12"));
  EXPECT_EQ(
      text_of(swap(R"(, "pipeline_read": true, "pipeline_write": true, "buffer_count": 12)"), Kind::kWouldAssert, key),
      "");
  EXPECT_NE(text_of(check(R"("optimizer": {"type": "AdamW", "params": {"learning_rate": 1}})"), Kind::kWouldAssert,
                    "optimizer.params.learning_rate"),
            "");
  EXPECT_NE(text_of(check(R"("optimizer": {"type": "OneBitAdam"}, "zero_optimization": {"stage": 1})"),
                    Kind::kWouldAssert, "optimizer.type"),
            "");
  const ModelSpec model = llama_7b();
  EXPECT_THAT(text_of(check(R"("zero_optimization": {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/n",
                            "buffer_size": 1e7}})",
                            &model, 8),
                      Kind::kWouldAssert, "zero_optimization.offload_param.buffer_size"),
              HasSubstr("16384000"));  // 32000 * 4096 / 8
}

TEST(Check, WhatDefeatsItsPurpose) {
  const ModelSpec small = gpt2(), large = llama_7b();
  const std::string reuse = "zero_optimization.stage3_max_reuse_distance";
  EXPECT_THAT(text_of(check(R"("zero_optimization": {"stage": 3})", &small), Kind::kDefeatsPurpose, reuse),
              HasSubstr("(DeepSpeed's default) elements reach over forward and backward of this model (124439808"));
  EXPECT_EQ(text_of(check(R"("zero_optimization": {"stage": 3})", &large), Kind::kDefeatsPurpose, reuse), "");
  EXPECT_EQ(text_of(check(R"("zero_optimization": {"stage": 3, "stage3_max_reuse_distance": 1e7})", &small),
                    Kind::kDefeatsPurpose, reuse),
            "");
  EXPECT_NE(text_of(check(R"("zero_optimization": {"stage": 3})", &small), Kind::kDefeatsPurpose,
                    "zero_optimization.reduce_bucket_size"),
            "");
  EXPECT_NE(text_of(check(R"("zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 3e6})", &small),
                    Kind::kDefeatsPurpose, "zero_optimization.stage3_param_persistence_threshold"),
            "");
  EXPECT_NE(text_of(check(R"("zero_optimization": {"stage": 1}, "bf16": {"enabled": true}, "data_types":
                          {"grad_accum_dtype": "fp32"})"),
                    Kind::kDefeatsPurpose, "data_types.grad_accum_dtype"),
            "");
  EXPECT_NE(
      text_of(
          check(R"("zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu", "super_offload": true}})"),
          Kind::kDefeatsPurpose, "gradient_clipping"),
      "");
}

TEST(Check, WhatIsNotRunHereIsAFindingNotAnError) {
  EXPECT_NE(text_of(check(R"("amp": {"enabled": true})"), Kind::kNotRunHere, "amp"), "");
  EXPECT_NE(text_of(check(R"("optimizer": {"type": "Lion"})"), Kind::kNotRunHere, "optimizer.type"), "");
}

TEST(Check, AutoIsExplained) {
  const ModelSpec model = gpt2();
  const auto findings = check_training(R"({"train_batch_size": "auto", "zero_optimization": {"stage": 3,
      "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto"}})",
                                       "ds.json", &model, 2);
  EXPECT_THAT(text_of(findings, Kind::kWouldAssert, "train_batch_size"), HasSubstr("TypeError"));
  EXPECT_THAT(text_of(findings, Kind::kIgnoredByDeepSpeed, "zero_optimization.reduce_bucket_size"), HasSubstr("5e8"));
  EXPECT_THAT(text_of(findings, Kind::kWouldAssert, "zero_optimization.stage3_prefetch_bucket_size"),
              HasSubstr("530841"));
}

TEST(Check, AGoodConfigurationHasNoFindings) {
  const ModelSpec model = llama_7b();
  EXPECT_TRUE(check(R"("zero_optimization": {"stage": 3, "reduce_bucket_size": 16777216}, "bf16": {"enabled": true})",
                    &model, 8)
                  .empty());
}

TEST(Check, RefusesWhatDeepSpeedRefuses) {
  EXPECT_THROW(check(R"("zero_optimization": {"reduce_bucketsize": 1})"), Error);
  EXPECT_THROW(check(R"("fp16": {"enabled": true}, "bf16": {"enabled": true})"), Error);
  EXPECT_THROW(check_training(R"({"train_batch_size": 10})", "ds.json", nullptr, 4), Error);
  EXPECT_NO_THROW(check_training(R"({"train_batch_size": 32, "train_micro_batch_size_per_gpu": 2,
                                     "gradient_accumulation_steps": 4})",
                                 "ds.json", nullptr, 0));
}

}  // namespace
}  // namespace shardscope
