#include "cli/run_json.h"

#include "profiler/query/memory_by_category.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/step_times.h"

namespace shardscope::cli {
namespace {

/// The parts of a step as `predict --json` names them; reading a batch counts as compute.
nlohmann::json breakdown_json(const Breakdown& b) {
  return {{"compute", b.compute_s + b.load_s},
          {"exposed_communication", b.exposed_communication_s},
          {"bubble", b.idle_s},
          {"offload", b.offload_s},
          {"optimizer", b.optimizer_s}};
}

/// Part of the peak that the model's own work is; null where the peak is not known.
nlohmann::json mfu_of(const RunRow& run, const StepTimes& times) {
  const double peak = run.peak_flops_per_rank * run.world;
  if (peak <= 0 || times.median_s <= 0) return nullptr;
  return times.tokens_per_s * run.flops_per_token / peak;
}

}  // namespace

nlohmann::json ranks_json(const Profile& profile, std::int64_t run) {
  std::map<int, nlohmann::json> memory;
  for (const MemoryRow& row : memory_by_category(profile, run)) {
    if (row.at_peak_bytes == 0) continue;
    memory[row.rank][std::string(to_string(row.space))][std::string(to_string(row.category))] = row.at_peak_bytes;
  }
  nlohmann::json ranks = nlohmann::json::array();
  for (const RankRow& rank : list_ranks(profile, run)) {
    nlohmann::json categories = memory.contains(rank.rank) ? memory[rank.rank] : nlohmann::json::object();
    nlohmann::json rss = nullptr;
    if (rank.rss_bytes > 0) rss = rank.rss_bytes;
    ranks.push_back({{"rank", rank.rank},
                     {"peak_bytes", rank.peak_bytes[static_cast<std::size_t>(Space::kDevice)]},
                     {"memory_by_category", std::move(categories)},
                     {"rss_bytes", std::move(rss)}});
  }
  return ranks;
}

nlohmann::json run_json(const Profile& profile, const RunRow& run) {
  const StepTimes times = step_times(profile, run.id);
  nlohmann::json losses = nlohmann::json::array();
  if (!run.predicted) losses = times.losses;
  return {{"id", run.id},
          {"name", run.name},
          {"source", run.predicted ? "predicted" : "measured"},
          {"status", run.status},
          {"model", {{"name", run.model}, {"parameters", run.parameters}, {"flops_per_token", run.flops_per_token}}},
          {"zero_stage", run.zero_stage},
          {"world", run.world},
          {"steps", run.steps},
          {"losses", std::move(losses)},
          {"step_time_s", {{"median", times.median_s}, {"p10", times.p10_s}, {"p90", times.p90_s}}},
          {"tokens_per_s", times.tokens_per_s},
          {"mfu", mfu_of(run, times)},
          {"ranks", ranks_json(profile, run.id)},
          {"breakdown_s", breakdown_json(mean_breakdown(profile, run.id))},
          {"profile", profile.path()}};
}

std::string to_line(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace shardscope::cli
