// Golden tests: what DeepSpeed 0.19.6 does with each of these inputs was found by running it; the reader must do the
// same, or say more. The HF "auto" rules are those of transformers' and accelerate's DeepSpeed integrations.

#include "core/spec/training_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "core/error.h"
#include "core/spec/training_keys.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

TrainingSpec read(const std::string& text, int ranks = 1, const AutoValues& autos = {}) {
  return parse_training(text, "ds.json", ranks, autos);
}

std::string with_batch(const std::string& more) { return R"({"train_micro_batch_size_per_gpu": 1, )" + more + "}"; }

std::string zero(const std::string& keys) { return with_batch(R"("zero_optimization": {)" + keys + "}"); }

std::string refusal(const std::string& text, int ranks = 1, const AutoValues& autos = {}) {
  try {
    read(text, ranks, autos);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

struct BatchCase {
  const char* keys;
  int ranks;
  std::int64_t train, micro, accumulation;
};

TEST(TrainingBatch, IsDerivedAsDeepSpeedDoes) {
  const BatchCase cases[] = {
      {R"("train_batch_size": 32)", 4, 32, 8, 1},
      {R"("train_batch_size": 32, "train_micro_batch_size_per_gpu": 2)", 4, 32, 2, 4},
      {R"("train_batch_size": 32, "gradient_accumulation_steps": 4)", 4, 32, 2, 4},
      {R"("train_micro_batch_size_per_gpu": 3, "gradient_accumulation_steps": 5)", 2, 30, 3, 5},
      {R"("train_micro_batch_size_per_gpu": 3)", 2, 6, 3, 1},
      {R"("train_batch_size": 24, "train_micro_batch_size_per_gpu": 3, "gradient_accumulation_steps": 4)", 2, 24, 3, 4},
  };
  for (const BatchCase& c : cases) {
    const TrainingSpec spec = read(std::string("{") + c.keys + "}", c.ranks);
    EXPECT_EQ(spec.train_batch_size, c.train) << c.keys;
    EXPECT_EQ(spec.micro_batch, c.micro) << c.keys;
    EXPECT_EQ(spec.accumulation, c.accumulation) << c.keys;
  }
}

TEST(TrainingBatch, RefusesWhatDoesNotMultiply) {
  EXPECT_THAT(refusal("{}"), HasSubstr("both missing"));
  EXPECT_THAT(refusal(R"({"gradient_accumulation_steps": 4})"), HasSubstr("both missing"));
  EXPECT_THAT(refusal(R"({"train_batch_size": 10})", 4), HasSubstr("10, which is not micro batch 2 * accumulation 1"));
  EXPECT_THAT(refusal(R"({"train_batch_size": 3})", 4), HasSubstr("above 0"));
  EXPECT_THAT(refusal(R"({"train_batch_size": 32, "train_micro_batch_size_per_gpu": 3})", 4), HasSubstr("= 24"));
  EXPECT_THAT(refusal(R"({"train_batch_size": 0})"), HasSubstr("from 1 to"));
  EXPECT_THAT(refusal(R"({"train_batch_size": -8})"), HasSubstr("from 1 to"));
  EXPECT_THAT(refusal(R"({"train_batch_size": 1e300})"), HasSubstr("from 1 to"));
}

TEST(TrainingKeys, DefaultsAreDeepSpeeds) {
  const TrainingSpec spec = read(zero(R"("stage": 2)"));
  EXPECT_EQ(spec.zero.reduce_bucket_size, 500'000'000);
  EXPECT_FALSE(spec.zero.overlap_comm);
  EXPECT_TRUE(spec.zero.contiguous_gradients);
  EXPECT_EQ(spec.zero.param_persistence_threshold, 100'000);
  EXPECT_EQ(spec.zero.offload_optimizer.buffer_count, 4);
  EXPECT_EQ(spec.zero.offload_param.buffer_count, 5);
  EXPECT_EQ(spec.gradient_clipping, 1.0);
  EXPECT_EQ(spec.optimizer.lr, 1e-3);
  EXPECT_EQ(spec.precision.kind, Precision::kFp32);
  EXPECT_TRUE(read(zero(R"("stage": 3)")).zero.overlap_comm);
  EXPECT_FALSE(read(zero(R"("stage": 3, "overlap_comm": false)")).zero.overlap_comm);
}

TEST(TrainingKeys, NumbersAreReadAsPydanticReadsThem) {
  EXPECT_EQ(read(zero(R"("reduce_bucket_size": 5e8)")).zero.reduce_bucket_size, 500'000'000);
  EXPECT_EQ(read(zero(R"("stage": "2")")).zero.stage, 2);
  EXPECT_THAT(refusal(zero(R"("reduce_bucket_size": 1.5)")),
              HasSubstr("ds.json:1: zero_optimization.reduce_bucket_size"));
  EXPECT_THAT(refusal(zero(R"("reduce_bucket_size": 15106468.1)")), HasSubstr("integer"));
  EXPECT_THAT(refusal(zero(R"("reduce_bucket_size": "5e8")")), HasSubstr("\"5e8\""));
  EXPECT_THAT(refusal(zero(R"("reduce_bucket_size": -1)")), HasSubstr("-1"));
  EXPECT_THAT(refusal(zero(R"("stage": 4)")), HasSubstr("is 4; it must be: integer from 0 to 3"));
  EXPECT_THAT(refusal(zero(R"("offload_optimizer": {"device": "ssd"})")), HasSubstr("none|cpu|nvme"));
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"loss_scale": -1})")), HasSubstr("fp16.loss_scale is -1"));
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"loss_scale": true})")), HasSubstr("fp16.loss_scale is true"));
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"loss_scale": 1e999})")), HasSubstr("ds.json:1"));
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"loss_scale": NaN})")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"loss_scale_window": 0})")), HasSubstr("fp16.loss_scale_window is 0"));
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"min_loss_scale": 0.5})")), HasSubstr("fp16.min_loss_scale is 0.5"));
}

