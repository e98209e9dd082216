// The tables of a profile: name, columns with type and unit, one sentence each.

#include "profiler/store/schema.h"

namespace shardscope {
namespace {

const SchemaColumn kRun{"run", "INTEGER", "", "Run: run.id."};
const SchemaColumn kRank{"rank", "INTEGER", "", "Global number of the rank, from 0."};

std::vector<SchemaTable> run_tables() {
  return {
      {"meta",
       "Facts about the file.",
       {{"key", "TEXT", "", "schema_version, created_by."}, {"value", "TEXT", "", "Its value."}},
       {"key"},
       ""},
      {"schema_doc",
       "This documentation: one row per column of every table and view.",
       {{"name", "TEXT", "", "Table or view."},
        {"column_name", "TEXT", "", "Column; empty in the row about the table itself."},
        {"type", "TEXT", "", "INTEGER, REAL or TEXT; 'table' or 'view' in the row about the table itself."},
        {"unit", "TEXT", "", "Unit of the values; empty if they have none."},
        {"text", "TEXT", "", "What it means."}},
       {"name", "column_name"},
       ""},
      {"string",
       "Texts that many rows refer to, stored once.",
       {{"id", "INTEGER", "", "What other tables refer to."}, {"text", "TEXT", "", "The text, unique."}},
       {"id"},
       "UNIQUE string_text ON string(text)"},
      {"run",
       "A run, measured or predicted. One file can hold several.",
       {{"id", "INTEGER", "", "Counts up in the order of recording."},
        {"key", "TEXT", "", "Random; the same in the files of all processes of one run."},
        {"name", "TEXT", "", "Given by the user, e.g. zero-2; a prediction has the name of the run it predicts."},
        {"predicted", "INTEGER", "0 or 1", "1: times come from the simulator; 0: from a real execution."},
        {"framework", "TEXT", "", "What ran it."},
        {"model", "TEXT", "", "Name of the model."},
        {"world", "INTEGER", "ranks", "Ranks of the job."},
        {"zero_stage", "INTEGER", "", "ZeRO stage, 0 to 3."},
        {"job_json", "TEXT", "",
         "The job. Of train {\"job\": the whole job file, \"cores\", \"threads_per_rank\", ...}: predict --like reads "
         "it."},
        {"parameters", "INTEGER", "", "Parameters of the model."},
        {"tokens_per_step", "INTEGER", "tokens", "Of the global batch."},
        {"flops_per_token", "REAL", "FLOP", "Work of training on one token, forward and backward."},
        {"peak_flops_per_rank", "REAL", "FLOP/s", "What utilisation is measured against; 0: unknown."},
        {"device_memory_limit", "INTEGER", "bytes", "Memory of one device; 0: no limit."},
        {"started_at", "TEXT", "UTC", "When the recording began, ISO 8601."},
        {"status", "TEXT", "",
         "running (also if it was killed), finished, or interrupted (stopped early; rows may be missing)."}},
       {"id"},
       ""},
      {"program",
       "The program of one class of ranks; ranks whose programs have equal ops share one.",
       {{"id", "INTEGER", "", "What rank and op_row refer to."},
        kRun,
        {"hash", "INTEGER", "", "Of the ops; equal in two runs if their programs are."},
        {"ops", "INTEGER", "", "Number of instructions of one step."}},
       {"id"},
       ""},
      {"rank",
       "A rank of a run.",
       {kRun,
        kRank,
        {"program", "INTEGER", "", "What it runs each step: program.id."},
        {"rss_bytes", "INTEGER", "bytes",
         "Resident memory of its process at the end; ranks that are threads of one process share it; 0: unknown."},
        {"finished", "INTEGER", "0 or 1", "1: the rank reached its end and its peaks are final."}},
       {"run", "rank"},
       ""},
      {"diagnostic",
       "What is missing or wrong in the recording, and how much of it.",
       {{"id", "INTEGER", "", "Counts up."},
        kRun,
        {"rank", "INTEGER", "", "Rank it is about; -1: the whole run."},
        {"kind", "TEXT", "", "invalid_slice, late_slice, invalid_memory, invalid_step, dropped or stopped."},
        {"count", "INTEGER", "", "Rows concerned."},
        {"text", "TEXT", "", "One sentence for people."}},
       {"id"},
       ""},
  };
}

std::vector<SchemaTable> op_tables() {
  return {
      {"op_row",
       "An instruction of a program; the view op shows it with its texts.",
       {{"program", "INTEGER", "", "Program: program.id."},
        {"op", "INTEGER", "", "Index in the program; the same op has the same index measured and predicted."},
        {"kind", "INTEGER", "", "Name of the op, e.g. matmul: string.id."},
        {"lane", "INTEGER", "", "Lane it runs on: string.id."},
        {"phase", "INTEGER", "", "Part of the step it belongs to: string.id."},
        {"layer", "INTEGER", "", "Transformer block, -1 outside blocks."},
        {"micro_batch", "INTEGER", "", "Micro-batch within the step, -1 if it belongs to none."},
        {"name", "INTEGER", "", "Module or parameter: string.id."},
        {"flops", "REAL", "FLOP", "Work of one execution."},
        {"bytes", "INTEGER", "bytes", "Least memory traffic of one execution."},
        {"communication", "INTEGER", "0 or 1", "1: moves data between ranks."},
        {"group_name", "INTEGER", "", "Communication: its group, string.id; NULL otherwise."},
        {"group_size", "INTEGER", "ranks", "Communication: ranks of its group; NULL otherwise."},
        {"collective_bytes", "INTEGER", "bytes", "Communication: size as nccl-tests counts it; NULL otherwise."}},
       {"program", "op"},
       ""},
      {"op_total",
       "What the executions of one op on one rank add up to. Written when a run ends; the view op_time has it always.",
       {kRun,
        kRank,
        {"op", "INTEGER", "", "Index in the rank's program."},
        {"count", "INTEGER", "", "Executions."},
        {"total_ns", "INTEGER", "ns", "Sum of durations."},
        {"min_ns", "INTEGER", "ns", "Shortest."},
        {"max_ns", "INTEGER", "ns", "Longest."},
        {"wait_ns", "INTEGER", "ns", "Sum of the parts spent waiting for other ranks."},
        {"exposed_ns", "INTEGER", "ns", "Communication: sum of the parts that nothing hides."}},
       {"run", "rank", "op"},
       ""},
  };
}

std::vector<SchemaTable> time_tables() {
  return {
      {"step",
       "A training step of one rank, and where its time went. compute, optimizer, load, exposed communication, offload "
       "and idle add up to dur_ns.",
       {kRun,
        kRank,
        {"step", "INTEGER", "", "From 0."},
        {"start_ns", "INTEGER", "ns", "Since the start of the run."},
        {"dur_ns", "INTEGER", "ns", "Duration."},
        {"loss", "REAL", "nats per token", "Mean over the global batch, before the update; NULL in predictions."},
        {"grad_norm", "REAL", "", "Norm of the gradient before clipping; NULL if unknown."},
        {"learning_rate", "REAL", "", "Learning rate of this step; NULL if unknown."},
        {"compute_ns", "INTEGER", "ns", "The compute lane runs forward, backward or recomputation."},
        {"optimizer_ns", "INTEGER", "ns", "The compute lane runs the optimizer."},
        {"load_ns", "INTEGER", "ns", "The compute lane reads a batch."},
        {"exposed_communication_ns", "INTEGER", "ns", "It runs nothing, and communication is under way."},
        {"offload_ns", "INTEGER", "ns", "Neither, and copies, NVMe traffic or host compute is under way."},
        {"idle_ns", "INTEGER", "ns", "Nothing of these."},
        {"communication_ns", "INTEGER", "ns", "Any communication under way, hidden or exposed; not one of the parts."}},
       {"run", "rank", "step"},
       ""},
      {"track",
       "A lane of a rank: ops of one lane run one after another.",
       {{"id", "INTEGER", "", "What slice_chunk refers to."},
        kRun,
        kRank,
        {"lane", "TEXT", "", "compute, gather, ..."}},
       {"id"},
       ""},
      {"slice_chunk",
       "Executions of ops, up to some thousands a row, as they came in; the view slice unpacks them. Written this way "
       "a slice costs the run a tenth of what a row of its own would.",
       {{"id", "INTEGER", "", "Counts up."},
        {"track", "INTEGER", "", "Lane: track.id."},
        {"slices", "INTEGER", "", "Number of slices."},
        {"start_ns", "INTEGER", "ns", "Start of the earliest, since the start of the run."},
        {"end_ns", "INTEGER", "ns", "End of the latest."},
        {"data", "TEXT", "", "JSON: [[op, step, start - start_ns, dur, wait], ...], times in ns."}},
       {"id"},
       "slice_chunk_time ON slice_chunk(track, start_ns)"},
      {"level_chunk",
       "Levels of detail: a lane's slices added up in buckets of time, up to some thousands a row. Level L has buckets "
       "of 4^L ns, bucket b from b * 4^L ns on. Made when a run ends, only for lanes with many slices, from about four "
       "slices a bucket up.",
       {{"id", "INTEGER", "", "Counts up."},
        {"track", "INTEGER", "", "Lane: track.id."},
        {"level", "INTEGER", "", "Logarithm to base 4 of a bucket's length in ns."},
        {"entries", "INTEGER", "", "Number of entries: one for each bucket and class of work in it."},
        {"start_ns", "INTEGER", "ns", "Start of the first bucket, since the start of the run."},
        {"end_ns", "INTEGER", "ns", "End of the last."},
        {"data", "TEXT", "",
         "JSON: [[bucket, class, busy ns, op, busy ns of that op], ...]; the op is the one that took longest. Classes "
         "count from 0: load, forward, recompute, backward, optimizer, communication, wait, offload."}},
       {"id"},
       "level_chunk_time ON level_chunk(track, level, start_ns)",
       2},
      {"memory_chunk",
       "Changes of live memory, up to some thousands a row; the view memory unpacks them.",
       {{"id", "INTEGER", "", "Counts up."},
        kRun,
        kRank,
        {"samples", "INTEGER", "", "Number of samples."},
        {"start_ns", "INTEGER", "ns", "Time of the earliest, since the start of the run."},
        {"end_ns", "INTEGER", "ns", "Time of the latest."},
        {"data", "TEXT", "",
         "JSON: [[op, step, time - start_ns, space, category, live bytes], ...]; spaces and "
         "categories count from 0 in the order in which the view memory names them."}},
       {"id"},
       "memory_chunk_time ON memory_chunk(run, rank, start_ns)"},
      {"memory_peak",
       "Peak memory of one category in one space of one rank.",
       {kRun,
        kRank,
        {"space", "TEXT", "", "Where the bytes live: device, pinned, host or nvme."},
        {"category", "TEXT", "", "What they are for: parameter, gradient, ..."},
        {"at_peak_bytes", "INTEGER", "bytes",
         "Live when the space was at its peak; over the categories these sum to the peak of the space."},
        {"own_peak_bytes", "INTEGER", "bytes", "Highest of this category by itself, at whatever time."}},
       {"run", "rank", "space", "category"},
       ""},
  };
}

}  // namespace

const std::vector<SchemaTable>& schema_tables() {
  static const std::vector<SchemaTable> tables = [] {
    std::vector<SchemaTable> all = run_tables();
    for (auto part : {op_tables(), time_tables()}) all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return tables;
}

}  // namespace shardscope
