// Writes CUPTI's activity buffers as they come, and what NCCL hands to a profiler plugin, so that decoders can be
// tested on records that a real GPU made.
//
//   g++ -std=c++20 -O2 -fPIC -shared tests/peers/dump_cupti.cpp -I$CUDA/include -L$CUDA/lib64 -lcupti -o libdump.so
//   DUMP_DIR=out CUDA_INJECTION64_PATH=$PWD/libdump.so NCCL_PROFILER_PLUGIN=$PWD/libdump.so python3 dump_cupti_job.py
//
// out/cupti-N.bin: one buffer, its valid bytes only; out/cupti.txt: version, and the kinds that could be enabled;
// out/nccl.txt: a line per call of the plugin, descriptors in hex. Nothing of Shardscope's build needs this.

#include <cupti.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

namespace {

std::string folder() {
  const char* dir = std::getenv("DUMP_DIR");
  return dir != nullptr ? dir : ".";
}

constexpr size_t kBuffer = 512 << 10;
std::atomic<int> buffers{0};

void CUPTIAPI request(uint8_t** buffer, size_t* size, size_t* records) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, kBuffer));
  *size = kBuffer;
  *records = 0;
}

void CUPTIAPI complete(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::string path = folder() + "/cupti-" + std::to_string(buffers++) + ".bin";
  if (std::FILE* file = valid > 0 ? std::fopen(path.c_str(), "wb") : nullptr) {
    std::fwrite(buffer, 1, valid, file);
    std::fclose(file);
  }
  std::free(buffer);
}

void flush() { cuptiActivityFlushAll(1); }

std::mutex nccl_mutex;
void nccl_line(const char* what, const void* data, size_t bytes, long long number) {
  const std::lock_guard lock(nccl_mutex);
  std::FILE* file = std::fopen((folder() + "/nccl.txt").c_str(), "a");
  if (file == nullptr) return;
  std::fprintf(file, "%s %lld ", what, number);
  for (size_t i = 0; i < bytes; ++i) std::fprintf(file, "%02x", static_cast<const unsigned char*>(data)[i]);
  std::fprintf(file, "\n");
  std::fclose(file);
}

std::atomic<uint64_t> ids{1};
int init_v5(void** context, uint64_t comm, int* mask, const char* name, int nodes, int ranks, int rank, void*) {
  *context = reinterpret_cast<void*>(ids++);
  *mask = 4095;
  nccl_line(name != nullptr ? name : "init", &comm, 8, nodes * 1000000LL + ranks * 1000 + rank);
  return 0;
}
int start_v5(void*, void** handle, void* descriptor) {
  *handle = reinterpret_cast<void*>(ids++);
  nccl_line("start", descriptor, 112, reinterpret_cast<long long>(*handle));
  return 0;
}
int stop_v5(void* handle) { return nccl_line("stop", nullptr, 0, reinterpret_cast<long long>(handle)), 0; }
int state_v5(void* handle, int state, void* args) {
  nccl_line(("state" + std::to_string(state)).c_str(), args, args != nullptr ? 8 : 0,
            reinterpret_cast<long long>(handle));
  return 0;
}
int finalize_v5(void*) { return nccl_line("finalize", nullptr, 0, 0), 0; }

}  // namespace

extern "C" {
struct {
  const char* name;
  int (*init)(void**, uint64_t, int*, const char*, int, int, int, void*);
  int (*start)(void*, void**, void*);
  int (*stop)(void*);
  int (*state)(void*, int, void*);
  int (*finalize)(void*);
} ncclProfiler_v5 = {"dump", init_v5, start_v5, stop_v5, state_v5, finalize_v5};

int InitializeInjection() {
  static std::atomic_flag done = ATOMIC_FLAG_INIT;
  if (done.test_and_set()) return 1;
  uint32_t version = 0;
  cuptiGetVersion(&version);
  std::FILE* file = std::fopen((folder() + "/cupti.txt").c_str(), "w");
  if (file != nullptr) std::fprintf(file, "cupti %u\n", version);
  cuptiActivityRegisterCallbacks(request, complete);
  for (const CUpti_ActivityKind kind :
       {CUPTI_ACTIVITY_KIND_DEVICE, CUPTI_ACTIVITY_KIND_CONTEXT, CUPTI_ACTIVITY_KIND_STREAM,
        CUPTI_ACTIVITY_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_DRIVER, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
        CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET, CUPTI_ACTIVITY_KIND_SYNCHRONIZATION,
        CUPTI_ACTIVITY_KIND_MEMORY2, CUPTI_ACTIVITY_KIND_MEMORY_POOL, CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
        CUPTI_ACTIVITY_KIND_MARKER, CUPTI_ACTIVITY_KIND_OVERHEAD, CUPTI_ACTIVITY_KIND_CUDA_EVENT,
        CUPTI_ACTIVITY_KIND_ENVIRONMENT, CUPTI_ACTIVITY_KIND_GRAPH_TRACE}) {
    if (kind == CUPTI_ACTIVITY_KIND_GRAPH_TRACE && std::getenv("DUMP_GRAPHS") == nullptr) continue;
    const CUptiResult result = cuptiActivityEnable(kind);
    if (file != nullptr) std::fprintf(file, "kind %d: %d\n", static_cast<int>(kind), static_cast<int>(result));
  }
  if (file != nullptr) std::fclose(file);
  std::atexit(flush);
  return 1;
}
}
