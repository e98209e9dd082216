#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "profiler/export/exporter.h"
#include "profiler/export/perfetto/slice_rows.h"
#include "profiler/import/test_import.h"

namespace shardscope {
namespace {

using nlohmann::json;
using testing::rows_of;
using testing::TempFolder;

std::string exported(const TempFolder& folder, const std::string& format, const std::string& name = "out") {
  const Profile profile(folder.file("run.db"));
  export_run(profile, list_runs(profile).front(), exporter_of(format), folder.file(name));
  std::stringstream text;
  text << std::ifstream(folder.file(name), std::ios::binary).rdbuf();
  return text.str();
}

/// All that must come back: slices with what their ops are, steps, and memory.
std::string contents(const std::string& path) {
  const Profile profile(path);
  return rows_of(profile,
                 "SELECT s.rank, s.lane, o.kind, o.name, o.lane, o.phase, o.flops, o.bytes, o.communication, "
                 "o.group_name, o.group_size, o.collective_bytes, s.step, s.start_ns, s.dur_ns, s.wait_ns, "
                 "s.correlation FROM slice s JOIN rank k ON k.run = s.run AND k.rank = s.rank JOIN op o ON o.program = "
                 "k.program AND o.op = s.op ORDER BY s.rank, s.lane, s.start_ns, s.dur_ns, o.kind, o.name") +
         rows_of(profile, "SELECT rank, step, start_ns, dur_ns, compute_ns, idle_ns FROM step ORDER BY rank, step") +
         rows_of(profile, "SELECT rank, space, category, time_ns, live_bytes FROM memory ORDER BY 1, 2, 3, 4, 5") +
         rows_of(profile,
                 "SELECT rank, sequence, communicator, start_ns, end_ns FROM collective_call WHERE sequence IS NOT "
                 "NULL ORDER BY 1, 4, 2") +
         rows_of(profile, "SELECT rank, base_ns + origin_ns FROM source ORDER BY rank");
}

/// Through a trace and back; the source row of a recorded run is not there before.
void expect_same_after_import(const TempFolder& folder, bool with_source) {
  exported(folder, "perfetto", "trace.json");
  ImportControl control;
  const ImportResult result = import_files({folder.file("trace.json")}, {.out = folder.file("again.db")}, control);
  EXPECT_TRUE(result.problems.empty());
  const std::string before = contents(folder.file("run.db"));
  std::string after = contents(folder.file("again.db"));
  if (!with_source) after = after.substr(0, before.size());
  EXPECT_EQ(before, after);
  EXPECT_EQ(rows_of(Profile(folder.file("again.db")), "SELECT kind, text FROM diagnostic"), "");
}

/// A launch in an op; two kernels of it that overlap on one stream; a collective; names that need escapes; memory.
const char* const kTrace = R"({"schemaVersion": 1, "traceEvents": [
{"ph":"X","cat":"user_annotation","name":"ProfilerStep#4","pid":10,"tid":11,"ts":100,"dur":300},
{"ph":"X","cat":"cpu_op","name":"aten::\"mm\", \\ \u00e9","pid":10,"tid":11,"ts":110.5,"dur":20},
{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":10,"tid":11,"ts":112,"dur":4.001,"args":{"correlation":7}},
{"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":130.001,"dur":40.5,"args":{"device":0,"stream":7,"correlation":7,"grid":[1,2,3],"block":[4,5,6]}},
{"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":150,"dur":40,"args":{"device":0,"stream":7,"correlation":7}},
{"ph":"X","cat":"kernel","name":"kernel","pid":0,"tid":7,"ts":150,"dur":0,"args":{"device":0,"stream":7,"correlation":0}},
{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":20,"ts":200,"dur":50,"args":{"device":0,"stream":20,"correlation":9,"Collective name":"allreduce","In msg nelems":100,"Out msg nelems":100,"Group size":2,"dtype":"Float","Process Group Name":"0","Seq":31}},
{"ph":"i","name":"[memory]","pid":10,"tid":11,"ts":113,"args":{"Total Allocated":2048,"Bytes":2048,"Device Type":1,"Device Id":0,"Addr":1}}
], "distributedInfo": {"rank": 3, "world_size": 8}, "baseTimeNanoseconds": 1700000000000000000})";

TEST(Export, RecordedRunComesBack) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny");
  expect_same_after_import(folder, false);
}

