#include "core/spec/job_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/spec/job.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

constexpr const char* kJob =
    R"({"model": {"model_type": "gpt2", "vocab_size": 256, "n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 32},
        "parallel": {"dp": 4}, "deepspeed": {"train_batch_size": 16, "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2, "zero_optimization": {"stage": 1}}})";

Job with(const std::vector<std::string>& settings) {
  const std::string text = parse_job(kJob, "job.json", {}).text;
  return parse_job(apply_job_settings(text, settings), "run.db", {});
}

std::string refusal(const std::vector<std::string>& settings) {
  try {
    with(settings);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(JobSettings, TextOfAJobIsTheJob) {
  JobOverrides flags;
  flags.ranks = 2;
  flags.micro_batch = 3;
  flags.stage = 3;
  flags.seq_len = 8;
  flags.model = "gpt2";
  flags.recompute = "full/2";
  flags.seed = 5;
  const Job job = parse_job(kJob, "job.json", flags), again = parse_job(job.text, "elsewhere", {});
  EXPECT_EQ(again.model.name, "gpt2");
  EXPECT_EQ(again.model.layers, 12);
  EXPECT_EQ(again.parallel.ranks(), 2);
  EXPECT_EQ(again.training.train_batch_size, job.training.train_batch_size);
  EXPECT_EQ(again.training.micro_batch, 3);
  EXPECT_EQ(again.training.zero.stage, 3);
  EXPECT_EQ(again.data.seq_len, 8);
  EXPECT_EQ(again.recompute_every, 2);
  EXPECT_EQ(again.seed, 5U);
  EXPECT_EQ(again.text, job.text);
}

TEST(JobSettings, NamesOfWhatifAndPathsOfTheJobFile) {
  const Job job = with({"zero=3", "deepspeed.zero_optimization.overlap_comm=true", "seq=16", "recompute=full",
                        "precision=bf16", "offload=optimizer-cpu", "data.path=text.txt"});
  EXPECT_EQ(job.training.zero.stage, 3);
  EXPECT_TRUE(job.training.zero.overlap_comm);
  EXPECT_EQ(job.data.seq_len, 16);
  EXPECT_EQ(job.recompute, Recompute::kFull);
  EXPECT_EQ(job.training.precision.kind, Precision::kBf16);
  EXPECT_EQ(job.training.train_batch_size, 16);
  EXPECT_EQ(with({"precision=bf16", "precision=fp32"}).training.precision.kind, Precision::kFp32);
  EXPECT_EQ(with({"precision=fp8"}).training.precision.kind, Precision::kBf16);
  EXPECT_TRUE(with({"precision=fp8"}).fp8.enabled);
  EXPECT_FALSE(with({"precision=fp8", "precision=bf16"}).fp8.enabled);
  EXPECT_EQ(with({"precision=fp8", "fp8.format=e4m3"}).fp8.format, Fp8Spec::Format::kE4M3);
}

TEST(JobSettings, SizesAndBatchFollow) {
  EXPECT_EQ(with({"tp=2"}).parallel.dp, 2);            // of as many ranks
  EXPECT_EQ(with({"tp=2"}).training.accumulation, 4);  // the same batch
  EXPECT_EQ(with({"ranks=8"}).parallel.dp, 8);
  EXPECT_EQ(with({"ranks=8"}).training.accumulation, 1);
  EXPECT_EQ(with({"dp=2", "pp=2"}).parallel.ranks(), 4);
  EXPECT_EQ(with({"micro_batch=1"}).training.train_batch_size, 8);
  EXPECT_EQ(with({"global_batch=64"}).training.accumulation, 8);
}

TEST(JobSettings, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(refusal({"zero.stag=3"}), HasSubstr("did you mean \"zero.stage\""));
  EXPECT_THAT(refusal({"links.nic_gbps=800"}), HasSubstr("there is no such key"));
  EXPECT_THAT(refusal({"parallel.tq=2"}), HasSubstr("did you mean"));
  EXPECT_THAT(refusal({"zero.stage"}), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(refusal({"precision=fp4"}), HasSubstr("bf16, fp16 and fp8"));
  EXPECT_THAT(refusal({"fp8.format=e5m2"}), HasSubstr("hybrid, e4m3"));
  EXPECT_THAT(refusal({"offload=gpu"}), HasSubstr("optimizer-cpu"));
  EXPECT_THAT(refusal({"tp=3"}), HasSubstr("do not divide 4 ranks"));
  EXPECT_THAT(refusal({"ranks=none"}), HasSubstr("whole number"));
  EXPECT_THAT(refusal({"zero.stage=7"}), HasSubstr("stage"));
}

}  // namespace
}  // namespace shardscope
