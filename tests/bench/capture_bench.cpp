// What recording costs the watched program: one NVTX range, one collective of NCCL's, one record of CUPTI's.
//
//   capture_bench [--benchmark_filter=...]       in a folder of its own, whose spools are removed at the end
//
// The floor beside it is NVTX with handlers that only count.

#include <benchmark/benchmark.h>
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

#include "profiler/capture/inject/cupti_decode.h"
#include "profiler/capture/inject/nccl_profiler.h"
#include "profiler/capture/inject/spool_writer.h"
#include "profiler/capture/inject/step_tracker.h"
#include "profiler/capture/spool_reader.h"

extern "C" {
extern shardscope::capture::nccl::PluginV5 ncclProfiler_v5;
int InitializeInjectionNvtx2(void* get_table);
}

namespace {

using namespace shardscope::capture;

/// Empties the spool beside the bench, so that it never fills up.
class Drain {
 public:
  Drain() {
    Spool::get();
    reader_ = std::make_unique<SpoolReader>(list_spools(std::getenv("SHARDSCOPE_SPOOL")).at(0));
    thread_ = std::thread([this] {
      while (!stop_) {
        records_ += reader_->poll([](std::uint32_t, const RecordHead&) {});
        usleep(5000);
      }
    });
  }
  ~Drain() {
    stop_ = true;
    thread_.join();
  }
  double lost() const { return static_cast<double>(reader_->header().lost_records.load()); }

 private:
  std::unique_ptr<SpoolReader> reader_;
  std::atomic<bool> stop_{false};
  std::atomic<std::int64_t> records_{0};
  std::thread thread_;
};

void clock_alone(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(now_ns());
}
BENCHMARK(clock_alone);

void range_record(benchmark::State& state) {
  const Drain drain;
  for (auto _ : state) {
    Spool* spool = Spool::get();
    const std::int64_t now = now_ns();
    const std::uint64_t name = spool->intern("transformer.h.12.attention");
    if (auto* record = spool->begin<RangeRecord>(RecordKind::kRangePush)) {
      record->head.time_ns = now;
      record->name = name;
      spool->commit(record);
    }
  }
  state.counters["lost"] = drain.lost();
}
BENCHMARK(range_record);

/// What a range costs more where steps are looked for (--steps, --slow-steps).
void step_watch(benchmark::State& state) {
  SpoolHeader& header = Spool::get()->header();
  header.watch_steps.store(1);
  for (auto _ : state) {
    step_range_pushed("transformer.h.12.attention");
    step_range_popped();
  }
  header.watch_steps.store(0);
}
BENCHMARK(step_watch);

void nccl_collective(benchmark::State& state) {
  const Drain drain;
  static int mask = 0;
  void* context = nullptr;
  ncclProfiler_v5.init(&context, 1, &mask, "bench", 1, 8, 0, nullptr);
  std::uint64_t sequence = 0;
  for (auto _ : state) {
    nccl::DescriptorV5 d{};
    d.type = nccl::kColl;
    d.coll.head = {sequence++, "AllReduce", nullptr, nullptr, 1 << 20, 0, "ncclFloat32", 8, 16, "RING", "SIMPLE"};
    void* handle = nullptr;
    ncclProfiler_v5.operations.start(context, &handle, &d);
    ncclProfiler_v5.operations.stop(handle);
  }
  state.counters["lost"] = drain.lost();
  state.SetItemsProcessed(state.iterations() * 2);
}
BENCHMARK(nccl_collective);

void cupti_kernels(benchmark::State& state) {
  void* library = dlopen("libcupti.so.13", RTLD_NOW);
  if (library == nullptr) library = dlopen("/usr/local/cuda/lib64/libcupti.so", RTLD_NOW);
  if (library == nullptr) return state.SkipWithError("no libcupti");
  const DecodeCalls calls{
      reinterpret_cast<decltype(&cuptiActivityGetNextRecord)>(dlsym(library, "cuptiActivityGetNextRecord")),
      [](bool, std::uint32_t) { return "cudaLaunchKernel"; }, [](const char* name) { return name; }};
  const Drain drain;
  constexpr int kRecords = 8192;
  std::vector<CUpti_ActivityKernel10> buffer(kRecords);
  for (int i = 0; i < kRecords; ++i) {
    buffer[i].kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    buffer[i].start = 1000u * (i + 1), buffer[i].end = buffer[i].start + 500, buffer[i].correlationId = i;
    buffer[i].name = i % 3 == 0 ? "_ZN2at6native29vectorized_elementwise_kernelILi4EEEviNS0_11FillFunctorIfEE"
                                : "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64";
  }
  for (auto _ : state)
    decode_activities(*Spool::get(), reinterpret_cast<std::uint8_t*>(buffer.data()), buffer.size() * sizeof buffer[0],
                      calls);
  state.SetItemsProcessed(state.iterations() * kRecords);
  state.counters["lost"] = drain.lost();
}
BENCHMARK(cupti_kernels);

}  // namespace

int main(int argc, char** argv) {
  const auto folder = std::filesystem::temp_directory_path() / ("capture_bench_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  setenv("SHARDSCOPE_SPOOL", folder.c_str(), 1);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  std::filesystem::remove_all(folder);
  return 0;
}
