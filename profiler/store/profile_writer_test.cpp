// What is written is what is read; appended runs, unfinished runs, bad rows, several threads.

#include "profiler/store/profile_writer.h"

#include <sqlite3.h>

#include <fstream>
#include <thread>

#include "core/error.h"
#include "profiler/store/profile.h"
#include "profiler/store/sqlite.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

std::int64_t one(const Profile& profile, const std::string& sql) {
  Rows rows = profile.rows(sql);
  EXPECT_TRUE(rows.next()) << sql;
  return rows.integer(0);
}

TEST(ProfileWriter, RoundTripOfEveryKindOfRow) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "zero-2", 3);
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  const Profile profile(path);
  Rows run = profile.rows("SELECT name, predicted, model, zero_stage, parameters, flops_per_token, status FROM run");
  ASSERT_TRUE(run.next());
  EXPECT_EQ(run.text(0), "zero-2");
  EXPECT_EQ(run.integer(1), 0);
  EXPECT_EQ(run.text(2), "tiny");
  EXPECT_EQ(run.integer(3), 2);
  EXPECT_EQ(run.integer(4), 1000);
  EXPECT_EQ(run.real(5), 6000);
  EXPECT_EQ(run.text(6), "finished");
  EXPECT_EQ(one(profile, "SELECT count(*) FROM slice"), 2 * 3 * 6);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM step"), 2 * 3);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM program"), 1) << "equal programs are stored once";
  EXPECT_EQ(one(profile, "SELECT count(*) FROM op"), 7);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM memory WHERE space = 'device'"), 2 * 3 * 4);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM diagnostic"), 0);
  EXPECT_EQ(one(profile, "SELECT rss_bytes FROM rank WHERE rank = 1 AND finished = 1"), 1 << 20);
  Rows slice = profile.rows("SELECT start_ns, dur_ns, wait_ns, lane FROM slice WHERE rank = 1 AND step = 2 AND op = 3");
  ASSERT_TRUE(slice.next());
  EXPECT_EQ(slice.integer(0), 2 * 2'000'000 + 600'000);
  EXPECT_EQ(slice.integer(1), 400'000);
  EXPECT_EQ(slice.integer(2), 100'000);
  EXPECT_EQ(slice.text(3), "gather");
  Rows op = profile.rows("SELECT kind, phase, name, group_name, group_size, collective_bytes FROM op WHERE op = 3");
  ASSERT_TRUE(op.next());
  EXPECT_EQ(op.text(0), "all_gather");
  EXPECT_EQ(op.text(1), "forward");
  EXPECT_EQ(op.text(2), "h.0");
  EXPECT_EQ(op.text(3), "dp");
  EXPECT_EQ(op.integer(4), 2);
  EXPECT_EQ(op.integer(5), 8192);
}

TEST(ProfileWriter, RanksThatWaitForOtherThingsHaveProgramsOfTheirOwn) {
  const testing::TempFolder folder;
  ProfileWriter writer(folder.file("run.db"), testing::tiny_run("three"));
  for (int rank = 0; rank < 3; ++rank) {
    Program program = testing::tiny_program(0, 3);
    program.rank = rank;
    if (rank == 1) program.instructions[6].after = {testing::kGatherOp};
    if (rank == 2) program.buffers[2].elements = 4096;
    writer.open_rank(rank, program)->finish({}, 0);
  }
  writer.finish();
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(one(profile, "SELECT count(DISTINCT program) FROM rank"), 3);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM op_after"), 1);
  EXPECT_EQ(one(profile, "SELECT after FROM op_after a JOIN rank r ON r.program = a.program WHERE r.rank = 1"), 3);
  EXPECT_EQ(one(profile, "SELECT max(bytes) FROM op_buffer b JOIN rank r ON r.program = b.program WHERE r.rank = 2"),
            4 * 4096);
  EXPECT_EQ(
      one(profile, "SELECT count(DISTINCT hash) FROM program WHERE id IN (SELECT program FROM rank WHERE rank < 2)"), 1)
      << "what they do can still be compared op by op";
}

TEST(ProfileWriter, DividesStepsIntoPartsThatAddUp) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "zero-2", 2);
  const Profile profile(path);
  Rows row = profile.rows(
      "SELECT compute_ns, optimizer_ns, load_ns, exposed_communication_ns, offload_ns, idle_ns, dur_ns, "
      "communication_ns FROM step WHERE rank = 0 AND step = 1");
  ASSERT_TRUE(row.next());
  const std::int64_t unit = 1000;
  const std::int64_t expected[] = {300, 200, 100, 100, 100, 200, 1000, 300};
  for (int i = 0; i < 8; ++i) EXPECT_EQ(row.integer(i), expected[i] * unit) << i;
  EXPECT_EQ(one(profile, "SELECT exposed_ns FROM op_total WHERE rank = 0 AND op = 3"), 2 * 100 * unit);
  EXPECT_EQ(one(profile, "SELECT exposed_ns FROM op_total WHERE rank = 0 AND op = 4"), 0);
}

TEST(ProfileWriter, AppendsRunsToOneFile) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "zero-1");
  testing::record_tiny_profile(path, "zero-1", 1, true);
  testing::record_tiny_profile(path, "zero-2", 2);
  const Profile profile(path);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM run"), 3);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM step WHERE run = 3"), 4);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM string WHERE text = 'matmul'"), 1);
}

