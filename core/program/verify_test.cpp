// Programs that must be refused, one for each thing the verifier proves, beside the same program put right.
#include "core/program/verify.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/text.h"

namespace shardscope {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kHead =
    "program rank 0 of 1 tokens 0\n"
    "group dp ranks 0 self 0\n"
    "buffer a f32[16] activation device at 0\n"
    "buffer b f32[16] activation device at 64\n"
    "buffer p f32[16] parameter device persistent at 128\n"
    "arena device 192\n";

std::vector<std::string> faults(const std::string& ops, const std::string& head = kHead) {
  return find_faults(parse_program(head + ops));
}

TEST(Verify, AcceptsASoundProgram) {
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n"
                     "1 fill dst=a[0:16] @compute forward\n"
                     "2 copy src=a[0:16] dst=p[0:16] @reduce forward after 1\n"
                     "3 free buffer=a @compute forward\n"),
              IsEmpty());
}

TEST(Verify, RefusesADataRace) {
  EXPECT_THAT(faults("0 fill dst=p[0:16] @compute forward\n"
                     "1 scale data=p[8:16] factor=2 @reduce forward\n"),
              Contains(HasSubstr("data race on p")));
  EXPECT_THAT(faults("0 fill dst=p[0:8] @compute forward\n"  // other bytes: no race
                     "1 scale data=p[8:16] factor=2 @reduce forward\n"),
              IsEmpty());
}

TEST(Verify, OrderThroughAThirdLaneIsEnough) {
  const std::string ops =
      "0 fill dst=p[0:16] @compute forward\n"
      "1 hold data=p[0:16] @gather forward after 0\n"
      "2 scale data=p[0:16] factor=2 @reduce forward after 1\n";
  EXPECT_THAT(faults(ops), IsEmpty());
  EXPECT_THAT(faults(ops + "3 fill dst=p[0:16] @compute forward after 1\n"), Contains(HasSubstr("data race")));
}

TEST(Verify, RefusesARaceThroughReusedBytes) {
  const std::string head =
      "program rank 0 of 1 tokens 0\n"
      "buffer a f32[16] activation device at 0\n"
      "buffer b f32[16] activation device at 0\n"
      "buffer p f32[16] parameter device persistent at 64\n"
      "arena device 128\n";
  const std::string first =
      "0 alloc buffer=a @compute forward\n"
      "1 fill dst=a[0:16] @compute forward\n"
      "2 copy src=a[0:16] dst=p[0:16] @reduce forward after 1\n"
      "3 free buffer=a @compute forward\n"
      "4 alloc buffer=b @compute forward\n";
  EXPECT_THAT(faults(first + "5 fill dst=b[0:16] @compute forward\n6 free buffer=b @compute forward\n", head),
              Contains(HasSubstr("data race on b")));
  EXPECT_THAT(faults(first + "5 fill dst=b[0:16] @compute forward after 2\n6 free buffer=b @compute forward\n", head),
              IsEmpty());
}

TEST(Verify, RefusesUseAfterFreeAndBeforeAlloc) {
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n"
                     "1 free buffer=a @compute forward\n"
                     "2 fill dst=a[0:16] @compute forward\n"),
              Contains(HasSubstr("uses buffer a after its free")));
  EXPECT_THAT(faults("0 fill dst=a[0:16] @compute forward\n"), Contains(HasSubstr("uses buffer a before its alloc")));
}

TEST(Verify, RefusesReadsOfWhatNothingWrote) {
  const std::string end = "2 copy src=a[0:16] dst=p[0:16] @compute forward\n3 free buffer=a @compute forward\n";
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n1 fill dst=a[0:15] @compute forward\n" + end),
              Contains(HasSubstr("reads bytes of buffer a that nothing has written")));
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n1 fill dst=a[0:16] @compute forward\n" + end), IsEmpty());
}

TEST(Verify, RefusesALeakAndADoubleFree) {
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n"), Contains(HasSubstr("buffer a is never freed")));
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n"
                     "1 free buffer=a @compute forward\n"
                     "2 free buffer=a @compute forward\n"),
              Contains(HasSubstr("cannot be freed: it is not allocated")));
  EXPECT_THAT(faults("0 free buffer=p @compute forward\n"), Contains(HasSubstr("it is persistent")));
}

TEST(Verify, RefusesLiveBuffersOnTheSameBytes) {
  const std::string head =
      "program rank 0 of 1 tokens 0\n"
      "buffer a f32[32] activation device at 0\n"
      "buffer b f32[16] activation device at 64\n"
      "arena device 128\n";
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n"
                     "1 alloc buffer=b @compute forward\n"
                     "2 free buffer=a @compute forward\n"
                     "3 free buffer=b @compute forward\n",
                     head),
              Contains(HasSubstr("buffer b takes bytes that a still holds")));
}

