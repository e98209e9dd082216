// A recorded process's log as rows: what a spool that is written here by hand becomes.

#include <gtest/gtest.h>

#include <cstring>
#include <new>

#include "profiler/capture/records.h"
#include "profiler/capture/spool_layout.h"
#include "profiler/import/test_import.h"
#include "profiler/query/op_device_work.h"
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

/// A range of one op of our CUDA backend, and what a thread launches at some time.
void add_op(SpoolText& spool, const std::string& name, std::int64_t from_ns, std::int64_t to_ns) {
  RangeRecord range{};
  range.name = spool.text(name);
  spool.add(RecordKind::kRangePush, kStart + from_ns, range);
  spool.add(RecordKind::kRangePop, kStart + to_ns, range);
}
void add_launch(SpoolText& spool, const std::string& kernel_name, std::uint32_t thread, std::int64_t at_ns,
                std::int64_t lasts_ns) {
  const auto correlation = static_cast<std::uint32_t>(at_ns);
  ApiRecord call{};
  call.end_ns = kStart + at_ns + 5, call.name = spool.text("cuLaunchKernel");
  call.correlation = correlation, call.thread = thread, call.driver = 1;
  spool.add(RecordKind::kApi, kStart + at_ns, call);
  KernelRecord kernel{};
  kernel.end_ns = kStart + 5000 + at_ns + lasts_ns, kernel.name = spool.text(kernel_name);
  kernel.correlation = correlation, kernel.stream = 7;
  spool.add(RecordKind::kKernel, kStart + 5000 + at_ns, kernel);
}

TEST(CaptureImport, TiesDeviceWorkToTheOpsOfOurProgram) {
  SpoolText spool;
  const std::uint32_t own = SpoolText::kThread, nccls = 99;
  add_op(spool, "rank 3 gpu 0 op 57 matmul h.0.attn", 0, 900);
  add_op(spool, "rank 3 gpu 0 op 58 all_reduce flat.0", 1000, 1900);
  add_op(spool, "rank 3 gpu 0 op 57 matmul h.0.attn", 2000, 2900);
  add_launch(spool, "gemm", own, 100, 40);
  add_launch(spool, "ncclDevKernel_AllReduce_Sum_f32_RING_LL", nccls, 1500, 70);
  add_launch(spool, "beside", own, 1950, 10);     // between two ranges
  add_launch(spool, "foreign", nccls, 2500, 20);  // not a collective, so not the range's of another thread
  add_launch(spool, "gemm", own, 2100, 60);
  add_launch(spool, "split", own, 2200, 1);
  const testing::TempFolder folder;
  testing::import_texts(folder, "1.spool", {spool.bytes()});
  const DeviceWork work = op_device_work(Profile(folder.file("run.db")), 1);
  ASSERT_EQ(work.ops.size(), 2U);
  const OpDeviceWork &product = work.ops[0], &collective = work.ops[1];
  EXPECT_EQ(std::tie(product.rank, product.op, product.kind, product.name),
            std::make_tuple(3, 57, "matmul", "h.0.attn"));
  EXPECT_EQ(std::tie(product.executions, product.work.count), std::make_tuple(2, 3));
  EXPECT_NEAR(product.device_s, 61e-9, 1e-12);  // the upper of two
  EXPECT_EQ(std::tie(collective.op, collective.kind, collective.work.count), std::make_tuple(58, "all_reduce", 1));
  EXPECT_EQ(std::tie(work.all.count, work.of_no_op.count), std::make_tuple(6, 2));
  EXPECT_NEAR(work.of_no_op.total_s, 30e-9, 1e-12);
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
