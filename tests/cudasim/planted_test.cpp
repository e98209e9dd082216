// Planted faults: each must be reported, with where it is; and the right program beside it must not.

#include <gmock/gmock.h>

#include "tests/cudasim/device_memory.h"
#include "tests/cudasim/programs/programs.h"

namespace cudasim_test {
namespace {

using programs::Fault;
using testing::HasSubstr;

constexpr int kCount = 1024;

class Planted : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "not on the emulated device";
    forget();
  }
  void TearDown() override {
    if (emulated()) forget();  // so that the process ends well
  }
  static cudaError_t run(Fault fault) {
    const auto x = random_floats(kCount, 1);
    DeviceArray<float> in(x), out(std::vector<float>(kCount, 0.f)), never(kCount);
    programs::planted(fault, fault == Fault::kNullPointer ? nullptr : out.data(),
                      fault == Fault::kReadNeverWritten ? never.data() : in.data(), kCount, nullptr);
    const cudaError_t code = cudaDeviceSynchronize();
    if (fault == Fault::kNone) {
      const auto got = out.get();
      for (size_t i = 0; i < kCount; ++i) EXPECT_EQ(got[i], x[i / 256 * 256 + 255 - i % 256]);
    }
    return code;
  }
};

TEST_F(Planted, NothingIsReportedWhereNothingIsWrong) {
  EXPECT_EQ(run(Fault::kNone), cudaSuccess);
  EXPECT_EQ(reports(), "");
}
TEST_F(Planted, MissingSyncThreads) {
  EXPECT_EQ(run(Fault::kNoSyncThreads), cudaErrorLaunchFailure);
  EXPECT_THAT(reports(), HasSubstr("shared memory race"));
  EXPECT_THAT(reports(), HasSubstr("planted_kernel"));
  EXPECT_THAT(reports(), HasSubstr("line "));
}
TEST_F(Planted, MissingSyncWarp) {
  EXPECT_EQ(run(Fault::kNoSyncWarp), cudaErrorLaunchFailure);
  EXPECT_THAT(reports(), HasSubstr("shared memory race"));
}
TEST_F(Planted, WriteOnePastTheEnd) {
  EXPECT_EQ(run(Fault::kWritePastEnd), cudaErrorIllegalAddress);
  EXPECT_THAT(reports(), HasSubstr("write of 4 bytes"));
  EXPECT_THAT(reports(), HasSubstr("4 bytes past the end of allocation"));
}
TEST_F(Planted, SharedMemoryOnePastTheEnd) {
  EXPECT_EQ(run(Fault::kSharedPastEnd), cudaErrorIllegalAddress);
  EXPECT_THAT(reports(), HasSubstr("shared memory write out of bounds"));
}
TEST_F(Planted, ReadOfMemoryNeverWritten) {
  EXPECT_EQ(run(Fault::kReadNeverWritten), cudaSuccess);
  EXPECT_THAT(reports(), HasSubstr("never written"));
}
TEST_F(Planted, ReadOfSharedMemoryNeverWritten) {
  EXPECT_EQ(run(Fault::kSharedNeverWritten), cudaSuccess);
  EXPECT_THAT(reports(), HasSubstr("reads shared memory that was never written"));
}
TEST_F(Planted, Misaligned) {
  EXPECT_EQ(run(Fault::kMisaligned), cudaErrorMisalignedAddress);
  EXPECT_THAT(reports(), HasSubstr("misaligned address"));
}
TEST_F(Planted, SumOfAllThreadsWithoutAtomics) {
  EXPECT_EQ(run(Fault::kUnorderedSum), cudaErrorLaunchFailure);
  EXPECT_THAT(reports(), HasSubstr("global memory race"));
}
TEST_F(Planted, ShuffleOfTheWholeWarpInABranch) {
  run(Fault::kShuffleInBranch);  // stops, or goes on with a value of nobody where the others have left
  EXPECT_THAT(reports(), HasSubstr("shfl.sync"));
}
TEST_F(Planted, BarrierThatSomeThreadsNeverReach) {
  EXPECT_EQ(run(Fault::kBarrierInBranch), cudaErrorLaunchFailure);
  EXPECT_THAT(reports(), HasSubstr("wait"));
}
TEST_F(Planted, NullPointer) {
  EXPECT_EQ(run(Fault::kNullPointer), cudaErrorIllegalAddress);
  EXPECT_THAT(reports(), HasSubstr("null pointer"));
}
TEST_F(Planted, MissingWaitForAsyncCopies) {
  const std::vector<__nv_bfloat16> ones(16 * 32, __float2bfloat16(1.f));
  DeviceArray<__nv_bfloat16> a(ones), b(ones);
  DeviceArray<float> c(16 * 8);
  programs::tensor_gemm(c.data(), a.data(), b.data(), 16, 8, 16, false);
  cudaDeviceSynchronize();
  EXPECT_THAT(reports(), HasSubstr("never written"));
}

