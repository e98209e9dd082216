// CUPTI's records: what was done is there and joined by correlation ids, and the real libcupti, which walks over
// buffers without a driver, finds the same records in them.

#include <cupti.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "tests/cudasim/device_memory.h"
#include "tests/cudasim/programs/programs.h"

namespace cudasim_test {
namespace {

struct Taken {
  std::mutex mutex;
  std::vector<std::vector<std::uint8_t>> buffers;
};
Taken& taken() {
  static Taken one;
  return one;
}

void CUPTIAPI give(std::uint8_t** buffer, size_t* bytes, size_t* most) {
  *bytes = 16 << 10;
  *buffer = static_cast<std::uint8_t*>(std::calloc(1, *bytes));
  *most = 0;
}
void CUPTIAPI take(CUcontext, std::uint32_t, std::uint8_t* buffer, size_t, size_t valid) {
  const std::lock_guard lock(taken().mutex);
  taken().buffers.emplace_back(buffer, buffer + valid);
  std::free(buffer);
}

/// A call of the emulated CUPTI: nothing here is linked to CUPTI.
// The name is needed as text, too.  NOLINTNEXTLINE(bugprone-macro-parentheses)
#define EMULATED(function) emulation<std::remove_pointer_t<decltype(&function)>>(#function)

using Walk = CUptiResult (*)(std::uint8_t*, size_t, CUpti_Activity**);

std::vector<const CUpti_Activity*> records(std::vector<std::uint8_t>& buffer, Walk walk) {
  std::vector<const CUpti_Activity*> out;
  CUpti_Activity* record = nullptr;
  while (walk(buffer.data(), buffer.size(), &record) == CUPTI_SUCCESS) out.push_back(record);
  return out;
}

class Cupti : public testing::Test {
 protected:
  static constexpr int kRounds = 40;
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "not on the emulated device";
    forget();
  }
  void TearDown() override {
    if (emulated()) forget();
  }
  using Buffers = std::vector<std::vector<std::uint8_t>>;
  /// The buffers that the work filled.
  static Buffers record(const std::function<void()>& work, bool whole_graphs = false) {
    std::vector<CUpti_ActivityKind> kinds = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                             CUPTI_ACTIVITY_KIND_MEMCPY,
                                             CUPTI_ACTIVITY_KIND_MEMSET,
                                             CUPTI_ACTIVITY_KIND_RUNTIME,
                                             CUPTI_ACTIVITY_KIND_DRIVER,
                                             CUPTI_ACTIVITY_KIND_SYNCHRONIZATION,
                                             CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
                                             CUPTI_ACTIVITY_KIND_MEMORY2,
                                             CUPTI_ACTIVITY_KIND_DEVICE};
    if (whole_graphs) kinds.push_back(CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
    EXPECT_EQ(EMULATED(cuptiActivityRegisterCallbacks)(give, take), CUPTI_SUCCESS);
    for (const CUpti_ActivityKind kind : kinds) EXPECT_EQ(EMULATED(cuptiActivityEnable)(kind), CUPTI_SUCCESS);
    work();
    EXPECT_EQ(EMULATED(cuptiActivityFlushAll)(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), CUPTI_SUCCESS);
    for (const CUpti_ActivityKind kind : kinds) EMULATED(cuptiActivityDisable)(kind);
    const std::lock_guard lock(taken().mutex);
    return std::exchange(taken().buffers, {});
  }
  /// kRounds times: a copy in, a kernel, a memset, a copy out, a wait.
  static void copy_and_scale() {
    cudaStream_t stream = nullptr;
    float* pinned = nullptr;
    check(cudaStreamCreate(&stream));
    check(cudaMallocHost(reinterpret_cast<void**>(&pinned), 4096));
    std::fill(pinned, pinned + 1024, 1.f);
    DeviceArray<float> x(1024), y(1024);
    for (int i = 0; i < kRounds; ++i) {
      EMULATED(cuptiActivityPushExternalCorrelationId)
      (CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, std::uint64_t{1000} + static_cast<std::uint64_t>(i));
      check(cudaMemcpyAsync(x.data(), pinned, 4096, cudaMemcpyHostToDevice, stream));
      programs::scale(x.data(), 2, 1024, stream);
      check(cudaMemsetAsync(y.data(), 7, 4096, stream));
      check(cudaMemcpyAsync(pinned, x.data(), 4096, cudaMemcpyDeviceToHost, stream));
      EMULATED(cuptiActivityPopExternalCorrelationId)(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, nullptr);
      check(cudaStreamSynchronize(stream));
    }
    cudaFreeHost(pinned);
    cudaStreamDestroy(stream);
  }
  /// kLaunches times: a graph of two kernels and a memset.
  static constexpr int kLaunches = 3;
  static void launch_graphs() {
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    DeviceArray<float> x(std::vector<float>(1024, 1.f));
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < 2; ++i) programs::scale(x.data(), 2, 1024, stream);
    check(cudaMemsetAsync(x.data(), 0, 4096, stream));
    check(cudaStreamEndCapture(stream, &graph));
    check(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < kLaunches; ++i) check(cudaGraphLaunch(exec, stream));
    check(cudaStreamSynchronize(stream));
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
  }
  template <class Record>
  static std::vector<const Record*> all_of(Buffers& buffers, CUpti_ActivityKind kind) {
    std::vector<const Record*> out;
    for (auto& buffer : buffers) {
      for (const CUpti_Activity* r : records(buffer, EMULATED(cuptiActivityGetNextRecord))) {
        if (r->kind == kind) out.push_back(reinterpret_cast<const Record*>(r));
      }
    }
    return out;
  }
};

