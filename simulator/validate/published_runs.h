#pragma once
// A table of training runs as they were published: data/published/published_runs.csv, or any CSV with its columns. One
// row is one run: model, hardware, how it was sharded, and what was measured. Blank cells are facts not stated.
//
//   const PublishedRuns table = parse_published_runs(read_text_file(path), path);
//   for (const PublishedRun& run : table.runs) ...
//   for (const BrokenRow& row : table.broken) ...                 // the rest still counts

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

struct PublishedRun {
  int line = 0;
  std::string id, source;  ///< source: the group, which is the id without its number ("usp" of "usp-012")
  char quality = ' ';      ///< of "Q=A" at the start of the notes: A, B or C; ' ': not said
  std::string origin, model_name, gpu, interconnect, framework, dtype, offload, recompute, notes;
  std::optional<std::int64_t> n_layers, hidden, n_heads, n_kv_heads, ffn_hidden, vocab, seq_len;
  std::optional<std::int64_t> n_gpus, gpus_per_node, dp, tp, pp, vpp, cp, ep, micro_batch, global_batch;
  std::optional<std::int64_t> sp, zero_stage, flash_attention;
  std::optional<double> params_billion;
  // Measured. Of the first four, one is enough.
  std::optional<double> step_time_s, tokens_per_s_per_gpu, tflops_per_gpu, mfu_pct, mem_gb_per_gpu;
};

struct BrokenRow {
  int line = 0;
  std::string id;   ///< empty if it has none
  std::string why;  ///< "n_gpus is \"many\"; it must be a whole number from 1"
};

struct PublishedRuns {
  std::vector<PublishedRun> runs;
  std::vector<BrokenRow> broken;
};

/// Columns may come in any order; those that are not known are passed over, and those that are missing count as blank,
/// except id (which no row may leave blank), model_name, gpu, n_gpus and framework. Throws Error{kParse} if one of
/// these is missing, or all rows are.
PublishedRuns parse_published_runs(std::string_view csv, const std::string& file_name);

/// The text of data/published/published_runs.csv, which is part of the program.
std::string_view published_runs_csv();

}  // namespace shardscope