TEST(Export, ImportedRunComesBack) {
  const TempFolder folder;
  testing::import_texts(folder, "a.json", {kTrace});
  expect_same_after_import(folder, true);
  EXPECT_NE(contents(folder.file("again.db")).find("aten::\"mm\", \\ \u00e9"), std::string::npos);
}

TEST(Export, RanksThatShareAClockKeepIt) {
  const TempFolder folder;
  std::string later = kTrace;
  later.replace(later.find("1700000000000000000"), 19, "1700000000000005000");
  later.replace(later.find("\"rank\": 3"), 9, "\"rank\": 1");
  testing::import_texts(folder, "a.json", {kTrace, later});
  expect_same_after_import(folder, false);
}

TEST(Export, RealTracesComeBack) {
  const std::vector<std::string> files = {testing::trace_file("kineto_a100x2_rank0_nccl.json.gz"),
                                          testing::trace_file("nsys_2025.5.2_schema3.24.0_graph.sqlite")};
  for (const std::string& file : files) {
    if (file.empty()) GTEST_SKIP() << "SKIPPED: no real traces here";
    const TempFolder folder;
    ImportControl control;
    import_files({file}, {.out = folder.file("run.db")}, control);
    expect_same_after_import(folder, true);
  }
}

TEST(Export, SlicesOfAThreadAreApartOrNested) {
  const TempFolder folder;
  testing::import_texts(folder, "a.json", {kTrace});
  const json trace = json::parse(exported(folder, "perfetto"));
  std::map<std::int64_t, std::vector<std::pair<double, double>>> slices;
  std::map<std::int64_t, std::string> names;
  std::set<std::int64_t> processes;
  for (const json& e : trace["traceEvents"]) {
    processes.insert(e["pid"].get<std::int64_t>());
    if (e["ph"] == "X") slices[e["tid"]].emplace_back(e["ts"], e["ts"].get<double>() + e["dur"].get<double>());
    if (e["name"] == "thread_name") names[e["tid"]] = e["args"]["name"];
  }
  EXPECT_EQ(processes, std::set<std::int64_t>{4});  // rank 3
  std::set<std::string> all;
  for (const auto& [tid, in_thread] : slices) {
    all.insert(names[tid]);
    for (const auto& [a, b] : in_thread) {
      for (const auto& [c, d] : in_thread) EXPECT_FALSE(a < c - 1e-6 && c < b - 1e-6 && b < d - 1e-6) << names[tid];
    }
  }
  EXPECT_EQ(all, (std::set<std::string>{"steps", "thread 11", "gpu0 stream 7", "gpu0 stream 7 (2)", "gpu0 stream 20"}));
}

TEST(Export, ArrowsGoFromALaunchToAllItLaunched) {
  const TempFolder folder;
  testing::import_texts(folder, "a.json", {kTrace});
  const json trace = json::parse(exported(folder, "perfetto"));
  std::map<int, json> from, to;
  for (const json& e : trace["traceEvents"]) {
    if (e["ph"] == "s") from[e["id"]] = e;
    if (e["ph"] == "f") to[e["id"]] = e;
  }
  ASSERT_EQ(from.size(), 2U);  // the collective's launch is not in the file
  ASSERT_EQ(to.size(), 2U);
  for (const auto& [id, e] : from) {
    EXPECT_EQ(e["ts"], 12.0);  // time 0 is that of the first event
    EXPECT_EQ(to[id]["bp"], "e");
    EXPECT_NE(to[id]["tid"], e["tid"]);
  }
  EXPECT_EQ(to[1]["ts"].get<double>() + to[2]["ts"].get<double>(), 30.001 + 50);
}

TEST(Export, NamesAndArgumentsOfOurOwnOps) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny", 1);
  const json trace = json::parse(exported(folder, "perfetto"));
  std::string slices, counters;
  for (const json& e : trace["traceEvents"]) {
    if (e["pid"] != 1) continue;
    if (e["ph"] == "X" && e["cat"] == "all_gather") slices += e.dump() + "\n";
    if (e["ph"] == "C" && counters.empty()) counters = e.dump();
  }
  const json gather = json::parse(slices);
  EXPECT_EQ(gather["name"], "all_gather h.0");
  EXPECT_EQ(gather["ts"], 300.0);
  EXPECT_EQ(gather["dur"], 200.0);
  EXPECT_EQ(gather["args"]["group"], "dp");
  EXPECT_EQ(gather["args"]["group_size"], 2);
  EXPECT_EQ(gather["args"]["wait_ns"], 50'000);
  EXPECT_EQ(gather["args"]["step"], 0);
  EXPECT_EQ(counters, R"({"args":{"bytes":4096},"name":"device parameter","ph":"C","pid":1,"ts":0.0})");
}

