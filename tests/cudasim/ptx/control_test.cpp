// Lanes that take different ways, what they do together, shared memory, calls.

#include "tests/cudasim/ptx/ptx_for_test.h"

namespace cudasim::ptx {
namespace {

using testing::Each;
using testing::HasSubstr;

TEST(PtxControl, LanesThatLoopDifferentlyOften) {
  const auto got = run_lanes<u32>(
      "mov.u32 %r1, 0;\nmov.u32 %r2, 0;\nAGAIN:\nsetp.ge.u32 %p1, %r1, %r0;\n@%p1 bra DONE;\n"
      "add.u32 %r2, %r2, %r1;\nadd.u32 %r1, %r1, 1;\nbra AGAIN;\nDONE:\nst.global.u32 [%rd0], %r2;");
  for (u32 l = 0; l < 32; ++l) EXPECT_EQ(got[l], l == 0 ? 0 : l * (l - 1) / 2);
}

TEST(PtxControl, BranchByTable) {
  const auto got = run_lanes<u32>(
      "and.b32 %r1, %r0, 1;\n$table: .branchtargets EVEN, ODD;\nbrx.idx %r1, $table;\n"
      "EVEN: mov.u32 %r2, 10;\nbra OUT;\nODD: mov.u32 %r2, 11;\nOUT:\nst.global.u32 [%rd0], %r2;");
  for (u32 l = 0; l < 32; ++l) EXPECT_EQ(got[l], 10 + l % 2);
}

TEST(PtxControl, ShufflesOfHalvesOfTheWarp) {
  // Segments of 16 lanes, each with its own member mask, from one instruction.
  const auto got = run_lanes<u32>(
      "setp.lt.u32 %p1, %r0, 16;\nselp.b32 %r1, 0xffff, 0xffff0000, %p1;\n"
      "shfl.sync.idx.b32 %r2|%p2, %r0, 3, 0x101f, %r1;\nst.global.u32 [%rd0], %r2;");
  for (u32 l = 0; l < 32; ++l) EXPECT_EQ(got[l], l < 16 ? 3 : 19);
}

TEST(PtxControl, AShuffleThatLanesReachOnTwoWays) {
  // They wait for each other at one instruction, under every order of groups.
  for (const Diverge diverge : {Diverge::kLow, Diverge::kHigh, Diverge::kRandom}) {
    Settings settings = OneWarp::small();
    settings.diverge = diverge;
    const auto got = OneWarp(settings).run(
        kernel_text("mov.u32 %r1, %r0;\nsetp.lt.u32 %p1, %r0, 7;\n@%p1 bra LOW;\nadd.u32 %r1, %r1, 100;\nbra "
                    "JOIN;\nLOW: add.u32 %r1, %r1, 200;\n"
                    "JOIN: shfl.sync.bfly.b32 %r2, %r1, 31, 31, -1;\nst.global.u32 [%rd0], %r2;"));
    for (u32 l = 0; l < 32; ++l) EXPECT_EQ(static_cast<u32>(got[l]), 31 - l + (31 - l < 7 ? 200 : 100));
  }
}

TEST(PtxControl, AMaskWithoutTheLaneItself) {
  EXPECT_THAT(refusal("shfl.sync.idx.b32 %r2, %r0, 0, 31, 1;"), HasSubstr("not in their own mask"));
}

TEST(PtxControl, VotesAndMatches) {
  const auto ballot =
      run_lanes<u32>("setp.lt.u32 %p1, %r0, 5;\nvote.sync.ballot.b32 %r1, !%p1, -1;\nst.global.u32 [%rd0], %r1;");
  EXPECT_THAT(ballot, Each(0xffffffe0u));
  const auto match =
      run_lanes<u32>("and.b32 %r1, %r0, 1;\nmatch.any.sync.b32 %r2, %r1, -1;\nst.global.u32 [%rd0], %r2;");
  EXPECT_EQ(match[0], 0x55555555u);
  EXPECT_THAT(run_lanes<u32>("redux.sync.add.s32 %r1, %r0, -1;\nst.global.u32 [%rd0], %r1;"), Each(496u));
}

TEST(PtxControl, BarriersThatVote) {
  OneWarp two;
  const auto got = two.run(
      kernel_text("setp.lt.u32 %p1, %r0, 40;\nbar.red.popc.u32 %r1, 0, %p1;\nbar.red.and.pred %p2, 0, %p1;\n"
                  "bar.red.or.pred %p3, 0, !%p1;\nselp.b32 %r2, 100, 200, %p2;\nselp.b32 %r3, 1000, 2000, %p3;\n"
                  "add.u32 %r1, %r1, %r2;\nadd.u32 %r1, %r1, %r3;\nst.global.u32 [%rd0], %r1;"),
      64);
  for (const u64 value : got) EXPECT_EQ(static_cast<u32>(value), 40u + 200 + 1000);
}

TEST(PtxControl, DynamicSharedMemoryLiesBesideTheStatic) {
  const std::string before = ".extern .shared .align 16 .b8 dynamic[];\n";
  const std::string body =
      ".shared .align 4 .b8 fixed[128];\nmov.u32 %r1, dynamic;\nmov.u32 %r2, fixed;\nshl.b32 %r3, %r0, 2;\nadd.u32 "
      "%r1, %r1, %r3;\n"
      "add.u32 %r2, %r2, %r3;\nst.shared.u32 [%r1], 7;\nst.shared.u32 [%r2], 9;\nbar.sync 0;\nld.shared.u32 %r4, "
      "[%r1];\n"
      "ld.shared.u32 %r5, [%r2];\nmad.lo.u32 %r6, %r4, 100, %r5;\nst.global.u32 [%rd0], %r6;";
  OneWarp warp;
  for (const u64 value : warp.run(kernel_text(body, before), 32, 128)) EXPECT_EQ(value, 709u);
  EXPECT_THROW(warp.run(kernel_text(body, before), 32, 64), Fault);  // too little of it
}

TEST(PtxControl, GenericAddressesOfSharedAndLocalMemory) {
  const auto got = run_lanes<u32>(
      ".shared .align 4 .b8 s[128];\n.local .align 4 .b8 l[16];\nmov.u32 %r1, s;\nshl.b32 %r2, %r0, 2;\nadd.u32 %r1, "
      "%r1, %r2;\n"
      "cvt.u64.u32 %rd2, %r1;\ncvta.shared.u64 %rd2, %rd2;\nmov.u64 %rd3, l;\ncvta.local.u64 %rd3, %rd3;\n"
      "st.u32 [%rd2], %r0;\nst.u32 [%rd3+4], 5;\nld.u32 %r3, [%rd2];\nld.u32 %r4, [%rd3+4];\nadd.u32 %r3, %r3, "
      "%r4;\nst.global.u32 [%rd0], %r3;");
  for (u32 l = 0; l < 32; ++l) EXPECT_EQ(got[l], l + 5);
}

TEST(PtxControl, CallsOfDeviceFunctions) {
  const std::string function =
      ".func (.param .b32 out) twice(.param .b32 in)\n{\n.reg .b32 %r<3>;\n.reg .pred %p<2>;\nld.param.b32 %r1, [in];\n"
      "setp.gt.u32 %p1, %r1, 20;\n@%p1 bra BIG;\nadd.u32 %r1, %r1, %r1;\nst.param.b32 [out], "
      "%r1;\nret;\nBIG:\nst.param.b32 [out], 0;\nret;\n}\n";
  const std::string body =
      "{\n.param .b32 a;\n.param .b32 r;\nst.param.b32 [a], %r0;\ncall.uni (r), twice, (a);\nld.param.b32 %r1, "
      "[r];\n}\n"
      "{\n.param .b32 a;\n.param .b32 r;\nst.param.b32 [a], %r1;\ncall.uni (r), twice, (a);\nld.param.b32 %r1, "
      "[r];\n}\n"
      "st.global.u32 [%rd0], %r1;";
  const auto got = run_lanes<u32>(body, function);
  for (u32 l = 0; l < 32; ++l) EXPECT_EQ(got[l], l > 10 ? 0 : 4 * l) << l;
}

TEST(PtxControl, AtomicsOfAllLanesOnOneWord) {
  const auto got = run_lanes<u32>(
      ".shared .align 4 .b8 s[4];\nmov.u32 %r1, s;\nsetp.eq.u32 %p1, %r0, 0;\n@%p1 st.shared.u32 [%r1], 0;\nbar.sync "
      "0;\n"
      "atom.shared.add.u32 %r2, [%r1], 2;\nbar.sync 0;\nld.shared.u32 %r3, [%r1];\nst.global.u32 [%rd0], %r3;");
  EXPECT_THAT(got, Each(64u));
}

TEST(PtxControl, AsyncCopiesLandAtTheirWait) {
  const auto got = run_lanes<u32>(
      ".shared .align 16 .b8 s[128];\nst.global.u32 [%rd0], %r0;\nmov.u32 %r1, s;\nshl.b32 %r2, %r0, 2;\nadd.u32 %r1, "
      "%r1, %r2;\n"
      "cp.async.ca.shared.global [%r1], [%rd0], 4;\ncp.async.commit_group;\ncp.async.ca.shared.global [%r1], [%rd0], "
      "4, 0;\n"
      "cp.async.commit_group;\ncp.async.wait_group 1;\nld.shared.u32 %r3, [%r1];\ncp.async.wait_all;\nld.shared.u32 "
      "%r4, [%r1];\n"
      "mad.lo.u32 %r3, %r4, 1000, %r3;\nst.global.u32 [%rd0], %r3;");
  for (u32 l = 0; l < 32; ++l) EXPECT_EQ(got[l], l);  // the second copied no bytes: zeros
}

TEST(PtxControl, InlinePtxHasNamesOfItsOwn) {
  EXPECT_EQ(run_one<u32>("mov.u32 %r1, 3;\n{\n.reg .b32 %r1;\nmov.u32 %r1, 9;\n}\nst.global.u32 [%rd0], %r1;"), 3u);
}

}  // namespace
}  // namespace cudasim::ptx
