// Kineto's JSON of different years, and what is wrong in it.

#include <gmock/gmock.h>
#include <zlib.h>

#include <nlohmann/json.hpp>

#include "profiler/import/kineto/kineto_event.h"
#include "profiler/import/names.h"
#include "profiler/import/test_import.h"
#include "profiler/query/step_breakdown.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::import_error;
using testing::import_texts;
using testing::rows_of;
using testing::TempFolder;

// ---------------------------------------------------------------- numbers and names

TEST(KinetoNumbers, MicrosecondsBecomeWholeNanoseconds) {
  EXPECT_EQ(to_ns("4458676388068.751"), 4'458'676'388'068'751);
  EXPECT_EQ(to_ns("1600000000000000"), 1'600'000'000'000'000'000);
  EXPECT_EQ(to_ns("0.001"), 1);
  EXPECT_EQ(to_ns("-1.5"), -1500);
  EXPECT_EQ(to_ns("12.34567"), 12'346) << "rounded";
  EXPECT_EQ(to_ns("7."), 7000);
  EXPECT_EQ(to_ns("1.7e+3"), 1'700'000);
  EXPECT_EQ(to_ns("1.23456e15"), 1'234'560'000'000'000'000);
  EXPECT_EQ(to_ns("25e-1"), 2500);
  for (const char* text : {"", ".", "-", "x", "1x", "1.2.3", "1e", "1e99", "99999999999999999999", "null", "[1]"})
    EXPECT_FALSE(to_ns(text).has_value()) << text;
  EXPECT_EQ(to_integer("1.0"), 1);
}

TEST(KinetoNames, OfCollectivesTypesAndSteps) {
  EXPECT_EQ(collective_kind("_allgather_base"), "all_gather");
  EXPECT_EQ(collective_kind("reduce_scatter_tensor_coalesced"), "reduce_scatter");
  EXPECT_EQ(collective_kind("ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)"), "send_recv");
  EXPECT_EQ(collective_kind("all_to_allv"), "all_to_all");
  EXPECT_EQ(collective_kind("matmul"), "");
  EXPECT_EQ(dtype_size("BFloat16"), 2);
  EXPECT_EQ(dtype_size("torch.float32"), 4);
  EXPECT_EQ(dtype_size("ncclInt8"), 1);
  EXPECT_EQ(dtype_size("Float8_e4m3fn"), 1);
  EXPECT_EQ(dtype_size("Quaternion"), 0);
  EXPECT_EQ(step_name("ProfilerStep#12")->number, 12);
  EXPECT_EQ(step_name("Iteration: 7")->number, 7);
  EXPECT_LT(step_name("step_3")->priority, step_name("ProfilerStep#3")->priority);
  for (const char* text :
       {"step", "steps 3", "ProfilerStep#x", "stepping 3", "iteration 3 of 5", "Optimizer.step#Adam"})
    EXPECT_FALSE(step_name(text).has_value()) << text;
  EXPECT_TRUE(is_unnumbered_step("Train_Step") && is_unnumbered_step("step:"));
  EXPECT_FALSE(is_unnumbered_step("step 3") || is_unnumbered_step("stepping") || is_unnumbered_step(""));
  EXPECT_TRUE(is_optimizer_step("Optimizer.step#AdamW.step"));
  EXPECT_FALSE(is_optimizer_step("Optimizer.zero_grad#AdamW.zero_grad") || is_optimizer_step("LRScheduler.step"));
}

// ---------------------------------------------------------------- layouts

/// As of 2024: times since a base, collective arguments on kernels.
std::string modern(int rank, const std::string& base = "1700000000000000000", const std::string& more = "") {
  const std::string before =
      R"J({"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "A100", "totalGlobalMem": 42297524224,
  "computeMajor": 8, "computeMinor": 0, "numSms": 108}],
  "traceEvents": [
  {"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#3", "pid": 10, "tid": 11, "ts": 100.000, "dur": 100.0,
   "args": {"External id": 1}},
  {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 10, "tid": 11, "ts": 110.500, "dur": 20.250, "args": {}},
  {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 10, "tid": 11, "ts": 112, "dur": 4,
   "args": {"cbid": 211, "correlation": 7}},
  {"ph": "s", "id": 7, "pid": 10, "tid": 11, "ts": 112, "cat": "ac2g", "name": "ac2g"},
  {"ph": "X", "cat": "kernel", "name": "sgemm\u003cfloat\u003e(\"x\")", "pid": 0, "tid": 7, "ts": 210.001, "dur": 40.5,
   "args": {"device": 0, "stream": 7, "correlation": 7, "grid": [4, 2, 1], "block": [256, 1, 1],
   "registers per thread": 40, "shared memory": 400}},
  {"ph": "X", "cat": "kernel", "name": "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(args)", "pid": 0, "tid": 20, "ts": 150,
   "dur": 60, "args": {"device": 0, "stream": 20, "correlation": 9, "Collective name": "allreduce",
   "In msg nelems": 1000, "Out msg nelems": 1000, "Group size": 2, "dtype": "BFloat16", "Process Group Name": "0",
   "Process Group Description": "default_pg", "Process Group Ranks": "[0, 1]", "Seq": 5}},
  {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "pid": 0, "tid": 7, "ts": 120, "dur": 1,
   "args": {"device": 0, "stream": 7, "correlation": 8, "bytes": 4096}},
  {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 10, "tid": 11, "ts": 115,
   "args": {"Addr": 1, "Bytes": 512, "Total Allocated": 1024, "Total Reserved": 2048, "Device Type": 1,
   "Device Id": 0}})J";
  return before + more + "\n  ], \"baseTimeNanoseconds\": " + base +
         R"J(, "distributedInfo": {"backend": "nccl", "rank": )J" + std::to_string(rank) + R"J(, "world_size": 2}})J";
}

