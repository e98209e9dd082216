// The library as a job meets it: programs that know nothing of us run under it, and what they did is in their spools.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "profiler/capture/inject/nccl_profiler.h"
#include "profiler/capture/spool_reader.h"

namespace shardscope::capture {
namespace {

class LibraryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string(SHARDSCOPE_CAPTURE_LIBRARY).empty()) GTEST_SKIP() << "built with sanitizers: nothing to load";
    folder_ = std::filesystem::temp_directory_path() / ("library_test_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  int run(const std::string& program, const std::string& arguments, const std::string& variables = "") {
    const std::string command = "SHARDSCOPE_SPOOL=" + folder_.string() +
                                " NVTX_INJECTION64_PATH=" SHARDSCOPE_CAPTURE_LIBRARY " RANK=3 WORLD_SIZE=8 " +
                                variables + " " + program + " " + arguments + " 2>&1";
    return std::system(command.c_str());
  }

  struct Seen {
    std::map<std::string, int> pushes, marks;
    int pops = 0, starts = 0, ends = 0;
    std::vector<std::uint64_t> bytes;  ///< second word of the payloads of domain NCCL
    std::map<std::string, std::uint32_t> fields;
  };
  Seen read_nvtx(SpoolReader& spool) {
    Seen seen;
    spool.poll([&](std::uint32_t, const RecordHead& head) {
      if (const auto* field = record_as<SchemaFieldRecord>(head); field && head.kind == RecordKind::kSchemaField) {
        seen.fields[std::string(spool.text(field->name))] = field->offset;
        return;
      }
      const auto* range = record_as<RangeRecord>(head);
      if (range == nullptr) return;
      const std::string name(spool.text(range->name));
      switch (head.kind) {
        case RecordKind::kRangePush:
          ++seen.pushes[name];
          break;
        case RecordKind::kRangePop:
          ++seen.pops;
          break;
        case RecordKind::kRangeStart:
          ++seen.starts;
          break;
        case RecordKind::kRangeEnd:
          ++seen.ends;
          break;
        case RecordKind::kMark:
          ++seen.marks[name];
          break;
        default:
          break;
      }
      if (spool.text(range->domain) == "NCCL" && range->payload_bytes == 16)
        seen.bytes.push_back(reinterpret_cast<const std::uint64_t*>(range + 1)[1]);
    });
    return seen;
  }
  std::filesystem::path folder_;
};

TEST_F(LibraryTest, RangesOfARealProgram) {
  ASSERT_EQ(run(SHARDSCOPE_NVTX_CHECK, ""), 0);
  const auto spools = list_spools(folder_.string());
  ASSERT_EQ(spools.size(), 1u);
  SpoolReader spool(spools[0]);
  EXPECT_EQ(spool.header().rank, 3);
  EXPECT_EQ(spool.header().world, 8);
  EXPECT_STREQ(spool.header().program, "nvtx_check");
  const Seen seen = read_nvtx(spool);
  EXPECT_EQ(seen.pushes,
            (std::map<std::string, int>{{"step", 3}, {"forward", 3}, {"ncclAllReduce", 3}, {"in a thread", 1}}));
  EXPECT_EQ(seen.pops, 10);
  EXPECT_EQ(seen.starts, 3);
  EXPECT_EQ(seen.ends, 3);
  EXPECT_EQ(seen.marks, (std::map<std::string, int>{{"half way", 3}}));
  EXPECT_EQ(seen.bytes, (std::vector<std::uint64_t>{4096, 8192, 16384}));
  EXPECT_EQ(seen.fields,
            (std::map<std::string, std::uint32_t>{{"NCCL communicator ID", 0}, {"Message size [bytes]", 8}}));
}

TEST_F(LibraryTest, ACrashLosesNothing) {
  EXPECT_NE(run(SHARDSCOPE_NVTX_CHECK, "crash"), 0);
  const auto spools = list_spools(folder_.string());
  ASSERT_EQ(spools.size(), 1u);
  SpoolReader spool(spools[0]);
  const Seen seen = read_nvtx(spool);
  EXPECT_EQ(seen.pushes.at("step"), 3);
  EXPECT_EQ(seen.marks.at("half way"), 3);
  EXPECT_EQ(seen.pops, 8);
}

