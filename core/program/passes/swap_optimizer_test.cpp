#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/clocks.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kSubGroup = 4096;

/// 42,752 elements on two ranks at stage 3: six sub-groups of 4096 on each, and less than that where a rank has less.
Job make_job(bool pipeline_read, bool pipeline_write) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 3, "n_head": 4,
                              "n_positions": 64})",
                          "test model");
  job.data.seq_len = 16;
  job.parallel.dp = 2;
  job.training.micro_batch = job.training.accumulation = 1;
  job.training.train_batch_size = 2;
  job.training.zero.stage = 3;
  job.training.zero.overlap_comm = true;
  job.training.zero.param_persistence_threshold = 0;
  job.training.zero.sub_group_size = kSubGroup;
  OffloadSpec& offload = job.training.zero.offload_optimizer;
  offload.device = OffloadDevice::kNvme;
  offload.nvme_path = "/n";
  offload.pipeline_read = pipeline_read;
  offload.pipeline_write = pipeline_write;
  return job;
}

/// Reads, Adams and writes of each sub-group, and what is ordered before what.
struct Swaps {
  explicit Swaps(const Program& p) : program(p), clocks(p.instructions.size()) {
    for (std::size_t i = 0; i < p.instructions.size(); ++i) {
      const Instruction& in = p.instructions[i];
      const OpId id{static_cast<std::int32_t>(i)};
      if (is_memory_op(in.op)) continue;
      clocks.begin(id, in.lane);
      for (OpId other : in.after) clocks.join(id, other, p.instruction(other).lane);
      if (std::holds_alternative<NvmeRead>(in.op)) reads.push_back(id);
      if (std::holds_alternative<NvmeWrite>(in.op)) writes.push_back(id);
      if (std::holds_alternative<Adam>(in.op)) adams.push_back(id);
    }
  }
  bool is_after(OpId later, OpId earlier) const {
    return clocks.is_after(later, earlier, program.instruction(earlier).lane);
  }
  /// Of the three reads or writes of sub-group k, the first or the last.
  OpId first(const std::vector<OpId>& ops, std::size_t k) const { return ops[3 * k]; }
  OpId last(const std::vector<OpId>& ops, std::size_t k) const { return ops[3 * k + 2]; }

  const Program& program;
  Clocks clocks;
  std::vector<OpId> reads, writes, adams;
};

TEST(SwapOptimizer, StateLivesOnTheDriveAndSomeSubGroupsOfItInMemory) {
  for (const auto& [read, write, depth] :
       {std::tuple{false, false, 1}, {true, false, 2}, {false, true, 2}, {true, true, 3}}) {
    const Program p = lower(make_job(read, write), 0);
    const MemoryPeak peak = compute_memory_peak(p);
    std::int64_t elements = 0;
    for (const Instruction& in : p.instructions) {
      if (const auto* adam = std::get_if<Adam>(&in.op)) elements += adam->param.count;
    }
    const auto row = [&](Space space) { return peak.peak_by_category.bytes[static_cast<std::size_t>(space)]; };
    const auto of = [](const auto& categories, Category c) { return categories[static_cast<std::size_t>(c)]; };
    EXPECT_GE(of(row(Space::kNvme), Category::kMaster), 4 * elements);
    EXPECT_LE(of(row(Space::kNvme), Category::kMaster), 4 * elements + kNvmeAlignment);
    EXPECT_EQ(of(row(Space::kNvme), Category::kOptimizer), 2 * of(row(Space::kNvme), Category::kMaster));
    EXPECT_EQ(of(row(Space::kPinned), Category::kMaster) + of(row(Space::kPinned), Category::kOptimizer), 0);
    EXPECT_EQ(of(row(Space::kPinned), Category::kWorkspace), depth * 3 * 4 * kSubGroup + kAlignment);
    EXPECT_EQ(of(row(Space::kDevice), Category::kOptimizer), 0);
  }
}

TEST(SwapOptimizer, AReadWaitsOnlyForTheWriteThatFreesItsBuffers) {
  for (const auto& [read, write, depth] : {std::tuple{false, false, 1}, {true, false, 2}, {true, true, 3}}) {
    const Program p = lower(make_job(read, write), 0);
    const Swaps swaps(p);
    const std::size_t groups = swaps.reads.size() / 3;
    ASSERT_EQ(groups, 6U);
    ASSERT_EQ(swaps.writes.size(), swaps.reads.size());
    for (std::size_t k = static_cast<std::size_t>(depth); k < groups; ++k) {
      EXPECT_TRUE(swaps.is_after(swaps.last(swaps.reads, k), swaps.last(swaps.writes, k - depth)));
    }
    for (std::size_t k = 1; k < groups; ++k) {  // the next read may begin while this sub-group is updated
      const bool waits = swaps.is_after(swaps.first(swaps.reads, k), swaps.first(swaps.writes, k - 1));
      EXPECT_EQ(waits, depth == 1) << k;
    }
  }
}

TEST(SwapOptimizer, WithPipelinedReadsTheFirstRunBesideBackward) {
  for (const bool read : {false, true}) {
    const Program p = lower(make_job(read, false), 0);
    const Swaps swaps(p);
    EXPECT_EQ(p.instruction(swaps.reads.front()).label.phase, Phase::kOptimizer);
    std::int32_t last_backward = 0;
    for (std::size_t i = 0; i < p.instructions.size(); ++i) {
      if (p.instructions[i].label.phase == Phase::kBackward) last_backward = static_cast<std::int32_t>(i);
    }
    EXPECT_EQ(swaps.reads.front().index < last_backward, read);
  }
}

TEST(SwapOptimizer, EveryElementOfTheStateHasOneHomeThere) {
  const Program p = lower(make_job(true, true), 1);
  std::int64_t masters = 0, moments = 0, parameters = 0;
  for (const StatePiece& piece : p.state) {
    const Space space = p.buffer(piece.home.buffer).space;
    if (piece.role == StateRole::kParameter) {
      EXPECT_EQ(space, Space::kDevice);
      parameters += piece.home.count;
    } else {
      EXPECT_EQ(space, Space::kNvme);
      (piece.role == StateRole::kMaster ? masters : moments) += piece.home.count;
    }
  }
  EXPECT_EQ(masters, parameters);
  EXPECT_EQ(moments, 2 * parameters);
}

std::string refusal(const Job& job) {
  try {
    lower(job, 0);
  } catch (const Error& error) {
    return error.what();
  }
  return "lowered";
}

TEST(SwapOptimizer, RefusesWhatDeepSpeedRefuses) {
  Job job = make_job(false, false);
  job.training.zero.stage = 2;
  EXPECT_THAT(refusal(job), HasSubstr("nvme needs stage 3"));
  job = make_job(false, false);
  job.training.zero.offload_optimizer.nvme_path.clear();
  EXPECT_THAT(refusal(job), HasSubstr("offload_optimizer.nvme_path: is missing"));
}

}  // namespace
}  // namespace shardscope
