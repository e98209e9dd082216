#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

Job make_job(OffloadDevice params, OffloadDevice optimizer, int dp = 2) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 3, "n_head": 4,
                              "n_positions": 64})",
                          "test model");
  job.data.seq_len = 16;
  job.parallel.dp = dp;
  job.training.micro_batch = job.training.accumulation = 1;
  job.training.train_batch_size = dp;
  ZeroSpec& zero = job.training.zero;
  zero.stage = 3;
  zero.overlap_comm = true;
  zero.param_persistence_threshold = 0;
  zero.offload_param.device = params;
  zero.offload_param.max_in_cpu = 0;
  zero.offload_optimizer.device = optimizer;
  zero.offload_param.nvme_path = zero.offload_optimizer.nvme_path = "/n";
  return job;
}

std::int64_t peak(const Program& p, Space space, Category category) {
  return compute_memory_peak(p)
      .peak_by_category.bytes[static_cast<std::size_t>(space)][static_cast<std::size_t>(category)];
}

std::int64_t elements(const Program& p, Space space, StateRole role) {
  std::int64_t sum = 0;
  for (const StatePiece& piece : p.state) {
    sum += piece.role == role && p.buffer(piece.home.buffer).space == space ? piece.home.count : 0;
  }
  return sum;
}

TEST(OffloadParam, ShardsLiveOnTheHostAndGoStraightToTheirPlaceInTheGather) {
  const Program before = lower(make_job(OffloadDevice::kNone, OffloadDevice::kCpu), 1);
  const Program p = lower(make_job(OffloadDevice::kCpu, OffloadDevice::kCpu), 1);
  EXPECT_EQ(peak(p, Space::kDevice, Category::kParameter), 0);
  EXPECT_EQ(peak(p, Space::kDevice, Category::kBucket), peak(before, Space::kDevice, Category::kBucket));
  int gathers = 0;
  for (const Instruction& in : p.instructions) {
    const auto* gather = std::get_if<AllGather>(&in.op);
    if (gather == nullptr) continue;
    ++gathers;
    EXPECT_EQ(gather->in, gather->out.part(gather->in.count, gather->in.count));  // rank 1's place
  }
  EXPECT_GE(gathers, 7);
}

TEST(OffloadParam, AHostOptimizerUpdatesTheShardItself) {
  const Program p = lower(make_job(OffloadDevice::kCpu, OffloadDevice::kCpu), 0);
  EXPECT_EQ(peak(p, Space::kPinned, Category::kMaster), 0);
  EXPECT_EQ(elements(p, Space::kPinned, StateRole::kMaster), 0);
  EXPECT_GT(elements(p, Space::kPinned, StateRole::kParameter), 0);
  for (const Instruction& in : p.instructions) {
    if (const auto* adam = std::get_if<Adam>(&in.op)) {
      EXPECT_EQ(p.buffer(adam->param.buffer).category, Category::kParameter);
    }
  }
}

TEST(OffloadParam, ADeviceOptimizerHasThemInTurn) {
  for (const OffloadDevice device : {OffloadDevice::kCpu, OffloadDevice::kNvme}) {
    const Program p = lower(make_job(device, OffloadDevice::kNone), 0);
    int back = 0;
    for (const Instruction& in : p.instructions) {
      if (const auto* adam = std::get_if<Adam>(&in.op)) {
        EXPECT_EQ(p.buffer(adam->param.buffer).space, Space::kDevice);
        EXPECT_FALSE(p.buffer(adam->param.buffer).persistent);
      }
      back += in.lane == Lane::kD2H && std::holds_alternative<Copy>(in.op) ? 1 : 0;
    }
    EXPECT_EQ(back, 5);  // embeddings, three layers, the last norm
    EXPECT_EQ(peak(p, Space::kDevice, Category::kParameter), 0);
  }
}

TEST(OffloadParam, OneRankGathersNothingAndStillOffloads) {
  const Program p = lower(make_job(OffloadDevice::kCpu, OffloadDevice::kCpu, 1), 0);
  EXPECT_EQ(peak(p, Space::kDevice, Category::kParameter), 0);
  for (const Instruction& in : p.instructions) EXPECT_FALSE(std::holds_alternative<AllGather>(in.op));
}

TEST(OffloadParam, FromADriveThroughAtMostBufferCountBuffers) {
  for (const std::int64_t buffers : {1, 2, 3}) {
    Job job = make_job(OffloadDevice::kNvme, OffloadDevice::kNone);
    job.training.zero.offload_param.buffer_count = buffers;
    const Program p = lower(job, 0);
    std::int64_t live = 0, most = 0, reads = 0;
    for (const Instruction& in : p.instructions) {
      const auto* alloc = std::get_if<Alloc>(&in.op);
      const auto* free = std::get_if<Free>(&in.op);
      if (alloc == nullptr && free == nullptr) reads += std::holds_alternative<NvmeRead>(in.op) ? 1 : 0;
      const BufferId id = alloc != nullptr ? alloc->buffer : free != nullptr ? free->buffer : BufferId{};
      if (!id.valid() || p.buffer(id).name.find("swap_in") != 0) continue;
      live += alloc != nullptr ? 1 : -1;
      most = std::max(most, live);
    }
    EXPECT_EQ(most, buffers);
    EXPECT_GE(reads, 8 + 4);  // forward, backward, step
    EXPECT_TRUE(std::holds_alternative<Alloc>(p.instructions[0].op));
    EXPECT_TRUE(std::holds_alternative<NvmeRead>(p.instructions[1].op));  // the first are read before anything else
  }
}

TEST(OffloadParam, TheFirstElementsStayInMemory) {
  Job job = make_job(OffloadDevice::kNvme, OffloadDevice::kNvme);
  const std::int64_t all = elements(lower(job, 0), Space::kNvme, StateRole::kParameter);
  job.training.zero.offload_param.max_in_cpu = all / 2;
  const Program half = lower(job, 0);
  EXPECT_GT(elements(half, Space::kPinned, StateRole::kParameter), all / 4);
  EXPECT_LE(elements(half, Space::kPinned, StateRole::kParameter), all / 2);
  EXPECT_EQ(elements(half, Space::kPinned, StateRole::kParameter) + elements(half, Space::kNvme, StateRole::kParameter),
            all);
  job.training.zero.offload_param.max_in_cpu = 1'000'000'000;
  EXPECT_EQ(elements(lower(job, 0), Space::kNvme, StateRole::kParameter), 0);
}

std::string refusal(const Job& job) {
  try {
    lower(job, 0);
  } catch (const Error& error) {
    return error.what();
  }
  return "lowered";
}

TEST(OffloadParam, RefusesWhatMakesNoSense) {
  Job job = make_job(OffloadDevice::kCpu, OffloadDevice::kCpu);
  job.training.zero.stage = 2;
  EXPECT_THAT(refusal(job), HasSubstr("offload_param: needs stage 3"));
  job = make_job(OffloadDevice::kNvme, OffloadDevice::kCpu);
  job.training.zero.offload_param.nvme_path.clear();
  EXPECT_THAT(refusal(job), HasSubstr("offload_param.nvme_path: is missing"));
  job = make_job(OffloadDevice::kNvme, OffloadDevice::kNvme);
  job.training.zero.offload_param.nvme_path = "/m";
  EXPECT_THAT(refusal(job), HasSubstr("a rank has one swap file"));
  job = make_job(OffloadDevice::kCpu, OffloadDevice::kCpu);
  job.training.zero.mics_shard_size = 1;
  EXPECT_THAT(refusal(job), HasSubstr("leaves no shards"));
}

}  // namespace
}  // namespace shardscope
