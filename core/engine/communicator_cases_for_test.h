#pragma once
// What every communicator must do, whatever carries its bytes. Each case runs on all ranks of a group at once.
//
//   for (const CommunicatorCase& c : kCommunicatorCases) c.run(comm);

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string_view>
#include <vector>

#include "core/engine/communicator.h"
#include "core/engine/reduce.h"

namespace shardscope {

inline float value(int rank, std::int64_t i) { return std::sin(static_cast<float>(rank * 1000003 + i * 7919)) * 3; }

/// What rank-ordered fp32 summation gives, bit by bit.
inline float ordered_sum(int size, std::int64_t i) {
  float sum = value(0, i);
  for (int r = 1; r < size; ++r) sum += value(r, i);
  return sum;
}

inline void all_reduce_sums_in_rank_order_for_any_size(Communicator& comm) {
  std::mt19937 random(1234);
  std::vector<std::int64_t> counts{0, 1, 2, 15, 16, 17, 1023, 1024, 1025, 4096, 4097, 100003};
  for (int i = 0; i < 10; ++i) counts.push_back(static_cast<std::int64_t>(random() % 30000));
  for (std::int64_t count : counts) {
    std::vector<float> data(static_cast<std::size_t>(count) + 1, -1);
    for (std::int64_t i = 0; i < count; ++i) data[static_cast<std::size_t>(i)] = value(comm.rank(), i);
    comm.all_reduce(data.data(), count, DType::kF32, ReduceOp::kSum);
    for (std::int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(data[static_cast<std::size_t>(i)], ordered_sum(comm.size(), i)) << i;
    }
    ASSERT_EQ(data.back(), -1) << "wrote past the end, count " << count;
  }
}

inline void all_reduce_max_keeps_nan(Communicator& comm) {
  std::vector<float> data(5000, static_cast<float>(comm.rank()));
  if (comm.rank() == 0) data[17] = std::nanf("");
  comm.all_reduce(data.data(), 5000, DType::kF32, ReduceOp::kMax);
  EXPECT_EQ(data[0], static_cast<float>(comm.size() - 1));
  EXPECT_EQ(data[4999], static_cast<float>(comm.size() - 1));
  EXPECT_TRUE(std::isnan(data[17]));
}

inline void all_reduce_in_other_types(Communicator& comm) {
  const float sum = static_cast<float>(comm.size() * (comm.size() + 1)) / 2;
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
}

inline void reduce_scatter_gives_each_its_slice_apart_and_in_place(Communicator& comm) {
  for (std::int64_t count : {1, 7, 1000, 12345}) {
    std::vector<float> in(static_cast<std::size_t>(count * comm.size())), out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = value(comm.rank(), static_cast<std::int64_t>(i));
    const std::vector<float> before = in;
    comm.reduce_scatter(in.data(), out.data(), count, DType::kF32);
    ASSERT_EQ(in, before);
    float* const slice = in.data() + comm.rank() * count;
    comm.reduce_scatter(in.data(), slice, count, DType::kF32);
    for (std::int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(out[static_cast<std::size_t>(i)], ordered_sum(comm.size(), comm.rank() * count + i));
      ASSERT_EQ(slice[i], out[static_cast<std::size_t>(i)]);
    }
  }
}

inline void all_gather_apart_and_in_place(Communicator& comm) {
  for (std::int64_t count : {1, 33, 5000, 100001}) {
    std::vector<float> in(static_cast<std::size_t>(count)), out(static_cast<std::size_t>(count * comm.size()), -1);
    for (std::int64_t i = 0; i < count; ++i) in[static_cast<std::size_t>(i)] = value(comm.rank(), i);
    comm.all_gather(in.data(), out.data(), count, DType::kF32);
    std::vector<float> same(out.size(), -1);
    std::copy(in.begin(), in.end(), same.begin() + comm.rank() * count);
    comm.all_gather(same.data() + comm.rank() * count, same.data(), count, DType::kF32);
    ASSERT_EQ(out, same);
    for (int r = 0; r < comm.size(); ++r) {
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(out[static_cast<std::size_t>(r * count + i)], value(r, i));
    }
  }
}

inline void broadcast_from_every_root(Communicator& comm) {
  for (int root = 0; root < comm.size(); ++root) {
    std::vector<std::int32_t> data(3001, comm.rank());
    comm.broadcast(data.data(), 3001, DType::kI32, root);
    ASSERT_THAT(data, testing::Each(root));
  }
}

inline void all_to_all_transposes(Communicator& comm) {
  for (const int n : {11, 50'000}) {
    std::vector<std::int32_t> in(static_cast<std::size_t>(comm.size() * n)), out(in.size());
    const auto part = [&](std::size_t i) { return static_cast<int>(i) / n; };
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = comm.rank() * 1000 + part(i);
    comm.all_to_all(in.data(), out.data(), n, DType::kI32);
    for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], part(i) * 1000 + comm.rank());
  }
}