TEST_F(LibraryTest, WorkersHaveSpoolsOfTheirOwn) {
  ASSERT_EQ(run(SHARDSCOPE_NVTX_CHECK, "workers"), 0);
  std::map<std::string, int> pushes;
  for (const std::string& path : list_spools(folder_.string())) {
    SpoolReader spool(path);
    for (const auto& [name, count] : read_nvtx(spool).pushes) pushes[name] += count;
  }
  EXPECT_EQ(pushes["load"], 3);
  EXPECT_EQ(pushes["step"], 3);
}

TEST_F(LibraryTest, NothingIsRecordedWhereNothingIsAskedFor) {
  ASSERT_EQ(run(SHARDSCOPE_NVTX_CHECK, "", "SHARDSCOPE_SPOOL="), 0);
  ASSERT_EQ(run(SHARDSCOPE_NVTX_CHECK, "", "SHARDSCOPE_SPOOL=/nowhere/at/all"), 0);
  EXPECT_TRUE(list_spools(folder_.string()).empty());
}

TEST_F(LibraryTest, PluginTakesWhatNcclSays) {
  ASSERT_EQ(run(SHARDSCOPE_NCCL_CHECK, SHARDSCOPE_CAPTURE_LIBRARY), 0);
  const auto spools = list_spools(folder_.string());
  ASSERT_EQ(spools.size(), 1u);
  SpoolReader spool(spools[0]);
  EXPECT_EQ(spool.header().ended.load(), 1u);
  std::map<std::uint32_t, int> starts;
  std::map<std::uint64_t, std::uint32_t> type_of;
  std::vector<std::string> collectives;
  int inits = 0, stops_of_collectives = 0, channel_ends = 0, finalized = 0;
  spool.poll([&](std::uint32_t, const RecordHead& head) {
    if (head.kind == RecordKind::kNcclInit) ++inits;
    if (head.kind == RecordKind::kNcclFinalize) ++finalized;
    if (head.kind == RecordKind::kNcclStart) {
      const auto* start = record_as<NcclStartRecord>(head);
      ASSERT_NE(start, nullptr);
      ++starts[head.small];
      EXPECT_TRUE(type_of.emplace(start->handle, head.small).second) << "handles are unique";
      if (head.small == nccl::kColl || head.small == nccl::kP2p || head.small == nccl::kCeColl)
        collectives.push_back(std::string(spool.text(start->function)) + " " + std::to_string(start->communicator) +
                              " #" + std::to_string(start->sequence) + " " + std::to_string(start->count) + " " +
                              std::string(spool.text(start->datatype)) + " " +
                              std::string(spool.text(start->algorithm)) + " peer " + std::to_string(start->peer));
    }
    if (const auto* state = record_as<NcclStateRecord>(head)) {
      if (head.kind == RecordKind::kNcclStop && type_of[state->handle] == nccl::kColl) ++stops_of_collectives;
      if (head.kind == RecordKind::kNcclState && head.small == nccl::kKernelChStop) {
        ++channel_ends;
        EXPECT_GE(state->value, 5'000u);
      }
    }
  });
  EXPECT_EQ(inits, 4);
  EXPECT_EQ(finalized, 4);
  EXPECT_EQ(stops_of_collectives, 4);
  EXPECT_EQ(channel_ends, 6);
  EXPECT_EQ(starts[nccl::kKernelCh], 6);
  EXPECT_EQ(starts[nccl::kProxyOp], 3);
  EXPECT_EQ(collectives, (std::vector<std::string>{
                             "AllReduce 4660 #0 1024 ncclFloat32 RING peer 0",
                             "AllReduce 4660 #1 1024 ncclFloat32 RING peer 0",
                             "AllReduce 4660 #2 1024 ncclFloat32 RING peer 0",
                             "AllGather 51 #7 64 ncclInt8 TREE peer 0",
                             "Send 68 #0 4096 ncclBfloat16  peer 10",
                             "AllGather 102 #2 1048576 ncclInt8 MC peer 0",
                         }));
}

}  // namespace
}  // namespace shardscope::capture
