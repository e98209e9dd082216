// Ranks as threads, a device each: collectives against sums by hand, and what NCCL does when ranks disagree, stop or
// share a GPU.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <nccl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "tests/cudasim/device_memory.h"

namespace cudasim_test {
namespace {

using testing::HasSubstr;

class Nccl : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "not on the emulated device";
    int devices = 0;
    check(cudaGetDeviceCount(&devices));
    if (devices < kRanks) GTEST_SKIP() << "needs CUDASIM_DEVICES=" << kRanks;
    forget();
  }
  void TearDown() override {
    if (emulated()) forget();
    cudaSetDevice(0);
  }
  static constexpr int kRanks = 2;

  struct Rank {
    int rank;
    ncclComm_t comm;
    cudaStream_t stream;
  };
  /// Runs `work` on each rank; destroys the communicators unless it left null.
  static void on_ranks(const std::function<void(Rank&)>& work, bool blocking = true) {
    ncclUniqueId id;
    ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
    std::vector<std::thread> threads;
    for (int r = 0; r < kRanks; ++r) {
      threads.emplace_back([&, r] {
        check(cudaSetDevice(r));
        Rank rank{r, nullptr, nullptr};
        check(cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking));
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = blocking ? 1 : 0;
        ncclResult_t made = ncclCommInitRankConfig(&rank.comm, kRanks, id, r, &config);
        while (made == ncclInProgress) ncclCommGetAsyncError(rank.comm, &made);
        EXPECT_EQ(made, ncclSuccess);
        work(rank);
        if (rank.comm != nullptr) {
          EXPECT_EQ(ncclCommDestroy(rank.comm), ncclSuccess);
        }
        cudaStreamDestroy(rank.stream);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  static ncclResult_t settle(const Rank& rank, ncclResult_t code) {
    while (code == ncclInProgress) ncclCommGetAsyncError(rank.comm, &code);
    return code;
  }
  static std::vector<float> counting(int rank, size_t count) {
    std::vector<float> out(count);
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(i % 1000) + static_cast<float>(rank) * 1000;
    return out;
  }
};

TEST_F(Nccl, CollectivesOfAnySize) {
  for (const size_t count : {size_t{1}, size_t{1000}, size_t{200'001}}) {  // the last takes several chunks
    on_ranks([&](Rank& rank) {
      const auto mine = counting(rank.rank, count), other = counting(1 - rank.rank, count);
      DeviceArray<float> sum(mine), gathered(2 * count),
          both(std::vector<float>(2 * count, 1.f + static_cast<float>(rank.rank))), part(count), shared(mine);
      EXPECT_EQ(ncclAllReduce(sum.data(), sum.data(), count, ncclFloat32, ncclSum, rank.comm, rank.stream),
                ncclSuccess);
      DeviceArray<float> source(mine);
      EXPECT_EQ(ncclAllGather(source.data(), gathered.data(), count, ncclFloat32, rank.comm, rank.stream), ncclSuccess);
      EXPECT_EQ(ncclReduceScatter(both.data(), part.data(), count, ncclFloat32, ncclSum, rank.comm, rank.stream),
                ncclSuccess);
      EXPECT_EQ(ncclBroadcast(shared.data(), shared.data(), count, ncclFloat32, 1, rank.comm, rank.stream),
                ncclSuccess);
      check(cudaStreamSynchronize(rank.stream));
      const auto got_sum = sum.get(), got_gathered = gathered.get();
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(got_sum[i], mine[i] + other[i]);
        ASSERT_EQ(got_gathered[i], (rank.rank == 0 ? mine : other)[i]);
        ASSERT_EQ(got_gathered[count + i], (rank.rank == 1 ? mine : other)[i]);
      }
      EXPECT_EQ(part.get(), std::vector<float>(count, 3.f));
      EXPECT_EQ(shared.get(), counting(1, count));
    });
  }
  EXPECT_EQ(reports(), "");
}

TEST_F(Nccl, MessagesInAGroup) {
  on_ranks([&](Rank& rank) {
    const size_t count = 100'000;
    DeviceArray<float> from(counting(rank.rank, count)), to(count);
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    EXPECT_EQ(ncclSend(from.data(), count, ncclFloat32, 1 - rank.rank, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(ncclRecv(to.data(), count, ncclFloat32, 1 - rank.rank, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
    check(cudaStreamSynchronize(rank.stream));
    EXPECT_EQ(to.get(), counting(1 - rank.rank, count));
  });
  EXPECT_EQ(reports(), "");
}

TEST_F(Nccl, ACommunicatorThatDoesNotBlock) {
  on_ranks(
      [&](Rank& rank) {
        DeviceArray<float> x(counting(rank.rank, 10));
        EXPECT_EQ(settle(rank, ncclAllReduce(x.data(), x.data(), 10, ncclFloat32, ncclMax, rank.comm, rank.stream)),
                  ncclSuccess);
        check(cudaStreamSynchronize(rank.stream));
        EXPECT_EQ(x.get(), counting(1, 10));
      },
      false);
}

TEST_F(Nccl, SplitInTwo) {
  on_ranks([&](Rank& rank) {
    ncclComm_t alone = nullptr, reversed = nullptr;
    EXPECT_EQ(ncclCommSplit(rank.comm, rank.rank, 0, &alone, nullptr), ncclSuccess);
    EXPECT_EQ(ncclCommSplit(rank.comm, 0, -rank.rank, &reversed, nullptr), ncclSuccess);
    int count = 0, place = 0;
    EXPECT_EQ(ncclCommCount(alone, &count), ncclSuccess);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(ncclCommUserRank(reversed, &place), ncclSuccess);
    EXPECT_EQ(place, 1 - rank.rank);
    EXPECT_EQ(ncclCommDestroy(alone), ncclSuccess);
    EXPECT_EQ(ncclCommDestroy(reversed), ncclSuccess);
  });
}

/// Where the real one hangs, both calls are said, and every rank can leave.
TEST_F(Nccl, MismatchedCollectivesAreReportedWithBothCalls) {
  on_ranks([&](Rank& rank) {
    DeviceArray<float> x(counting(rank.rank, 100));
    EXPECT_EQ(
        ncclAllReduce(x.data(), x.data(), rank.rank == 0 ? 100 : 99, ncclFloat32, ncclSum, rank.comm, rank.stream),
        ncclSuccess);
    ncclResult_t code = ncclSuccess;
    while (code == ncclSuccess) {
      cudaStreamQuery(rank.stream);
      ncclCommGetAsyncError(rank.comm, &code);
    }
    EXPECT_THAT(code, testing::AnyOf(ncclInvalidUsage, ncclRemoteError));
    EXPECT_EQ(ncclCommAbort(rank.comm), ncclSuccess);
    rank.comm = nullptr;
    check(cudaStreamSynchronize(rank.stream));
  });
  EXPECT_THAT(reports(), HasSubstr("mismatched collective"));
  EXPECT_THAT(reports(), HasSubstr("count 100"));
  EXPECT_THAT(reports(), HasSubstr("count 99"));
}

TEST_F(Nccl, AnAbortReleasesTheOtherRanks) {
  on_ranks([&](Rank& rank) {
    DeviceArray<float> x(counting(rank.rank, 10));
    if (rank.rank == 0) {  // waits for rank 1, which leaves
      EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 10, ncclFloat32, ncclSum, rank.comm, rank.stream), ncclSuccess);
      ncclResult_t code = ncclSuccess;
      while (code == ncclSuccess) {
        EXPECT_EQ(cudaStreamQuery(rank.stream), cudaErrorNotReady);
        ncclCommGetAsyncError(rank.comm, &code);
      }
      EXPECT_EQ(code, ncclRemoteError);
      EXPECT_THAT(ncclGetLastError(rank.comm), HasSubstr("rank 1 is gone"));
    }
    EXPECT_EQ(ncclCommAbort(rank.comm), ncclSuccess);
    rank.comm = nullptr;
    check(cudaStreamSynchronize(rank.stream));
  });
}

TEST_F(Nccl, TwoRanksOnOneDeviceAreRefusedAsByTheRealOne) {
  ncclComm_t comms[2] = {};
  const int devices[] = {0, 0};
  EXPECT_EQ(ncclCommInitAll(comms, 2, devices), ncclInvalidUsage);
  EXPECT_THAT(ncclGetLastError(nullptr), HasSubstr("Duplicate GPU detected"));
}

TEST_F(Nccl, OneThreadDrivesAllItsDevices) {
  ncclComm_t comms[2] = {};
  ASSERT_EQ(ncclCommInitAll(comms, 2, nullptr), ncclSuccess);
  float* data[2] = {};
  ncclGroupStart();
  for (int r = 0; r < 2; ++r) {
    check(cudaSetDevice(r));
    check(cudaMalloc(reinterpret_cast<void**>(&data[r]), 40));
    check(cudaMemset(data[r], 0, 40));
    EXPECT_EQ(ncclAllReduce(data[r], data[r], 10, ncclFloat32, ncclSum, comms[r], nullptr), ncclSuccess);
  }
  EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
  for (int r = 0; r < 2; ++r) {
    check(cudaSetDevice(r));
    check(cudaDeviceSynchronize());
    cudaFree(data[r]);
  }
  for (ncclComm_t comm : comms) ncclCommDestroy(comm);
  EXPECT_EQ(reports(), "");
}

TEST_F(Nccl, AHostPointerInACollective) {
  on_ranks([&](Rank& rank) {
    std::vector<float> host(10);
    EXPECT_EQ(ncclAllReduce(host.data(), host.data(), 10, ncclFloat32, ncclSum, rank.comm, rank.stream), ncclSuccess);
    ncclResult_t code = ncclSuccess;
    cudaError_t status = cudaErrorNotReady;
    while (status == cudaErrorNotReady && code == ncclSuccess) {  // the fault, or that the other rank had it first
      status = cudaStreamQuery(rank.stream);
      ncclCommGetAsyncError(rank.comm, &code);
    }
    EXPECT_TRUE(status == cudaErrorIllegalAddress || code == ncclRemoteError);
    ncclCommAbort(rank.comm);
    rank.comm = nullptr;
  });
  EXPECT_THAT(reports(), HasSubstr("a host pointer?"));
}

TEST_F(Nccl, CollectivesInAGraphAreNotImplementedWhichIsSaid) {
  on_ranks([&](Rank& rank) {
    float* data = nullptr;
    check(cudaMalloc(reinterpret_cast<void**>(&data), 40));
    check(cudaStreamBeginCapture(rank.stream, cudaStreamCaptureModeThreadLocal));
    EXPECT_EQ(ncclAllReduce(data, data, 10, ncclFloat32, ncclSum, rank.comm, rank.stream), ncclInvalidUsage);
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(rank.stream, &graph));
    cudaGraphDestroy(graph);
    cudaFree(data);
  });
  EXPECT_THAT(reports(), HasSubstr("collectives in a graph are not implemented"));
}

std::string file_of(const std::string& id) { return "/dev/shm/" + id; }
bool is_there(const std::string& file) { return access(file.c_str(), F_OK) == 0; }

TEST_F(Nccl, GivenUpBeforeAllHaveJoinedNothingStays) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  EXPECT_TRUE(is_there(file_of(id.internal)));
  ncclComm_t comm = nullptr;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 2, id, 0, &config), ncclInProgress);
  EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
  EXPECT_FALSE(is_there(file_of(id.internal)));
}

/// As a rank leaves it that is killed before all have joined, `age_s` ago.
std::string left_over(pid_t maker, int age_s) {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const std::string file = file_of("cudasim_nccl_" + std::to_string(maker) + "_test_" + std::to_string(now));
  std::ofstream(file) << "x";
  const timespec made[2] = {{time(nullptr) - age_s, 0}, {time(nullptr) - age_s, 0}};
  EXPECT_EQ(utimensat(AT_FDCWD, file.c_str(), made, 0), 0);
  return file;
}

TEST_F(Nccl, WhatKilledProcessesLeftIsRemovedByTheNext) {
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  waitpid(gone, nullptr, 0);
  const std::string old = left_over(gone, 3600), young = left_over(gone, 0), ours = left_over(getpid(), 3600);
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  EXPECT_FALSE(is_there(old));
  EXPECT_TRUE(is_there(young));
  EXPECT_TRUE(is_there(ours));
  for (const std::string& file : {young, ours, file_of(id.internal)}) unlink(file.c_str());
}

}  // namespace
}  // namespace cudasim_test
