#include <gmock/gmock.h>

#include "profiler/import/test_import.h"
#include "profiler/import/test_pickle.h"

namespace shardscope {
namespace {

using namespace testing::pickled;  // NOLINT(google-build-using-namespace)
using ::testing::HasSubstr;
using testing::import_error;
using testing::rows_of;
using testing::TempFolder;

constexpr std::int64_t kStart = 1'700'000'000'000'000'000;  ///< ns since 1970

struct Call {
  std::int64_t sequence = 0;
  std::string name = "nccl:all_reduce", state = "completed";
  std::int64_t elements = 1000;
  std::string dtype = "BFloat16", group = "0";
};

/// Calls are created a microsecond apart, start 100 ns later and take 500 ns.
std::string entry(const Call& call) {
  const std::int64_t created = kStart + call.sequence * 1000;
  const std::string sizes = list({list({integer(call.elements / 10), integer(10)})});
  const auto time = [&](bool known, std::int64_t ns) { return known ? integer(created + ns) : none(); };
  return dict({{"record_id", integer(call.sequence)},
               {"pg_id", integer(0)},
               {"process_group", list({text(call.group), text(call.group == "0" ? "default_pg" : "mesh_tp")})},
               {"collective_seq_id", integer(call.sequence)},
               {"p2p_seq_id", integer(0)},
               {"profiling_name", text(call.name)},
               {"time_created_ns", integer(created)},
               {"input_sizes", sizes},
               {"input_dtypes", list({text(call.dtype)})},
               {"output_sizes", sizes},
               {"output_dtypes", list({text(call.dtype)})},
               {"state", text(call.state)},
               {"time_discovered_started_ns", time(call.state != "scheduled", 100)},
               {"time_discovered_completed_ns", time(call.state == "completed", 600)},
               {"retired", boolean(call.state == "completed")},
               {"is_p2p", boolean(false)},
               {"frames", list({dict({{"name", text("step")}})})}});
}

std::string dump(const std::vector<Call>& calls, const std::string& ranks = "[0, 1, 2, 3]") {
  std::vector<std::string> entries;
  for (const Call& call : calls) entries.push_back(entry(call));
  const auto group = [&](const std::string& name) {
    return dict({{"name", text(name)}, {"desc", text(name == "0" ? "default_pg" : "mesh_tp")}, {"ranks", text(ranks)}});
  };
  return file(dict({{"version", text("2.9")},
                    {"pg_config", dict({{"0", group("0")}, {"1", group("1")}})},
                    {"entries", list(entries)}}));
}

/// Imports dumps, the file of each being named by its rank.
void import_dumps(const TempFolder& folder, const std::vector<std::pair<int, std::string>>& dumps) {
  std::vector<std::string> files;
  for (const auto& [rank, bytes] : dumps) {
    files.push_back(folder.file("nccl_trace_rank_" + std::to_string(rank)));
    testing::write_file(files.back(), bytes);
  }
  ImportControl control;
  import_files(files, {.out = folder.file("run.db")}, control);
}

std::string hangs_of(const TempFolder& folder) {
  return rows_of(Profile(folder.file("run.db")),
                 "SELECT rank, kind, count, text FROM diagnostic ORDER BY kind, rank, text");
}

const std::vector<Call> kWaiting = {{.sequence = 4}, {.sequence = 5}, {.sequence = 6, .state = "started"}};

TEST(NcclFlight, CallsAndSlices) {
  const TempFolder folder;
  import_dumps(folder,
               {{3, dump({{.sequence = 4},
                          {.sequence = 5, .name = "nccl:_all_gather_base", .state = "started", .dtype = "Float"},
                          {.sequence = 6, .state = "scheduled", .group = "1"}})}});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile,
                    "SELECT c.rank, o.kind, c.sequence, c.created_ns, c.start_ns, c.end_ns, c.state FROM "
                    "collective_call c JOIN op o ON o.op = c.op ORDER BY c.sequence"),
            "3|all_reduce|4|-100|0|500|completed\n3|all_gather|5|900|1000||started\n"
            "3|all_reduce|6|1900|||scheduled\n");
  EXPECT_EQ(rows_of(profile,
                    "SELECT s.lane, o.name, s.start_ns, s.dur_ns FROM slice s JOIN op o ON o.op = s.op ORDER "
                    "BY s.start_ns"),
            "group 0 default_pg|nccl:all_reduce|0|500\ngroup 0 default_pg|nccl:_all_gather_base|1000|900\n"
            "group 1 mesh_tp|nccl:all_reduce|1900|0\n")
      << "what has not ended is drawn up to the last time in the dump";
  EXPECT_EQ(rows_of(profile,
                    "SELECT o.group_name, o.group_size, o.collective_bytes, c.dtype, c.group_description, "
                    "c.group_ranks FROM op o JOIN op_collective c ON c.op = o.op ORDER BY o.op"),
            "0|4|2000|BFloat16|default_pg|[0, 1, 2, 3]\n0|4|4000|Float|default_pg|[0, 1, 2, 3]\n"
            "1|4|2000|BFloat16|mesh_tp|[0, 1, 2, 3]\n");
  EXPECT_EQ(rows_of(profile, "SELECT format, version, known_rank, world, base_ns FROM source"),
            "nccl_flight|2.9|3|4|0\n");
  EXPECT_EQ(hangs_of(folder), "") << "one dump alone says nothing of other ranks";
}

