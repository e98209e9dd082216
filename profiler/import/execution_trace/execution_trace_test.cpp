#include <gmock/gmock.h>

#include "profiler/import/test_import.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::rows_of;
using testing::TempFolder;

constexpr const char* kSlices =
    "SELECT s.lane, o.kind, o.name, s.step, s.start_ns, s.dur_ns FROM slice s JOIN rank k USING (run, rank) JOIN op o "
    "USING (program, op) ORDER BY s.start_ns, s.dur_ns DESC";

/// As ExecutionTraceObserver of 2024 writes it: attributes in a list, no times.
const char* const kObserved = R"json({
  "schema": "1.1.0-chakra.0.0.4", "pid": 7, "time": "2024-05-01 10:00:00", "start_ts": 5,
  "nodes": [
    {"id": 1, "name": "[pytorch|profiler|execution_trace|process]", "ctrl_deps": 1, "inputs": {"values": [], "shapes": [], "types": []},
     "outputs": {"values": [], "shapes": [], "types": []}, "attrs": [{"name": "rf_id", "type": "uint64", "value": 0}]},
    {"id": 2, "name": "## process_group:init ##", "ctrl_deps": 1,
     "inputs": {"values": ["[{\"pg_name\": \"0\", \"ranks\": [0, 1]}]"], "shapes": [[]], "types": ["String"]}, "attrs": []},
    {"id": 3, "name": "ProfilerStep#6", "ctrl_deps": 1, "inputs": {"values": []}, "attrs": [{"name": "tid", "type": "uint64", "value": 1}]},
    {"id": 4, "name": "aten::mm", "ctrl_deps": 3, "inputs": {"values": [[9, 2, 0, 4, 4, "cuda:0"]], "shapes": [[2, 2]], "types": ["Tensor(float)"]},
     "attrs": [{"name": "rf_id", "type": "uint64", "value": 3}, {"name": "tid", "type": "uint64", "value": 1}]},
    {"id": 5, "name": "record_param_comms", "ctrl_deps": 3, "inputs": {"values": [], "shapes": [], "types": []},
     "attrs": [{"name": "tid", "type": "uint64", "value": 1}, {"name": "collective_name", "type": "string", "value": "allreduce"},
       {"name": "dtype", "type": "string", "value": "BFloat16"}, {"name": "in_msg_nelems", "type": "uint64", "value": 1000},
       {"name": "out_msg_nelems", "type": "uint64", "value": 1000}, {"name": "pg_name", "type": "string", "value": "0"},
       {"name": "pg_size", "type": "uint64", "value": 2}]}
  ],
  "finish_ts": 9})json";

TEST(ExecutionTrace, OrderAndCollectivesWithoutTimes) {
  const TempFolder folder;
  testing::import_texts(folder, "et_rank1.json", {kObserved});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, kSlices),
            "thread 1|cpu_op|ProfilerStep#6|6|0|0\n"
            "thread 1|cpu_op|aten::mm|6|1|0\n"
            "thread 1|all_reduce|record_param_comms|6|2|0\n");
  EXPECT_EQ(
      rows_of(profile,
              "SELECT o.collective_bytes, o.group_size, c.dtype, c.group_ranks FROM op o JOIN op_collective c USING "
              "(program, op)"),
      "2000|2|BFloat16|[0,1]\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic"), "no_times|3\n");
  EXPECT_EQ(rows_of(profile, "SELECT rank, format, version FROM source"), "1|execution_trace|1.1.0-chakra.0.0.4\n");
}

/// Schema 1.0.1: members of the node itself, and the collective among the arguments. Linked with times and kernels.
const char* const kLinked = R"json({"schema": "1.0.1", "pid": 7, "time": "x", "start_ts": 5, "nodes": [
    {"name": "ProfilerStep#0", "id": 2, "rf_id": 1, "parent": 1, "fw_parent": 0, "seq_id": -1, "scope": 7, "tid": 1, "fw_tid": 0,
     "op_schema": "", "inputs": [], "ts": 1000, "dur": 100, "cat": "user_annotation"},
    {"name": "aten::mm", "id": 3, "rf_id": 2, "parent": 2, "tid": 1, "inputs": [], "ts": 1010, "inclusive_dur": 20, "exclusive_dur": 5},
    {"name": "gemm", "id": 4, "parent": 3, "tid": 1, "inputs": [], "cat": "kernel", "stream": 7, "ts": 1020.5, "dur": 30.25},
    {"name": "record_param_comms", "id": 5, "parent": 2, "tid": 1, "inputs": [[1, 2], 6, "0", "allgather"], "ts": 1040, "dur": 2},
    {"name": 5}, 7
  ], "finish_ts": 9})json";

TEST(ExecutionTrace, LinkedOnesHaveTimesAndKernels) {
  const TempFolder folder;
  testing::import_texts(folder, "linked.json", {kLinked});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, kSlices),
            "thread 1|cpu_op|ProfilerStep#0|0|0|100000\n"
            "thread 1|cpu_op|aten::mm|0|10000|20000\n"
            "gpu0 stream 7|kernel|gemm|0|20500|30250\n"
            "thread 1|all_gather|record_param_comms|0|40000|2000\n");
  EXPECT_EQ(rows_of(profile, "SELECT step, dur_ns, compute_ns FROM step"), "0|100000|30250\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic"), "bad_event|2\n");
}

TEST(ExecutionTrace, BrokenFilesAreCountedOrRefused) {
  const TempFolder folder;
  const std::string whole = kObserved;
  testing::import_texts(folder, "cut.json", {whole.substr(0, whole.find("\"id\": 5"))});
  EXPECT_THAT(rows_of(Profile(folder.file("run.db")), "SELECT kind FROM diagnostic"), HasSubstr("truncated"));
  const TempFolder other;
  EXPECT_THAT(testing::import_error(other, "none.json", R"({"schema": "1.1.0", "nodes": [], "rf_id": 0})"),
              HasSubstr("without a node"));
}

}  // namespace
}  // namespace shardscope
