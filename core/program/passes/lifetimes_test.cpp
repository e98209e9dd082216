#include <gtest/gtest.h>

#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

TEST(Lifetimes, WhatADriveTransfersBeginsAtABlock) {
  Draft draft;
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

}  // namespace
}  // namespace shardscope
