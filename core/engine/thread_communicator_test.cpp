#include "core/engine/thread_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <thread>

#include "core/engine/reduce.h"

namespace shardscope {
namespace {

Group group_of(int size, int self) {
  Group group{.name = "dp", .ranks = {}, .self = self};
  for (int r = 0; r < size; ++r) group.ranks.push_back(r);
  return group;
}

/// Runs `body` on one thread per rank; an exception aborts the hub, as the trainer does. Returns what() by rank.
std::vector<std::string> run_ranks(int size, const std::function<void(Communicator&, ThreadHub&)>& body) {
  ThreadHub hub(size);
  std::vector<std::string> failures(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      try {
        auto comm = hub.connect(group_of(size, r), Lane::kReduce, r);
        body(*comm, hub);
      } catch (const std::exception& error) {
        hub.abort(r, as_error(error));
        failures[static_cast<std::size_t>(r)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failures;
}

void expect_no_failures(const std::vector<std::string>& failures) {
  for (const std::string& failure : failures) EXPECT_EQ(failure, "");
}

float value(int rank, std::int64_t i) { return std::sin(static_cast<float>(rank * 1000003 + i * 7919)) * 3; }

/// What rank-ordered fp32 summation gives, bit by bit.
float ordered_sum(int size, std::int64_t i) {
  float sum = value(0, i);
  for (int r = 1; r < size; ++r) sum += value(r, i);
  return sum;
}

class Collectives : public testing::TestWithParam<int> {};

TEST_P(Collectives, AllReduceSumsInRankOrderForAnySize) {
  const int size = GetParam();
  std::mt19937 random(1234);
  std::vector<std::int64_t> counts{0, 1, 2, 15, 16, 17, 1023, 1024, 1025, 4096, 4097, 100003};
  for (int i = 0; i < 10; ++i) counts.push_back(static_cast<std::int64_t>(random() % 30000));
  expect_no_failures(run_ranks(size, [&](Communicator& comm, ThreadHub&) {
    for (std::int64_t count : counts) {
      std::vector<float> data(static_cast<std::size_t>(count) + 1, -1);
      for (std::int64_t i = 0; i < count; ++i) data[static_cast<std::size_t>(i)] = value(comm.rank(), i);
      comm.all_reduce(data.data(), count, DType::kF32, ReduceOp::kSum);
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(data[static_cast<std::size_t>(i)], ordered_sum(size, i)) << i;
      ASSERT_EQ(data.back(), -1) << "wrote past the end, count " << count;
    }
  }));
}

TEST_P(Collectives, AllReduceMaxKeepsNaN) {
  expect_no_failures(run_ranks(GetParam(), [&](Communicator& comm, ThreadHub&) {
    std::vector<float> data(5000, static_cast<float>(comm.rank()));
    if (comm.rank() == 0) data[17] = std::nanf("");
    comm.all_reduce(data.data(), 5000, DType::kF32, ReduceOp::kMax);
    EXPECT_EQ(data[0], static_cast<float>(comm.size() - 1));
    EXPECT_EQ(data[4999], static_cast<float>(comm.size() - 1));
    EXPECT_TRUE(std::isnan(data[17]));
  }));
}

TEST_P(Collectives, AllReduceInOtherTypes) {
  const int size = GetParam();
  const float sum = static_cast<float>(size * (size + 1)) / 2;
  expect_no_failures(run_ranks(size, [&](Communicator& comm, ThreadHub&) {
    const float mine = static_cast<float>(comm.rank() + 1);
    for (std::size_t count : {3U, 5001U}) {
      std::vector<double> f64(count, mine);
      std::vector<std::int32_t> i32(count, comm.rank() + 1);
      std::vector<std::uint16_t> bf16(count, to_bf16(mine)), fp16(count, to_fp16(mine));
      const auto n = static_cast<std::int64_t>(count);
      comm.all_reduce(f64.data(), n, DType::kF64, ReduceOp::kSum);
      comm.all_reduce(i32.data(), n, DType::kI32, ReduceOp::kSum);
      comm.all_reduce(bf16.data(), n, DType::kBF16, ReduceOp::kSum);
      comm.all_reduce(fp16.data(), n, DType::kF16, ReduceOp::kSum);
      EXPECT_THAT(f64, testing::Each(sum));
      EXPECT_THAT(i32, testing::Each(static_cast<int>(sum)));
      EXPECT_THAT(bf16, testing::Each(to_bf16(sum)));
      EXPECT_THAT(fp16, testing::Each(to_fp16(sum)));
    }
  }));
}

TEST_P(Collectives, ReduceScatterGivesEachItsSliceApartAndInPlace) {
  const int size = GetParam();
  expect_no_failures(run_ranks(size, [&](Communicator& comm, ThreadHub&) {
    for (std::int64_t count : {1, 7, 1000, 12345}) {
      std::vector<float> in(static_cast<std::size_t>(count * size)), out(static_cast<std::size_t>(count));
      for (std::size_t i = 0; i < in.size(); ++i) in[i] = value(comm.rank(), static_cast<std::int64_t>(i));
      const std::vector<float> before = in;
      comm.reduce_scatter(in.data(), out.data(), count, DType::kF32);
      ASSERT_EQ(in, before);
      float* const slice = in.data() + comm.rank() * count;
      comm.reduce_scatter(in.data(), slice, count, DType::kF32);
      for (std::int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(out[static_cast<std::size_t>(i)], ordered_sum(size, comm.rank() * count + i));
        ASSERT_EQ(slice[i], out[static_cast<std::size_t>(i)]);
      }
    }
  }));
}

TEST_P(Collectives, AllGatherApartAndInPlace) {
  const int size = GetParam();
  expect_no_failures(run_ranks(size, [&](Communicator& comm, ThreadHub&) {
    for (std::int64_t count : {1, 33, 5000}) {
      std::vector<float> in(static_cast<std::size_t>(count)), out(static_cast<std::size_t>(count * size), -1);
      for (std::int64_t i = 0; i < count; ++i) in[static_cast<std::size_t>(i)] = value(comm.rank(), i);
      comm.all_gather(in.data(), out.data(), count, DType::kF32);
      std::vector<float> same(out.size(), -1);
      std::copy(in.begin(), in.end(), same.begin() + comm.rank() * count);
      comm.all_gather(same.data() + comm.rank() * count, same.data(), count, DType::kF32);
      ASSERT_EQ(out, same);
      for (int r = 0; r < size; ++r) {
        for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(out[static_cast<std::size_t>(r * count + i)], value(r, i));
      }
    }
  }));
}

TEST_P(Collectives, BroadcastFromEveryRoot) {
  expect_no_failures(run_ranks(GetParam(), [&](Communicator& comm, ThreadHub&) {
    for (int root = 0; root < comm.size(); ++root) {
      std::vector<std::int32_t> data(3001, comm.rank());
      comm.broadcast(data.data(), 3001, DType::kI32, root);
      ASSERT_THAT(data, testing::Each(root));
    }
  }));
}

TEST_P(Collectives, AllToAllTransposes) {
  const int size = GetParam();
  expect_no_failures(run_ranks(size, [&](Communicator& comm, ThreadHub&) {
    std::vector<std::int32_t> in(static_cast<std::size_t>(size) * 11), out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = comm.rank() * 1000 + static_cast<int>(i / 11);
    comm.all_to_all(in.data(), out.data(), 11, DType::kI32);
    for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], static_cast<int>(i / 11) * 1000 + comm.rank());
  }));
}

TEST_P(Collectives, SendAndReceiveRoundARing) {
  expect_no_failures(run_ranks(GetParam(), [&](Communicator& comm, ThreadHub&) {
    if (comm.size() == 1) return;
    const int next = (comm.rank() + 1) % comm.size(), last = (comm.rank() + comm.size() - 1) % comm.size();
    for (int turn = 0; turn < 50; ++turn) {
      std::vector<std::int32_t> out(100, comm.rank() + turn), in(100, -1);
      if (comm.rank() == 0) {
        comm.send(out.data(), 100, DType::kI32, next);
        comm.recv(in.data(), 100, DType::kI32, last);
      } else {
        comm.recv(in.data(), 100, DType::kI32, last);
        comm.send(out.data(), 100, DType::kI32, next);
      }
      ASSERT_THAT(in, testing::Each(last + turn));
    }
  }));
}

TEST_P(Collectives, ManySmallCallsInARowDoNotMixUp) {
  const int size = GetParam();
  expect_no_failures(run_ranks(size, [&](Communicator& comm, ThreadHub&) {
    for (int turn = 0; turn < 2000; ++turn) {
      float x[2] = {static_cast<float>(turn), static_cast<float>(comm.rank())};
      comm.all_reduce(x, 2, DType::kF32, ReduceOp::kSum);
      ASSERT_EQ(x[0], static_cast<float>(turn * size));
      ASSERT_EQ(x[1], static_cast<float>(size * (size - 1)) / 2);
    }
  }));
}

INSTANTIATE_TEST_SUITE_P(Ranks, Collectives, testing::Values(1, 2, 3, 4, 7));

TEST(ThreadHub, WaitTimeIsThatOfTheLastToArrive) {
  expect_no_failures(run_ranks(2, [](Communicator& comm, ThreadHub&) {
    float x = 1;
    if (comm.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    comm.all_reduce(&x, 1, DType::kF32, ReduceOp::kSum);
    if (comm.rank() == 0) {
      EXPECT_GT(comm.last_wait_ns(), 10'000'000);
    }
  }));
}

TEST(ThreadHub, AFailingRankWakesEverybodyWhoWaits) {
  for (int turn = 0; turn < 20; ++turn) {
    const auto failures = run_ranks(4, [turn](Communicator& comm, ThreadHub&) {
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
  auto comm = hub.connect(group_of(2, 0), Lane::kGather, 0);
  float x[4] = {};
  EXPECT_THROW(comm->broadcast(x, 4, DType::kF32, 0), PeerStopped);
  EXPECT_THROW(comm->send(x, 4, DType::kF32, 1), PeerStopped);
  EXPECT_THROW(comm->recv(x, 4, DType::kF32, 1), PeerStopped);
}

TEST(ThreadHub, DifferentCallsOrSizesAreRefusedByName) {
  auto failures = run_ranks(2, [](Communicator& comm, ThreadHub&) {
    std::vector<float> data(20000);
    if (comm.rank() == 0) comm.all_reduce(data.data(), 20000, DType::kF32, ReduceOp::kSum);
    if (comm.rank() == 1) comm.broadcast(data.data(), 20000, DType::kF32, 0);
  });
  EXPECT_THAT(failures[0] + failures[1], testing::HasSubstr("group dp on reduce: rank"));
  failures = run_ranks(2, [](Communicator& comm, ThreadHub&) {
    std::vector<float> data(20000);
    comm.all_gather(data.data(), data.data(), comm.rank() == 0 ? 100 : 99, DType::kF32);
  });
  EXPECT_THAT(failures[0] + failures[1], testing::HasSubstr("gives"));
}

TEST(ThreadHub, GroupsAndLanesAreSeparate) {
  ThreadHub hub(2);
  std::thread other([&] {
    auto a = hub.connect(group_of(2, 1), Lane::kReduce, 1);
    auto b = hub.connect(group_of(2, 1), Lane::kGather, 1);
    float x = 2, y = 20;
    std::thread lane([&] { b->all_reduce(&y, 1, DType::kF32, ReduceOp::kSum); });
    a->all_reduce(&x, 1, DType::kF32, ReduceOp::kSum);
    lane.join();
    EXPECT_EQ(x, 3);
    EXPECT_EQ(y, 30);
  });
  auto a = hub.connect(group_of(2, 0), Lane::kReduce, 0);
  auto b = hub.connect(group_of(2, 0), Lane::kGather, 0);
  float x = 1, y = 10;
  b->all_reduce(&y, 1, DType::kF32, ReduceOp::kSum);
  a->all_reduce(&x, 1, DType::kF32, ReduceOp::kSum);
  other.join();
  EXPECT_EQ(x, 3);
  EXPECT_EQ(y, 30);
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