TEST(Kineto, ModernLayout) {
  const TempFolder folder;
  const ImportResult result = import_texts(folder, "trace.json", {modern(1)});
  EXPECT_EQ(result.events, 8);
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile,
                    "SELECT s.lane, o.kind, o.name, s.step, s.start_ns, s.dur_ns, s.correlation FROM slice s JOIN "
                    "rank k ON k.run = s.run AND k.rank = s.rank JOIN op o ON o.program = k.program AND o.op = "
                    "s.op ORDER BY s.start_ns"),
            "thread 11|annotation|ProfilerStep#3|3|0|100000|0\n"
            "thread 11|cpu_op|aten::mm|3|10500|20250|0\n"
            "thread 11|runtime|cudaLaunchKernel|3|12000|4000|7\n"
            "gpu0 stream 7|copy|Memcpy HtoD (Pinned -> Device)|-1|20000|1000|8\n"
            "gpu0 stream 20|all_reduce|ncclDevKernel_AllReduce_Sum_bf16_RING_LL(args)|-1|50000|60000|9\n"
            "gpu0 stream 7|kernel|sgemm<float>(\"x\")|3|110001|40500|7\n")
      << "the kernel belongs to the step that launched it, after whose end it runs";
  EXPECT_EQ(rows_of(profile, "SELECT rank, known_rank, world, base_ns, origin_ns, first_ns, last_ns FROM source"),
            "1|1|2|1700000000000000000|100000|100000|250501\n");
  EXPECT_EQ(rows_of(profile, "SELECT l.grid_x, l.grid_y, l.block_x, l.registers, l.shared_bytes FROM op_launch l"),
            "4|2|256|40|400\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, group_name, group_size, collective_bytes FROM op WHERE communication"),
            "all_reduce|default_pg|2|2000\n");
  EXPECT_EQ(rows_of(profile, "SELECT dtype, elements_in, group_ranks, algorithm, protocol FROM op_collective"),
            "BFloat16|1000|[0, 1]|RING|LL\n");
  EXPECT_EQ(rows_of(profile, "SELECT sequence, start_ns, end_ns, state FROM collective_call"),
            "5|50000|110000|completed\n");
  EXPECT_EQ(rows_of(profile, "SELECT space, category, live_bytes, time_ns FROM memory"), "device|other|1024|15000\n");
  EXPECT_EQ(rows_of(profile, "SELECT name, memory_bytes, processors, capability FROM device"),
            "A100|42297524224|108|8.0\n");
  EXPECT_EQ(rows_of(profile, "SELECT * FROM diagnostic"), "");
  const ImportedFile file = imported_files(profile, 1).at(0);
  const std::map<std::string, std::int64_t> counts = {{"events", 8},
                                                      {"kernels", 2},
                                                      {"kernel_dur_ns", 100'500},
                                                      {"distinct_kernel_names", 2},
                                                      {"streams", 2},
                                                      {"kernels_with_launch", 1},
                                                      {"nccl_kernels", 1},
                                                      {"nccl_with_args", 1},
                                                      {"memcpys", 1},
                                                      {"memcpy_bytes", 4096},
                                                      {"runtime_calls", 1},
                                                      {"memory_events", 1},
                                                      {"peak_traced_bytes", 1024},
                                                      {"allocated_bytes", 1024},
                                                      {"reserved_bytes", 2048}};
  EXPECT_EQ(file.counts, counts);
  const std::vector<StepParts> steps = step_breakdown_by_step(profile, 1);
  ASSERT_EQ(steps.size(), 1U);
  EXPECT_DOUBLE_EQ(steps[0].parts.total_s, 100e-6);
  EXPECT_DOUBLE_EQ(steps[0].parts.exposed_communication_s, 50e-6);
  EXPECT_DOUBLE_EQ(steps[0].parts.offload_s, 1e-6);
  EXPECT_DOUBLE_EQ(steps[0].parts.idle_s, 49e-6);
}

