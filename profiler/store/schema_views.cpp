// The views of a profile: what a person asks in any SQLite tool. Figures are rounded for reading; queries that need
// them exact read the tables.

#include "core/program/types.h"
#include "profiler/store/schema.h"

namespace shardscope {
namespace {

const SchemaColumn kRun{"run", "INTEGER", "", "Run: run.id."};
const SchemaColumn kName{"name", "TEXT", "", "Name of the run."};
const SchemaColumn kSource{"source", "TEXT", "", "measured or predicted."};
const SchemaColumn kRank{"rank", "INTEGER", "", "Global number of the rank."};
const SchemaColumn kOp{"op", "INTEGER", "", "Index in the rank's program."};
const SchemaColumn kStep{"step", "INTEGER", "", "Training step, from 0."};

const char* kSourceSql = "CASE r.predicted WHEN 1 THEN 'predicted' ELSE 'measured' END";

/// CASE value WHEN 0 THEN 'device' ... for an enum's names.
template <class E>
std::string names_of(int count, const std::string& value) {
  std::string sql = "CASE " + value;
  for (int i = 0; i < count; ++i) {
    sql += " WHEN " + std::to_string(i) + " THEN '" + std::string(to_string(static_cast<E>(i))) + "'";
  }
  return sql + " END";
}

/// Plain SQLite cannot read what is packed.
const std::string kJsonData = "CASE typeof(c.data) WHEN 'text' THEN c.data ELSE '[]' END";

std::string field(const char* row, int index) {
  return "json_extract(" + std::string(row) + ".value, '$[" + std::to_string(index) + "]')";
}

SchemaView op_view() {
  return {"op",
          "The instructions of each program, with their texts.",
          {{"program", "INTEGER", "", "Program: program.id; rank.program says which a rank runs."},
           kOp,
           {"kind", "TEXT", "", "Name of the op, e.g. matmul."},
           {"lane", "TEXT", "", "Lane it runs on."},
           {"phase", "TEXT", "", "load, forward, recompute, backward or optimizer."},
           {"layer", "INTEGER", "", "Transformer block, -1 outside blocks."},
           {"micro_batch", "INTEGER", "", "Micro-batch within the step, -1 if it belongs to none."},
           {"name", "TEXT", "", "Module or parameter."},
           {"flops", "REAL", "FLOP", "Work of one execution."},
           {"bytes", "INTEGER", "bytes", "Least memory traffic of one execution."},
           {"communication", "INTEGER", "0 or 1", "1: moves data between ranks."},
           {"group_name", "TEXT", "", "Communication: its group."},
           {"group_size", "INTEGER", "ranks", "Communication: ranks of its group."},
           {"collective_bytes", "INTEGER", "bytes", "Communication: size as nccl-tests counts it."}},
          "SELECT o.program, o.op, k.text AS kind, l.text AS lane, p.text AS phase, o.layer, o.micro_batch, "
          "n.text AS name, o.flops, o.bytes, o.communication, g.text AS group_name, o.group_size, o.collective_bytes "
          "FROM op_row o JOIN string k ON k.id = o.kind JOIN string l ON l.id = o.lane JOIN string p ON p.id = o.phase "
          "JOIN string n ON n.id = o.name LEFT JOIN string g ON g.id = o.group_name"};
}

SchemaView slice_view() {
  return {"slice",
          "Every execution of an op.",
          {kRun,
           kRank,
           {"lane", "TEXT", "", "Lane it ran on."},
           {"track", "INTEGER", "", "The lane's track.id."},
           kOp,
           kStep,
           {"start_ns", "INTEGER", "ns", "Since the start of the run."},
           {"dur_ns", "INTEGER", "ns", "Duration."},
           {"wait_ns", "INTEGER", "ns", "Communication: part spent waiting for the last rank to arrive."},
           {"correlation", "INTEGER", "", "Of a rank: equal for a launch and what it launched; 0: none."}},
          "SELECT t.run, t.rank, t.lane, t.id AS track, " + field("j", 0) + " AS op, " + field("j", 1) +
              " AS step, c.start_ns + " + field("j", 2) + " AS start_ns, " + field("j", 3) + " AS dur_ns, " +
              field("j", 4) +
              " AS wait_ns, 0 AS correlation FROM slice_chunk c JOIN track t ON t.id = c.track JOIN json_each(" +
              kJsonData + ") j",
          4,
          "SELECT t.run, t.rank, t.lane, t.id AS track, j.op, j.step, j.start_ns, j.dur_ns, j.wait_ns, j.correlation "
          "FROM slice_chunk c JOIN track t ON t.id = c.track JOIN slice_rows(c.data, c.start_ns) j"};
}

SchemaView memory_view() {
  return {"memory",
          "Live bytes of one category in one space, after each change.",
          {kRun,
           kRank,
           {"op", "INTEGER", "", "The Alloc or Free that changed it; -1: from before the first step."},
           kStep,
           {"time_ns", "INTEGER", "ns", "Since the start of the run."},
           {"space", "TEXT", "", "device, pinned, host or nvme."},
           {"category", "TEXT", "", "parameter, gradient, ..."},
           {"live_bytes", "INTEGER", "bytes", "Until the next sample of this space and category."}},
          "SELECT c.run, c.rank, " + field("j", 0) + " AS op, " + field("j", 1) + " AS step, c.start_ns + " +
              field("j", 2) + " AS time_ns, " + names_of<Space>(kSpaces, field("j", 3)) + " AS space, " +
              names_of<Category>(kCategories, field("j", 4)) + " AS category, " + field("j", 5) +
              " AS live_bytes FROM memory_chunk c JOIN json_each(" + kJsonData + ") j",
          4,
          "SELECT c.run, c.rank, j.op, j.step, j.time_ns, " + names_of<Space>(kSpaces, "j.space") + " AS space, " +
              names_of<Category>(kCategories, "j.category") +
              " AS category, j.live_bytes FROM memory_chunk c JOIN memory_rows(c.data, c.start_ns) j"};
}

SchemaView op_time_view() {
  return {
      "op_time",
      "op_total for runs that ended; for a run that is under way or was killed, the same sums made from its slices.",
      {kRun,
       kRank,
       kOp,
       {"count", "INTEGER", "", "Executions."},
       {"total_ns", "INTEGER", "ns", "Sum of durations."},
       {"min_ns", "INTEGER", "ns", "Shortest."},
       {"max_ns", "INTEGER", "ns", "Longest."},
       {"wait_ns", "INTEGER", "ns", "Sum of the parts spent waiting for other ranks."},
       {"exposed_ns", "INTEGER", "ns", "Sum of the parts that nothing hides; NULL where the run did not end."}},
      "SELECT run, rank, op, count, total_ns, min_ns, max_ns, wait_ns, exposed_ns FROM op_total UNION ALL "
      "SELECT s.run, s.rank, s.op, count(*), sum(s.dur_ns), min(s.dur_ns), max(s.dur_ns), sum(s.wait_ns), NULL "
      "FROM slice s WHERE s.run IN (SELECT id FROM run WHERE status = 'running') GROUP BY s.run, s.rank, s.op"};
}

SchemaView step_mean_view() {
  const char* kMean = "Mean of the column of the same name in step.";
  return {"step_mean",
          "Mean step of each rank. The first step, which warms up, is left out where there are three or more.",
          {kRun,
           kRank,
           {"steps", "INTEGER", "", "Steps averaged over."},
           {"total_ns", "REAL", "ns", "Mean of dur_ns."},
           {"compute_ns", "REAL", "ns", kMean},
           {"optimizer_ns", "REAL", "ns", kMean},
           {"load_ns", "REAL", "ns", kMean},
           {"exposed_communication_ns", "REAL", "ns", kMean},
           {"offload_ns", "REAL", "ns", kMean},
           {"idle_ns", "REAL", "ns", kMean},
           {"communication_ns", "REAL", "ns", kMean}},
          "SELECT s.run, s.rank, count(*) AS steps, avg(s.dur_ns) AS total_ns, avg(s.compute_ns) AS compute_ns, "
          "avg(s.optimizer_ns) AS optimizer_ns, avg(s.load_ns) AS load_ns, "
          "avg(s.exposed_communication_ns) AS exposed_communication_ns, avg(s.offload_ns) AS offload_ns, "
          "avg(s.idle_ns) AS idle_ns, avg(s.communication_ns) AS communication_ns FROM step s JOIN "
          "(SELECT run, rank, min(step) + (count(*) >= 3) AS first FROM step GROUP BY run, rank) w "
          "ON w.run = s.run AND w.rank = s.rank WHERE s.step >= w.first GROUP BY s.run, s.rank"};
}

std::string ms(const std::string& column) { return "round(m." + column + "_ns / 1e6, 3) AS " + column + "_ms"; }

SchemaView step_breakdown_view() {
  return {"step_breakdown",
          "Where the time of a mean step goes, by run and rank. The parts add up to total_ms.",
          {kRun,
           kName,
           kSource,
           kRank,
           {"steps", "INTEGER", "", "Steps averaged over."},
           {"compute_ms", "REAL", "ms", "The compute lane runs forward, backward or recomputation."},
           {"optimizer_ms", "REAL", "ms", "The compute lane runs the optimizer."},
           {"load_ms", "REAL", "ms", "The compute lane reads a batch."},
           {"exposed_communication_ms", "REAL", "ms", "It runs nothing, and communication is under way."},
           {"offload_ms", "REAL", "ms", "Neither, and copies, NVMe traffic or host compute is under way."},
           {"idle_ms", "REAL", "ms", "Nothing of these."},
           {"total_ms", "REAL", "ms", "Duration of the mean step."}},
          std::string("SELECT m.run, r.name, ") + kSourceSql + " AS source, m.rank, m.steps, " + ms("compute") + ", " +
              ms("optimizer") + ", " + ms("load") + ", " + ms("exposed_communication") + ", " + ms("offload") + ", " +
              ms("idle") + ", " + ms("total") + " FROM step_mean m JOIN run r ON r.id = m.run ORDER BY m.run, m.rank"};
}

SchemaView op_summary_view() {
  return {"op_summary",
          "Time by kind of op and phase, over all ranks and steps; longest first within a run.",
          {kRun,
           kName,
           kSource,
           {"kind", "TEXT", "", "Name of the op, e.g. matmul."},
           {"phase", "TEXT", "", "Part of the step."},
           {"lane", "TEXT", "", "Lane."},
           {"count", "INTEGER", "", "Executions."},
           {"total_ms", "REAL", "ms", "Sum of durations."},
           {"mean_us", "REAL", "us", "Mean duration."},
           {"max_us", "REAL", "us", "Longest."},
           {"gflop_per_s", "REAL", "GFLOP/s", "Work over total time."},
           {"gb_per_s", "REAL", "GB/s", "Least memory traffic over total time; GB is 1e9 bytes."}},
          std::string("SELECT t.run, r.name, ") + kSourceSql +
              " AS source, o.kind, o.phase, o.lane, sum(t.count) AS count, round(sum(t.total_ns) / 1e6, 3) AS "
              "total_ms, round(sum(t.total_ns) / 1e3 / sum(t.count), 3) AS mean_us, round(max(t.max_ns) / 1e3, 3) AS "
              "max_us, round(sum(t.count * o.flops) / sum(t.total_ns), 2) AS gflop_per_s, "
              "round(sum(t.count * 1.0 * o.bytes) / sum(t.total_ns), 2) AS gb_per_s FROM op_time t "
              "JOIN run r ON r.id = t.run JOIN rank k ON k.run = t.run AND k.rank = t.rank "
              "JOIN op o ON o.program = k.program AND o.op = t.op GROUP BY t.run, o.kind, o.phase, o.lane "
              "ORDER BY t.run, sum(t.total_ns) DESC"};
}

SchemaView memory_by_category_view() {
  return {"memory_by_category",
          "Peak memory by rank, space and category.",
          {kRun,
           kName,
           kSource,
           kRank,
           {"space", "TEXT", "", "device, pinned, host or nvme."},
           {"category", "TEXT", "", "parameter, gradient, ..."},
           {"at_peak_bytes", "INTEGER", "bytes", "Live when the space was at its peak; sums to that peak."},
           {"own_peak_bytes", "INTEGER", "bytes", "Highest of this category by itself."},
           {"at_peak_mib", "REAL", "MiB", "at_peak_bytes / 2^20."}},
          std::string("SELECT p.run, r.name, ") + kSourceSql +
              " AS source, p.rank, p.space, p.category, p.at_peak_bytes, p.own_peak_bytes, "
              "round(p.at_peak_bytes / 1048576.0, 3) AS at_peak_mib FROM memory_peak p JOIN run r ON r.id = p.run "
              "ORDER BY p.run, p.rank, p.space, p.at_peak_bytes DESC"};
}

SchemaView collective_time_view() {
  return {"collective_time",
          "Sums of all executions of collectives of one kind, group and size; what collective_bandwidth divides.",
          {kRun,
           {"kind", "TEXT", "", "all_reduce, reduce_scatter, ..."},
           {"group_name", "TEXT", "", "Group of ranks."},
           {"group_size", "INTEGER", "ranks", "Ranks of the group."},
           {"bytes", "INTEGER", "bytes", "Of one, as nccl-tests counts them."},
           {"count", "INTEGER", "", "Executions, over all ranks."},
           {"total_ns", "INTEGER", "ns", "Sum of durations."},
           {"wait_ns", "INTEGER", "ns", "Part of it spent waiting for the last rank."},
           {"bus_factor", "REAL", "",
            "busbw / algbw of nccl-tests: 2(n-1)/n for all_reduce, (n-1)/n for all_gather, reduce_scatter and "
            "all_to_all, 1 for broadcast, ring_shift, send and recv."}},
          "SELECT t.run, o.kind, o.group_name, o.group_size, o.collective_bytes AS bytes, sum(t.count) AS count, "
          "sum(t.total_ns) AS total_ns, sum(t.wait_ns) AS wait_ns, CASE o.kind WHEN 'all_reduce' THEN "
          "2.0 * (o.group_size - 1) / o.group_size WHEN 'all_gather' THEN 1.0 * (o.group_size - 1) / o.group_size "
          "WHEN 'reduce_scatter' THEN 1.0 * (o.group_size - 1) / o.group_size WHEN 'all_to_all' THEN "
          "1.0 * (o.group_size - 1) / o.group_size ELSE 1.0 END AS bus_factor FROM op_time t "
          "JOIN rank k ON k.run = t.run AND k.rank = t.rank JOIN op o ON o.program = k.program AND o.op = t.op "
          "WHERE o.communication = 1 GROUP BY t.run, o.kind, o.group_name, o.group_size, o.collective_bytes"};
}

SchemaView collective_bandwidth_view() {
  return {"collective_bandwidth",
          "Speed of communication as nccl-tests defines it, over the time spent moving (not waiting for other ranks).",
          {kRun,
           kName,
           kSource,
           {"kind", "TEXT", "", "all_reduce, reduce_scatter, ..."},
           {"group_name", "TEXT", "", "Group of ranks."},
           {"group_size", "INTEGER", "ranks", "Ranks of the group."},
           {"bytes", "INTEGER", "bytes", "Of one, as nccl-tests counts them."},
           {"count", "INTEGER", "", "Executions, over all ranks."},
           {"mean_us", "REAL", "us", "Mean duration, waiting included."},
           {"wait_us", "REAL", "us", "Mean part spent waiting for the last rank to arrive."},
           {"algbw_gb_per_s", "REAL", "GB/s", "bytes / time; GB is 1e9 bytes; NULL if no time was spent moving."},
           {"busbw_gb_per_s", "REAL", "GB/s", "algbw times the factor in collective_time."}},
          std::string("SELECT c.run, r.name, ") + kSourceSql +
              " AS source, c.kind, c.group_name, c.group_size, c.bytes, c.count, "
              "round(c.total_ns / 1e3 / c.count, 3) AS mean_us, round(c.wait_ns / 1e3 / c.count, 3) AS wait_us, "
              "round(1.0 * c.bytes * c.count / nullif(c.total_ns - c.wait_ns, 0), 4) AS algbw_gb_per_s, "
              "round(c.bus_factor * c.bytes * c.count / nullif(c.total_ns - c.wait_ns, 0), 4) AS busbw_gb_per_s "
              "FROM collective_time c JOIN run r ON r.id = c.run ORDER BY c.run, c.bytes DESC"};
}

SchemaView exposed_communication_view() {
  return {"exposed_communication",
          "Communication of a mean step that no compute hides, by run and rank.",
          {kRun,
           kName,
           kSource,
           kRank,
           {"communication_ms", "REAL", "ms", "Any communication of the rank is under way."},
           {"exposed_ms", "REAL", "ms", "Of it, the rank's compute lane runs nothing."},
           {"hidden_percent", "REAL", "%", "Part of the communication that compute hides; NULL if there is none."},
           {"percent_of_step", "REAL", "%", "Exposed part of the step."}},
          std::string("SELECT m.run, r.name, ") + kSourceSql +
              " AS source, m.rank, round(m.communication_ns / 1e6, 3) AS communication_ms, "
              "round(m.exposed_communication_ns / 1e6, 3) AS exposed_ms, round(100 * (1 - m.exposed_communication_ns / "
              "nullif(m.communication_ns, 0)), 1) AS hidden_percent, round(100 * m.exposed_communication_ns / "
              "nullif(m.total_ns, 0), 1) AS percent_of_step FROM step_mean m JOIN run r ON r.id = m.run "
              "ORDER BY m.run, m.rank"};
}

SchemaView run_summary_view() {
  return {"run_summary",
          "One line per run.",
          {kRun,
           kName,
           kSource,
           {"status", "TEXT", "", "running (also if it was killed), finished or interrupted."},
           {"zero_stage", "INTEGER", "", "ZeRO stage."},
           {"world", "INTEGER", "ranks", "Ranks of the job."},
           {"steps", "INTEGER", "", "Steps recorded."},
           {"last_loss", "REAL", "nats per token", "Loss of the last step; NULL in predictions."},
           {"step_ms", "REAL", "ms", "Mean step of the slowest rank."},
           {"tokens_per_s", "REAL", "tokens/s", "At that step time."},
           {"peak_device_mib", "REAL", "MiB", "Peak device memory of the fullest rank; 1 MiB is 2^20 bytes."}},
          std::string("SELECT r.id AS run, r.name, ") + kSourceSql +
              " AS source, r.status, r.zero_stage, r.world, (SELECT count(DISTINCT step) FROM step WHERE run = r.id) "
              "AS steps, (SELECT loss FROM step WHERE run = r.id ORDER BY step DESC, rank LIMIT 1) AS last_loss, "
              "round((SELECT max(total_ns) FROM step_mean WHERE run = r.id) / 1e6, 3) AS step_ms, "
              "round(r.tokens_per_step * 1e9 / (SELECT max(total_ns) FROM step_mean WHERE run = r.id), 1) AS "
              "tokens_per_s, round((SELECT max(b) FROM (SELECT sum(at_peak_bytes) AS b FROM memory_peak WHERE run = "
              "r.id AND space = 'device' GROUP BY rank)) / 1048576.0, 3) AS peak_device_mib FROM run r ORDER BY r.id"};
}

/// A range is named "rank 0 gpu 0 op 57 matmul h.3.mlp.c_fc" (kernels/cuda/op_range.h). Those of a thread follow one
/// another, so a call is in the last that began before it, if in any. NCCL launches from threads of its own: such a
/// call is of the last range of a collective, of that GPU, that began before it.
SchemaView op_device_work_view() {
  return {
      "op_device_work",
      "What a device did for each op of a program of ours, of a run of our CUDA backend that was recorded: the call "
      "that launched it was made in the op's range.",
      {kRun,
       {"rank", "INTEGER", "", "Rank of the recorded run."},
       {"program_rank", "INTEGER", "", "Rank whose program it is: ranks that are threads are recorded as one."},
       {"program_op", "INTEGER", "", "Index in that rank's program."},
       {"program_kind", "TEXT", "", "Name of the op, e.g. matmul."},
       {"program_name", "TEXT", "", "Module or parameter."},
       {"range_start_ns", "INTEGER", "ns", "When the host began to issue this execution of the op."},
       kStep,
       {"lane", "TEXT", "", "Stream of the device."},
       {"op", "INTEGER", "", "Kernel, copy or collective: index in the recorded rank's program."},
       {"start_ns", "INTEGER", "ns", "Since the start of the run."},
       {"dur_ns", "INTEGER", "ns", "Duration."}},
      "WITH r AS (SELECT s.run, s.rank, s.lane || ' CUDA' AS thread, s.start_ns, s.start_ns + s.dur_ns AS end_ns, "
      "o.name, CAST(substr(o.name, instr(o.name, ' gpu ') + 5) AS INTEGER) AS gpu, substr(o.name, instr(o.name, "
      "' op ') + 4) AS rest FROM slice s JOIN rank k ON k.run = s.run AND k.rank = s.rank JOIN op o ON o.program = "
      "k.program AND o.op = s.op WHERE o.kind = 'nvtx' AND o.name GLOB 'rank [0-9]* gpu [0-9]* op [0-9]* *'), "
      "d AS (SELECT s.run, s.rank, s.lane, s.op, s.step, s.start_ns, s.dur_ns, s.correlation, CAST(substr(s.lane, "
      "instr(s.lane, 'gpu') + 3) AS INTEGER) AS gpu, o.communication FROM slice s JOIN rank k ON k.run = s.run AND "
      "k.rank = s.rank JOIN op o ON o.program = k.program AND o.op = s.op WHERE s.correlation <> 0 AND s.lane GLOB "
      "'*gpu* stream *'), "
      "e AS (SELECT run, rank, 0 AS far, thread AS queue, start_ns, 0 AS is_call, end_ns, name, 0 AS correlation "
      "FROM r UNION ALL SELECT run, rank, 0, lane, start_ns, 1, NULL, NULL, correlation FROM slice WHERE correlation "
      "<> 0 AND lane GLOB '* CUDA' UNION ALL SELECT run, rank, 1, gpu, start_ns, 0, end_ns, name, 0 FROM r WHERE "
      "substr(rest, instr(rest, ' ') + 1, instr(substr(rest, instr(rest, ' ') + 1), ' ') - 1) IN ('all_reduce', "
      "'reduce_scatter', 'all_gather', 'broadcast', 'all_to_all', 'ring_shift', 'send', 'recv') UNION ALL SELECT "
      "s.run, s.rank, 1, d.gpu, s.start_ns, 1, NULL, NULL, s.correlation FROM d JOIN slice s ON s.run = d.run AND "
      "s.rank = d.rank AND s.correlation = d.correlation WHERE d.communication = 1 AND s.lane GLOB '* CUDA'), "
      "n AS (SELECT *, count(name) OVER (PARTITION BY run, rank, far, queue ORDER BY start_ns, is_call ROWS "
      "UNBOUNDED PRECEDING) AS place FROM e), "
      "w AS (SELECT run, rank, far, is_call, place, start_ns, correlation, first_value(name) OVER first AS name, "
      "first_value(start_ns) OVER first AS range_start_ns, first_value(end_ns) OVER first AS end_ns FROM n WINDOW "
      "first AS (PARTITION BY run, rank, far, queue, place ORDER BY is_call, start_ns)), "
      "c AS (SELECT run, rank, correlation, name, range_start_ns, min(far) FROM w WHERE is_call = 1 AND place > 0 "
      "AND start_ns <= end_ns GROUP BY run, rank, correlation), "
      "t AS (SELECT run, rank, correlation, range_start_ns, CAST(substr(name, 6) AS INTEGER) AS program_rank, "
      "substr(name, instr(name, ' op ') + 4) AS rest FROM c), "
      "u AS (SELECT *, CAST(rest AS INTEGER) AS program_op, substr(rest, instr(rest, ' ') + 1) || ' ' AS what FROM t) "
      "SELECT u.run, u.rank, u.program_rank, u.program_op, substr(u.what, 1, instr(u.what, ' ') - 1) AS "
      "program_kind, trim(substr(u.what, instr(u.what, ' ') + 1)) AS program_name, u.range_start_ns, d.step, d.lane, "
      "d.op, d.start_ns, d.dur_ns FROM d JOIN u ON u.run = d.run AND u.rank = d.rank AND u.correlation = "
      "d.correlation",
      8};
}

}  // namespace

const std::vector<SchemaView>& schema_views() {
  static const std::vector<SchemaView> views = {run_summary_view(),
                                                step_breakdown_view(),
                                                exposed_communication_view(),
                                                op_summary_view(),
                                                collective_bandwidth_view(),
                                                memory_by_category_view(),
                                                op_view(),
                                                slice_view(),
                                                memory_view(),
                                                step_mean_view(),
                                                op_time_view(),
                                                collective_time_view(),
                                                op_device_work_view()};
  return views;
}

}  // namespace shardscope