TEST(Verify, RefusesBytesOutsideTheArena) {
  const std::string head =
      "program rank 0 of 1 tokens 0\n"
      "buffer a f32[32] activation device at 64\n"
      "arena device 128\n";
  EXPECT_THAT(faults("0 alloc buffer=a @compute forward\n1 free buffer=a @compute forward\n", head),
              Contains(HasSubstr("leaves the device arena")));
}

TEST(Verify, RefusesProductsInFp8ThatTensorCoresDoNotTake) {
  const auto product = [](int k, const std::string& casts) {
    const std::string head =
        "program rank 0 of 1 tokens 0\n"
        "buffer a f32[256] activation device persistent at 0\n"
        "buffer b f32[256] activation device persistent at 1024\n"
        "buffer c f32[256] activation device persistent at 2048\n"
        "arena device 3072\n";
    return faults(fmt::format("0 matmul a=a[0:{0}] b=b[0:{0}] c=c[0:256] m=16 n=16 k={1} {2} @compute forward\n",
                              16 * k, k, casts),
                  head);
  };
  EXPECT_THAT(product(16, "cast_a=e5m2 cast_b=e4m3"), IsEmpty());
  EXPECT_THAT(product(16, "cast_a=e5m2"), Contains(HasSubstr("one operand is in fp8 and the other is not")));
  EXPECT_THAT(product(16, "cast_a=e5m2 cast_b=e5m2"), Contains(HasSubstr("both operands are e5m2")));
  EXPECT_THAT(product(8, "cast_a=e4m3 cast_b=e4m3"), Contains(HasSubstr("multiples of 16")));
}

TEST(Verify, RefusesOperandsThatDoNotFit) {
  EXPECT_THAT(faults("0 copy src=p[0:8] dst=p[8:15] @compute forward\n"), Contains(HasSubstr("differ in size")));
  EXPECT_THAT(faults("0 matmul a=p[0:4] b=p[4:8] c=p[8:12] m=2 n=2 k=3 @compute forward\n"),
              Contains(HasSubstr("4 elements where 6 are needed")));
  EXPECT_THAT(faults("0 rope x=p[0:6] rows=3 heads=1 head_dim=2 seq=3 theta=1e4 jump=4 @compute forward\n"),
              Contains(HasSubstr("3 rows have no two halves to jump between")));
  Program program = parse_program(std::string(kHead) + "0 fill dst=p[0:16] @compute forward\n");
  std::get<Fill>(program.instructions[0].op).dst.count = 17;
  EXPECT_THAT(find_faults(program), Contains(HasSubstr("leaves its buffer p")));
  std::get<Fill>(program.instructions[0].op).dst = {BufferId{99}, 0, 1};
  EXPECT_THAT(find_faults(program), Contains(HasSubstr("(none)")));
}

TEST(Verify, OnlyWholeBlocksGoToAndFromADriveAndOnlyByTheirOps) {
  const std::string head =
      "program rank 0 of 1 tokens 0\n"
      "buffer m f32[2000] master pinned persistent at 0\n"
      "buffer h bf16[2000] master pinned persistent at 8192\n"
      "buffer d f32[2000] master nvme persistent at 0\n"
      "arena pinned 12288\narena nvme 8192\n";
  EXPECT_THAT(faults("0 nvme_write src=m[0:1024] dst=d[0:1024] @nvme_write optimizer\n"
                     "1 nvme_read src=d[1024:2000] dst=m[1024:2000] @nvme_read optimizer after 0\n",
                     head),
              IsEmpty());
  EXPECT_THAT(faults("0 nvme_write src=m[0:1000] dst=d[0:1000] @nvme_write optimizer\n", head),
              Contains(HasSubstr("takes part of a block")));
  EXPECT_THAT(faults("0 nvme_read src=d[100:2000] dst=m[100:2000] @nvme_read optimizer\n", head),
              Contains(HasSubstr("takes part of a block")));
  EXPECT_THAT(faults("0 nvme_read src=m[0:1024] dst=m[0:1024] @nvme_read optimizer\n", head),
              Contains(HasSubstr("one side must lie in the nvme space")));
  EXPECT_THAT(faults("0 nvme_read src=d[0:2000] dst=h[0:2000] @nvme_read optimizer\n", head),
              Contains(HasSubstr("bytes are not converted")));
  EXPECT_THAT(faults("0 fill dst=d[0:2000] @nvme_write optimizer\n", head),
              Contains(HasSubstr("lies in the nvme space, which only nvme_read and nvme_write reach")));
  EXPECT_THAT(faults("0 nvme_write src=m[0:2000] dst=d[0:2000] @nvme_write optimizer\n"
                     "1 nvme_read src=d[0:2000] dst=m[0:2000] @nvme_read optimizer\n",
                     head),
              Contains(HasSubstr("data race")));
}

