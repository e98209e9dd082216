// What processes that are one run tell each other. Here they are threads with a hub each (hub_for_test.h); real ones:
// tests/launch_test.sh.

#include "core/engine/process/process_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/engine/hub_for_test.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

TEST(ProcessHub, RanksAreDealtTheCoresTheyShare) {
  run_with_hubs(HubKind::kShared, 3, [](Hub& hub, int rank) {
    EXPECT_EQ(hub.world(), 3);
    EXPECT_EQ(hub.local_ranks(), std::vector<int>{rank});
    EXPECT_EQ(hub.speaks(), rank == 0);
    EXPECT_GE(hub.threads_per_rank(), 1);
    EXPECT_LE(hub.threads_per_rank() * 3, std::max(3U, std::thread::hardware_concurrency()));
    EXPECT_EQ(hub.clock_ahead_ns(), 0) << "one machine, one clock";
    hub.barrier();
  });
}

TEST(ProcessHub, AFailureKeepsItsRankKindAndText) {
  const auto failures = run_with_hubs(HubKind::kShared, 3, [](Hub& hub, int rank) {
    if (rank == 2) throw Error(ErrorKind::kConfig, "no such file");
    EXPECT_THROW(hub.barrier(), PeerStopped);
    ASSERT_TRUE(hub.failure());
    EXPECT_EQ(hub.failure()->rank, 2);
    EXPECT_EQ(hub.failure()->cause.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(hub.failure()->cause.what(), "no such file");
  });
  EXPECT_EQ(failures[2], "no such file");
}

TEST(ProcessHub, ARankThatWaitsLongForAnotherIsNotBlamed) {
  const auto failures = run_with_hubs(
      HubKind::kShared, 2,
      [](Hub& hub, int rank) {
        if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
        hub.barrier();
      },
      /*hang_timeout_s=*/0.5);
  EXPECT_THAT(failures, testing::Each(""));
}

TEST(ProcessHub, AGroupMayBeConnectedAgain) {
  for (const HubKind kind : {HubKind::kShared, HubKind::kTcp}) {
    const auto failures = run_with_hubs(kind, 2, [](Hub& hub, int rank) {
      for (int turn = 0; turn < 5; ++turn) {
        const auto comm = hub.connect(world_group(2, rank), Lane::kReduce, rank);
        for (int i = 0; i <= turn; ++i) {
          float x = 1;
          comm->all_reduce(&x, 1, DType::kF32, ReduceOp::kSum);
          ASSERT_EQ(x, 2);
        }
        hub.barrier();
      }
    });
    EXPECT_THAT(failures, testing::Each(""));
  }
}

/// Joins as `rank` of `world` where `port` is; what() of the refusal.
std::string join_refusal(int rank, int world, int port, double timeout_s) {
  try {
    join_run({.rank = rank, .world = world, .hosts = {"127.0.0.1"}, .port = port, .timeout_s = timeout_s});
  } catch (const Error& error) {
    return error.what();
  }
  return "not refused";
}

int free_port() { return Listener::open("127.0.0.1", 0).port(); }

TEST(JoinRun, SaysWhoDidNotCome) {
  EXPECT_THAT(join_refusal(0, 3, free_port(), 0.3), HasSubstr("rank 1, 2 of 3 did not come to 127.0.0.1:"));
  EXPECT_THAT(join_refusal(1, 3, free_port(), 0.3), HasSubstr("rank 1: rank 0 does not answer within"));
}

TEST(JoinRun, RefusesProcessesThatDoNotFit) {
  const int port = free_port();
  std::string other;
  {
    const std::jthread guest([&] { other = join_refusal(1, 4, port, 10); });
    EXPECT_THAT(join_refusal(0, 2, port, 10), HasSubstr("rank 1 was started as one of 4 ranks, rank 0 as one of 2"));
  }
  EXPECT_THAT(other, HasSubstr("rank 1 was started as one of 4 ranks"));
}

TEST(JoinRun, StrangersAreNotLetIn) {
  const int port = free_port();
  std::vector<std::string> outcome(2);
  {
    const std::jthread first([&] { outcome[0] = join_refusal(0, 2, port, 10); });
    const std::string request = "GET / HTTP/1.1\r\n\r\n";
    Socket stranger = Socket::connect("127.0.0.1", port, Deadline(5));
    stranger.write_all(std::as_bytes(std::span(request)), Deadline(5));
    const std::jthread second([&] { outcome[1] = join_refusal(1, 2, port, 20); });
  }
  EXPECT_THAT(outcome, testing::Each("not refused"));
}

}  // namespace
}  // namespace shardscope