TEST(ProfileWriter, CanBeReadWhileRecordingAndSaysInterruptedIfRanksDidNotFinish) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  {
    ProfileWriter writer(path, testing::tiny_run("live"), {.flush_seconds = 0.01});
    RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
    for (int step = 0; step < 3; ++step) testing::trace_step(*trace, step);
    std::int64_t seen = 0;
    for (int i = 0; i < 500 && seen < 3; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      seen = one(Profile(path), "SELECT count(*) FROM step");
    }
    EXPECT_EQ(seen, 3);
    const Profile profile(path);
    EXPECT_EQ(one(profile, "SELECT count FROM op_time WHERE op = 2"), 3) << "made from slices while it runs";
    EXPECT_EQ(one(profile, "SELECT sum(at_peak_bytes) FROM memory_peak"), 12288 + 6000)
        << "peak as the samples say: at the second step's alloc the bucket of the first is still there";
  }
  EXPECT_EQ(one(Profile(path), "SELECT count(*) FROM run WHERE status = 'interrupted'"), 1);
}

TEST(ProfileWriter, LanesRecordConcurrently) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  constexpr int kSlices = 20'000;
  {
    ProfileWriter writer(path, testing::tiny_run("lanes"), {.flush_seconds = 0.005});
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      RankTrace* trace = writer.open_rank(rank, testing::tiny_program(rank, 2));
      for (const auto& [op, lane] :
           {std::pair{testing::kMatMulOp, Lane::kCompute}, std::pair{testing::kGatherOp, Lane::kGather},
            std::pair{testing::kReduceOp, Lane::kReduce}}) {
        threads.emplace_back([trace, op = op, lane = lane] {
          for (int i = 0; i < kSlices; ++i) trace->slice({op, i / 100, lane, i * 10, 5, 1});
        });
      }
    }
    for (std::thread& thread : threads) thread.join();
  }
  const Profile profile(path);
  EXPECT_EQ(one(profile, "SELECT sum(slices) FROM slice_chunk"), 6 * kSlices);
  EXPECT_EQ(one(profile, "SELECT sum(count) FROM op_total"), 6 * kSlices);
  EXPECT_EQ(one(profile, "SELECT sum(start_ns) FROM slice WHERE rank = 1 AND lane = 'gather'"),
            10LL * kSlices * (kSlices - 1) / 2);
}

TEST(ProfileWriter, CountsRowsItCannotKeep) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  {
    ProfileWriter writer(path, testing::tiny_run("bad"));
    RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
    trace->slice({OpId{99}, 0, Lane::kCompute, 0, 5, 0});
    trace->slice({testing::kMatMulOp, 0, Lane::kCompute, 0, -5, 0});
    trace->slice({testing::kGatherOp, 0, Lane::kGather, 0, 5, -1});
    trace->memory({testing::kAllocOp, 0, 0, Space::kDevice, Category::kBatch, -1});
    testing::trace_step(*trace, 0);
    testing::trace_step(*trace, 0);
  }
  const Profile profile(path);
  EXPECT_EQ(one(profile, "SELECT count FROM diagnostic WHERE kind = 'invalid_slice'"), 3);
  EXPECT_EQ(one(profile, "SELECT count FROM diagnostic WHERE kind = 'invalid_memory'"), 1);
  EXPECT_EQ(one(profile, "SELECT count FROM diagnostic WHERE kind = 'invalid_step'"), 1);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM slice"), 12);
}

TEST(ProfileWriter, PredictedRunsFasterThanTheDiskLoseNothing) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  constexpr int kSlices = 1'500'000;  // more than may wait
  {
    ProfileWriter writer(path, testing::tiny_run("fast", true));
    RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
    for (int i = 0; i < kSlices; ++i) trace->slice({testing::kMatMulOp, 0, Lane::kCompute, i, 1, 0});
  }
  const Profile profile(path);
  EXPECT_EQ(one(profile, "SELECT sum(slices) FROM slice_chunk"), kSlices);
  EXPECT_EQ(one(profile, "SELECT count(*) FROM diagnostic"), 0);
}

TEST(ProfileWriter, LeavesFilesOfOtherProgramsAlone) {
  const TempFolder folder;
  const std::string text = folder.file("notes.txt"), foreign = folder.file("other.db");
  std::ofstream(text) << "a text, longer than the sixteen bytes of a magic number";
  Connection(foreign, Connection::Mode::kCreate).execute("CREATE TABLE t (x)");
  for (const std::string& path : {text, foreign}) {
    const auto size = std::filesystem::file_size(path);
    EXPECT_THROW(ProfileWriter(path, testing::tiny_run("x")), Error) << path;
    EXPECT_EQ(std::filesystem::file_size(path), size);
  }
  EXPECT_THROW(ProfileWriter(folder.file("no/such/folder/run.db"), testing::tiny_run("x")), Error);
}

TEST(ProfileWriter, MakesAProfileOfAnEmptyFileAndOfADatabaseWithoutTables) {
  const TempFolder folder;
  const std::string empty = folder.file("empty.db");
  std::ofstream(empty).close();
  testing::record_tiny_profile(empty, "a");
  EXPECT_EQ(one(Profile(empty), "SELECT count(*) FROM run"), 1);
}

}  // namespace
}  // namespace shardscope
