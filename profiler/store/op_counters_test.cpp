#include "profiler/store/op_counters.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <ctime>
#include <thread>

#include "profiler/store/merge.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

std::int64_t own_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void spin(std::int64_t ns) {
  const std::int64_t end = own_cpu_ns() + ns;
  while (own_cpu_ns() < end) {
  }
}

void touch_pages(std::size_t pages) {
  const std::size_t bytes = pages * 4096;
  auto* memory =
      static_cast<volatile char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  madvise(const_cast<char*>(memory), bytes, MADV_NOHUGEPAGE);
  for (std::size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
  munmap(const_cast<char*>(memory), bytes);
}

constexpr std::int64_t kSpin = 5'000'000;  ///< ns

void record(const std::string& path) {
  ProfileWriter writer(path, testing::tiny_run("counted"));
  OpCounters counters(writer);
  RankTrace* trace = counters.open_rank(0, testing::tiny_program(0, 2));
  const auto slice = [&](OpId op, Lane lane) { trace->slice({op, 0, lane, 0, 1000, 0}); };
  slice(testing::kLoadOp, Lane::kCompute);  // of the first op nothing is known
  spin(kSpin);
  slice(testing::kMatMulOp, Lane::kCompute);
  std::thread([&] {
    slice(testing::kGatherOp, Lane::kGather);
    touch_pages(200);
    slice(testing::kGatherOp, Lane::kGather);
  }).join();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  slice(testing::kAdamOp, Lane::kCompute);  // it slept
  trace->finish({}, 0);
  writer.finish();
  counters.write(path, writer.run());
}

std::int64_t value(const std::string& path, OpId op, const std::string& name) {
  return Connection(path, Connection::Mode::kReadOnly)
      .integer("SELECT value FROM op_counter WHERE run = 1 AND rank = 0 AND op = " + std::to_string(op.index) +
               " AND name = '" + name + "'");
}

bool may_count(const std::string& path, const char* name) {
  ProfileWriter writer(path, testing::tiny_run("none"));
  return OpCounters(writer).missing().find(name) == std::string::npos;
}

TEST(OpCounters, CountWhatEachOpDoes) {
  const TempFolder folder;
  if (!may_count(folder.file("none.db"), "cpu_ns")) GTEST_SKIP() << "SKIPPED: nothing may be counted here";
  const std::string path = folder.file("run.db");
  record(path);
  EXPECT_EQ(value(path, testing::kLoadOp, "cpu_ns"), 0);
  EXPECT_GE(value(path, testing::kMatMulOp, "cpu_ns"), kSpin * 9 / 10);
  EXPECT_GE(value(path, testing::kGatherOp, "page_faults"), 200);
  EXPECT_LT(value(path, testing::kAdamOp, "cpu_ns"), kSpin / 2) << "waiting counts nothing";
  EXPECT_EQ(value(path, testing::kMatMulOp, "cycles") > 0, may_count(folder.file("none2.db"), "cycles"));
}

TEST(OpCounters, GoAlongWhenProfilesAreMerged) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "first");
  Connection(folder.file("run.db"), Connection::Mode::kReadWrite)
      .execute("INSERT INTO op_counter VALUES (1, 0, 2, 'cycles', 77)");
  testing::record_tiny_profile(folder.file("all.db"), "second");
  merge_profile(folder.file("all.db"), folder.file("run.db"));
  EXPECT_EQ(Connection(folder.file("all.db"), Connection::Mode::kReadOnly)
                .integer("SELECT value FROM op_counter WHERE run = 2"),
            77);
}

}  // namespace
}  // namespace shardscope
