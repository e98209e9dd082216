// Graphs made by capturing streams: what they compute, in which order, and each of the rules that CUDA has for
// captures.

#include <cublas_v2.h>
#include <gmock/gmock.h>

#include <functional>
#include <thread>
#include <utility>

#include "tests/cudasim/device_memory.h"
#include "tests/cudasim/programs/programs.h"

namespace cudasim_test {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr int kCount = 1024;

class Graphs : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "not on the emulated device";
    forget();
    for (cudaStream_t* stream : {&a, &b}) check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
    for (cudaEvent_t* event : {&fork, &join}) check(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
  }
  void TearDown() override {
    if (!emulated()) return;
    cudaDeviceSynchronize();
    if (exec != nullptr) cudaGraphExecDestroy(exec);
    for (cudaEvent_t event : {fork, join}) cudaEventDestroy(event);
    for (cudaStream_t stream : {a, b}) cudaStreamDestroy(stream);
    forget();
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) { check(cudaStreamBeginCapture(a, mode)); }
  /// The graph is gone when it has been made executable.
  void end() {
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(a, &graph));
    check(cudaGraphInstantiate(&exec, graph, 0));
    check(cudaGraphDestroy(graph));
  }
  cudaError_t end_badly() {
    auto graph = reinterpret_cast<cudaGraph_t>(this);
    const cudaError_t code = cudaStreamEndCapture(a, &graph);
    EXPECT_EQ(graph, nullptr);
    return code;
  }
  static void order(cudaEvent_t event, cudaStream_t first, cudaStream_t then) {
    check(cudaEventRecord(event, first));
    check(cudaStreamWaitEvent(then, event, 0));
  }
  void launch() { check(cudaGraphLaunch(exec, a)); }

  cudaStream_t a = nullptr, b = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaGraphExec_t exec = nullptr;
};

TEST_F(Graphs, NothingRunsWhileCapturedAndAllOfItAtEachLaunch) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f)), y(kCount);
  begin();
  programs::scale(x.data(), 2, kCount, a);
  check(cudaMemcpyAsync(y.data(), x.data(), kCount * 4, cudaMemcpyDeviceToDevice, a));
  check(cudaMemsetAsync(x.data(), 0, 4, a));
  end();
  EXPECT_THAT(x.get(), Each(1.f));
  launch();
  launch();  // and work of the stream waits for it
  programs::scale(y.data(), 3, kCount, a);
  check(cudaStreamSynchronize(a));
  EXPECT_EQ(y.get()[1], 12);
  EXPECT_EQ(y.get()[0], 0);
  EXPECT_EQ(x.get()[1], 4);
  EXPECT_EQ(reports(), "");
}

/// What a program gets wrong that thinks of a step's number as of something that a graph would ask for again.
TEST_F(Graphs, ANumberOfTheStepThatIsAnArgumentStaysTheCapturedStepsOne) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f));
  for (int step = 2; step <= 4; ++step) {
    const auto by = static_cast<float>(step);
    if (step == 2) {
      begin();
      programs::scale(x.data(), by, kCount, a);
      end();
    }
    launch();
  }
  check(cudaStreamSynchronize(a));
  EXPECT_THAT(x.get(), Each(8.f)) << "2 * 3 * 4 would need three graphs";
}

TEST_F(Graphs, BranchesComeBackTogetherUnderAnySchedule) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f)), y(std::vector<float>(kCount, 1.f));
  begin();
  programs::scale(x.data(), 2, kCount, a);
  order(fork, a, b);
  check(cudaMemcpyAsync(y.data(), x.data(), kCount * 4, cudaMemcpyDeviceToDevice, b));
  programs::scale(y.data(), 3, kCount, b);
  order(join, b, a);
  programs::scale(y.data(), .5f, kCount, a);
  check(cudaMemsetAsync(x.data(), 0, 4, a));
  end();
  float first = 1;
  for (unsigned seed = 1; seed <= 6; ++seed) {
    set_seed(seed);
    launch();
    check(cudaStreamSynchronize(a));
    first *= 2;
    ASSERT_EQ(y.get()[7], first * 1.5f) << "seed " << seed;
  }
  EXPECT_EQ(reports(), "");
}

TEST_F(Graphs, AMissingDependencyIsReportedUnderAnySchedule) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f));
  begin();
  order(fork, a, b);  // before the kernel that it should come after
  programs::scale(x.data(), 2, kCount, a);
  programs::scale(x.data(), 3, kCount, b);
  order(join, b, a);
  end();
  for (unsigned seed = 1; seed <= 6; ++seed) {
    set_seed(seed);
    launch();
    check(cudaStreamSynchronize(a));
    EXPECT_THAT(reports(), HasSubstr("stream race")) << "seed " << seed;
    forget();
  }
}

TEST_F(Graphs, AStreamThatDoesNotWaitForTheLaunchRacesWithIt) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f));
  begin();
  programs::scale(x.data(), 2, kCount, a);
  end();
  launch();
  programs::scale(x.data(), 3, kCount, b);
  check(cudaDeviceSynchronize());
  EXPECT_THAT(reports(), HasSubstr("stream race"));
}

