#pragma once
// Which runs does a profile hold, and which ranks has each?
//
//   for (const RunRow& run : list_runs(profile)) print(run.name, run.predicted);

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/program/types.h"
#include "profiler/store/profile.h"

namespace shardscope {

struct RunRow {
  std::int64_t id = 0;
  std::string key;  ///< random; the same in every copy of the profile
  std::string name;
  bool predicted = false;
  std::string status;  ///< "finished", "interrupted"; "running" also if it was killed
  std::string framework, model, started_at;
  int world = 1, zero_stage = 0;
  std::int64_t steps = 0;  ///< recorded
  std::int64_t parameters = 0, tokens_per_step = 0;
  double flops_per_token = 0, peak_flops_per_rank = 0;  ///< FLOP, FLOP/s
  std::int64_t device_memory_limit = 0;                 ///< bytes; 0: none
  std::int64_t problems = 0;                            ///< rows of `diagnostic`
};

struct RankRow {
  int rank = 0;
  std::int64_t rss_bytes = 0;                      ///< resident memory of the rank's process; 0: unknown
  std::array<std::int64_t, kSpaces> peak_bytes{};  ///< highest live bytes of each space
};

/// In the order they were recorded.
std::vector<RunRow> list_runs(const Profile& profile);
/// By id ("3") or name; of several with that name the last, measured before predicted. Throws Error{kConfig} naming
/// the runs there are.
RunRow find_run(const Profile& profile, const std::string& name_or_id);
/// The run asked for, as find_run() finds it; for an empty text the first measured one, or the first.
RunRow find_run_or_first(const Profile& profile, const std::string& name_or_id);
/// In rank order.
std::vector<RankRow> list_ranks(const Profile& profile, std::int64_t run);
/// What went wrong while recording, one line each.
std::vector<std::string> list_diagnostics(const Profile& profile, std::int64_t run);

}  // namespace shardscope
