// Streams and events: what is ordered gives the right numbers under any schedule; what is not is reported under any.

#include <gmock/gmock.h>

#include "tests/cudasim/device_memory.h"
#include "tests/cudasim/programs/programs.h"

namespace cudasim_test {
namespace {

using testing::HasSubstr;

constexpr int kCount = 1 << 14;
constexpr size_t kBytes = kCount * sizeof(float);

class Streams : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "not on the emulated device";
    forget();
    check(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
    check(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
    check(cudaEventCreate(&event));
    check(cudaMallocHost(reinterpret_cast<void**>(&from), kBytes));
    check(cudaMallocHost(reinterpret_cast<void**>(&to), kBytes));
    check(cudaMalloc(reinterpret_cast<void**>(&device), kBytes));
    for (int i = 0; i < kCount; ++i) from[i] = static_cast<float>(i);
  }
  void TearDown() override {
    if (!emulated()) return;
    cudaDeviceSynchronize();
    cudaFree(device);
    cudaFreeHost(from);
    cudaFreeHost(to);
    cudaEventDestroy(event);
    cudaStreamDestroy(a);
    cudaStreamDestroy(b);
    forget();
  }
  /// Copies in on stream a, doubles there, triples and copies out on stream b.
  void twice_then_thrice(bool ordered) {
    check(cudaMemcpyAsync(device, from, kBytes, cudaMemcpyHostToDevice, a));
    programs::scale(device, 2, kCount, a);
    if (ordered) {
      check(cudaEventRecord(event, a));
      check(cudaStreamWaitEvent(b, event, 0));
    }
    programs::scale(device, 3, kCount, b);
    check(cudaMemcpyAsync(to, device, kBytes, cudaMemcpyDeviceToHost, b));
    check(cudaStreamSynchronize(b));
    check(cudaStreamSynchronize(a));
  }
  /// Whether operations run only when somebody waits for them.
  static bool late() {
    const char* schedule = std::getenv("CUDASIM_SCHED");
    return schedule == nullptr || std::string(schedule) == "late";
  }
  cudaStream_t a = nullptr, b = nullptr;
  cudaEvent_t event = nullptr;
  float *from = nullptr, *to = nullptr, *device = nullptr;
};

TEST_F(Streams, AnEventOrdersThemUnderAnySchedule) {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    set_seed(seed);
    twice_then_thrice(true);
    for (int i = 0; i < kCount; ++i) ASSERT_EQ(to[i], static_cast<float>(6 * i)) << "seed " << seed;
  }
  EXPECT_EQ(reports(), "");
}

TEST_F(Streams, AMissingEventIsReportedUnderAnySchedule) {
  check(cudaMemset(device, 0, kBytes));
  check(cudaDeviceSynchronize());
  for (unsigned seed = 1; seed <= 8; ++seed) {
    set_seed(seed);
    twice_then_thrice(false);
    EXPECT_THAT(reports(), HasSubstr("stream race")) << "seed " << seed;
    forget();
  }
}

TEST_F(Streams, DisjointHalvesNeedNoOrder) {
  check(cudaMemcpy(device, from, kBytes, cudaMemcpyHostToDevice));
  programs::scale(device, 2, kCount / 2, a);
  programs::scale(device + kCount / 2, 2, kCount / 2, b);
  check(cudaDeviceSynchronize());
  EXPECT_EQ(reports(), "");
}

TEST_F(Streams, APinnedSourceOverwrittenTooEarlyShowsInTheNumbers) {
  if (!late()) GTEST_SKIP() << "under the late schedule only";
  check(cudaMemcpyAsync(device, from, kBytes, cudaMemcpyHostToDevice, a));
  from[0] = -7;
  check(cudaStreamSynchronize(a));
  check(cudaMemcpy(to, device, kBytes, cudaMemcpyDeviceToHost));
  EXPECT_EQ(to[0], -7);
}

TEST_F(Streams, PageableMemoryIsTakenBeforeTheCallReturns) {
  std::vector<float> pageable(kCount, 1.f);
  check(cudaMemcpyAsync(device, pageable.data(), kBytes, cudaMemcpyHostToDevice, a));
  std::fill(pageable.begin(), pageable.end(), -7.f);
  check(cudaStreamSynchronize(a));
  check(cudaMemcpy(to, device, kBytes, cudaMemcpyDeviceToHost));
  EXPECT_EQ(to[kCount - 1], 1);
}

TEST_F(Streams, TheDefaultStreamOrdersItselfWithBlockingStreams) {
  cudaStream_t blocking = nullptr;
  check(cudaStreamCreate(&blocking));
  check(cudaMemcpyAsync(device, from, kBytes, cudaMemcpyHostToDevice, blocking));
  programs::scale(device, 2, kCount, nullptr);
  programs::scale(device, 2, kCount, blocking);
  check(cudaDeviceSynchronize());
  EXPECT_EQ(reports(), "");
  check(cudaMemcpy(to, device, kBytes, cudaMemcpyDeviceToHost));
  EXPECT_EQ(to[3], 12);
}

TEST_F(Streams, EventsAreNotReadyBeforeTheirWork) {
  if (!late()) GTEST_SKIP() << "under the late schedule only";
  check(cudaMemcpyAsync(device, from, kBytes, cudaMemcpyHostToDevice, a));
  programs::scale(device, 2, kCount, a);
  programs::scale(device, 2, kCount, a);
  check(cudaEventRecord(event, a));
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  while (cudaEventQuery(event) == cudaErrorNotReady) {
  }
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // not ready is no error
  EXPECT_EQ(cudaStreamQuery(a), cudaSuccess);
}

TEST_F(Streams, StreamOrderedFreeRacesWithAnotherStreamsUse) {
  float* p = nullptr;
  check(cudaMallocAsync(reinterpret_cast<void**>(&p), kBytes, a));
  check(cudaMemsetAsync(p, 0, kBytes, a));
  check(cudaStreamSynchronize(a));
  check(cudaMemcpyAsync(to, p, kBytes, cudaMemcpyDeviceToHost, b));
  cudaFreeAsync(p, a);
  cudaDeviceSynchronize();
  EXPECT_NE(reports(), "");  // as a race, or as a use after free where the free ran first
}

TEST_F(Streams, HostFunctionsRunInTheirOrder) {
  static int seen = 0;
  seen = 0;
  check(cudaMemcpyAsync(device, from, kBytes, cudaMemcpyHostToDevice, a));
  check(cudaMemcpyAsync(to, device, kBytes, cudaMemcpyDeviceToHost, a));
  check(cudaLaunchHostFunc(
      a, [](void* data) { seen = static_cast<int>(static_cast<float*>(data)[5]); }, to));
  check(cudaStreamSynchronize(a));
  EXPECT_EQ(seen, 5);
}

TEST_F(Streams, AStreamOfAnotherDeviceIsRefused) {
  check(cudaSetDevice(1));
  EXPECT_EQ(cudaMemsetAsync(device, 0, 4, a), cudaErrorInvalidResourceHandle);
  check(cudaSetDevice(0));
}

}  // namespace
}  // namespace cudasim_test
