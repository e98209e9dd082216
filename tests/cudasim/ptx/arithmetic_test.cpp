// Values of single instructions, by hand from the PTX manual.

#include <cmath>

#include "tests/cudasim/ptx/ptx_for_test.h"

namespace cudasim::ptx {
namespace {

/// Runs "op d, literals..." of 32 bits.
u32 op32(const std::string& op, const std::string& operands) {
  return run_one<u32>(op + " %r1, " + operands + ";\nst.global.u32 [%rd0], %r1;");
}
u64 op64(const std::string& op, const std::string& operands) {
  return run_one<u64>(op + " %rd2, " + operands + ";\nst.global.u64 [%rd0], %rd2;");
}
float opf(const std::string& op, const std::string& operands) {
  return run_one<float>(op + " %f1, " + operands + ";\nst.global.f32 [%rd0], %f1;");
}

TEST(PtxArithmetic, Integers) {
  EXPECT_EQ(op32("add.s32", "2147483647, 1"), 0x80000000u);
  EXPECT_EQ(op32("mul.hi.u32", "0xffffffff, 0xffffffff"), 0xfffffffeu);
  EXPECT_EQ(op32("mul.hi.s32", "-1, 1"), 0xffffffffu);
  EXPECT_EQ(op64("mul.hi.u64", "0xffffffffffffffff, 2"), 1u);
  EXPECT_EQ(op64("mul.wide.s32", "-3, 5"), static_cast<u64>(-15));
  EXPECT_EQ(op64("mad.wide.u32", "0xffffffff, 2, 1"), 0x1ffffffffu);
  EXPECT_EQ(op32("mad.lo.s32", "7, 6, -2"), 40u);
  EXPECT_EQ(op32("div.s32", "-7, 2"), static_cast<u32>(-3));
  EXPECT_EQ(op32("rem.s32", "-7, 2"), static_cast<u32>(-1));
  EXPECT_EQ(op32("div.s32", "0x80000000, -1"), 0x80000000u);
  EXPECT_EQ(op32("div.u32", "5, 0"), 0xffffffffu);
  EXPECT_EQ(op32("min.s32", "-1, 1"), 0xffffffffu);
  EXPECT_EQ(op32("min.u32", "-1, 1"), 1u);
  EXPECT_EQ(op32("dp4a.s32.s32", "0x01ff02fe, 0x01010101, 10"), 10u);
  EXPECT_EQ(op32("dp4a.u32.u32", "0x01ff02fe, 0x01010101, 10"), 10u + 1 + 255 + 2 + 254);
}

TEST(PtxArithmetic, Carries) {
  // 0xffffffff_ffffffff + 1 in three words; 0 - 1 in two; the product of two 64-bit numbers, its third word.
  EXPECT_EQ(
      run_one<u32>("add.cc.u32 %r1, -1, 1;\naddc.cc.u32 %r2, -1, 0;\naddc.u32 %r3, 0, 0;\nadd.u32 %r3, %r3, %r2;\n"
                   "st.global.u32 [%rd0], %r3;"),
      1u);
  EXPECT_EQ(run_one<u32>("sub.cc.u32 %r1, 0, 1;\nsubc.u32 %r2, 5, 0;\nst.global.u32 [%rd0], %r2;"), 4u);
  EXPECT_EQ(run_one<u32>("mad.lo.cc.u32 %r1, -1, 2, 3;\nmadc.hi.u32 %r2, -1, 2, 10;\nst.global.u32 [%rd0], %r2;"), 12u);
}

TEST(PtxArithmetic, Bits) {
  EXPECT_EQ(op32("shl.b32", "1, 32"), 0u);  // amounts are not taken modulo 32
  EXPECT_EQ(op32("shr.s32", "-8, 40"), 0xffffffffu);
  EXPECT_EQ(op32("shr.u32", "0x80000000, 31"), 1u);
  EXPECT_EQ(op32("shf.l.wrap.b32", "0x80000000, 1, 33"), 3u);
  EXPECT_EQ(op32("shf.r.clamp.b32", "1, 2, 40"), 2u);
  EXPECT_EQ(op32("popc.b32", "0xf0f0"), 8u);
  EXPECT_EQ(op32("clz.b32", "0"), 32u);
  EXPECT_EQ(op32("brev.b32", "1"), 0x80000000u);
  EXPECT_EQ(op32("bfind.u32", "0x00010000"), 16u);
  EXPECT_EQ(op32("bfind.s32", "-1"), 0xffffffffu);
  EXPECT_EQ(op32("bfind.shiftamt.u32", "0x00010000"), 15u);
  EXPECT_EQ(op32("bfi.b32", "0xff, 0, 8, 4"), 0xf00u);
  EXPECT_EQ(op32("bfe.s32", "0xf0, 4, 4"), 0xffffffffu);
  EXPECT_EQ(op32("bfe.u32", "0xf0, 4, 4"), 0xfu);
  EXPECT_EQ(op32("prmt.b32", "0x03020100, 0x07060504, 0x7531"), 0x07050301u);
  EXPECT_EQ(op32("lop3.b32", "0xff00ff00, 0xf0f0f0f0, 0xcccccccc, 0x96"), 0xff00ff00u ^ 0xf0f0f0f0u ^ 0xccccccccu);
  EXPECT_EQ(op32("bmsk.clamp.b32", "4, 8"), 0xff0u);
}

TEST(PtxArithmetic, RoundingOfFloats) {
  const std::string one = "0f3F800000", tiny = "0f33000000";  // 2^-25, half an ulp below 1 is 2^-25
  EXPECT_EQ(opf("add.rn.f32", one + ", " + tiny), 1.f);
  EXPECT_EQ(opf("add.rp.f32", one + ", " + tiny), std::nextafter(1.f, 2.f));
  EXPECT_EQ(opf("sub.rz.f32", one + ", " + tiny), std::nextafter(1.f, 0.f));
  EXPECT_EQ(opf("fma.rm.f32", one + ", " + one + ", 0fB3000000"), std::nextafter(1.f, 0.f));
  EXPECT_EQ(opf("div.rm.f32", one + ", 0f40400000"), std::nextafter(1.f / 3, 0.f));
  EXPECT_EQ(opf("fma.rn.f32", "0f3F800001, 0f3F800001, 0fBF800002"), std::ldexp(1.f, -46));  // one rounding
}

TEST(PtxArithmetic, ModesOfFloats) {
  EXPECT_EQ(opf("mul.ftz.f32", "0f00800000, 0f3F000000"), 0.f);
  EXPECT_EQ(opf("mul.f32", "0f00800000, 0f3F000000"), std::ldexp(1.f, -127));
  EXPECT_EQ(opf("add.sat.f32", "0f3F800000, 0f3F800000"), 1.f);
  EXPECT_EQ(opf("fma.rn.sat.f32", "0fBF800000, 0f3F800000, 0f00000000"), 0.f);
  EXPECT_EQ(opf("max.f32", "0f7FC00000, 0f3F800000"), 1.f);
  EXPECT_TRUE(std::isnan(opf("max.NaN.f32", "0f7FC00000, 0f3F800000")));
  EXPECT_TRUE(std::signbit(opf("min.f32", "0f00000000, 0f80000000")));
  EXPECT_EQ(opf("copysign.f32", "0f80000000, 0f3F800000"), -1.f);
  EXPECT_EQ(opf("cvt.sat.f32.f32", "0f40000000"), 1.f);
}

TEST(PtxArithmetic, ApproximationsAreWithinTwoUlp) {
  for (float x : {-126.5f, -100.f, -1.5f, -0.1f, 0.f, 0.3f, 1.f, 17.25f, 127.9f}) {
    const std::string literal = "0f" + [&] {
      char text[9];
      std::snprintf(text, 9, "%08X", std::bit_cast<u32>(x));
      return std::string(text);
    }();
    const float wanted = static_cast<float>(std::exp2(static_cast<double>(x)));
    EXPECT_NEAR(opf("ex2.approx.f32", literal), wanted, 2 * (std::nextafter(wanted, INFINITY) - wanted)) << x;
  }
  EXPECT_EQ(opf("ex2.approx.ftz.f32", "0fC3160000"), 0.f);  // -150
  EXPECT_EQ(opf("ex2.approx.ftz.f32", "0f43000000"), INFINITY);
  EXPECT_EQ(opf("ex2.approx.ftz.f32", "0f40400000"), 8.f);
}

TEST(PtxArithmetic, Conversions) {
  const auto from_float = [&](const std::string& op, const std::string& x) { return op32(op, x); };
  EXPECT_EQ(from_float("cvt.rzi.s32.f32", "0fC0200000"), static_cast<u32>(-2));  // -2.5
  EXPECT_EQ(from_float("cvt.rni.s32.f32", "0fC0200000"), static_cast<u32>(-2));
  EXPECT_EQ(from_float("cvt.rmi.s32.f32", "0fC0200000"), static_cast<u32>(-3));
  EXPECT_EQ(from_float("cvt.rpi.s32.f32", "0f40200000"), 3u);
  EXPECT_EQ(from_float("cvt.rzi.s32.f32", "0f4F800000"), 0x7fffffffu);  // clamped
  EXPECT_EQ(from_float("cvt.rzi.u32.f32", "0fBF800000"), 0u);
  EXPECT_EQ(from_float("cvt.rzi.s32.f32", "0f7FC00000"), 0u);  // NaN
  EXPECT_EQ(opf("cvt.rn.f32.u32", "0xffffffff"), 4294967296.f);
  EXPECT_EQ(opf("cvt.rz.f32.u32", "0xffffffff"), 4294967040.f);
  EXPECT_EQ(op32("cvt.rn.bf16x2.f32", "0f3F800000, 0fC0000000"), 0x3f80c000u);  // the first operand is the upper
  EXPECT_EQ(op32("cvt.rn.relu.f16x2.f32", "0f3F800000, 0fC0000000"), 0x3c000000u);
  EXPECT_EQ(op32("cvt.rz.bf16x2.f32", "0f3F80FFFF, 0fBF80FFFF"), 0x3f80bf80u);
  EXPECT_EQ(op32("cvt.rna.tf32.f32", "0f3F801000"), 0x3f802000u);
  const std::string sign = "mov.b16 %rs1, 0x80ff;\n cvt.s32.s8 %r1, %rs1;\n st.global.u32 [%rd0], %r1;";
  EXPECT_EQ(run_one<u32>(sign), 0xffffffffu);
}

TEST(PtxArithmetic, Float8) {
  const auto to = [](const std::string& type, const std::string& high, const std::string& low) {
    return run_one<u16>("cvt.rn.satfinite." + type + ".f32 %rs1, " + high + ", " + low +
                        ";\nst.global.b16 [%rd0], %rs1;");
  };
  EXPECT_EQ(to("e4m3x2", "0f3F800000", "0f43E00000"), 0x387e);  // 1, 448
  EXPECT_EQ(to("e4m3x2", "0f44800000", "0fBF880000"), 0x7eb8);  // 1024 saturates, -1.0625 ties to even
  EXPECT_EQ(to("e4m3x2", "0f3B000000", "0f00000000"), 0x0100);  // 2^-9, the smallest
  EXPECT_EQ(to("e5m2x2", "0f3F800000", "0f47600000"), 0x3c7b);  // 1, 57344
  EXPECT_EQ(op32("cvt.rn.f16x2.e4m3x2", "0x387e"), 0x3c005f00u);
}

TEST(PtxArithmetic, Halves) {
  EXPECT_EQ(op32("fma.rn.bf16x2", "0x3f803f80, 0x40004000, 0x3f80bf80"), 0x40403f80u);  // 1*2+1, 1*2-1
  EXPECT_EQ(op32("add.f16x2", "0x3c003c00, 0x3c00bc00"), 0x40000000u);
  EXPECT_EQ(op32("max.bf16x2", "0x3f807fff, 0x40003f80"), 0x40003f80u);
  EXPECT_EQ(op32("neg.bf16x2", "0x3f80bf80"), 0xbf803f80u);
}

TEST(PtxArithmetic, Comparisons) {
  const auto holds = [](const std::string& op, const std::string& a, const std::string& b) {
    return run_one<u32>("setp." + op + " %p1, " + a + ", " + b +
                        ";\nselp.b32 %r1, 1, 0, %p1;\nst.global.u32 [%rd0], %r1;");
  };
  const std::string nan = "0f7FC00000", one = "0f3F800000";
  EXPECT_EQ(holds("ne.f32", nan, one), 0u);
  EXPECT_EQ(holds("neu.f32", nan, one), 1u);
  EXPECT_EQ(holds("ltu.f32", one, nan), 1u);
  EXPECT_EQ(holds("num.f32", one, nan), 0u);
  EXPECT_EQ(holds("lt.s32", "-1", "0"), 1u);
  EXPECT_EQ(holds("lt.u32", "-1", "0"), 0u);
  EXPECT_EQ(holds("eq.ftz.f32", "0f00000001", "0f00000000"), 1u);
  EXPECT_EQ(holds("eq.f32", "0f00000001", "0f00000000"), 0u);
  EXPECT_EQ(
      run_one<u32>(
          "setp.eq.u32 %p1, 1, 1;\nsetp.eq.and.u32 %p2|%p3, 1, 2, %p1;\n"
          "selp.b32 %r1, 1, 0, %p2;\nselp.b32 %r2, 2, 0, %p3;\nor.b32 %r1, %r1, %r2;\nst.global.u32 [%rd0], %r1;"),
      2u);
}

}  // namespace
}  // namespace cudasim::ptx
