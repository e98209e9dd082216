// Exports of Nsight Systems as several versions write them.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "profiler/import/test_import.h"
#include "profiler/store/sqlite.h"

namespace shardscope {
namespace {

using testing::rows_of;
using testing::TempFolder;

constexpr std::int64_t kProcessId = 77LL << 24;

/// What all versions have, with one process (77) that launches a kernel and NCCL.
std::string common_tables() {
  const std::string pid = std::to_string(kProcessId), tid = std::to_string(kProcessId + 5);
  return "CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT);"
         "INSERT INTO StringIds VALUES (1, 'cudaLaunchKernel'), (2, 'void gemm<float>(int)'), (3, 'gemm'), "
         "(4, 'ncclDevKernel_AllGather_RING_LL(args)'), (5, 'ncclDevKernel_AllGather_RING_LL'), (6, 'iteration 2');"
         "CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, globalTid INTEGER, correlationId "
         "INTEGER, nameId INTEGER);"
         "INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (110, 120, " +
         tid + ", 9, 1), (130, 140, " + tid +
         ", 10, 1);"
         "CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, "
         "correlationId INTEGER, globalPid INTEGER, bytes INTEGER, copyKind INTEGER, srcKind INTEGER);"
         "INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (150, 160, 0, 7, 11, " +
         pid +
         ", 4096, 2, 2);"
         "CREATE TABLE NVTX_EVENTS (start INTEGER, end INTEGER, eventType INTEGER, text TEXT, globalTid INTEGER, "
         "textId "
         "INTEGER, domainId INTEGER);"
         "INSERT INTO NVTX_EVENTS VALUES (100, 300, 59, NULL, " +
         tid + ", 6, 0), (105, NULL, 34, 'mark', " + tid + ", NULL, 0), (0, NULL, 75, 'NCCL', " + tid +
         ", NULL, 3), (131, 133, 59, 'ncclAllGather', " + tid + ", NULL, 3);";
}

std::string make_2023(const TempFolder& folder) {
  const std::string pid = std::to_string(kProcessId);
  std::string path = folder.file("old.sqlite");
  Connection(path, Connection::Mode::kCreate)
      .execute(
          common_tables() +
          "CREATE TABLE EXPORT_META_DATA (name TEXT, value TEXT);"
          "INSERT INTO EXPORT_META_DATA VALUES ('EXPORT_SCHEMA_VERSION', '3.1.2');"
          "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, "
          "correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER, gridX INTEGER, gridY "
          "INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER, staticSharedMemory INTEGER, "
          "dynamicSharedMemory INTEGER, registersPerThread INTEGER);"
          "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (200, 260, 0, 7, 9, " +
          pid + ", 2, 3, 8, 1, 1, 256, 1, 1, 16, 32, 40), (400, 420, 0, 20, 10, " + pid +
          ", 4, 5, 2, 1, 1, 96, 1, 1, 0, 0, 96), (NULL, 5, 0, 20, 10, " + pid +
          ", 4, 5, 2, 1, 1, 96, 1, 1, 0, 0, 96);");
  return path;
}

TEST(Nsys, ColumnsAreReadAsTheyAre) {
  const TempFolder folder;
  ImportControl control;
  import_files({make_2023(folder)}, {.out = folder.file("run.db")}, control);
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile,
                    "SELECT s.lane, o.kind, o.name, s.step, s.start_ns, s.dur_ns, s.correlation FROM slice s "
                    "JOIN op o ON o.op = s.op ORDER BY s.start_ns, s.dur_ns"),
            "thread 5|nvtx|iteration 2|2|0|200|0\n"
            "thread 5|runtime|cudaLaunchKernel|2|10|10|9\n"
            "thread 5|runtime|cudaLaunchKernel|2|30|10|10\n"
            "thread 5|nvtx NCCL|ncclAllGather|2|31|2|0\n"
            "gpu0 stream 7|copy|DtoH|-1|50|10|11\n"
            "gpu0 stream 7|kernel|void gemm<float>(int)|2|100|60|9\n"
            "gpu0 stream 20|all_gather|ncclDevKernel_AllGather_RING_LL(args)|2|300|20|10\n");
  EXPECT_EQ(rows_of(profile, "SELECT grid_x, block_x, registers, shared_bytes FROM op_launch LIMIT 1"),
            "8|256|40|48\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic"), "unfinished|1\n");
  EXPECT_EQ(rows_of(profile, "SELECT version, first_ns, last_ns FROM source"), "schema 3.1.2|100|420\n");
  const auto counts = imported_files(profile, 1).at(0).counts;
  EXPECT_EQ(counts.at("kernels"), 2);
  EXPECT_EQ(counts.at("kernels_with_launch"), 2);
  EXPECT_EQ(counts.at("kernel_dur_ns"), 80);
  EXPECT_EQ(counts.at("nccl_kernels"), 1);
  EXPECT_EQ(counts.at("nvtx_ranges"), 2);
  EXPECT_EQ(counts.at("memcpy_bytes"), 4096);
}

