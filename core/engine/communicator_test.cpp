#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <thread>

#include "core/engine/communicator_cases_for_test.h"
#include "core/engine/hub_for_test.h"
#include "core/engine/reduce.h"

namespace shardscope {
namespace {

/// run_with_hubs() with a communicator of all ranks.
std::vector<std::string> run_ranks(HubKind kind, int size, const std::function<void(Communicator&, Hub&)>& body) {
  return run_with_hubs(kind, size, [&](Hub& hub, int rank) {
    const auto comm = hub.connect(world_group(size, rank), Lane::kReduce, rank);
    body(*comm, hub);
  });
}

void expect_no_failures(const std::vector<std::string>& failures) {
  for (const std::string& failure : failures) EXPECT_EQ(failure, "");
}

class Communicators : public testing::TestWithParam<std::tuple<HubKind, int, CommunicatorCase>> {};

TEST_P(Communicators, Do) {
  const auto [kind, size, one] = GetParam();
  expect_no_failures(run_ranks(kind, size, [&](Communicator& comm, Hub&) { one.run(comm); }));
}

std::string name_of(const testing::TestParamInfo<Communicators::ParamType>& info) {
  const auto [kind, size, one] = info.param;
  return to_string(kind) + "_" + std::to_string(size) + "_" + one.name;
}
INSTANTIATE_TEST_SUITE_P(Threads, Communicators,
                         testing::Combine(testing::Values(HubKind::kThreads), testing::Values(1, 2, 3, 4, 7),
                                          testing::ValuesIn(kCommunicatorCases)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Processes, Communicators,
                         testing::Combine(testing::Values(HubKind::kShared, HubKind::kTcp), testing::Values(2, 3, 5),
                                          testing::ValuesIn(kCommunicatorCases)),
                         name_of);

class Hubs : public testing::TestWithParam<HubKind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Hubs, testing::Values(HubKind::kThreads, HubKind::kShared, HubKind::kTcp),
                         [](const auto& kind) { return to_string(kind.param); });

TEST_P(Hubs, WaitTimeIsThatOfTheLastToArrive) {
  expect_no_failures(run_ranks(GetParam(), 2, [](Communicator& comm, Hub&) {
    float x = 1;
    if (comm.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    comm.all_reduce(&x, 1, DType::kF32, ReduceOp::kSum);
    if (comm.rank() == 0) {
      EXPECT_GT(comm.last_wait_ns(), 10'000'000);
    }
  }));
}

TEST_P(Hubs, AFailingRankWakesEverybodyWhoWaits) {
  for (int turn = 0; turn < (GetParam() == HubKind::kThreads ? 20 : 3); ++turn) {
    const auto failures = run_ranks(GetParam(), 4, [turn](Communicator& comm, Hub&) {
      std::vector<float> data(10000, 1);
      comm.all_reduce(data.data(), 10000, DType::kF32, ReduceOp::kSum);
      if (comm.rank() == 2) throw Error(ErrorKind::kIo, "disk of rank 2 is gone");
      if (turn % 2 == 0 && comm.rank() == 3) comm.recv(data.data(), 10, DType::kF32, 2);
      comm.all_reduce(data.data(), 10000, DType::kF32, ReduceOp::kSum);
    });
    EXPECT_EQ(failures[2], "disk of rank 2 is gone");
    for (std::size_t r : {0U, 1U, 3U}) {
      EXPECT_THAT(failures[r], testing::HasSubstr("rank 2 failed: disk of rank 2 is gone"));
    }
  }
}

TEST(ThreadHub, AbortReachesThoseWhoComeLater) {
  ThreadHub hub(2);
  EXPECT_FALSE(hub.failure());
  hub.abort(1, Error(ErrorKind::kIo, "first"));
  hub.abort(0, Error(ErrorKind::kDevice, "second"));
  ASSERT_TRUE(hub.failure());
  EXPECT_EQ(hub.failure()->rank, 1);
  EXPECT_EQ(hub.failure()->cause.kind(), ErrorKind::kIo);
  EXPECT_THROW(hub.barrier(), PeerStopped);
  auto comm = hub.connect(world_group(2, 0), Lane::kGather, 0);
  float x[4] = {};
  EXPECT_THROW(comm->broadcast(x, 4, DType::kF32, 0), PeerStopped);
  EXPECT_THROW(comm->send(x, 4, DType::kF32, 1), PeerStopped);
  EXPECT_THROW(comm->recv(x, 4, DType::kF32, 1), PeerStopped);
}

TEST_P(Hubs, DifferentCallsOrSizesAreRefusedByName) {
  auto failures = run_ranks(GetParam(), 2, [](Communicator& comm, Hub&) {
    std::vector<float> data(20000);
    if (comm.rank() == 0) comm.all_reduce(data.data(), 20000, DType::kF32, ReduceOp::kSum);
    if (comm.rank() == 1) comm.broadcast(data.data(), 20000, DType::kF32, 0);
  });
  EXPECT_THAT(failures[0] + failures[1], testing::HasSubstr("group world on reduce: rank"));
  failures = run_ranks(GetParam(), 2, [](Communicator& comm, Hub&) {
    std::vector<float> data(20000);
    comm.all_gather(data.data(), data.data(), comm.rank() == 0 ? 100 : 99, DType::kF32);
  });
  EXPECT_THAT(failures[0] + failures[1], testing::HasSubstr("gives"));
}

TEST_P(Hubs, GroupsAndLanesAreSeparate) {
  const auto failures = run_with_hubs(GetParam(), 3, [](Hub& hub, int rank) {
    const auto sum = [](Communicator& comm, float x) {
      comm.all_reduce(&x, 1, DType::kF32, ReduceOp::kSum);
      return x;
    };
    const auto all_reduce = hub.connect(world_group(3, rank), Lane::kReduce, rank);
    const auto all_gather = hub.connect(world_group(3, rank), Lane::kGather, rank);
    std::unique_ptr<Communicator> pair;  // of 1 and 2, in another order
    if (rank != 0)
      pair = hub.connect({.name = "pair", .ranks = {2, 1}, .self = rank == 2 ? 0 : 1}, Lane::kReduce, rank);
    for (int turn = 0; turn < 100; ++turn) {
      std::thread lane([&] { ASSERT_EQ(sum(*all_gather, 10.0F * static_cast<float>(rank)), 30); });
      if (rank != 0) {
        ASSERT_EQ(sum(*pair, static_cast<float>(rank)), 3);
      }
      ASSERT_EQ(sum(*all_reduce, 1), 3);
      lane.join();
    }
  });
  expect_no_failures(failures);
}

/// Messages of a pipeline: each side has its own lane name, and many may be on their way in other directions.
TEST_P(Hubs, SendsOnOneLaneMeetReceivesOnItsPartner) {
  const auto failures = run_with_hubs(GetParam(), 2, [](Hub& hub, int rank) {
    const Group group = world_group(2, rank);
    const auto there = hub.connect(group, rank == 0 ? Lane::kSendNext : Lane::kRecvPrevious, rank);
    const auto back = hub.connect(group, rank == 0 ? Lane::kRecvNext : Lane::kSendPrevious, rank);
    for (const std::int64_t count : {1L, 1000L, 32768L, 32769L, 300'000L}) {  // pieces are 32768 floats
      std::vector<float> out(static_cast<std::size_t>(count), static_cast<float>(count)), in(out.size());
      std::thread other([&] {
        rank == 0 ? back->recv(in.data(), count, DType::kF32, 1) : back->send(out.data(), count, DType::kF32, 0);
      });
      rank == 0 ? there->send(out.data(), count, DType::kF32, 1) : there->recv(in.data(), count, DType::kF32, 0);
      other.join();
      ASSERT_EQ(in, out);
    }
  });
  expect_no_failures(failures);
}

TEST(Reduce, HalfTypesRoundToNearestEvenAndKeepSpecials) {
  EXPECT_EQ(to_bf16(1.00390625F), to_bf16(1.0F));         // 1 + 2^-8: a tie, down to even
  EXPECT_EQ(from_bf16(to_bf16(1.01171875F)), 1.015625F);  // 1 + 3 * 2^-8: a tie, up to even
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::nanf("")))));
  EXPECT_EQ(from_fp16(to_fp16(65504.0F)), 65504.0F);
  EXPECT_TRUE(std::isinf(from_fp16(to_fp16(65520.0F))));
  EXPECT_EQ(from_fp16(to_fp16(5.9604645e-08F)), 5.9604645e-08F);  // 2^-24, the smallest subnormal
  EXPECT_EQ(from_fp16(to_fp16(2.9e-08F)), 0.0F);
  EXPECT_TRUE(std::isnan(from_fp16(to_fp16(std::nanf("")))));
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto h = static_cast<std::uint16_t>(bits);
    if (!std::isnan(from_fp16(h))) {
      ASSERT_EQ(to_fp16(from_fp16(h)), h);
    }
    if (!std::isnan(from_bf16(h))) {
      ASSERT_EQ(to_bf16(from_bf16(h)), h);
    }
  }
}

TEST(Reduce, BytesAreRefused) {
  std::byte x[4] = {};
  const std::byte* in = x;
  std::byte* out = x;
  EXPECT_THROW(reduce_in_order(std::span(&in, 1), std::span(&out, 1), 4, DType::kI8, ReduceOp::kSum), Error);
}

}  // namespace
}  // namespace shardscope