inline void ring_shift_hands_on_to_the_next(Communicator& comm) {
  const int previous = (comm.rank() + comm.size() - 1) % comm.size();
  for (int turn = 0; turn < 20; ++turn) {
    const std::size_t count = turn == 7 ? 100'000 : 500;
    const std::vector<std::int32_t> in(count, comm.rank() + turn);
    std::vector<std::int32_t> out(count, -1), by_messages(count, -1);
    comm.ring_shift(in.data(), out.data(), static_cast<std::int64_t>(count), DType::kI32);
    ASSERT_THAT(out, testing::Each(previous + turn));
    comm.Communicator::ring_shift(in.data(), by_messages.data(), static_cast<std::int64_t>(count), DType::kI32);
    ASSERT_EQ(by_messages, out);
  }
}

inline void send_and_receive_round_a_ring(Communicator& comm) {
  if (comm.size() == 1) return;
  const int next = (comm.rank() + 1) % comm.size(), last = (comm.rank() + comm.size() - 1) % comm.size();
  for (int turn = 0; turn < 50; ++turn) {
    const std::size_t count = turn == 7 ? 300'000 : 100;
    const auto n = static_cast<std::int64_t>(count);
    std::vector<std::int32_t> out(count, comm.rank() + turn), in(count, -1);
    if (comm.rank() == 0) {
      comm.send(out.data(), n, DType::kI32, next);
      comm.recv(in.data(), n, DType::kI32, last);
    } else {
      comm.recv(in.data(), n, DType::kI32, last);
      comm.send(out.data(), n, DType::kI32, next);
    }
    ASSERT_THAT(in, testing::Each(last + turn));
  }
}

inline void many_small_calls_in_a_row_do_not_mix_up(Communicator& comm) {
  const int size = comm.size();
  for (int turn = 0; turn < 2000; ++turn) {
    float x[2] = {static_cast<float>(turn), static_cast<float>(comm.rank())};
    comm.all_reduce(x, 2, DType::kF32, ReduceOp::kSum);
    ASSERT_EQ(x[0], static_cast<float>(turn * size));
    ASSERT_EQ(x[1], static_cast<float>(size * (size - 1)) / 2);
  }
}

/// Calls of random kinds and sizes, each checked: what one call leaves in a wire must not reach the next.
inline void any_mix_of_calls_gives_what_each_alone_would(Communicator& comm) {
  std::mt19937 random(7);
  const int size = comm.size();
  for (int turn = 0; turn < 120; ++turn) {
    const auto n = static_cast<std::int64_t>(random() % (turn % 8 == 0 ? 100'000 : 3000));
    const unsigned call = random() % 4;
    std::vector<float> in(static_cast<std::size_t>(size * n)), out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = value(comm.rank(), static_cast<std::int64_t>(i) + turn);
    if (call == 0) {
      comm.all_reduce(in.data(), n, DType::kF32, ReduceOp::kSum);
      for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(in[static_cast<std::size_t>(i)], ordered_sum(size, i + turn));
    } else if (call == 1) {
      comm.all_gather(in.data(), out.data(), n, DType::kF32);
      for (std::int64_t i = 0; i < size * n; ++i) {
        ASSERT_EQ(out[static_cast<std::size_t>(i)], value(static_cast<int>(i / n), i % n + turn));
      }
    } else if (call == 2) {
      comm.reduce_scatter(in.data(), out.data(), n, DType::kF32);
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(out[static_cast<std::size_t>(i)], ordered_sum(size, comm.rank() * n + i + turn));
      }
    } else {
      const int root = turn % size;
      comm.broadcast(in.data(), n, DType::kF32, root);
      for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(in[static_cast<std::size_t>(i)], value(root, i + turn));
    }
  }
}

struct CommunicatorCase {
  const char* name;
  void (*run)(Communicator& comm);
};

inline constexpr CommunicatorCase kCommunicatorCases[] = {
    {"AllReduceSumsInRankOrderForAnySize", all_reduce_sums_in_rank_order_for_any_size},
    {"AllReduceMaxKeepsNaN", all_reduce_max_keeps_nan},
    {"AllReduceInOtherTypes", all_reduce_in_other_types},
    {"ReduceScatterGivesEachItsSliceApartAndInPlace", reduce_scatter_gives_each_its_slice_apart_and_in_place},
    {"AllGatherApartAndInPlace", all_gather_apart_and_in_place},
    {"BroadcastFromEveryRoot", broadcast_from_every_root},
    {"AllToAllTransposes", all_to_all_transposes},
    {"RingShiftHandsOnToTheNext", ring_shift_hands_on_to_the_next},
    {"SendAndReceiveRoundARing", send_and_receive_round_a_ring},
    {"ManySmallCallsInARowDoNotMixUp", many_small_calls_in_a_row_do_not_mix_up},
    {"AnyMixOfCallsGivesWhatEachAloneWould", any_mix_of_calls_gives_what_each_alone_would},
};

}  // namespace shardscope