TEST(Kineto, RanksShareTheWallClock) {
  const TempFolder folder;
  import_texts(folder, "trace.json", {modern(1, "1700000000000000500"), modern(0, "1700000000000000000")});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT rank, min(start_ns) FROM slice GROUP BY rank"), "0|0\n1|500\n");
  EXPECT_EQ(rows_of(profile, "SELECT name, world, status FROM run"), "trace|2|finished\n");
}

TEST(Kineto, RanksThatCannotShareAClockBeginTogether) {
  const TempFolder folder;
  import_texts(folder, "trace.json", {modern(1, "1"), modern(1, "1700000000000000000")});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT rank, min(start_ns) FROM slice GROUP BY rank"), "0|0\n1|0\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind FROM diagnostic ORDER BY kind"), "clocks\nsame_rank\n");
}

/// As of 2020: a bare list, absolute times, other names of categories, lower-case keys.
TEST(Kineto, EarlyLayout) {
  const TempFolder folder;
  import_texts(folder, "rank_4.json", {R"J([{"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "GPU 0"}},
  {"ph": "X", "cat": "Operator", "name": "aten::add", "pid": "CPU functions", "tid": "thread 1", "ts": 1600000000000000, "dur": 9},
  {"ph": "X", "cat": "Runtime", "name": "cudaLaunchKernel", "pid": 5, "tid": "6", "ts": 1600000000000002, "dur": 3, "args": {"correlation": 21}},
  {"ph": "X", "cat": "Kernel", "name": "add_kernel", "pid": 1, "tid": "stream 7", "ts": 1600000000000009, "dur": 2,
   "args": {"correlation": 21, "external id": 3, "device": 1, "stream": 7}},
  {"ph": "X", "cat": "Memset", "name": "Memset (Device)", "pid": 1, "tid": "stream 7", "ts": 1600000000000012, "dur": 1, "args": {"device": 1, "stream": 7, "bytes": 8}},
  ])J"});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT lane, start_ns, dur_ns FROM slice ORDER BY start_ns"),
            "thread 1|0|9000\nthread 6|2000|3000\ngpu1 stream 7|9000|2000\ngpu1 stream 7|12000|1000\n");
  EXPECT_EQ(rows_of(profile, "SELECT known_rank, base_ns, origin_ns FROM source"), "4|0|1600000000000000000\n");
  EXPECT_EQ(imported_files(profile, 1).at(0).counts.at("kernels_with_launch"), 1);
}

// ---------------------------------------------------------------- what is wrong in files

TEST(Kineto, BrokenEventsAreCountedAndTheRestImported) {
  const TempFolder folder;
  std::string more = R"J(,
  {"ph": "X", "cat": "cpu_op", "name": "a "quoted" name@", "pid": 10, "tid": 11, "ts": 300, "dur": 1},
  {"ph": "X", "cat": "cpu_op", "name": broken here, "pid": 10 "tid": 11},
  {"ph": "X", "cat": "cpu_op", "name": "no time", "pid": 10, "tid": 11, "dur": 1},
  {"ph": "X", "cat": "cpu_op", "name": "negative", "pid": 10, "tid": 11, "ts": 301, "dur": -1},
  {"ph": "X", "cat": "cpu_op", "name": "far", "pid": 10, "tid": 11, "ts": 9999999999999, "dur": 1},
  {"ph": "Q", "name": "?", "ts": 1},
  {"ph": "X", "cat": "cpu_op", "name": "last", "pid": 10, "tid": 11, "ts": 302, "dur": 1})J";
  more[more.find('@')] = '\x01';
  const std::string broken = modern(0, "1700000000000000000", more);
  import_texts(folder, "trace.json", {broken});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(
      rows_of(profile,
              "SELECT o.name FROM slice s JOIN op o ON o.op = s.op WHERE s.start_ns >= 200000 ORDER BY s.start_ns"),
      "a \"quoted\" name?\nlast\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic ORDER BY kind"),
            "bad_event|1\nbad_time|1\nfar_time|1\ninvalid_time|1\nunknown_phase|1\n");
}

