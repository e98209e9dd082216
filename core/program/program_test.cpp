#include "core/program/program.h"

#include <gtest/gtest.h>

#include "core/program/text.h"

namespace shardscope {
namespace {

TEST(Program, BytesOfABufferAreRoundedToTheAlignment) {
  EXPECT_EQ((Buffer{"x", DType::kF32, 1}.bytes()), 64);
  EXPECT_EQ((Buffer{"x", DType::kF32, 16}.bytes()), 64);
  EXPECT_EQ((Buffer{"x", DType::kBF16, 33}.bytes()), 128);
  EXPECT_EQ((Buffer{"x", DType::kF64, 0}.bytes()), 0);
}

TEST(Program, PeakIsKnownFromTheProgramAlone) {
  const Program program = parse_program(
      "program rank 0 of 1 tokens 0\n"
      "buffer p f32[16] parameter device persistent at 0\n"
      "buffer a f32[32] activation device at 64\n"
      "buffer b f32[16] bucket device at 192\n"
      "buffer c f32[16] activation device at 64\n"
      "0 alloc buffer=a @compute forward\n"
      "1 free buffer=a @compute forward\n"
      "2 alloc buffer=b @compute forward\n"
      "3 alloc buffer=c @compute forward\n"
      "4 free buffer=b @compute forward\n"
      "5 free buffer=c @compute forward\n");
  const MemoryPeak peak = compute_memory_peak(program);
  // live: 64 (p); 192 (+a); 64; 128 (+b); 192 (+c): the first to reach 192 counts
  EXPECT_EQ(peak.peak_bytes[0], 192);
  EXPECT_EQ(peak.at[0], OpId{0});
  const auto category = [](const MemoryTable& t, Category c) { return t.bytes[0][static_cast<std::size_t>(c)]; };
  EXPECT_EQ(category(peak.at_peak, Category::kActivation), 128);
  EXPECT_EQ(category(peak.at_peak, Category::kBucket), 0);
  EXPECT_EQ(category(peak.peak_by_category, Category::kBucket), 64);
  EXPECT_EQ(peak.at_peak.total(Space::kDevice), 192);
}

TEST(Program, FlopsAndBytesByHand) {
  const Program program = parse_program(
      "program rank 0 of 1 tokens 0\n"
      "buffer x f32[4096] activation device persistent at 0\n"
      "0 matmul a=x[0:6] b=x[6:18] c=x[18:26] m=2 n=4 k=3 accumulate=true @compute forward\n"
      "1 attention q=x[0:8] k=x[8:16] v=x[16:24] out=x[24:32] lse=x[32:36] batch=1 seq=4 heads=1 kv_heads=1 head_dim=2 "
      "q_stride=2 kv_stride=2 @compute forward\n"
      "2 embedding tokens=x[0:2] table=x[0:40] out=x[40:48] rows=2 hidden=4 seq=2 vocab=10 @compute forward\n");
  EXPECT_EQ(flops(program.instructions[0].op), 2 * 2 * 4 * 3);
  EXPECT_EQ(bytes_touched(program, program.instructions[0].op), 4 * (6 + 12 + 2 * 8));
  EXPECT_EQ(flops(program.instructions[1].op), 4 * 2 * (4 * 5 / 2));  // 2 matmuls of 2 FLOP over 10 pairs of size 2
  EXPECT_EQ(bytes_touched(program, program.instructions[2].op), 4 * (2 + 8 + 8));  // tokens, rows read, rows written
}

TEST(Program, VisiblePairsAreThoseOneWouldCount) {
  for (const AttentionSpan& span : {AttentionSpan{}, AttentionSpan{{0, 6}, {4, 0}, 6}, AttentionSpan{{4, 0}, {0, 6}, 4},
                                    AttentionSpan{{9, 0}, {}, 11}, AttentionSpan{{0, 0}, {8, 0}, 3},
                                    AttentionSpan{{3, 5}, {5, 1}, 8}, AttentionSpan{{1, 2}, {0, 3}, 2}}) {
    for (const std::int64_t seq : {1, 2, 7, 8}) {
      if (seq % 2 != 0 && span.q.jump > 0) continue;
      std::int64_t pairs = 0;
      for (std::int64_t i = 0; i < seq; ++i) {
        for (std::int64_t j = 0; j < span.keys(seq); ++j) {
          pairs += span.kv.position(j, span.keys(seq)) <= span.q.position(i, seq) ? 1 : 0;
        }
      }
      EXPECT_EQ(visible_pairs(span, seq), pairs) << span.q.start << ' ' << seq;
    }
  }
}

}  // namespace
}  // namespace shardscope
