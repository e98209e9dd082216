// Whatever is not implemented is refused with its text; nothing is ignored.

#include "tests/cudasim/ptx/ptx_for_test.h"

namespace cudasim::ptx {
namespace {

using testing::HasSubstr;

TEST(PtxRefuse, AnOpcode) {
  EXPECT_THAT(refusal("wgmma.fence.sync.aligned;"), HasSubstr("opcode wgmma is not implemented"));
}

TEST(PtxRefuse, AModifierWithTheStatementAndItsLine) {
  const std::string said = refusal(".loc 1 77 0\nadd.nonsense.u32 %r1, %r0, %r0;");
  EXPECT_THAT(said, HasSubstr("line 77"));
  EXPECT_THAT(said, HasSubstr("add.nonsense.u32 %r1, %r0, %r0"));
  EXPECT_THAT(said, HasSubstr("modifier .nonsense is not implemented"));
}

TEST(PtxRefuse, ModifiersThatFitAnotherTypeOnly) {
  for (const char* body :
       {"add.ftz.u32 %r1, %r0, %r0;", "add.sat.s32 %r1, %r0, %r0;", "setp.lt.ftz.f64 %p1, %fd0, %fd0;",
        "mul.u32 %r1, %r0, %r0;", "bar.sync 1;", "bar.arrive 0, 64;", "ld.global.v2.f32 %f1, [%rd0];",
        "cvt.rn.satfinite.e4m3x2.f64 %rs1, %fd1, %fd1;", "atom.global.add.v2.f32 {%f1,%f2}, [%rd0], {%f1,%f2};",
        "red.global.max.f32 [%rd0], %f1;", "ex2.approx.f16 %rs1, %rs2;", "cp.async.bulk.commit_group;",
        "mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%f1}, {%r1}, {%r2}, {%f2};", "fence.proxy.async;"}) {
    EXPECT_THAT(refusal(body), HasSubstr("PTX")) << body;
  }
}

TEST(PtxRefuse, RegistersOfTheWrongSize) {
  EXPECT_THAT(refusal("add.u32 %r1, %rd0, %r0;"), HasSubstr("size does not fit"));
  EXPECT_THAT(refusal("add.u64 %rd2, %rd0, %p1;"), HasSubstr("predicate"));
  EXPECT_THAT(refusal("add.u32 5, %r0, %r0;"), HasSubstr("no register to write"));
}

TEST(PtxRefuse, NamesThatAreNotThere) {
  EXPECT_THAT(refusal("add.u32 %r1, %q, %r0;"), HasSubstr("unknown operand %q"));
  EXPECT_THAT(refusal("bra nowhere;"), HasSubstr("no label nowhere"));
  EXPECT_THAT(refusal("call.uni (x), nobody, ();"), HasSubstr("does not define"));
}

TEST(PtxRefuse, ACallOfItself) {
  EXPECT_THAT(refusal("call.uni f, ();", ".func f()\n{\ncall.uni f, ();\nret;\n}\n"), HasSubstr("recursion"));
}

}  // namespace
}  // namespace cudasim::ptx