TEST_F(Planted, MissingFenceBeforeTheLastBlockReads) {
  DeviceArray<float> x(std::vector<float>(1024, 1.f)), out(1), partial(4);
  DeviceArray<unsigned> arrived(1);
  programs::last_block_sum(out.data(), partial.data(), arrived.data(), x.data(), 1024, 4, false);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(reports(), HasSubstr("global memory race"));
}

TEST_F(Planted, UseAfterFree) {
  float* p = nullptr;
  check(cudaMalloc(reinterpret_cast<void**>(&p), kCount * 4));
  check(cudaMemset(p, 0, kCount * 4));
  check(cudaFree(p));
  programs::scale(p, 2, kCount, nullptr);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_THAT(reports(), HasSubstr("use after free"));
  EXPECT_THAT(reports(), HasSubstr("freed by cudaFree"));
}
TEST_F(Planted, HostPointerGivenToAKernel) {
  std::vector<float> host(kCount, 1.f);
  programs::scale(host.data(), 2, kCount, nullptr);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_THAT(reports(), HasSubstr("a host pointer?"));
}
TEST_F(Planted, MemoryOfAnotherDevice) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f));
  check(cudaSetDevice(1));
  programs::scale(x.data(), 2, kCount, nullptr);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  check(cudaSetDevice(0));
  EXPECT_THAT(reports(), HasSubstr("memory of device 0"));
}
TEST_F(Planted, DoubleFree) {
  void* p = nullptr;
  check(cudaMalloc(&p, 4));
  check(cudaFree(p));
  EXPECT_EQ(cudaFree(p), cudaErrorInvalidValue);
  EXPECT_THAT(reports(), HasSubstr("was freed before"));
}
TEST_F(Planted, CopyPastTheEnd) {
  std::vector<float> host(kCount + 1);
  DeviceArray<float> x(kCount);
  EXPECT_EQ(cudaMemcpy(x.data(), host.data(), (kCount + 1) * 4, cudaMemcpyHostToDevice), cudaErrorIllegalAddress);
  EXPECT_THAT(reports(), HasSubstr("past the end"));
}
TEST_F(Planted, CopyOfTheWrongKind) {
  std::vector<float> host(kCount);
  DeviceArray<float> x(kCount);
  EXPECT_EQ(cudaMemcpy(x.data(), host.data(), 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_THAT(reports(), HasSubstr("does not fit the pointers"));
}
TEST_F(Planted, DevicePointerReadByTheHost) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f));
  EXPECT_DEATH(std::fprintf(stderr, "%f", static_cast<double>(*x.data())), "");
}
TEST_F(Planted, BlockTooLarge) {
  EXPECT_EQ(programs::block_of_2048_threads(), cudaErrorInvalidConfiguration);
  EXPECT_THAT(reports(), HasSubstr("is not possible"));
}
TEST_F(Planted, MemoryHasItsLimit) {
  size_t unused = 0, total = 0;
  check(cudaMemGetInfo(&unused, &total));
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, total + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // and it does not stick
  EXPECT_EQ(reports(), "");
}
TEST_F(Planted, AfterAFaultTheDeviceStaysUnusable) {
  EXPECT_EQ(run(Fault::kWritePastEnd), cudaErrorIllegalAddress);
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 4), cudaErrorIllegalAddress);
}

}  // namespace
}  // namespace cudasim_test
