
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <thread>

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

float value(int rank, std::int64_t i) { return std::sin(static_cast<float>(rank * 1000003 + i * 7919)) * 3; }

/// What rank-ordered fp32 summation gives, bit by bit.
float ordered_sum(int size, std::int64_t i) {
  float sum = value(0, i);
  for (int r = 1; r < size; ++r) sum += value(r, i);
  return sum;
}

class Collectives : public testing::TestWithParam<std::tuple<HubKind, int>> {
 protected:
  HubKind kind() const { return std::get<0>(GetParam()); }
  int size() const { return std::get<1>(GetParam()); }
};

TEST_P(Collectives, AllReduceSumsInRankOrderForAnySize) {
  const int size = this->size();
  std::mt19937 random(1234);
  std::vector<std::int64_t> counts{0, 1, 2, 15, 16, 17, 1023, 1024, 1025, 4096, 4097, 100003};
  for (int i = 0; i < 10; ++i) counts.push_back(static_cast<std::int64_t>(random() % 30000));
  expect_no_failures(run_ranks(kind(), size, [&](Communicator& comm, Hub&) {
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
  expect_no_failures(run_ranks(kind(), size(), [&](Communicator& comm, Hub&) {
    std::vector<float> data(5000, static_cast<float>(comm.rank()));
    if (comm.rank() == 0) data[17] = std::nanf("");
    comm.all_reduce(data.data(), 5000, DType::kF32, ReduceOp::kMax);
    EXPECT_EQ(data[0], static_cast<float>(comm.size() - 1));
    EXPECT_EQ(data[4999], static_cast<float>(comm.size() - 1));
    EXPECT_TRUE(std::isnan(data[17]));
  }));
}

TEST_P(Collectives, AllReduceInOtherTypes) {
  const int size = this->size();
  const float sum = static_cast<float>(size * (size + 1)) / 2;
  expect_no_failures(run_ranks(kind(), size, [&](Communicator& comm, Hub&) {
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
  const int size = this->size();
  expect_no_failures(run_ranks(kind(), size, [&](Communicator& comm, Hub&) {
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
  const int size = this->size();
  expect_no_failures(run_ranks(kind(), size, [&](Communicator& comm, Hub&) {
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
  expect_no_failures(run_ranks(kind(), size(), [&](Communicator& comm, Hub&) {
    for (int root = 0; root < comm.size(); ++root) {
      std::vector<std::int32_t> data(3001, comm.rank());
      comm.broadcast(data.data(), 3001, DType::kI32, root);
      ASSERT_THAT(data, testing::Each(root));
    }
  }));
}

TEST_P(Collectives, AllToAllTransposes) {
  const int size = this->size();
  expect_no_failures(run_ranks(kind(), size, [&](Communicator& comm, Hub&) {
    std::vector<std::int32_t> in(static_cast<std::size_t>(size) * 11), out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = comm.rank() * 1000 + static_cast<int>(i / 11);
    comm.all_to_all(in.data(), out.data(), 11, DType::kI32);
    for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], static_cast<int>(i / 11) * 1000 + comm.rank());
  }));
}

TEST_P(Collectives, RingShiftHandsOnToTheNext) {
  const int size = this->size();
  expect_no_failures(run_ranks(kind(), size, [&](Communicator& comm, Hub&) {
    const int previous = (comm.rank() + size - 1) % size;
    for (int turn = 0; turn < 20; ++turn) {
      const std::vector<std::int32_t> in(500, comm.rank() + turn);
      std::vector<std::int32_t> out(500, -1), by_messages(500, -1);
      comm.ring_shift(in.data(), out.data(), 500, DType::kI32);
      ASSERT_THAT(out, testing::Each(previous + turn));
      comm.Communicator::ring_shift(in.data(), by_messages.data(), 500, DType::kI32);
      ASSERT_EQ(by_messages, out);
    }
  }));
}

TEST_P(Collectives, SendAndReceiveRoundARing) {
  expect_no_failures(run_ranks(kind(), size(), [&](Communicator& comm, Hub&) {
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
  const int size = this->size();
  expect_no_failures(run_ranks(kind(), size, [&](Communicator& comm, Hub&) {
    for (int turn = 0; turn < 2000; ++turn) {
      float x[2] = {static_cast<float>(turn), static_cast<float>(comm.rank())};
      comm.all_reduce(x, 2, DType::kF32, ReduceOp::kSum);
      ASSERT_EQ(x[0], static_cast<float>(turn * size));
      ASSERT_EQ(x[1], static_cast<float>(size * (size - 1)) / 2);
    }
  }));
}

std::string name_of(const testing::TestParamInfo<std::tuple<HubKind, int>>& info) {
  return to_string(std::get<0>(info.param)) + "_" + std::to_string(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Threads, Collectives,
                         testing::Combine(testing::Values(HubKind::kThreads), testing::Values(1, 2, 3, 4, 7)), name_of);
INSTANTIATE_TEST_SUITE_P(Processes, Collectives,
                         testing::Combine(testing::Values(HubKind::kShared, HubKind::kTcp), testing::Values(2, 3, 5)),
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

/// Calls of random kinds and sizes, each checked: what one call leaves in a wire must not reach the next.
TEST_P(Hubs, AnyMixOfCallsGivesWhatEachAloneWould) {
  const auto failures = run_with_hubs(GetParam(), 3, [](Hub& hub, int rank) {
    const auto comm = hub.connect(world_group(3, rank), Lane::kTensor, rank);
    std::mt19937 random(7);
    for (int turn = 0; turn < 150; ++turn) {
      const auto n = static_cast<std::int64_t>(random() % (turn % 5 == 0 ? 200'000 : 3000));
      const unsigned call = random() % 4;
      std::vector<float> in(static_cast<std::size_t>(3 * n)), out(in.size());
      for (std::size_t i = 0; i < in.size(); ++i) in[i] = value(rank + turn, static_cast<std::int64_t>(i));
      const auto theirs = [&](int r, std::int64_t i) { return value(r + turn, i); };
      if (call == 0) {
        comm->all_reduce(in.data(), n, DType::kF32, ReduceOp::kSum);
        for (std::int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(in[static_cast<std::size_t>(i)], theirs(0, i) + theirs(1, i) + theirs(2, i));
        }
      } else if (call == 1) {
        comm->all_gather(in.data(), out.data(), n, DType::kF32);
        for (std::int64_t i = 0; i < 3 * n; ++i) {
          ASSERT_EQ(out[static_cast<std::size_t>(i)], theirs(static_cast<int>(i / n), i % n));
        }
      } else if (call == 2) {
        comm->reduce_scatter(in.data(), out.data(), n, DType::kF32);
        for (std::int64_t i = 0; i < n; ++i) {
          const std::int64_t at = rank * n + i;
          ASSERT_EQ(out[static_cast<std::size_t>(i)], theirs(0, at) + theirs(1, at) + theirs(2, at));
        }
      } else {
        const int root = turn % 3;
        comm->broadcast(in.data(), n, DType::kF32, root);
        for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(in[static_cast<std::size_t>(i)], theirs(root, i));
      }
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