TEST(Verify, ThrowsWithTheFirstFault) {
  EXPECT_THROW(verify(parse_program(std::string(kHead) + "0 alloc buffer=a @compute forward\n"), "here"), Error);
}

// ---------------------------------------------------------------- between ranks

std::vector<Program> two_ranks(const std::string& first, const std::string& second) {
  const auto head = [](int rank) {
    return "program rank " + std::to_string(rank) + " of 2 tokens 0\ngroup dp ranks 0,1 self " + std::to_string(rank) +
           "\nbuffer p f32[16] parameter device persistent at 0\narena device 64\n";
  };
  return {parse_program(head(0) + first), parse_program(head(1) + second)};
}

TEST(Match, AcceptsTheSameOrderOnAllRanks) {
  const std::string ops =
      "0 all_reduce group=dp data=p[0:8] @reduce backward\n1 broadcast group=dp data=p[0:4] root=1 @reduce backward\n";
  EXPECT_THAT(find_mismatches(two_ranks(ops, ops)), IsEmpty());
}

TEST(Match, RefusesWhatWouldHang) {
  const std::string reduce = "0 all_reduce group=dp data=p[0:8] @reduce backward\n";
  EXPECT_THAT(find_mismatches(two_ranks(reduce, "0 all_reduce group=dp data=p[0:4] @reduce backward\n")),
              Contains(HasSubstr("32 bytes (op 0) on rank 0, but all_reduce of 16 bytes")));
  EXPECT_THAT(find_mismatches(two_ranks(reduce, "")), Contains(HasSubstr("rank 1 issues none")));
  EXPECT_THAT(find_mismatches(two_ranks(reduce, "0 broadcast group=dp data=p[0:8] @reduce backward\n")),
              Contains(HasSubstr("a hang")));
  EXPECT_THAT(find_mismatches(two_ranks(reduce, "0 all_reduce group=dp data=p[0:8] reduce=max @reduce backward\n")),
              Contains(HasSubstr("a hang")));
}

TEST(Match, SendsNeedTheirReceives) {
  const std::string send = "0 send group=dp data=p[0:8] peer=1 @send_next forward\n";
  EXPECT_THAT(find_mismatches(two_ranks(send, "0 recv group=dp data=p[0:8] @recv_previous forward\n")), IsEmpty());
  EXPECT_THAT(find_mismatches(two_ranks(send, "0 recv group=dp data=p[0:4] @recv_previous forward\n")),
              Contains(HasSubstr("has 32 bytes, its receive 16")));
  EXPECT_THAT(find_mismatches(two_ranks(send, "")), Contains(HasSubstr("1 sends meet 0 receives")));
  EXPECT_THAT(find_mismatches(two_ranks(send, "0 recv group=dp data=p[0:8] @recv_previous backward\n")),
              Contains(HasSubstr("send 0 is of forward mb -1, its receive of backward mb -1")));
}

TEST(Verify, ChecksTheOpsOfInference) {
  const std::string head =
      "program rank 0 of 1 tokens 0\n"
      "buffer x f32[64] cache device persistent at 0\n"
      "buffer y f32[64] cache device persistent at 256\n"
      "buffer q f32[8] activation device persistent at 512\n"
      "buffer i i32[2] batch device persistent at 576\n"
      "arena device 640\n";
  const std::string attention = "0 cached_attention q=q[0:8] starts=i[0:2] k_cache=x[0:64] v_cache=y[0:64] out=q[0:8]";
  const std::string shape = " batch=2 seq=1 heads=2 head_dim=2 q_stride=4 @compute forward\n";
  EXPECT_THAT(faults(attention + " kv_heads=2 capacity=8" + shape, head), IsEmpty());
  EXPECT_THAT(faults(attention + " kv_heads=2 capacity=9" + shape, head), Contains(HasSubstr("72 are needed")));
  const std::string sample =
      "0 sample logits=x[0:12] starts=i[0:2] counts=i[0:2] tokens=i[0:2] logprobs=q[0:2] batch=2";
  EXPECT_THAT(faults(sample + " vocab=6 @compute forward\n", head), IsEmpty());
  EXPECT_THAT(faults(sample + " vocab=6 parts=2 @compute forward\n", head), IsEmpty());
  EXPECT_THAT(faults(sample + " vocab=7 parts=2 @compute forward\n", head), Contains(HasSubstr("16 are needed")));
  const std::string append = "0 append_cache k=q[0:8] v=q[0:8] k_cache=x[0:64] v_cache=y[0:64] kv_stride=2 kv_heads=1";
  EXPECT_THAT(faults(append + " batch=1 seq=4 head_dim=2 capacity=32 @compute forward\n", head), IsEmpty());
  EXPECT_THAT(faults(append + " batch=16 seq=4 head_dim=2 capacity=2 @compute forward\n", head),
              Contains(HasSubstr("where")));
}

}  // namespace
}  // namespace shardscope