TEST(Kineto, AnEventLargerThanAnyIsPassedOver) {
  const TempFolder folder;
  const std::string more = R"J(,
  {"ph": "X", "cat": "cpu_op", "name": ")J" +
                           std::string(40 << 20, 'x') +
                           R"J(", "pid": 10, "tid": 11, "ts": 301, "dur": 1},
  {"ph": "X", "cat": "cpu_op", "name": "last", "pid": 10, "tid": 11, "ts": 302, "dur": 1})J";
  import_texts(folder, "trace.json", {modern(-7, "1700000000000000000", more)});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM slice s JOIN op o ON o.op = s.op WHERE o.name = 'last'"), "1\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic ORDER BY kind"), "bad_rank|1\nlarge_event|1\n");
}

TEST(Kineto, AFileThatEndsAnywhereGivesWhatComesBefore) {
  const std::string whole = modern(0);
  std::int64_t most = 0;
  for (std::size_t size = whole.find("aten::mm") + 200; size < whole.size() - 5; size += 97) {
    const TempFolder folder;
    const ImportResult result = import_texts(folder, "trace.json", {whole.substr(0, size)});
    EXPECT_GE(result.events, most);
    most = result.events;
    const Profile profile(folder.file("run.db"));
    EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic"), "truncated|1\n") << size;
  }
  EXPECT_EQ(most, 8);
}

TEST(Kineto, ACutGzipFileGivesWhatComesBefore) {
  const TempFolder folder;
  std::string events;
  for (int i = 0; i < 3000; ++i) {
    events += ",\n{\"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"op" + std::to_string(i * 7919 % 1000) +
              "\", \"pid\": 1, \"tid\": 2, \"ts\": " + std::to_string(1000 + i) + ", \"dur\": 0.5}";
  }
  gzFile out = gzopen(folder.file("whole.json.gz").c_str(), "wb");
  const std::string whole = modern(0, "1700000000000000000", events);
  gzwrite(out, whole.data(), static_cast<unsigned>(whole.size()));
  gzclose(out);
  std::filesystem::copy_file(folder.file("whole.json.gz"), folder.file("cut.json.gz"));
  std::filesystem::resize_file(folder.file("cut.json.gz"),
                               std::filesystem::file_size(folder.file("whole.json.gz")) / 2);
  ImportControl control;
  EXPECT_EQ(import_files({folder.file("whole.json.gz")}, {.out = folder.file("run.db")}, control).events, 3008);
  const ImportResult cut = import_files({folder.file("cut.json.gz")}, {.out = folder.file("cut.db")}, control);
  EXPECT_GT(cut.events, 500);
  EXPECT_LT(cut.events, 3008);
  EXPECT_EQ(rows_of(Profile(folder.file("cut.db")), "SELECT text FROM diagnostic"),
            "the gzip stream is cut off; what comes before is here\n");
}

TEST(Kineto, FilesOfOtherKindsAreRefusedWithWhatTheySeemToBe) {
  const TempFolder folder;
  EXPECT_THAT(import_error(folder, "a.json", R"({"name": "llama", "layers": 3})"), HasSubstr("JSON of another kind"));
  EXPECT_THAT(import_error(folder, "a.txt", "hello\nworld\n"), HasSubstr("a text of another kind"));
  EXPECT_THAT(import_error(folder, "a.zip", "PK\x03\x04zzzz"), HasSubstr("a zip archive"));
  EXPECT_THAT(import_error(folder, "empty", ""), HasSubstr("empty"));
  EXPECT_THAT(import_error(folder, "a.nsys-rep", "\x01\x02\x03"), HasSubstr("nsys export"));
  EXPECT_THAT(import_error(folder, "a.json", R"({"traceEvents": []})"), HasSubstr("holds no events"));
  EXPECT_THAT(import_error(folder, "a.json", R"({"traceEvents": [)"), HasSubstr("holds no events"));
  EXPECT_FALSE(std::filesystem::exists(folder.file("run.db"))) << "nothing is left of an import that failed";
  testing::record_tiny_profile(folder.file("own.db"), "own");
  ImportControl control;
  EXPECT_THROW(import_files({folder.file("own.db")}, {.out = folder.file("run.db")}, control), Error);
  EXPECT_THROW(import_files({folder.file("own.db")}, {.out = folder.file("own.db")}, control), Error);
}

