// Programs of models with experts: what a rank holds, what it exchanges and over which ranks, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// 2 blocks of 4 experts, 2 per token; micro-batches of 2 * 8 rows of 8 elements.
Job make_job(int dp, int ep, int stage) {
  Job job;
  job.model = parse_model(R"({"model_type": "mixtral", "vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 2,
      "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32, "num_local_experts": 4,
      "num_experts_per_tok": 2})",
                          "test model");
  job.data.seq_len = 8;
  job.parallel.dp = dp, job.parallel.ep = ep;
  job.training.micro_batch = 2;
  job.training.accumulation = 1;
  job.training.train_batch_size = 2 * dp;
  job.training.zero.stage = stage;
  job.training.zero.param_persistence_threshold = 0;
  return job;
}

std::string refusal(const Job& job) {
  try {
    lower(job, 0);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

template <class T>
std::vector<T> ops_of(const Program& program) {
  std::vector<T> found;
  for (const Instruction& in : program.instructions) {
    if (const auto* op = std::get_if<T>(&in.op)) found.push_back(*op);
  }
  return found;
}

TEST(Experts, ARankHasItsOwnOnly) {
  std::set<std::string> experts;
  for (const Parameter& p : lower(make_job(4, 2, 0), 3).parameters) {
    const std::size_t at = p.name.find(".experts.");
    if (at != std::string::npos) experts.insert(p.name.substr(at + 9, 1));
  }
  EXPECT_THAT(experts, ElementsAre("2", "3"));
}

TEST(Experts, RowsGoOutAndComeBackOncePerLocalExpertForwardAndBackward) {
  const Program program = lower(make_job(4, 2, 0), 1);
  const auto exchanges = ops_of<AllToAll>(program);
  EXPECT_EQ(exchanges.size(), 2U * 2 * 2 * 2);  // blocks, local experts, there and back, forward and backward
  for (const AllToAll& exchange : exchanges) {
    EXPECT_THAT(program.group(exchange.group).ranks, ElementsAre(0, 1));
    EXPECT_EQ(exchange.in.count, 2 * 16 * 8);  // ranks * slots for all rows * hidden
  }
  EXPECT_TRUE(ops_of<AllToAll>(lower(make_job(4, 1, 0), 1)).empty());
}

TEST(Experts, ACapacityFactorBoundsTheirRows) {
  Job job = make_job(1, 1, 0);
  const auto capacity = [&](double factor) {
    job.moe.capacity_factor = factor;
    return ops_of<Route>(lower(job, 0)).front().capacity;
  };
  EXPECT_EQ(capacity(0), 16);  // all rows of the micro-batch
  EXPECT_EQ(capacity(1), 8);   // 16 rows * 2 choices / 4 experts
  EXPECT_EQ(capacity(1.1), 9);
  EXPECT_EQ(capacity(0.001), 1);
  EXPECT_EQ(capacity(100), 16);
}

/// Sums of gradients, by the ranks they go over.
std::map<std::vector<int>, std::int64_t> reduced_elements(const Program& program) {
  std::map<std::vector<int>, std::int64_t> sums;
  for (const AllReduce& op : ops_of<AllReduce>(program)) {
    if (op.data.count > 1) sums[program.group(op.group).ranks] += op.data.count;
  }
  for (const ReduceScatter& op : ops_of<ReduceScatter>(program)) sums[program.group(op.group).ranks] += op.in.count;
  return sums;
}

TEST(Experts, TheirGradientsAreSummedOverTheRanksThatHaveThemToo) {
  const std::int64_t experts = 2LL * 2 * 3 * 8 * 16, all = parameter_count(make_job(1, 1, 0).model);
  for (const int stage : {0, 1, 2, 3}) {
    auto sums = reduced_elements(lower(make_job(4, 2, stage), 2));
    EXPECT_EQ((sums[{0, 2}]), experts) << stage;
    EXPECT_GE((sums[{0, 1, 2, 3}]), all - 2 * experts) << stage;  // and padding
    EXPECT_LT((sums[{0, 1, 2, 3}]), all - 2 * experts + 512) << stage;
  }
}

/// Whatever the stage, an expert that no other rank has is neither sharded nor gathered nor reduced.
TEST(Experts, WhatOnlyOneRankHasStaysThere) {
  for (const int stage : {1, 2, 3}) {
    const Program program = lower(make_job(2, 2, stage), 0);
    for (const AllGather& op : ops_of<AllGather>(program)) EXPECT_EQ(program.group(op.group).size(), 2);
    EXPECT_EQ(reduced_elements(program).size(), 1U);
    std::int64_t moments = 0;
    for (const StatePiece& piece : program.state) {
      const Parameter& p = program.parameters[static_cast<std::size_t>(piece.parameter)];
      if (piece.role == StateRole::kExpAvg && p.name.find(".experts.") != std::string::npos)
        moments += piece.home.count;
    }
    EXPECT_EQ(moments, 2 * 2 * 3 * 8 * 16) << stage;
  }
}

TEST(Experts, WhatCannotRunIsRefused) {
  EXPECT_THAT(refusal(make_job(3, 3, 0)), HasSubstr("parallel.ep: is 3; it must divide the 4 experts"));
  EXPECT_THAT(refusal(make_job(3, 2, 0)), HasSubstr("parallel.ep: is 2; it must divide the data-parallel size 3"));
  Job job = make_job(4, 2, 3);
  job.training.zero.mics_shard_size = 2;
  EXPECT_THAT(refusal(job), HasSubstr("mics_shard_size"));
  job = make_job(2, 2, 1);
  job.zero_mode = ZeroMode::kDeepSpeed;
  EXPECT_THAT(refusal(job), HasSubstr("zero_mode: deepspeed with parallel.ep"));
  job = make_job(2, 1, 0);
  job.zero_mode = ZeroMode::kDeepSpeed;
  job.parallel.tp = 2;
  EXPECT_THAT(refusal(job), HasSubstr("zero_mode: deepspeed with parallel.tp and experts"));
  job = make_job(2, 2, 0);
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 32, "n_embd": 8, "n_layer": 1, "n_head": 1})", "gpt");
  EXPECT_THAT(refusal(job), HasSubstr("parallel.ep: model gpt2 has no experts"));
  job.parallel.ep = 1;
  job.moe.capacity_factor = 1;
  EXPECT_THAT(refusal(job), HasSubstr("moe.capacity_factor: model gpt2 has no experts"));
}

}  // namespace
}  // namespace shardscope