TEST(Nsys, EachProcessIsARank) {
  const TempFolder folder;
  const std::string path = make_2023(folder), other = std::to_string(78LL << 24);
  Connection(path, Connection::Mode::kReadWrite)
      .execute("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (500, 510, 1, 7, 9, " + other +
               ", 2, 3, 8, 1, 1, 256, 1, 1, 0, 0, 40)");
  ImportControl control;
  import_files({path}, {.out = folder.file("run.db")}, control);
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT rank, count(*) FROM slice GROUP BY rank"), "0|7\n1|1\n");
  EXPECT_EQ(imported_files(profile, 1).at(1).counts.at("kernels_with_launch"), 0) << "another process's correlation";
}

TEST(Nsys, WhatIsNoTableOrDamagedIsNotRead) {
  const TempFolder folder;
  const std::string path = make_2023(folder);
  Connection(path, Connection::Mode::kReadWrite)
      .execute(
          "DROP TABLE NVTX_EVENTS; CREATE VIEW NVTX_EVENTS AS WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
          "FROM r) SELECT i AS start, i AS end, 59 AS eventType, 'x' AS text, 0 AS globalTid FROM r;"
          "UPDATE CUPTI_ACTIVITY_KIND_MEMCPY SET bytes = 'many', start = -9223372036854775807, end = "
          "9223372036854775807");
  ImportControl control;
  import_files({path}, {.out = folder.file("run.db")}, control);
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM slice"), "4\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind FROM diagnostic ORDER BY kind"), "invalid_time\nunfinished\n");
}

/// Whatever tables lie before the place where it is cut.
TEST(Nsys, OfAnExportThatIsCutShortTheBeginningIsImported) {
  const TempFolder folder;
  const std::string path = make_2023(folder);
  std::ifstream file(path, std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(file), {}};
  const std::size_t page = static_cast<unsigned char>(good[16]) * 256;
  int imported = 0;
  for (std::size_t pages = 2; pages < good.size() / page; ++pages) {
    testing::write_file(folder.file("cut.sqlite"), good.substr(0, pages * page));
    std::filesystem::remove(folder.file("run.db"));
    try {
      ImportControl control;
      import_files({folder.file("cut.sqlite")}, {.out = folder.file("run.db")}, control);
    } catch (const Error&) {
      continue;  // no table with events so far
    }
    ++imported;
    EXPECT_EQ(rows_of(Profile(folder.file("run.db")), "SELECT count(*) FROM diagnostic WHERE kind = 'truncated'"),
              "1\n");
  }
  EXPECT_GE(imported, 2);
}

