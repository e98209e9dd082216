#include "simulator/like/op_facts.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "core/program/lower.h"
#include "profiler/store/test_profile.h"
#include "simulator/like/measured_run.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;

constexpr const char* kJob = R"({"model": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 32,
  "n_positions": 16, "vocab_size": 64}, "data": {"seq_len": 16}, "parallel": {"dp": 2},
  "deepspeed": {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1,
                "zero_optimization": {"stage": 2}}})";

/// A run of the job, two ranks whose programs are recorded and never ran; `record` is its job_json.
class Facts : public ::testing::Test {
 protected:
  OpFacts facts_of(const std::string& record, int op) {
    const std::string path = folder_.file("run" + std::to_string(count_++) + ".db");
    RunInfo info = testing::tiny_run("run");
    info.job_json = record;
    ProfileWriter writer(path, info);
    for (int rank = 0; rank < 2; ++rank) writer.open_rank(rank, lower(job_, rank))->finish({}, 0);
    writer.finish();
    return op_facts(Profile(path), 1, 1, op);
  }
  int first(const char* kind) const {
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      if (op_name(program_.instructions[i].op) == kind) return static_cast<int>(i);
    }
    return -1;
  }
  testing::TempFolder folder_;
  Job job_ = parse_job(kJob, "job.json", {});
  Program program_ = lower(job_, 1);
  int count_ = 0;
};

TEST_F(Facts, OfAProductAreItsShapesAndWhatItShouldCost) {
  const OpFacts facts = facts_of(job_record(job_, {2, 1}), first("matmul"));
  ASSERT_EQ(facts.problem, "");
  const auto& product = std::get<MatMul>(program_.instructions[static_cast<std::size_t>(first("matmul"))].op);
  ASSERT_GE(facts.operands.size(), 3U);
  EXPECT_EQ(facts.operands[0].role, "a");
  EXPECT_EQ(facts.operands[0].shape, "f32 [" + std::to_string(product.m) + ", " + std::to_string(product.k) + "]");
  EXPECT_THAT(facts.sizes, HasSubstr("m " + std::to_string(product.m)));
  EXPECT_FALSE(facts.parts.empty());
  for (const CostFact& part : facts.parts) {
    EXPECT_GT(part.value, 0) << part.what;
    EXPECT_THAT(part.source, HasSubstr("machine of 2 cores")) << "and which model of it";
  }
  ASSERT_FALSE(facts.constants.empty());
  for (const CostFact& c : facts.constants) EXPECT_THAT(c.source, HasSubstr("uess")) << c.what;
  EXPECT_GT(facts.peak_flops, 0);
  EXPECT_GT(facts.bandwidth, 0);
}

TEST_F(Facts, OfAClusterNameTheirSources) {
  job_.cluster = "dgx-h100:8";
  const OpFacts facts = facts_of(job_record(job_, {2, 1}), first("matmul"));
  ASSERT_EQ(facts.problem, "");
  ASSERT_FALSE(facts.constants.empty());
  EXPECT_TRUE(std::any_of(facts.constants.begin(), facts.constants.end(), [](const CostFact& c) {
    return c.what.find("matmul_efficiency") != std::string::npos && !c.source.empty();
  }));
  EXPECT_GT(facts.bandwidth, 1e12);
  EXPECT_LT(facts.peak_flops, 100e12) << "fp32's, not that of narrower types";
}

TEST_F(Facts, SayWhatAnOpWaitsFor) {
  const int reduce = first("reduce_scatter") >= 0 ? first("reduce_scatter") : first("all_reduce");
  ASSERT_GE(reduce, 0);
  const OpFacts facts = facts_of(job_record(job_, {2, 1}), reduce);
  ASSERT_FALSE(facts.flow.empty());
  for (const FlowEdge& edge : facts.flow) {
    EXPECT_LT(edge.from, edge.to);
    EXPECT_EQ(edge.to, reduce);
  }
}

TEST_F(Facts, WhatARunDoesNotSayIsSaid) {
  EXPECT_THAT(facts_of("{}", 0).problem, HasSubstr("without its job"));
  EXPECT_THAT(facts_of("[1", 0).problem, HasSubstr("job_json"));
  EXPECT_THAT(facts_of(job_record(job_, {2, 1}), 1 << 20).problem, HasSubstr("no op"));
  std::string other = job_record(job_, {2, 1});
  other.replace(other.find("\"n_layer\":1"), 11, "\"n_layer\":2");
  EXPECT_THAT(facts_of(other, 0).problem, HasSubstr("another program"));
  other.replace(other.find("\"n_layer\":2"), 11, "\"n_layer\":9000");
  EXPECT_THAT(facts_of(other, 0).problem, HasSubstr("not the one that was recorded"));
  job_.machine = "/dev/zero";
  const OpFacts gone = facts_of(job_record(job_, {2, 1}), first("matmul"));
  EXPECT_EQ(gone.problem, "");
  EXPECT_THAT(gone.constants.at(0).source, HasSubstr("not there any more"));
}

}  // namespace
}  // namespace shardscope