TEST(Export, TimesAreDigits) {
  const TempFolder folder;
  std::string trace = R"([{"ph":"X","cat":"kernel","name":"a","pid":0,"tid":7,"ts":0,"dur":0.001},)"
                      R"({"ph":"X","cat":"kernel","name":"b","pid":0,"tid":7,"ts":8640000000.007,"dur":1}])";
  testing::import_texts(folder, "a.json", {trace});
  const std::string text = exported(folder, "perfetto");
  EXPECT_NE(text.find("\"ts\":0.000,\"dur\":0.001,"), std::string::npos);
  EXPECT_NE(text.find("\"ts\":8640000000.007,\"dur\":1.000,"), std::string::npos);
}

TEST(Export, CsvHasARowForEachSlice) {
  const TempFolder folder;
  testing::import_texts(folder, "a.json", {kTrace});
  std::stringstream lines(exported(folder, "csv"));
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) all.push_back(line);
  ASSERT_EQ(all.size(), 8U);
  EXPECT_EQ(all[0],
            "run,rank,track,op,step,start_ns,dur_ns,wait_ns,correlation,sequence,communicator,kind,name,lane,phase,"
            "layer,micro_batch,flops,bytes,communication,group_name,group_size,collective_bytes");
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const std::string& l) { return l.starts_with("a,3,"); }), 7);
  const auto has = [&](const std::string& part) {
    return std::any_of(all.begin(), all.end(), [&](const auto& l) { return l.find(part) != std::string::npos; });
  };
  EXPECT_TRUE(
      has("100000,50000,0,9,31,,all_reduce,ncclDevKernel_AllReduce_Sum_f32_RING_LL,reduce,,-1,-1,0,400,1,0,2,400"));
  EXPECT_TRUE(has(",cpu_op,\"aten::\"\"mm\"\", \\ \u00e9\",host_api,"));
}

TEST(Export, SaysWhatIsWrongAndLeavesNothing) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny");
  const auto error = [&](const std::string& out) -> std::string {
    try {
      const Profile profile(folder.file("run.db"));
      export_run(profile, list_runs(profile).front(), exporter_of("csv"), out);
    } catch (const Error& e) {
      return e.what();
    }
    return "exported";
  };
  EXPECT_NE(error(folder.file("run.db")).find("is the profile itself"), std::string::npos);
  EXPECT_NE(error(folder.file("none/out.csv")).find("cannot be opened"), std::string::npos);
  EXPECT_NE(error("/dev/full").find("cannot be written"), std::string::npos);
  EXPECT_THROW(exporter_of("xml"), Error);
  EXPECT_STREQ(exporter_for("folder/trace.json").name, "perfetto");
  EXPECT_STREQ(exporter_for("slices.csv").name, "csv");
  EXPECT_THROW(exporter_for("csv"), Error);
  Connection(folder.file("run.db"), Connection::Mode::kReadWrite).execute("UPDATE slice_chunk SET data = 'no'");
  EXPECT_NE(error(folder.file("out.csv")).find("damaged"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder.file("out.csv")));
}

TEST(Export, OlderProfilesToo) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny");
  const std::string now = exported(folder, "csv");
  testing::make_older(folder.file("run.db"), 3);
  EXPECT_EQ(exported(folder, "csv"), now);
}

TEST(SliceRows, OverlapsGoFurtherDown) {
  SliceRows rows;
  EXPECT_EQ(rows.place(0, 10), 0U);
  EXPECT_EQ(rows.place(0, 10), 0U);
  EXPECT_EQ(rows.place(5, 15), 1U);
  EXPECT_EQ(rows.place(6, 20), 2U);
  EXPECT_EQ(rows.place(10, 20), 0U);
  EXPECT_EQ(rows.place(15, 25), 1U);
}

}  // namespace
}  // namespace shardscope
