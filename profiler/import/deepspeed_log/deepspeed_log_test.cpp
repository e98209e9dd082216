#include <gmock/gmock.h>

#include "profiler/import/test_import.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::rows_of;
using testing::TempFolder;

constexpr const char* kSlices =
    "SELECT s.rank, s.lane, o.kind, o.name, o.phase, s.step, s.start_ns, s.dur_ns FROM slice s JOIN rank k USING (run, "
    "rank) JOIN op o USING (program, op) ORDER BY s.rank, s.start_ns, s.lane, s.dur_ns DESC";

// The lines of DeepSpeed's own tutorial, and of a training loop around them.
const char* const kVerbose = R"(some other output
[2022-06-26 01:39:55,722] [INFO] [logging.py:69:log_dist] [Rank 0] rank=0 | comm op: reduce_scatter_base | time (ms): 9.46 | msg size: 678.86 MB | algbw (Gbps): 1204.52  | busbw (Gbps): 1129.23
[2022-06-26 01:39:56,470] [INFO] [logging.py:69:log_dist] [Rank 0] rank=0 | comm op: all_gather_base | time (ms): 0.11 | msg size: 6.0 MB | algbw (Gbps): 954.41  | busbw (Gbps): 894.76
[2022-06-26 01:39:56,471] [INFO] [logging.py:69:log_dist] [Rank 1] rank=1 | comm op: all_gather_base | time (ms): 0.08 | msg size: 6.0 MB | algbw (Gbps): 1293.47  | busbw (Gbps): 1212.63
[2022-06-26 01:39:56,480] [INFO] [logging.py:69:log_dist] [Rank 1] rank=1 | comm op: all_gather_base | time (ms): much | msg size: 6.0 MB
)";

TEST(DeepSpeedLog, SingleCollectivesEndWhenTheyArePrinted) {
  const TempFolder folder;
  testing::import_texts(folder, "train.log", {kVerbose});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, kSlices),
            "0|collectives|reduce_scatter|reduce_scatter_base||-1|0|9460000\n"
            "0|collectives|all_gather|all_gather_base||-1|757350000|110000\n"
            "1|collectives|all_gather|all_gather_base||-1|758380000|80000\n");
  EXPECT_EQ(rows_of(profile, "SELECT DISTINCT collective_bytes FROM op ORDER BY 1"), "6291456\n711836303\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic"), "bad_event|1\n");
}

// f"{' ': <20}{size: <20}{count: <20}{total: <20.2f}..."
const char* const kSummary =
    "[2022-06-26 01:40:00,000] [INFO] [x.py:1:log_dist] [Rank 0] step=1\n"
    "Comm. Op            Message Size        Count               Total Latency(ms)   Avg Latency(ms)     tput_avg "
    "(Gbps)  "
    "   busbw_avg (Gbps)\n"
    "broadcast | [Caller Func: _broadcast_model]\n"
    "                    2.0 KB              3                   11.12               0.08                0.43          "
    "    "
    "  0.41\n"
    "reduce_scatter_base\n"
    "                    678.86 MB           2                   602.29              9.69                1468.06       "
    "    "
    "  1376.31\n";

TEST(DeepSpeedLog, ASummaryGivesCountsAndTotals) {
  const TempFolder folder;
  testing::import_texts(folder, "train.log", {kSummary});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(
      rows_of(profile,
              "SELECT o.kind, o.collective_bytes, t.count, t.total_ns FROM op_total t JOIN op o ON o.op = t.op ORDER "
              "BY 1"),
      "broadcast|2048|3|11120000\nreduce_scatter|711836303|2|602290000\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind FROM diagnostic"), "laid_out\n");
}

TEST(DeepSpeedLog, OfSingleOnesAndTheirSummaryTheSummaryIsLeftOut) {
  const TempFolder folder;
  testing::import_texts(folder, "train.log", {std::string(kVerbose) + kSummary});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM slice"), "3\n");
  EXPECT_THAT(rows_of(profile, "SELECT kind FROM diagnostic"), HasSubstr("summary"));
}

const char* const kBreakdown = R"(
[2023-08-01 10:00:01,000] [INFO] [logging.py:96:log_dist] [Rank 0] time (ms) | fwd_microstep: 20.00 | bwd_microstep: 45.50 | bwd_inner_microstep: 40.00 | bwd_allreduce_microstep: 5.00 | step_microstep: 4.50
[2023-08-01 10:00:01,100] [INFO] [logging.py:96:log_dist] [Rank 0] time (ms) | fwd: 20.00 | bwd: 45.50 | bwd_inner: 40.00 | bwd_allreduce: 5.00 | step: 4.50
[2023-08-01 10:00:02,000] [INFO] [logging.py:96:log_dist] [Rank 0] time (ms) | optimizer_gradients: 1.00 | optimizer_step: 2.00
[2023-08-01 10:00:02,000] [INFO] [logging.py:96:log_dist] [Rank 0] time (ms) | forward_microstep: 10.00 | backward_microstep: 20.00 | backward_inner_microstep: 15.00 | backward_allreduce_microstep: 5.00 | step_microstep: 1.00
)";

TEST(DeepSpeedLog, PartsOfAStepFollowEachOther) {
  const TempFolder folder;
  testing::import_texts(folder, "train.log", {kBreakdown});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, kSlices),
            "0|step|part|fwd|forward|0|0|20000000\n"
            "0|backward|nested|bwd_inner|backward|0|20000000|40000000\n"
            "0|step|part|bwd|backward|0|20000000|45500000\n"
            "0|backward|nested|bwd_allreduce|backward|0|60000000|5000000\n"
            "0|step|part|step|optimizer|0|65500000|4500000\n"
            "0|step|part|forward|forward|1|1039000000|10000000\n"
            "0|backward|nested|backward_inner|backward|1|1049000000|15000000\n"
            "0|step|part|backward|backward|1|1049000000|20000000\n"
            "0|backward|nested|backward_allreduce|backward|1|1064000000|5000000\n"
            "0|step|part|step|optimizer|1|1069000000|1000000\n");
  EXPECT_EQ(rows_of(profile, "SELECT step, dur_ns, compute_ns, optimizer_ns, idle_ns FROM step"),
            "0|70000000|65500000|4500000|0\n1|31000000|30000000|1000000|0\n");
}

TEST(DeepSpeedLog, OtherTextsAreRefused) {
  const TempFolder folder;
  EXPECT_THAT(testing::import_error(folder, "train.log", "epoch 1, loss 2\n"), HasSubstr("a text of another kind"));
}

}  // namespace
}  // namespace shardscope
