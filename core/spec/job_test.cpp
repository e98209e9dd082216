#include "core/spec/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

constexpr const char* kModel =
    R"("model": {"model_type": "gpt2", "vocab_size": 256, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32})";

Job job(const std::string& more, const JobOverrides& flags = {}) {
  return parse_job("{" + std::string(kModel) + more + "}", "job.json", flags);
}

std::string refusal(const std::string& more, const JobOverrides& flags = {}) {
  try {
    job(more, flags);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Job, DefaultsOfAJobWithNothingButAModel) {
  const Job plain = job("");
  EXPECT_EQ(plain.training.micro_batch, 1);
  EXPECT_EQ(plain.training.accumulation, 1);
  EXPECT_EQ(plain.training.optimizer.kind, OptimizerKind::kAdamW);
  EXPECT_EQ(plain.training.zero.stage, 0);
  EXPECT_EQ(plain.parallel.ranks(), 1);
  EXPECT_EQ(plain.data.seq_len, 32);
  EXPECT_EQ(plain.seed, 42u);
  EXPECT_EQ(plain.backend, "cpu");
}

TEST(Job, FlagsReplaceKeys) {
  JobOverrides flags;
  flags.ranks = 4;
  flags.stage = 3;
  flags.steps = 7;
  flags.micro_batch = 2;
  flags.zero_mode = "deepspeed";
  const Job mixed =
      job(R"(, "steps": 3, "deepspeed": {"train_batch_size": 9, "zero_optimization": {"stage": 1}})", flags);
  EXPECT_EQ(mixed.parallel.dp, 4);
  EXPECT_EQ(mixed.training.zero.stage, 3);
  EXPECT_TRUE(mixed.training.zero.overlap_comm);
  EXPECT_EQ(mixed.steps, 7);
  EXPECT_EQ(mixed.training.train_batch_size, 8);
  EXPECT_EQ(mixed.zero_mode, ZeroMode::kDeepSpeed);
}

TEST(Job, EveryKeyOfTheJobFileIsRead) {
  const Job full = job(R"(, "parallel": {"dp": 2, "tp": 2, "pp": 2, "cp": 2, "ep": 1, "sp": true, "ulysses": 2,
      "schedule": "zb-h1", "virtual_stages": 2, "partition": "uniform"}, "recompute": "full", "zero_mode": "deepspeed",
      "data": {"path": "corpus", "tokenizer": "/t.model", "seq_len": 16}, "steps": 5, "seed": 7, "backend": "cuda",
      "launcher": "mpi", "hang_timeout_s": 7.5, "device_memory_bytes": 1e9, "machine": "m.json", "cluster": "c.json", "profile": "p.db",
      "deepspeed": {"train_micro_batch_size_per_gpu": 3})");
  EXPECT_EQ(full.parallel.ranks(), 16);
  EXPECT_TRUE(full.parallel.sp);
  EXPECT_EQ(full.parallel.schedule, PipelineSchedule::kZbH1);
  EXPECT_EQ(full.parallel.partition, Partition::kUniform);
  EXPECT_EQ(full.recompute, Recompute::kFull);
  EXPECT_EQ(full.data.path, "corpus");
  EXPECT_EQ(full.data.tokenizer, "/t.model");
  EXPECT_EQ(full.data.seq_len, 16);
  EXPECT_EQ(full.device_memory_bytes, 1'000'000'000);
  EXPECT_EQ(full.launcher, "mpi");
  EXPECT_EQ(full.hang_timeout_s, 7.5);
  EXPECT_EQ(full.training.train_batch_size, 6);
}

TEST(Job, AutoValuesComeFromTheModel) {
  const Job filled = job(R"(, "deepspeed": {"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 3,
      "reduce_bucket_size": "auto", "stage3_param_persistence_threshold": "auto"}})");
  EXPECT_EQ(filled.training.zero.reduce_bucket_size, 64 * 64);
  EXPECT_EQ(filled.training.zero.param_persistence_threshold, 640);
}