TEST(NcclFlight, RanksOfAHangAreNamed) {
  const TempFolder folder;
  const std::vector<Call> late = {{.sequence = 4}, {.sequence = 5}};
  const std::vector<Call> other = {
      {.sequence = 4}, {.sequence = 5}, {.sequence = 6, .state = "started", .elements = 50}};
  const std::string five = "[0, 1, 2, 3, 4]";
  import_dumps(folder,
               {{0, dump(kWaiting, five)}, {1, dump(late, five)}, {2, dump(kWaiting, five)}, {3, dump(other, five)}});
  EXPECT_EQ(
      hangs_of(folder),
      "1|hang_late|1|rank 1 is late: ranks 0, 2, 3 wait in all_reduce 6 of group 0; its last is 5\n"
      "3|hang_mismatched|1|rank 3 is mismatched: as 6 of group 0 it calls all_reduce of 100 bytes (BFloat16), and "
      "ranks 0, 2 all_reduce of 2000 bytes (BFloat16)\n"
      "-1|hang_missing|1|rank 4 of group 0, which hangs in 6: no file of it was imported\n");
}

TEST(NcclFlight, AnotherCollectiveOrTypeIsAMismatchAndAnotherShareIsNot) {
  const auto two = [](Call a, Call b) {
    const TempFolder folder;
    a.sequence = b.sequence = 1;
    a.state = b.state = "started";
    import_dumps(folder, {{0, dump({a}, "[0, 1]")}, {1, dump({b}, "[0, 1]")}});
    return hangs_of(folder);
  };
  EXPECT_THAT(two({}, {.name = "nccl:broadcast"}), HasSubstr("1|hang_mismatched|1|rank 1"));
  EXPECT_THAT(two({}, {.dtype = "Float"}), HasSubstr("1|hang_mismatched|1|rank 1"));
  EXPECT_EQ(two({.name = "nccl:all_to_all"}, {.name = "nccl:all_to_all", .elements = 10}), "");
  EXPECT_EQ(two({}, {}), "");
}

TEST(NcclFlight, ARankThatOnlyEnqueuedIsLateAndOneWhoseRingBeginsLaterIsNot) {
  const TempFolder folder;
  import_dumps(folder, {{0, dump(kWaiting, "[0, 1, 2]")},
                        {1, dump({{.sequence = 5}, {.sequence = 6, .state = "scheduled"}}, "[0, 1, 2]")},
                        {2, dump({{.sequence = 7, .state = "scheduled"}}, "[0, 1, 2]")}});
  EXPECT_EQ(
      hangs_of(folder),
      "1|hang_late|1|rank 1 is late: it has enqueued all_reduce 6 of group 0 and not started it, as others have\n");
}

TEST(NcclFlight, WhatEndedHangsNowhere) {
  const TempFolder folder;
  import_dumps(folder, {{0, dump({{.sequence = 1}, {.sequence = 2}})}, {1, dump({{.sequence = 1}})}});
  EXPECT_EQ(hangs_of(folder), "");
}

TEST(NcclFlight, BrokenEntriesAreCountedAndAnEmptyDumpIsRefused) {
  const TempFolder folder;
  const std::string bad = dict({{"profiling_name", text("nccl:all_reduce")}, {"time_created_ns", integer(-5)}});
  const std::string some = file(dict({{"pg_config", integer(3)}, {"entries", list({bad, entry({}), integer(1)})}}));
  import_dumps(folder, {{0, some}});
  EXPECT_EQ(rows_of(Profile(folder.file("run.db")), "SELECT kind, count FROM diagnostic"), "bad_entry|2\n");
  EXPECT_THAT(import_error(folder, "dump", dump({})), HasSubstr("without an entry"));
}

TEST(NcclFlight, OfADumpThatIsCutShortNobodyIsBlamed) {
  const TempFolder folder;
  const std::string both = dump({{.sequence = 1}, {.sequence = 2}});
  import_dumps(folder, {{0, both}, {1, both.substr(0, both.size() * 3 / 4)}});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT rank, count(*) FROM collective_call GROUP BY rank"), "0|2\n1|1\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM diagnostic WHERE kind = 'truncated'"), "1\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM diagnostic WHERE kind IN ('hang_late', 'hang_mismatched')"), "0\n");
}

}  // namespace
}  // namespace shardscope