TEST(Kineto, OfTwoFilesOneOfWhichCannotBeReadTheOtherIsImported) {
  const TempFolder folder;
  const ImportResult result = import_texts(folder, "trace.json", {R"({"traceEvents": []})", modern(0)});
  EXPECT_EQ(result.problems.size(), 1U);
  EXPECT_EQ(result.events, 8);
}

TEST(Kineto, ACancelledImportIsAReadableProfile) {
  const TempFolder folder;
  std::string events;
  for (int i = 0; i < 100'000; ++i) {
    events += ",\n{\"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"some operator\", \"pid\": 1, \"tid\": 2, \"ts\": " +
              std::to_string(1000 + i) + ", \"dur\": 0.5, \"args\": {\"External id\": 1, \"Ev Idx\": 3}}";
  }
  testing::write_file(folder.file("trace.json"), modern(0, "1700000000000000000", events));
  ImportControl control;
  control.progress = [&](const std::string&, std::int64_t, std::int64_t) { control.cancelled = true; };
  const ImportResult result = import_files({folder.file("trace.json")}, {.out = folder.file("run.db")}, control);
  EXPECT_TRUE(result.cancelled);
  EXPECT_GT(result.events, 1000);
  EXPECT_LT(result.events, 100'000);
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM memory"), "1\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) > 1000 FROM slice"), "1\n");
  EXPECT_EQ(rows_of(profile, "SELECT status FROM run"), "interrupted\n");
}

// ---------------------------------------------------------------- a real one

TEST(Kineto, ARealTraceHasTheAnswersThatWereCountedIndependently) {
  const std::string path = testing::trace_file("kineto_a100x2_rank0_nccl.json.gz");
  if (path.empty()) GTEST_SKIP() << "SKIPPED: no folder with real traces";
  std::ifstream file(testing::trace_file("EXPECTED.json"));
  const nlohmann::json expected = nlohmann::json::parse(file)["kineto_a100x2_rank0_nccl.json.gz"];
  const TempFolder folder;
  ImportControl control;
  import_files({path}, {.out = folder.file("run.db")}, control);
  const Profile profile(folder.file("run.db"));
  const ImportedFile found = imported_files(profile, 1).at(0);
  const std::pair<const char*, const char*> same[] = {{"events", "events"},
                                                      {"kernels", "kernels"},
                                                      {"distinct_kernel_names", "kernel_names"},
                                                      {"streams", "streams"},
                                                      {"kernels_with_launch", "kernels_with_launch"},
                                                      {"nccl_kernels", "nccl_kernels"},
                                                      {"nccl_with_args", "nccl_with_args"},
                                                      {"memcpys", "memcpy"},
                                                      {"memcpy_bytes", "memcpy_bytes"}};
  for (const auto& [ours, theirs] : same)
    EXPECT_EQ(found.counts.at(ours), expected[theirs].get<std::int64_t>()) << ours;
  const auto ns = [&](const char* key) { return std::llround(expected[key].get<double>() * 1000); };
  EXPECT_EQ(found.counts.at("kernel_dur_ns"), ns("kernel_dur_us"));
  EXPECT_EQ(found.first_ns, 4'458'676'388'068'751);
  EXPECT_EQ(found.last_ns, 4'458'677'101'161'005);
  EXPECT_EQ(found.said_rank, expected["rank"].get<std::int64_t>());
  EXPECT_EQ(found.world, expected["world"].get<std::int64_t>());
  EXPECT_EQ(found.base_ns, expected["baseTimeNanoseconds"].get<std::int64_t>());
  // The same out of the store.
  EXPECT_EQ(rows_of(profile,
                    "SELECT count(*), sum(s.dur_ns), count(DISTINCT o.name) FROM slice s JOIN op o ON o.op = s.op "
                    "WHERE o.kind NOT IN ('copy', 'memset') AND s.lane IN ('gpu0 stream 7', 'gpu0 stream 40')"),
            "2700|162532340|70\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM slice"), std::to_string(expected["ph"]["X"].get<int>()) + "\n");
  EXPECT_EQ(
      rows_of(profile, "SELECT sum(t.count * o.bytes) FROM op_time t JOIN op o ON o.op = t.op WHERE o.kind = 'copy'"),
      "307323096\n");
  EXPECT_EQ(rows_of(profile, "SELECT step, start_ns > 0 FROM step"), "4|1\n5|1\n6|1\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM diagnostic"), "0\n");
}

}  // namespace
}  // namespace shardscope