TEST_F(Cupti, DeviceWorkIsJoinedToTheCallsThatLaunchedIt) {
  auto buffers = record(copy_and_scale);
  std::map<std::uint32_t, const CUpti_ActivityAPI*> calls;
  std::vector<const CUpti_ActivityKernel10*> kernels;
  std::vector<const CUpti_ActivityMemcpy6*> copies;
  int memsets = 0, waits = 0, externals = 0, devices = 0, driver_calls = 0;
  std::uint64_t allocated = 0, released = 0;
  EXPECT_GT(buffers.size(), 1u);
  for (auto& buffer : buffers) {
    for (const CUpti_Activity* r : records(buffer, EMULATED(cuptiActivityGetNextRecord))) {
      switch (r->kind) {
        case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
          kernels.push_back(reinterpret_cast<const CUpti_ActivityKernel10*>(r));
          break;
        case CUPTI_ACTIVITY_KIND_MEMCPY:
          copies.push_back(reinterpret_cast<const CUpti_ActivityMemcpy6*>(r));
          break;
        case CUPTI_ACTIVITY_KIND_MEMSET:
          ++memsets;
          break;
        case CUPTI_ACTIVITY_KIND_DRIVER:
          ++driver_calls;
          break;
        case CUPTI_ACTIVITY_KIND_RUNTIME: {
          const auto* call = reinterpret_cast<const CUpti_ActivityAPI*>(r);
          calls[call->correlationId] = call;
          break;
        }
        case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION:
          ++waits;
          break;
        case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
          ++externals;
          break;
        case CUPTI_ACTIVITY_KIND_DEVICE:
          ++devices;
          break;
        case CUPTI_ACTIVITY_KIND_MEMORY2: {
          const auto* change = reinterpret_cast<const CUpti_ActivityMemory4*>(r);
          (change->memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION ? allocated : released) +=
              change->bytes;
          break;
        }
        default:
          FAIL() << "kind " << r->kind;
      }
    }
  }
  EXPECT_EQ(kernels.size(), static_cast<size_t>(kRounds));
  EXPECT_EQ(copies.size(), static_cast<size_t>(2 * kRounds));
  EXPECT_EQ(memsets, kRounds);
  EXPECT_EQ(driver_calls, kRounds);
  EXPECT_EQ(waits, kRounds);
  EXPECT_EQ(externals, 4 * kRounds);
  EXPECT_GE(devices, 1);
  EXPECT_EQ(allocated, 3u * 4096);
  EXPECT_EQ(released, allocated);
  for (const auto* k : kernels) {
    ASSERT_TRUE(calls.contains(k->correlationId));
    EXPECT_EQ(calls[k->correlationId]->cbid, CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_v7000);
    EXPECT_GE(k->start, calls[k->correlationId]->start);
    EXPECT_GT(k->end, k->start);
    EXPECT_THAT(k->name, testing::HasSubstr("scale_kernel"));
    EXPECT_EQ(k->gridX, 4);
  }
  for (const auto* c : copies) {
    EXPECT_TRUE(calls.contains(c->correlationId));
    EXPECT_EQ(c->bytes, 4096u);
  }
}

