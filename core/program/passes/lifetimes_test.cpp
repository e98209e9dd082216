#include <gtest/gtest.h>

#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

TEST(Lifetimes, WhatADriveTransfersBeginsAtABlock) {
  const Job job;
  Draft draft;
  draft.job = &job;
  Program& p = draft.program;
  const auto add = [&](const char* name, Space space, bool persistent) {
    return p.whole(p.add_buffer({name, DType::kF32, 100, Category::kMaster, space, persistent}));
  };
  const Region small = add("small", Space::kPinned, true), home = add("home", Space::kNvme, true);
  const Region other = add("other", Space::kNvme, true), swap = add("swap", Space::kPinned, false);
  const Region late = add("late", Space::kPinned, false);
  p.instructions = {{Fill{small, 0}, Lane::kHost, {}, {}},
                    {NvmeRead{home, swap}, Lane::kNvmeRead, {}, {}},
                    {Fill{late, 0}, Lane::kHost, {}, {}},
                    {NvmeWrite{swap, other}, Lane::kNvmeWrite, {}, {}}};
  pass_lifetimes(draft);
  EXPECT_EQ(p.buffer(home.buffer).address, 0);
  EXPECT_EQ(p.buffer(other.buffer).address, 4096);  // 400 bytes take a block
  EXPECT_EQ(p.arena_bytes[static_cast<std::size_t>(Space::kNvme)], 8192);
  EXPECT_EQ(p.buffer(small.buffer).address, 0);
  EXPECT_EQ(p.buffer(swap.buffer).address, 4096);
  EXPECT_EQ(p.buffer(late.buffer).address, 448);  // what the alignment left free is used
  EXPECT_EQ(p.arena_bytes[static_cast<std::size_t>(Space::kPinned)], 4096 + 448);
}

// What another lane touches is handed on at its size, the last first, and is in nobody else's way; without a pipeline
// the lowest place is taken.
TEST(Lifetimes, InAPipelineMessagesHavePools) {
  for (bool pipeline : {false, true}) {
    const Job job;
    Draft draft;
    draft.job = &job;
    if (pipeline) draft.pipeline_group = GroupId{0};
    Program& p = draft.program;
    const auto add = [&](const char* name, std::int64_t elements) {
      return p.whole(p.add_buffer({name, DType::kF32, elements, Category::kActivation}));
    };
    const Region message = add("message", 16), own = add("own", 16), next = add("next", 16);
    p.instructions = {{Fill{message, 0}, Lane::kRecvPrevious, {}, {}},
                      {Fill{own, 0}, Lane::kCompute, {}, {}},
                      {Fill{next, 0}, Lane::kRecvPrevious, {}, {}}};
    pass_lifetimes(draft);
    EXPECT_EQ(p.buffer(message.buffer).address, 0);
    EXPECT_EQ(p.buffer(own.buffer).address, pipeline ? 64 : 0);
    EXPECT_EQ(p.buffer(next.buffer).address, 0);
  }
}

// What compute takes next is not what a gather still packs its message in; what both touch is handed on as always.
TEST(Lifetimes, MessagesOfZeroPlusPlusLieApart) {
  for (const bool plus_plus : {false, true}) {
    Job job;
    job.training.zero.quantized_weights = plus_plus;
    Draft draft;
    draft.job = &job;
    Program& p = draft.program;
    const auto add = [&](const char* name) {
      return p.whole(p.add_buffer({name, DType::kF32, 16, Category::kBucket}));
    };
    const Region packed = add("packed"), parameters = add("parameters"), own = add("own"), next = add("next");
    p.instructions = {{Fill{packed, 0}, Lane::kGather, {}, {}},
                      {Fill{parameters, 0}, Lane::kGather, {}, {}},
                      {Fill{own, 0}, Lane::kCompute, {}, {}},
                      {Copy{parameters, own}, Lane::kCompute, {}, {}},
                      {Fill{next, 0}, Lane::kGather, {}, {}}};
    pass_lifetimes(draft);
    EXPECT_EQ(p.buffer(parameters.buffer).address, 0);
    EXPECT_EQ(p.buffer(own.buffer).address, 64);
    EXPECT_EQ(p.buffer(packed.buffer).address, plus_plus ? 128 : 0);
    EXPECT_EQ(p.buffer(next.buffer).address, plus_plus ? 128 : 0);
    EXPECT_EQ(p.arena_bytes[static_cast<std::size_t>(Space::kDevice)], plus_plus ? 192 : 128);
  }
}

}  // namespace
}  // namespace shardscope