TEST_F(Graphs, ProductsOfCublasAreNodes) {
  DeviceArray<float> x(std::vector<float>(16, 2.f)), y(std::vector<float>(16, 3.f)), z(std::vector<float>(16, 0.f));
  cublasHandle_t blas = nullptr;
  ASSERT_EQ(cublasCreate(&blas), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasSetStream(blas, a), CUBLAS_STATUS_SUCCESS);
  const float one = 1;
  begin();
  EXPECT_EQ(cublasGemmEx(blas, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, x.data(), CUDA_R_32F, 4, y.data(), CUDA_R_32F,
                         4, &one, z.data(), CUDA_R_32F, 4, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  end();
  EXPECT_EQ(cublasDestroy(blas), CUBLAS_STATUS_SUCCESS);
  launch();
  launch();
  check(cudaStreamSynchronize(a));
  EXPECT_THAT(z.get(), Each(48.f));
}

// The rules of captures.

TEST_F(Graphs, AForkMustBeJoined) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f));
  begin();
  order(fork, a, b);
  programs::scale(x.data(), 2, kCount, b);
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureUnjoined);
  programs::scale(x.data(), 2, kCount, b);  // it is an ordinary stream again
  check(cudaStreamSynchronize(b));
  EXPECT_THAT(x.get(), Each(2.f));
}
TEST_F(Graphs, NoDependencyCrossesTheBeginning) {
  check(cudaEventRecord(fork, b));
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(a, fork, 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
}
TEST_F(Graphs, TwoCapturesDoNotMerge) {
  begin();
  check(cudaStreamBeginCapture(b, cudaStreamCaptureModeThreadLocal));
  check(cudaEventRecord(fork, a));
  EXPECT_EQ(cudaStreamWaitEvent(b, fork, 0), cudaErrorStreamCaptureMerge);
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(b, &graph), cudaErrorStreamCaptureInvalidated);
}
TEST_F(Graphs, ACaptureEndsWhereItBegan) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(a, &graph), cudaErrorIllegalState);
  begin();
  EXPECT_EQ(cudaStreamBeginCapture(a, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  order(fork, a, b);
  EXPECT_EQ(cudaStreamEndCapture(b, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
}
TEST_F(Graphs, ACaptureEndsOnTheThreadWhereItBegan) {
  begin();
  std::thread([&] { EXPECT_EQ(end_badly(), cudaErrorStreamCaptureWrongThread); }).join();
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
  begin(cudaStreamCaptureModeRelaxed);
  std::thread([&] { end(); }).join();
}
TEST_F(Graphs, NobodyWaitsForWhatIsCaptured) {
  const auto refused = [&](const std::function<cudaError_t()>& call, cudaError_t code) {
    begin(cudaStreamCaptureModeRelaxed);
    check(cudaEventRecord(fork, a));
    EXPECT_EQ(call(), code);
    cudaStreamCaptureStatus status{};
    check(cudaStreamIsCapturing(a, &status));
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(cudaMemsetAsync(nullptr, 0, 4, a), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
  };
  refused([&] { return cudaStreamSynchronize(a); }, cudaErrorStreamCaptureUnsupported);
  refused([&] { return cudaStreamQuery(a); }, cudaErrorStreamCaptureUnsupported);
  refused([&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported);
  refused([&] { return cudaEventQuery(fork); }, cudaErrorCapturedEvent);
  refused([&] { return cudaEventSynchronize(fork); }, cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamWaitEvent(b, fork, 0), cudaErrorCapturedEvent);  // its capture has ended
}
TEST_F(Graphs, CallsThatACaptureDoesNotSeeAreRefusedAsTheModeSays) {
  void* p = nullptr;
  begin(cudaStreamCaptureModeRelaxed);
  check(cudaMalloc(&p, 4));
  end();
  check(cudaFree(p));
  begin(cudaStreamCaptureModeThreadLocal);
  std::thread([&] { check(cudaMalloc(&p, 4)), check(cudaFree(p)); }).join();
  EXPECT_EQ(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
  begin(cudaStreamCaptureModeGlobal);
  std::thread([&] { EXPECT_EQ(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported); }).join();
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
}
TEST_F(Graphs, TheDefaultStreamDoesNotCaptureNorWaitForStreamsThatDo) {
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), cudaErrorStreamCaptureUnsupported);
  DeviceArray<float> x(kCount);
  begin();
  check(cudaMemsetAsync(x.data(), 0, 4, nullptr));  // `a` does not block
  end();
  cudaStream_t blocking = nullptr;
  check(cudaStreamCreate(&blocking));
  check(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
  EXPECT_EQ(cudaMemsetAsync(x.data(), 0, 4, nullptr), cudaErrorStreamCaptureImplicit);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  check(cudaStreamDestroy(blocking));
}

TEST_F(Graphs, WhatIsNotImplementedIsAnErrorAndReported) {
  DeviceArray<float> x(std::vector<float>(kCount, 1.f));
  std::vector<float> pageable(kCount);
  void* p = nullptr;
  const auto refused = [&](const std::function<cudaError_t()>& call) {
    forget();
    EXPECT_EQ(call(), cudaErrorNotSupported);
    EXPECT_THAT(reports(), HasSubstr("not implemented"));
  };
  begin();
  refused([&] { return cudaMemcpyAsync(x.data(), pageable.data(), 8, cudaMemcpyHostToDevice, a); });
  refused([&] { return cudaMallocAsync(&p, 4, a); });
  end();
  begin();
  refused([&] { return cudaGraphLaunch(exec, a); });
  refused([&] { return cudaFreeAsync(x.data(), a); });
  EXPECT_EQ(end_badly(), cudaErrorStreamCaptureInvalidated);
  begin();
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(a, &graph));
  refused([&] { return cudaGraphInstantiate(&exec, graph, cudaGraphInstantiateFlagUseNodePriority); });
  forget();
}
TEST_F(Graphs, AGraphThatWasDestroyedIsNotThere) {
  begin();
  end();
  check(cudaGraphExecDestroy(exec));
  EXPECT_EQ(cudaGraphLaunch(std::exchange(exec, nullptr), a), cudaErrorInvalidValue);
  EXPECT_THAT(reports(), HasSubstr("was destroyed"));
}

}  // namespace
}  // namespace cudasim_test