TEST(TrainingKeys, UnknownKeysNameTheNearest) {
  EXPECT_THAT(refusal(with_batch(R"("zero_optimisation": {})")), HasSubstr("did you mean \"zero_optimization\"?"));
  EXPECT_THAT(refusal(zero(R"("reduce_bucketsize": 1)")), HasSubstr("did you mean \"reduce_bucket_size\"?"));
  EXPECT_THAT(
      refusal(zero(R"("offload_optimizer": {"buffer_size": 1})")),
      HasSubstr("zero_optimization.offload_optimizer.buffer_size is not a known key, and DeepSpeed refuses it"));
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"enable": true})")), HasSubstr("did you mean \"enabled\"?"));
  EXPECT_THAT(refusal(with_batch(R"("bf16": {"check_overflow": true})")), HasSubstr("check_grad_overflow"));
  EXPECT_THAT(refusal(with_batch(R"("aio": {"queue_deep": 8})")), HasSubstr("did you mean \"queue_depth\"?"));
  EXPECT_THAT(refusal(with_batch(R"("optimizer": {"type": "AdamW", "params": {"learning_rate": 1}})")),
              HasSubstr("optimizer.params.learning_rate is not a known key"));
}

TEST(TrainingKeys, FilesMayHoldCommentsAndTrailingCommas) {
  const TrainingSpec spec = read(R"({
    # as HJSON has them
    "train_micro_batch_size_per_gpu": 2,  // micro
    /* and "this": { one */
    "optimizer": {"type": "AdamW", "params": {"betas": [0.9, 0.95,], },},
    "tensorboard": {"output_path": "a#b//c,}"} , # last
  })");
  EXPECT_EQ(spec.micro_batch, 2);
  EXPECT_EQ(spec.optimizer.beta2, 0.95);
}