TEST(Nsys, ChangedBytesNeverDoHarm) {
  const TempFolder folder;
  const std::string path = make_2023(folder);
  std::ifstream file(path, std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(file), {}};
  std::uint32_t random = 12345;
  const auto next = [&random] { return random = random * 1664525 + 1013904223; };
  int imported = 0;
  for (int round = 0; round < 60; ++round) {
    std::string changed = good;
    for (int k = 0; k < 20; ++k)
      changed[100 + (next() >> 8) % (changed.size() - 100)] ^= static_cast<char>(1 << (next() >> 24) % 8);
    testing::write_file(folder.file("changed.sqlite"), changed);
    std::filesystem::remove(folder.file("run.db"));
    try {
      ImportControl control;
      import_files({folder.file("changed.sqlite")}, {.out = folder.file("run.db")}, control);
      Profile(folder.file("run.db")).rows("SELECT count(*), sum(dur_ns) FROM slice").next();
      ++imported;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(imported, 0);
}

TEST(Nsys, NamesThatCannotBeReadCostNoEvents) {
  const TempFolder folder;
  const std::string path = make_2023(folder);
  Connection(path, Connection::Mode::kReadWrite)
      .execute("UPDATE StringIds SET value = zeroblob(20000000) WHERE id = 4");  // of a kernel
  ImportControl control;
  import_files({path}, {.out = folder.file("run.db")}, control);
  EXPECT_EQ(rows_of(Profile(folder.file("run.db")),
                    "SELECT o.name, s.dur_ns FROM slice s JOIN op o ON o.op = s.op WHERE o.lane NOT IN ('host_api', "
                    "'other') AND o.kind <> 'copy' ORDER BY s.start_ns"),
            "void gemm<float>(int)|60\n(unreadable)|20\n");
}

TEST(Nsys, ARealExportHasTheAnswersThatWereCountedIndependently) {
  const std::string path = testing::trace_file("nsys_2025.5.2_schema3.24.0_graph.sqlite");
  if (path.empty()) GTEST_SKIP() << "SKIPPED: no folder with real traces";
  std::ifstream file(testing::trace_file("EXPECTED.json"));
  const nlohmann::json expected = nlohmann::json::parse(file)["nsys_2025.5.2_schema3.24.0_graph.sqlite"];
  const TempFolder folder;
  ImportControl control;
  import_files({path}, {.out = folder.file("run.db")}, control);
  const Profile profile(folder.file("run.db"));
  const auto files = imported_files(profile, 1);
  ASSERT_EQ(files.size(), 1U);
  const auto& counts = files[0].counts;
  const std::pair<const char*, const char*> same[] = {{"kernels", "CUPTI_ACTIVITY_KIND_KERNEL"},
                                                      {"memcpys", "CUPTI_ACTIVITY_KIND_MEMCPY"},
                                                      {"runtime_calls", "CUPTI_ACTIVITY_KIND_RUNTIME"},
                                                      {"kernel_dur_ns", "kernel_dur_ns"},
                                                      {"streams", "streams"},
                                                      {"distinct_kernel_names", "short_names"},
                                                      {"kernels_with_launch", "kernels_with_launch"},
                                                      {"memcpy_bytes", "memcpy_bytes"}};
  for (const auto& [ours, theirs] : same) EXPECT_EQ(counts.at(ours), expected[theirs].get<std::int64_t>()) << ours;
  EXPECT_EQ(files[0].version, expected["EXPORT_PRODUCT_VERSION"].get<std::string>());
  EXPECT_EQ(
      rows_of(profile, "SELECT o.kind, count(*) FROM slice s JOIN op o ON o.op = s.op GROUP BY o.kind ORDER BY 1"),
      "copy|1\ngraph|2\nkernel|3\nos|654\noverhead|35\nruntime|33\nwait|2\n");
  EXPECT_EQ(rows_of(profile,
                    "SELECT min(s.start_ns) + f.origin_ns, max(s.start_ns + s.dur_ns) + f.origin_ns FROM slice s "
                    "JOIN op o ON o.op = s.op JOIN source f WHERE o.kind = 'kernel'"),
            std::to_string(expected["kernel_first"].get<std::int64_t>()) + "|" +
                std::to_string(expected["kernel_last"].get<std::int64_t>()) + "\n");
}

}  // namespace
}  // namespace shardscope
