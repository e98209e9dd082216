#pragma once
// Profiles that no recorder's happy path leaves: what a run may lack, ten thousand ranks, values that cannot be.
//
//   write_odd_run(folder.file("run.db"), OddRun::kNoSteps);

#include <string>

#include "profiler/store/test_profile.h"

namespace shardscope::gui::testing {

enum class OddRun { kWhole, kOneRank, kNoSteps, kNoMemory, kNoSlices, kNoRanks, kManyRanks };
inline constexpr int kManyRanks = 10'000;

/// Of rank 0, as often as a rank is wanted: recording them one by one takes minutes.
inline const char* copies_of_rank_0() {
  return R"(
DELETE FROM rank WHERE rank > 0; DELETE FROM step WHERE rank > 0; DELETE FROM memory_peak WHERE rank > 0;
DELETE FROM memory_chunk WHERE rank > 0; DELETE FROM memory_level WHERE rank > 0; DELETE FROM op_total WHERE rank > 0;
DELETE FROM slice_chunk WHERE track IN (SELECT id FROM track WHERE rank > 0); DELETE FROM track WHERE rank > 0;
CREATE TEMP TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 9999) SELECT i FROM c;
INSERT INTO rank SELECT run, n.i, program, rss_bytes, finished FROM rank, n WHERE rank = 0;
INSERT INTO step SELECT run, n.i, step, start_ns, dur_ns, loss, grad_norm, learning_rate, compute_ns, optimizer_ns,
  load_ns, exposed_communication_ns, offload_ns, idle_ns, communication_ns FROM step, n WHERE rank = 0;
INSERT INTO memory_peak SELECT run, n.i, space, category, at_peak_bytes, own_peak_bytes FROM memory_peak, n
  WHERE rank = 0;
INSERT INTO op_total SELECT run, n.i, op, count, total_ns, min_ns, max_ns, wait_ns, exposed_ns FROM op_total, n
  WHERE rank = 0;
INSERT INTO memory_chunk SELECT n.i * 1000 + id, run, n.i, samples, start_ns, end_ns, data FROM memory_chunk, n
  WHERE rank = 0;
INSERT INTO memory_level SELECT n.i * 1000 + id, run, n.i, space, level, entries, start_ns, end_ns, totals, parts
  FROM memory_level, n WHERE rank = 0;
INSERT INTO track SELECT n.i * 1000 + id, run, n.i, lane FROM track, n WHERE rank = 0;
INSERT INTO slice_chunk SELECT n.i * 1000 + c.id, n.i * 1000 + track, slices, start_ns, end_ns, data
  FROM slice_chunk c, n WHERE track < 1000;
UPDATE run SET world = 10000; DROP TABLE n)";
}

inline const char* sql_of(OddRun odd) {
  switch (odd) {
    case OddRun::kNoSteps:
      return "DELETE FROM step";
    case OddRun::kNoMemory:
      return "DELETE FROM memory_chunk; DELETE FROM memory_level; DELETE FROM memory_peak";
    case OddRun::kNoSlices:
      return "DELETE FROM slice_chunk; DELETE FROM track; DELETE FROM op_total";
    case OddRun::kNoRanks:
      return "DELETE FROM slice_chunk; DELETE FROM track; DELETE FROM op_total; DELETE FROM step; DELETE FROM rank;"
             "DELETE FROM memory_chunk; DELETE FROM memory_level; DELETE FROM memory_peak";
    case OddRun::kManyRanks:
      return copies_of_rank_0();
    case OddRun::kWhole:
    case OddRun::kOneRank:
      return "";
  }
  return "";
}

inline void edit_profile(const std::string& path, const std::string& sql) {
  Connection(path, Connection::Mode::kReadWrite).execute(sql.empty() ? "SELECT 1" : sql);
}

/// A run and its prediction, both of that kind; with `alone` without one.
inline void write_odd_run(const std::string& path, OddRun odd, bool alone = false) {
  using namespace shardscope::testing;
  for (const bool predicted : {false, true}) {
    if (alone && predicted) break;
    RunInfo info = tiny_run("odd", predicted);
    info.world = odd == OddRun::kOneRank ? 1 : 2;
    ProfileWriter writer(path, info);
    if (odd == OddRun::kOneRank) {
      RankTrace* trace = writer.open_rank(0, tiny_program(0, 1));
      for (int step = 0; step < 4; ++step) trace_step(*trace, step);
      MemoryPeak peak;
      peak.peak_bytes[0] = 12288;
      peak.at_peak.bytes[0][static_cast<int>(Category::kActivation)] = 12288;
      peak.peak_by_category = peak.at_peak;
      trace->finish(peak, 0);
    } else {
      record_tiny_run(writer, 4);
    }
    writer.finish();
    ASSERT_EQ(writer.problem(), "");
  }
  edit_profile(path, sql_of(odd));
}

}  // namespace shardscope::gui::testing