TEST(TrainingKeys, DuplicatesAndSyntaxErrorsNameTheLine) {
  EXPECT_THAT(refusal("{\"train_batch_size\": 1,\n\n\"train_batch_size\": 1}"), HasSubstr("ds.json:3: duplicate key"));
  EXPECT_THAT(refusal("{\"train_batch_size\": 1,\n \"zero_optimization\": {"), HasSubstr("ds.json:2: not valid JSON"));
  EXPECT_THAT(refusal(""), HasSubstr("empty"));
  EXPECT_THAT(refusal(" \n "), HasSubstr("empty"));
  EXPECT_THAT(refusal("[1, 2]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(refusal(std::string("\0\1\2\xff", 4)), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(std::string(100'000, '[')), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(refusal("/* {}"), HasSubstr("not valid JSON"));
}

TEST(TrainingKeys, OldSpellingsMeanWhatTheyMeant) {
  EXPECT_EQ(read(zero(R"("stage": true)")).zero.stage, 1);
  EXPECT_EQ(read(with_batch(R"("zero_optimization": true)")).zero.stage, 1);
  EXPECT_EQ(read(zero(R"("stage": 2, "cpu_offload": true)")).zero.offload_optimizer.device, OffloadDevice::kCpu);
  EXPECT_EQ(read(zero(R"("stage": 3, "cpu_offload_param": true)")).zero.offload_param.device, OffloadDevice::kCpu);
  EXPECT_EQ(read(with_batch(R"("bfloat16": {"enabled": true})")).precision.kind, Precision::kBf16);
  EXPECT_EQ(read(zero(R"("stage": 3, "max_reuse_distance": 5)")).zero.max_reuse_distance, 5);
  EXPECT_THAT(refusal(zero(R"("stage": 2, "cpu_offload": true, "offload_optimizer": {"device": "cpu"})")),
              HasSubstr("cannot stand beside offload_optimizer"));
  EXPECT_THAT(refusal(zero(R"("max_reuse_distance": 1, "stage3_max_reuse_distance": 1)")), HasSubstr("another name"));
}

TEST(TrainingKeys, ContradictionsThatDeepSpeedRefuses) {
  EXPECT_THAT(refusal(with_batch(R"("fp16": {"enabled": true}, "bf16": {"enabled": true})")),
              HasSubstr("both enabled"));
  EXPECT_THAT(refusal(zero(R"("stage": 2, "offload_optimizer": {"device": "cpu", "ratio": 0.5})")),
              HasSubstr("a partial offload needs stage 3"));
  EXPECT_THAT(refusal(with_batch(R"("optimizer": {"type": "Adam", "params": {"max_grad_norm": 1}})")),
              HasSubstr("gradient_clipping"));
  EXPECT_THAT(refusal(zero(R"("grad_hooks": true)")), HasSubstr("refused by DeepSpeed too"));
}

TEST(TrainingKeys, WhatWouldFailLaterIsRefusedNow) {
  EXPECT_THAT(refusal(zero(R"("stage": 2, "offload_param": {"device": "cpu"})")), HasSubstr("needs stage 3"));
  EXPECT_THAT(refusal(zero(R"("stage": 3, "offload_optimizer": {"device": "nvme"})")), HasSubstr("nvme_path"));
  EXPECT_THAT(refusal(with_batch(R"("optimizer": {"type": "AdanW"})")), HasSubstr("no optimizer that is known"));
  EXPECT_THAT(refusal(with_batch(R"("optimizer": {"type": "Lion"})")), HasSubstr("not run here"));
  EXPECT_THAT(refusal(with_batch(R"("scheduler": {"type": "WarmupLr"})")), HasSubstr("did you mean \"WarmupLR\"?"));
  EXPECT_THAT(refusal(with_batch(R"("scheduler": {"type": "WarmupDecayLR", "params": {}})")),
              HasSubstr("total_num_steps"));
  EXPECT_THAT(refusal(with_batch(R"("scheduler": {"type": "WarmupCosineLR", "params": {"total_num_steps": 9,
      "warmup_max_lr": 1}})")),
              HasSubstr("does not take it"));
}

TEST(TrainingKeys, RefusedFeaturesAreNamedUnlessTheyAreOff) {
  EXPECT_THAT(refusal(with_batch(R"("amp": {"enabled": true})")), HasSubstr("amp is not done here: NVIDIA apex"));
  EXPECT_THAT(refusal(with_batch(R"("sparse_gradients": true)")), HasSubstr("embedding gradients are dense"));
  EXPECT_THAT(refusal(with_batch(R"("elasticity": {"enabled": true})")), HasSubstr("elasticity"));
  EXPECT_THAT(refusal(with_batch(R"("gradient_predivide_factor": 2)")), HasSubstr("gradient_predivide_factor is 2"));
  EXPECT_NO_THROW(read(with_batch(R"("amp": {"enabled": false}, "sparse_gradients": false, "sparse_attention": {},
      "gradient_predivide_factor": 1, "gradient_allreduce_op": "Mean", "elasticity": {"enabled": false}, "zero_optimization":
      {"zenflow": {}}, "optimizer": null)")));
}

TEST(TrainingKeys, AcceptedKeysWithoutEffectAreNoted) {
  const TrainingSpec spec = read(with_batch(R"("steps_per_print": 10, "tensorboard": {"enabled": true})"));
  ASSERT_EQ(spec.findings.size(), 2u);
  EXPECT_EQ(spec.findings[0].key, "steps_per_print");
  EXPECT_EQ(spec.findings[0].kind, Finding::Kind::kNoEffectHere);
  EXPECT_EQ(spec.findings[1].key, "tensorboard");
}

TEST(TrainingKeys, EveryBlockOfTheSpecIsFilled) {
  const TrainingSpec spec = read(R"({"train_batch_size": 8, "gradient_clipping": 0.5,
    "optimizer": {"type": "Adam", "params": {"lr": 2e-4, "betas": [0.8, 0.99], "eps": 1e-6, "weight_decay": 0.1,
                  "adam_w_mode": false, "bias_correction": false}},
    "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": 1e-6, "warmup_num_steps": 1,
                  "total_num_steps": 50, "warmup_type": "linear"}},
    "fp16": {"enabled": true, "initial_scale_power": 12, "hysteresis": 3}, "communication_data_type": "FP32",
    "data_types": {"grad_accum_dtype": "fp32"},
    "zero_optimization": {"stage": 3, "sub_group_size": 7, "zero_quantized_weights": true,
      "offload_optimizer": {"device": "nvme", "nvme_path": "/n", "ratio": 0.5, "buffer_count": 12},
      "offload_param": {"device": "CPU", "buffer_size": 3, "pin_memory": false}},
    "activation_checkpointing": {"cpu_checkpointing": true, "number_checkpoints": 4},
    "aio": {"block_size": 4096, "use_gds": true}})");
  EXPECT_EQ(spec.gradient_clipping, 0.5);
  EXPECT_EQ(spec.optimizer.kind, OptimizerKind::kAdam);
  EXPECT_EQ(spec.optimizer.lr, 2e-4);
  EXPECT_EQ(spec.optimizer.beta1, 0.8);
  EXPECT_FALSE(spec.optimizer.bias_correction);
  EXPECT_EQ(spec.schedule.kind, ScheduleKind::kWarmupDecayLR);
  EXPECT_EQ(spec.schedule.warmup_max_lr, 1e-3);
  EXPECT_EQ(spec.schedule.warmup_num_steps, 2);
  EXPECT_FALSE(spec.schedule.warmup_log);
  EXPECT_EQ(spec.precision.kind, Precision::kFp16);
  EXPECT_EQ(spec.precision.initial_scale_power, 12);
  EXPECT_EQ(spec.precision.communication_data_type, "fp32");
  EXPECT_EQ(spec.precision.grad_accum_dtype, "fp32");
  EXPECT_TRUE(spec.zero.quantized_weights);
  EXPECT_EQ(spec.zero.offload_optimizer.device, OffloadDevice::kNvme);
  EXPECT_EQ(spec.zero.offload_optimizer.ratio, 0.5);
  EXPECT_EQ(spec.zero.offload_param.device, OffloadDevice::kCpu);
  EXPECT_FALSE(spec.zero.offload_param.pin_memory);
  EXPECT_TRUE(spec.checkpointing.cpu_checkpointing);
  EXPECT_EQ(spec.aio.block_size, 4096);
}

TEST(TrainingSchedule, WarmupLRTakesTheOptimizersRate) {
  const std::string base = R"("optimizer": {"type": "AdamW", "params": {"lr": 0.25}}, "scheduler": )";
  EXPECT_EQ(read(with_batch(base + R"({"type": "WarmupLR"})")).schedule.warmup_max_lr, 0.25);
  EXPECT_EQ(read(with_batch(base + R"({"type": "WarmupLR", "params": {"warmup_max_lr": 0.5}})")).schedule.warmup_max_lr,
            0.5);
}

TEST(TrainingAuto, HuggingFaceFillsIn) {
  AutoValues autos;
  autos.hidden = 4096;
  autos.micro_batch = 4;
  autos.accumulation = 2;
  autos.max_grad_norm = 0.7;
  autos.warmup_steps = 30;
  autos.total_steps = 300;
  autos.precision = Precision::kBf16;
  const TrainingSpec spec = read(R"({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto", "gradient_clipping": "auto", "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto"}, "amp": {"enabled": "auto", "opt_level": "auto"},
    "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}},
    "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto",
                  "warmup_num_steps": "auto", "total_num_steps": "auto"}},
    "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto",
                          "stage3_param_persistence_threshold": "auto", "sub_group_size": "auto"}})",
                                 8, autos);
  EXPECT_EQ(spec.train_batch_size, 8 * 4 * 2);
  EXPECT_EQ(spec.micro_batch, 4);
  EXPECT_EQ(spec.accumulation, 2);
  EXPECT_EQ(spec.gradient_clipping, 0.7);
  EXPECT_EQ(spec.precision.kind, Precision::kBf16);
  EXPECT_EQ(spec.optimizer.lr, 5e-5);
  EXPECT_EQ(spec.schedule.warmup_max_lr, 5e-5);
  EXPECT_EQ(spec.schedule.warmup_num_steps, 30);
  EXPECT_EQ(spec.schedule.total_num_steps, 300);
  EXPECT_EQ(spec.zero.reduce_bucket_size, 4096 * 4096);
  EXPECT_EQ(spec.zero.prefetch_bucket_size, 15'099'494);
  EXPECT_EQ(spec.zero.param_persistence_threshold, 40'960);
  EXPECT_EQ(spec.zero.sub_group_size, 1'000'000'000);  // nobody fills it in: DeepSpeed drops it
}

TEST(TrainingAuto, NeedsToKnowTheModel) {
  EXPECT_THAT(refusal(zero(R"("stage": 1, "reduce_bucket_size": "auto")")),
              HasSubstr("hidden size, but no model is given"));
  EXPECT_EQ(read(zero(R"("stage": 2, "stage3_prefetch_bucket_size": "auto")")).zero.prefetch_bucket_size, 50'000'000);
  EXPECT_THAT(refusal(with_batch(R"("steps_per_print": "auto")")), HasSubstr("nobody fills in"));
  EXPECT_THAT(refusal(with_batch(R"("scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": "auto"}})")),
              HasSubstr("number of steps is not known"));
}

TEST(TrainingKeys, TableIsSound) {
  for (const KeyRow& row : training_keys()) {
    EXPECT_EQ(find_training_key(row.path), &row) << row.path << " is there twice";
    const std::size_t dot = row.path.rfind('.');
    if (dot == std::string_view::npos) continue;
    const KeyRow* block = find_training_key(row.path.substr(0, dot));
    ASSERT_NE(block, nullptr) << row.path << " is in no block";
    EXPECT_TRUE(block->is_block()) << row.path;
  }
  EXPECT_GT(training_keys().size(), 300u);
}

TEST(TrainingKeys, DocumentHoldsTheTable) {
  std::ifstream in(SHARDSCOPE_SOURCE_DIR "/docs/ds_config.md");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_TRUE(text.ends_with(training_keys_markdown())) << "paste the output of `shardscope check --keys` into it";
}

/// Every prefix of a good file is refused or read, never worse.
TEST(TrainingKeys, TruncatedFilesAreRefused) {
  const std::string good =
      zero(R"("stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 0.5}, "overlap_comm": true)");
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_NE(refusal(good.substr(0, size)), "accepted") << size;
  EXPECT_EQ(refusal(good), "accepted");
}

}  // namespace
}  // namespace shardscope
