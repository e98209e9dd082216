// CUPTI's own walker over buffers that an H100 filled (tests/fixtures/cupti_h100), and over records made here.
#include "profiler/capture/inject/cupti_decode.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "profiler/capture/spool_reader.h"
#include "source_dir.h"

namespace shardscope::capture {
namespace {

std::vector<std::uint8_t> read_gz(const std::string& path) {
  std::vector<std::uint8_t> bytes;
  gzFile file = gzopen(path.c_str(), "rb");
  EXPECT_NE(file, nullptr) << path;
  std::uint8_t block[1 << 16];
  for (int n; file != nullptr && (n = gzread(file, block, sizeof block)) > 0;)
    bytes.insert(bytes.end(), block, block + n);
  if (file != nullptr) gzclose(file);
  return bytes;
}

const char* numbered(bool driver, std::uint32_t number) {
  static std::string text;
  text = (driver ? "driver " : "runtime ") + std::to_string(number);
  return text.c_str();
}
const char* unknown_text(const char*) { return "kernel"; }  // the pointer is of a process that is gone

class CuptiDecodeTest : public testing::Test {
 protected:
  void SetUp() override {
    void* library = dlopen("libcupti.so.13", RTLD_NOW);
    if (library == nullptr) library = dlopen(SHARDSCOPE_CUPTI_LIBRARY, RTLD_NOW);
    if (library == nullptr) GTEST_SKIP() << "libcupti cannot be loaded: " << dlerror();
    calls_ = {reinterpret_cast<decltype(&cuptiActivityGetNextRecord)>(dlsym(library, "cuptiActivityGetNextRecord")),
              numbered, unknown_text};
    folder_ = std::filesystem::temp_directory_path() / ("cupti_decode_test_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    setenv("SHARDSCOPE_SPOOL", folder_.c_str(), 1);
    setenv("SHARDSCOPE_SPOOL_MB", "16", 1);
    unsetenv("SHARDSCOPE_RING");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// Decodes buffers in a child, whose spool is then read here.
  std::unique_ptr<SpoolReader> decode(std::vector<std::vector<std::uint8_t>> buffers) {
    if (const pid_t child = fork(); child == 0) {
      for (auto& buffer : buffers) decode_activities(*Spool::get(), buffer.data(), buffer.size(), calls_);
      _exit(0);
    } else {
      waitpid(child, nullptr, 0);
    }
    const auto spools = list_spools(folder_.string());
    return spools.empty() ? nullptr : std::make_unique<SpoolReader>(spools[0]);
  }
  DecodeCalls calls_;
  std::filesystem::path folder_;
};

struct Counts {
  std::map<RecordKind, int> kinds;
  std::map<std::uint32_t, int> copies;
  std::uint64_t copied = 0;
  int graph_kernels = 0, driver_calls = 0, bad_times = 0;
};

Counts count(SpoolReader& spool) {
  Counts c;
  spool.poll([&](std::uint32_t, const RecordHead& head) {
    ++c.kinds[head.kind];
    if (head.kind == RecordKind::kKernel) {
      const auto* kernel = record_as<KernelRecord>(head);
      c.graph_kernels += kernel->graph != 0;
      c.bad_times += kernel->end_ns <= head.time_ns || kernel->grid[0] < 1 || kernel->block[0] < 1;
    } else if (head.kind == RecordKind::kCopy) {
      const auto* copy = record_as<CopyRecord>(head);
      ++c.copies[head.small];
      if (head.small == 0) c.copied += copy->bytes;
    } else if (head.kind == RecordKind::kApi) {
      c.driver_calls += static_cast<int>(record_as<ApiRecord>(head)->driver);
    }
  });
  return c;
}

std::vector<std::vector<std::uint8_t>> fixtures(const std::string& name) {
  std::vector<std::vector<std::uint8_t>> buffers;
  for (int i = 0; i < 7; ++i)
    buffers.push_back(read_gz(std::string(SHARDSCOPE_SOURCE_DIR) + "/tests/fixtures/cupti_h100/" + name + "-cupti-" +
                              std::to_string(i) + ".bin.gz"));
  return buffers;
}

// The counts are those of the fixtures' README.
TEST_F(CuptiDecodeTest, EveryRecordOfARealRun) {
  auto spool = decode(fixtures("nodes"));
  ASSERT_NE(spool, nullptr);
  const Counts c = count(*spool);
  EXPECT_EQ(c.kinds.at(RecordKind::kKernel), 91);
  EXPECT_EQ(c.graph_kernels, 12);
  EXPECT_EQ(c.bad_times, 0);
  EXPECT_EQ(c.copies.at(0), 144);
  EXPECT_EQ(c.copies.at(2), 194);
  EXPECT_EQ(c.copied, 1473392u);
  EXPECT_EQ(c.kinds.at(RecordKind::kApi), 5081 + 4250);
  EXPECT_EQ(c.driver_calls, 5081);
  EXPECT_EQ(c.kinds.at(RecordKind::kSync), 186);
  EXPECT_EQ(c.kinds.at(RecordKind::kDeviceMemory), 2374);
  EXPECT_EQ(c.kinds.at(RecordKind::kDevice), 1);
}

TEST_F(CuptiDecodeTest, GraphsAsOneRecordALaunch) {
  auto spool = decode(fixtures("graphs"));
  ASSERT_NE(spool, nullptr);
  const Counts c = count(*spool);
  EXPECT_EQ(c.kinds.at(RecordKind::kGraph), 3);
  EXPECT_EQ(c.kinds.at(RecordKind::kKernel), 79);
}

template <class Record>
void append(std::vector<std::uint8_t>& buffer, const Record& record) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&record);
  buffer.insert(buffer.end(), bytes, bytes + sizeof record);
}

TEST_F(CuptiDecodeTest, EachKindFieldByField) {
  std::vector<std::uint8_t> buffer;
  CUpti_ActivityKernel10 kernel{};
  kernel.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  kernel.start = 1000, kernel.end = 1500, kernel.correlationId = 42, kernel.streamId = 7, kernel.deviceId = 1;
  kernel.gridX = 3, kernel.gridY = 2, kernel.gridZ = 1, kernel.blockX = 128, kernel.blockY = 1, kernel.blockZ = 1;
  kernel.registersPerThread = 64, kernel.dynamicSharedMemory = 4096, kernel.graphId = 5, kernel.graphNodeId = 77;
  append(buffer, kernel);
  CUpti_ActivityKernel10 untimed = kernel;
  untimed.start = untimed.end = 0;
  append(buffer, untimed);
  CUpti_ActivityMemcpyPtoP4 peer{};
  peer.kind = CUPTI_ACTIVITY_KIND_MEMCPY2;
  peer.copyKind = CUPTI_ACTIVITY_MEMCPY_KIND_PTOP, peer.bytes = 1 << 20, peer.start = 2000, peer.end = 2600;
  append(buffer, peer);
  CUpti_ActivitySynchronization2 sync{};
  sync.kind = CUPTI_ACTIVITY_KIND_SYNCHRONIZATION;
  sync.type = CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_SYNCHRONIZE, sync.start = 10, sync.end = 20, sync.streamId = 9;
  append(buffer, sync);
  CUpti_ActivityExternalCorrelation external{};
  external.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
  external.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, external.externalId = 11,
  external.correlationId = 42;
  append(buffer, external);
  CUpti_ActivityEnvironment environment{};
  environment.kind = CUPTI_ACTIVITY_KIND_ENVIRONMENT;
  environment.deviceId = 1, environment.timestamp = 5000;
  environment.environmentKind = CUPTI_ACTIVITY_ENVIRONMENT_SPEED;
  environment.data.speed.smClock = 1980, environment.data.speed.memoryClock = 2619;
  environment.data.speed.clocksThrottleReasons = CUPTI_CLOCKS_THROTTLE_REASON_SW_POWER_CAP;
  append(buffer, environment);
  auto spool = decode({buffer});
  ASSERT_NE(spool, nullptr);
  int seen = 0;
  spool->poll([&](std::uint32_t, const RecordHead& head) {
    ++seen;
    if (head.kind == RecordKind::kKernel) {
      const auto* k = record_as<KernelRecord>(head);
      EXPECT_EQ(head.time_ns, 1000);
      EXPECT_EQ(k->end_ns, 1500);
      EXPECT_EQ(k->correlation, 42u);
      EXPECT_EQ(k->stream, 7u);
      EXPECT_EQ(k->device, 1u);
      EXPECT_EQ(k->grid[1], 2);
      EXPECT_EQ(k->block[0], 128);
      EXPECT_EQ(k->registers, 64u);
      EXPECT_EQ(k->shared_dynamic, 4096u);
      EXPECT_EQ(k->graph, 5u);
      EXPECT_EQ(k->graph_node, 77u);
      EXPECT_EQ(spool->text(k->name), "kernel");
    } else if (head.kind == RecordKind::kCopy) {
      EXPECT_EQ(head.small, 1u);
      EXPECT_EQ(record_as<CopyRecord>(head)->bytes, 1u << 20);
    } else if (head.kind == RecordKind::kSync) {
      EXPECT_EQ(record_as<SyncRecord>(head)->stream, 9u);
    } else if (head.kind == RecordKind::kExternal) {
      EXPECT_EQ(record_as<ExternalRecord>(head)->external, 11u);
    } else if (head.kind == RecordKind::kEnvironment) {
      const auto* e = record_as<EnvironmentRecord>(head);
      EXPECT_EQ(head.small, 1u);
      EXPECT_EQ(head.time_ns, 5000);
      EXPECT_EQ(e->device, 1u);
      EXPECT_EQ(e->values[0], 1980u);
      EXPECT_EQ(e->values[1], 2619u);
      EXPECT_EQ(e->values[4], 4u);
    }
  });
  EXPECT_EQ(seen, 5) << "the kernel without times is left out";
}

}  // namespace
}  // namespace shardscope::capture