TEST_F(Cupti, KernelsOfAGraphAreJoinedToItsLaunchAndNamedByNode) {
  auto buffers = record(launch_graphs);
  std::set<std::uint32_t> launches, graphs, correlations;
  for (const auto* call : all_of<CUpti_ActivityAPI>(buffers, CUPTI_ACTIVITY_KIND_RUNTIME)) {
    if (call->cbid == CUPTI_RUNTIME_TRACE_CBID_cudaGraphLaunch_v10000) launches.insert(call->correlationId);
  }
  EXPECT_EQ(launches.size(), static_cast<size_t>(kLaunches));
  std::map<std::uint64_t, int> nodes;
  const auto note = [&](const auto* r) {
    graphs.insert(r->graphId);
    ++nodes[r->graphNodeId];
    correlations.insert(r->correlationId);
  };
  for (const auto* k : all_of<CUpti_ActivityKernel10>(buffers, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL)) note(k);
  for (const auto* m : all_of<CUpti_ActivityMemset4>(buffers, CUPTI_ACTIVITY_KIND_MEMSET)) note(m);
  EXPECT_EQ(correlations, launches);
  EXPECT_EQ(graphs.size(), 1u);
  EXPECT_EQ(graphs.count(0), 0u);
  EXPECT_EQ(nodes.size(), 3u);
  for (const auto& [node, times] : nodes) EXPECT_EQ(times, kLaunches) << node;
}

TEST_F(Cupti, AGraphCanBeOneRecordALaunchInPlaceOfItsKernels) {
  auto buffers = record(launch_graphs, true);
  const auto graphs = all_of<CUpti_ActivityGraphTrace2>(buffers, CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
  ASSERT_EQ(graphs.size(), static_cast<size_t>(kLaunches));
  for (const auto* graph : graphs) EXPECT_GT(graph->end, graph->start);
  EXPECT_THAT(all_of<CUpti_ActivityKernel10>(buffers, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL), testing::IsEmpty());
}

TEST_F(Cupti, TheRealLibraryReadsTheSameRecords) {
  void* library = dlopen(CUDASIM_REAL_CUPTI, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) GTEST_SKIP() << dlerror();
  const auto real = reinterpret_cast<Walk>(dlsym(library, "cuptiActivityGetNextRecord"));
  ASSERT_NE(real, nullptr);
  ASSERT_NE(real, EMULATED(cuptiActivityGetNextRecord));
  auto buffers = record([] { copy_and_scale(), launch_graphs(); }, true);
  std::set<int> kinds;
  size_t count = 0;
  for (auto& buffer : buffers) {
    const auto ours = records(buffer, EMULATED(cuptiActivityGetNextRecord)), theirs = records(buffer, real);
    ASSERT_EQ(theirs, ours);  // at the same addresses: so each kind has the same length
    count += ours.size();
    for (const CUpti_Activity* r : ours) kinds.insert(r->kind);
  }
  EXPECT_GT(count, 400u);
  EXPECT_GE(kinds.size(), 9u);
}

}  // namespace
}  // namespace cudasim_test
