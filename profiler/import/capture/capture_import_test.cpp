// A recorded process's log as rows: what a spool that is written here by hand becomes.

#include <gtest/gtest.h>

#include <cstring>
#include <new>

#include "profiler/capture/records.h"
#include "profiler/capture/spool_layout.h"
#include "profiler/import/test_import.h"
#include "profiler/query/time_breakdown.h"

namespace shardscope {
namespace {

using namespace capture;  // NOLINT: records by their names
using testing::rows_of;

/// A spool with one chunk, of a thread 11, and texts.
class SpoolText {
 public:
  SpoolText() : bytes_(spool_bytes(1), '\0') {
    auto* header = new (bytes_.data()) SpoolHeader{};
    header->magic = kSpoolMagic, header->version = kSpoolVersion, header->chunks = 1;
    header->chunk_bytes = kChunkBytes, header->string_bytes = kStringBytes;
    header->pid = 1 << 30, header->rank = 0, header->world = 1, header->local_rank = 0, header->last_step.store(-1);
    auto* chunk = new (bytes_.data() + chunk_offset(0)) ChunkHeader{};
    chunk->state.store(ChunkState::kFull), chunk->thread = kThread, chunk->order = 1;
    header->next_order.store(1);
  }
  std::uint64_t text(const std::string& text) {
    auto* header = reinterpret_cast<SpoolHeader*>(bytes_.data());
    const std::uint64_t at = header->strings_used.load();
    auto* string = new (bytes_.data() + kHeaderBytes + at) StringHeader{};
    string->id = string_id(text.data(), text.size());
    std::memcpy(reinterpret_cast<char*>(string + 1), text.data(), text.size());
    string->bytes_plus_one.store(static_cast<std::uint32_t>(text.size()) + 1);
    header->strings_used.store(at + sizeof(StringHeader) + ((text.size() + 7) & ~std::size_t{7}));
    return string->id;
  }
  template <class Record>
  void add(RecordKind kind, std::int64_t time_ns, Record record) {
    record.head = {sizeof record, kind, record.head.small, time_ns};
    auto* chunk = reinterpret_cast<ChunkHeader*>(bytes_.data() + chunk_offset(0));
    std::memcpy(reinterpret_cast<char*>(chunk + 1) + chunk->used.load(), &record, sizeof record);
    chunk->used.fetch_add(sizeof record);
  }
  const std::string& bytes() const { return bytes_; }
  static constexpr std::uint32_t kThread = 11;

 private:
  std::string bytes_;
};

constexpr std::int64_t kStart = 1'700'000'000'000'000'000;

/// A kernel within a range, launched by a call, with a number of the job's own; and the device's clock.
std::string spool_of_a_kernel() {
  SpoolText spool;
  RangeRecord range{};
  range.name = spool.text("attention");
  spool.add(RecordKind::kRangePush, kStart, range);
  spool.add(RecordKind::kRangePop, kStart + 900, range);
  ApiRecord call{};
  call.end_ns = kStart + 200, call.name = spool.text("cudaLaunchKernel_v7000");
  call.correlation = 42, call.thread = SpoolText::kThread;
  spool.add(RecordKind::kApi, kStart + 100, call);
  KernelRecord kernel{};
  kernel.end_ns = kStart + 3000, kernel.name = spool.text("softmax"), kernel.correlation = 42, kernel.stream = 7;
  spool.add(RecordKind::kKernel, kStart + 1000, kernel);
  ExternalRecord external{};
  external.head.small = 3, external.external = 77, external.correlation = 42;
  spool.add(RecordKind::kExternal, kStart, external);
  EnvironmentRecord clock{};
  clock.head.small = 1, clock.values[0] = 1980, clock.values[4] = 4;
  spool.add(RecordKind::kEnvironment, kStart + 500, clock);
  return spool.bytes();
}

TEST(CaptureImport, KeepsTheJobsOwnNumbersOfLaunches) {
  const testing::TempFolder folder;
  testing::import_texts(folder, "1.spool", {spool_of_a_kernel()});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile,
                    "SELECT o.name, e.kind, e.id FROM slice s JOIN rank r USING (run, rank) JOIN op o ON o.program = "
                    "r.program AND o.op = s.op JOIN external_id e USING (run, rank, correlation) ORDER BY o.name"),
            "cudaLaunchKernel|custom0|77\nsoftmax|custom0|77\n");
}

TEST(CaptureImport, KeepsTheStateOfDevices) {
  const testing::TempFolder folder;
  testing::import_texts(folder, "1.spool", {spool_of_a_kernel()});
  EXPECT_EQ(rows_of(Profile(folder.file("run.db")), "SELECT device, name, time_ns, value FROM device_sample"),
            "0|memory_clock_mhz|500|0\n0|pcie_generation|500|0\n0|pcie_width|500|0\n0|sm_clock_mhz|500|1980\n"
            "0|throttle_reasons|500|4\n");
}

TEST(CaptureImport, TiesKernelsToTheRangeOfTheirLaunch) {
  const testing::TempFolder folder;
  testing::import_texts(folder, "1.spool", {spool_of_a_kernel()});
  const TimeBreakdown breakdown = time_breakdown(Profile(folder.file("run.db")), 1);
  ASSERT_EQ(breakdown.ranges.size(), 1U);
  EXPECT_EQ(breakdown.ranges[0].name, "attention");
  EXPECT_EQ(breakdown.ranges[0].total_ns, 2000);
}

}  // namespace
}  // namespace shardscope