TEST(Job, RecomputationGoesByBlocksOrGroupsOfThem) {
  EXPECT_EQ(job("").recompute_every, 1);
  const Job text = job(R"(, "recompute": "full/3")"), object = job(R"(, "recompute": {"mode": "full", "every": 3})");
  for (const Job* j : {&text, &object}) {
    EXPECT_EQ(j->recompute, Recompute::kFull);
    EXPECT_EQ(j->recompute_every, 3);
  }
  EXPECT_THAT(refusal(R"(, "recompute": "partly")"), HasSubstr("none, selective, full"));
  EXPECT_THAT(refusal(R"(, "recompute": "full/none")"), HasSubstr("recompute.every"));
  EXPECT_THAT(refusal(R"(, "recompute": "full/0")"), HasSubstr("recompute.every is 0"));
  EXPECT_THAT(refusal(R"(, "recompute": "selective/2")"), HasSubstr("only full recomputation goes by groups"));
  EXPECT_THAT(refusal(R"(, "recompute": {"mode": "full", "evry": 2})"), HasSubstr("did you mean \"every\"?"));
}

TEST(Job, RefusesWithFileAndKey) {
  EXPECT_THAT(refusal(R"(, "paralel": {})"), HasSubstr("paralel is not a known key; did you mean \"parallel\"?"));
  EXPECT_THAT(refusal(R"(, "parallel": {"dp": 0})"), HasSubstr("job.json:1: parallel.dp is 0"));
  EXPECT_THAT(refusal(R"(, "parallel": {"schedule": "2f2b"})"), HasSubstr("gpipe, 1f1b"));
  EXPECT_THAT(refusal(R"(, "parallel": {"dp": 1e6, "tp": 1e6, "pp": 1e6, "cp": 1e6})"), HasSubstr("16777216"));
  EXPECT_THAT(refusal(R"(, "data": {"seq_len": 64})"), HasSubstr("positions 1 to 32"));
  EXPECT_THAT(refusal(R"(, "steps": 0)"), HasSubstr("steps is 0"));
  EXPECT_THAT(refusal(R"(, "launcher": "ssh")"), HasSubstr("auto, threads, mpi"));
  EXPECT_THAT(refusal(R"(, "hang_timeout_s": -1)"), HasSubstr("hang_timeout_s is -1"));
  EXPECT_THAT(refusal(R"(, "deepspeed": {"zero_optimization": {"stage": 4}, "train_batch_size": 1})"),
              HasSubstr("job.json:1: deepspeed.zero_optimization.stage is 4"));
  EXPECT_THAT(refusal(R"(, "deepspeed": [])"), HasSubstr("deepspeed"));
  EXPECT_THAT(refusal(R"(, "deepspeed": {})"), HasSubstr("train_micro_batch_size_per_gpu"));
  JobOverrides flags;
  flags.ranks = 3;
  EXPECT_THAT(refusal(R"(, "parallel": {"tp": 2})", flags), HasSubstr("multiple of tp*pp*cp = 2"));
  flags.ranks = 0;
  EXPECT_THAT(refusal("", flags), HasSubstr("--ranks 0"));
  EXPECT_THAT(refusal(R"(, "model": {})"), HasSubstr("duplicate key"));
}

TEST(Job, PathsAreRelativeToTheFile) {
  const auto folder = std::filesystem::temp_directory_path() / "shardscope_job_test";
  std::filesystem::create_directories(folder / "model");
  std::ofstream(folder / "model" / "config.json")
      << R"({"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 4})";
  std::ofstream(folder / "ds.json") << R"({"train_micro_batch_size_per_gpu": 5})";
  std::ofstream(folder / "job.json") << R"({"model": "model", "deepspeed": "ds.json", "data": {"path": "text"}})";
  const Job loaded = load_job((folder / "job.json").string(), {});
  EXPECT_EQ(loaded.model.name, "model");
  EXPECT_EQ(loaded.training.micro_batch, 5);
  EXPECT_EQ(loaded.data.path, (folder / "text").string());
  std::filesystem::remove_all(folder);
}

TEST(Job, WithoutAFileEverythingComesFromFlags) {
  EXPECT_THROW(load_job("", {}), Error);
  EXPECT_THROW(load_job("/no/such/job.json", {}), Error);
}

}  // namespace
}  // namespace shardscope
