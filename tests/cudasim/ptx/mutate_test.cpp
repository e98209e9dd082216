#include "tests/cudasim/ptx/mutate.h"

#include <gtest/gtest.h>

namespace cudasim::ptx {
namespace {

std::string change(const std::string& kind, const std::string& statement) {
  bool fits = false;
  const std::string out = mutated(kind, statement, fits);
  return fits ? out : "no";
}

TEST(Mutate, EachKind) {
  EXPECT_EQ(change("barrier", "bar.sync 0"), "");
  EXPECT_EQ(change("barrier", "bar.warp.sync -1"), "no");
  EXPECT_EQ(change("syncwarp", "bar.warp.sync -1"), "");
  EXPECT_EQ(change("bound", "setp.lt.s32 %p1, %r1, %r2"), "setp.le.s32 %p1, %r1, %r2");
  EXPECT_EQ(change("bound", "setp.ge.u64 %p1, %rd1, %rd2"), "setp.gt.u64 %p1, %rd1, %rd2");
  EXPECT_EQ(change("bound", "setp.lt.f32 %p1, %f1, %f2"), "no");
  EXPECT_EQ(change("atomic", "atom.global.add.f32 %f1, [%rd1], %f2"), "atom.global.exch.f32 %f1, [%rd1], %f2");
  EXPECT_EQ(change("lane", "shfl.sync.bfly.b32 %r1|%p1, %r2, 16, 31, -1"), "shfl.sync.up.b32 %r1|%p1, %r2, 16, 31, -1");
  EXPECT_EQ(change("store", "@%p1 st.global.f32 [%rd1], %f1"), "");
  EXPECT_EQ(change("store", "st.shared.f32 [%r1], %f1"), "no");
  EXPECT_EQ(change("shift", "st.global.f32 [%rd1+8], %f1"), "st.global.f32 [%rd1+16], %f1");
  EXPECT_EQ(change("sign", "add.f32 %f1, %f2, %f3"), "sub.f32 %f1, %f2, %f3");
  EXPECT_EQ(change("product", "mul.f32 %f1, %f2, %f3"), "add.f32 %f1, %f2, %f3");
  EXPECT_EQ(change("wait", "cp.async.wait_group 0"), "");
  EXPECT_EQ(change("init", "mov.f32 %f1, 0f00000000"), "mov.f32 %f1, 0f3F800000");
  EXPECT_EQ(change("max", "max.f32 %f1, %f2, %f3"), "min.f32 %f1, %f2, %f3");
}

}  // namespace
}  // namespace cudasim::ptx
