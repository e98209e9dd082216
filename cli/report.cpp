// shardscope report: what a profile says, as tables.

#include <fmt/format.h>

#include <algorithm>

#include <cmath>
#include <memory>

#include "cli/command.h"
#include "cli/import_json.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "profiler/query/collective_bandwidth.h"
#include "profiler/query/memory_by_category.h"
#include "profiler/query/op_summary.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/step_times.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, run;
  int top = 10;
  bool json = false;
};

const char* source_of(const RunRow& run) { return run.predicted ? "predicted" : "measured"; }

std::string loss_text(const RunRow& run, const StepTimes& times) {
  if (run.predicted || times.losses.empty() || std::isnan(times.losses.back())) return "-";
  return fmt::format("{:.4f} -> {:.4f}", times.losses.front(), times.losses.back());
}

std::vector<std::string> parts_cells(const Breakdown& b) {
  return {milliseconds(b.compute_s), milliseconds(b.optimizer_s),
          milliseconds(b.load_s),    milliseconds(b.exposed_communication_s),
          milliseconds(b.offload_s), milliseconds(b.idle_s),
          milliseconds(b.total_s)};
}

const std::vector<std::string> kPartsHead = {"compute", "optimizer", "load", "exposed comm",
                                             "offload", "idle",      "total"};

TextTable parts_table(std::vector<std::string> head, std::size_t left) {
  head.insert(head.end(), kPartsHead.begin(), kPartsHead.end());
  return TextTable(std::move(head), left);
}

void add_parts(TextTable& table, std::vector<std::string> cells, const Breakdown& parts) {
  for (std::string& cell : parts_cells(parts)) cells.push_back(std::move(cell));
  table.add(std::move(cells));
}

void print_runs(const Profile& profile, const std::vector<RunRow>& runs) {
  fmt::print("Runs\n");
  TextTable table({"run", "name", "source", "status", "model", "ZeRO", "ranks", "steps", "loss", "step ms", "tokens/s"},
                  5);
  for (const RunRow& run : runs) {
    const StepTimes times = step_times(profile, run.id);
    table.add({std::to_string(run.id), run.name, source_of(run), run.status, run.model, std::to_string(run.zero_stage),
               std::to_string(run.world), std::to_string(run.steps), loss_text(run, times),
               milliseconds(times.median_s), rate_text(times.tokens_per_s)});
  }
  fmt::print("{}", table.text());
  for (const RunRow& run : runs) {
    if (run.status == "running") {
      fmt::print("  Run {} is still being recorded, or was killed: its rows end where the recording did.\n", run.id);
    }
    for (const std::string& line : list_diagnostics(profile, run.id)) {
      fmt::print("  Run {}: {}\n", run.id, printable(line));
    }
  }
}

void print_overview(const Profile& profile, const std::vector<RunRow>& runs) {
  fmt::print("\nWhere the time of a mean step goes, ms (mean of the ranks)\n");
  TextTable parts = parts_table({"run", "name", "source"}, 3);
  for (const RunRow& run : runs) {
    add_parts(parts, {std::to_string(run.id), run.name, source_of(run)}, mean_breakdown(profile, run.id));
  }
  fmt::print("{}\nPeak memory of the fullest rank, MiB\n", parts.text());
  TextTable memory({"run", "name", "source", "device", "pinned", "host", "nvme"}, 3);
  for (const RunRow& run : runs) {
    std::array<std::int64_t, kSpaces> peak{};
    for (const RankRow& rank : list_ranks(profile, run.id)) {
      for (std::size_t s = 0; s < kSpaces; ++s) peak[s] = std::max(peak[s], rank.peak_bytes[s]);
    }
    memory.add({std::to_string(run.id), run.name, source_of(run), mebibytes(peak[0]), mebibytes(peak[1]),
                mebibytes(peak[2]), mebibytes(peak[3])});
  }
  fmt::print("{}\n`shardscope report {} --run N` shows the ranks, ops and collectives of one run.\n", memory.text(),
             profile.path());
}

void print_breakdown(const Profile& profile, const RunRow& run) {
  const std::vector<RankBreakdown> ranks = step_breakdown(profile, run.id);
  if (ranks.empty()) return;
  fmt::print("\nWhere the time of a mean step goes, ms (mean of {} steps)\n", ranks.front().steps);
  TextTable table = parts_table({"rank"}, 1);
  for (const RankBreakdown& rank : ranks) add_parts(table, {std::to_string(rank.rank)}, rank.mean);
  if (ranks.size() > 1) add_parts(table, {"mean"}, mean_breakdown(profile, run.id));
  fmt::print("{}", table.text());
  if (ranks.front().mean.total_s > 0 &&
      std::all_of(ranks.begin(), ranks.end(), [](const auto& rank) { return rank.mean.idle_s == rank.mean.total_s; }))
    fmt::print("No work of a device was recorded: \"idle\" is what is not known.\n");
}

void print_memory(const Profile& profile, const RunRow& run) {
  const std::vector<MemoryRow> rows = memory_by_category(profile, run.id);
  const std::vector<RankRow> ranks = list_ranks(profile, run.id);
  if (rows.empty()) return;
  fmt::print("\nMemory at the peak of each space, MiB\n");
  std::vector<std::string> head = {"rank", "space"};
  for (int c = 0; c < kCategories; ++c) head.emplace_back(to_string(static_cast<Category>(c)));
  head.insert(head.end(), {"total", "resident (process)"});
  TextTable table(std::move(head), 2);
  for (const RankRow& rank : ranks) {
    for (int s = 0; s < kSpaces; ++s) {
      const std::int64_t total = rank.peak_bytes[static_cast<std::size_t>(s)];
      if (total == 0) continue;
      std::vector<std::string> cells(2 + kCategories, "-");
      cells[0] = std::to_string(rank.rank);
      cells[1] = to_string(static_cast<Space>(s));
      for (const MemoryRow& row : rows) {
        if (row.rank != rank.rank || row.space != static_cast<Space>(s) || row.at_peak_bytes == 0) continue;
        cells[2 + static_cast<std::size_t>(row.category)] = mebibytes(row.at_peak_bytes);
      }
      cells.push_back(mebibytes(total));
      cells.push_back(rank.rss_bytes > 0 ? mebibytes(rank.rss_bytes) : "-");
      table.add(std::move(cells));
    }
  }
  fmt::print("{}", table.text());
}

void print_ops(const Profile& profile, const RunRow& run, int top) {
  fmt::print("\nOps by time, all ranks and steps\n");
  TextTable table({"op", "phase", "lane", "count", "total ms", "mean us", "max us", "GFLOP/s", "GB/s"}, 3);
  for (const OpSummary& op : op_summary(profile, run.id, top)) {
    table.add({op.kind, op.phase, op.lane, std::to_string(op.count), milliseconds(op.total_s),
               fmt::format("{:.1f}", op.mean_s * 1e6), fmt::format("{:.1f}", op.max_s * 1e6),
               fmt::format("{:.1f}", op.flops_per_s * 1e-9), fmt::format("{:.2f}", op.bytes_per_s * 1e-9)});
  }
  fmt::print("{}", table.text());
}

void print_collectives(const Profile& profile, const RunRow& run) {
  const std::vector<CollectiveBandwidth> rows = collective_bandwidth(profile, run.id);
  if (rows.empty()) return;
  fmt::print("\nCollectives (algbw and busbw as nccl-tests, without the time waiting for other ranks)\n");
  TextTable table(
      {"collective", "group", "ranks", "bytes", "count", "mean us", "waiting us", "algbw GB/s", "busbw GB/s"}, 2);
  for (const CollectiveBandwidth& c : rows) {
    table.add({c.kind, c.group, std::to_string(c.ranks), std::to_string(c.bytes), std::to_string(c.count),
               fmt::format("{:.1f}", c.mean_s * 1e6), fmt::format("{:.1f}", c.mean_wait_s * 1e6),
               fmt::format("{:.3f}", c.algbw * 1e-9), fmt::format("{:.3f}", c.busbw * 1e-9)});
  }
  fmt::print("{}", table.text());
}

nlohmann::json ops_json(const Profile& profile, const RunRow& run, int top) {
  nlohmann::json ops = nlohmann::json::array();
  for (const OpSummary& op : op_summary(profile, run.id, top)) {
    ops.push_back({{"op", op.kind},
                   {"phase", op.phase},
                   {"lane", op.lane},
                   {"count", op.count},
                   {"total_s", op.total_s},
                   {"mean_s", op.mean_s},
                   {"min_s", op.min_s},
                   {"max_s", op.max_s},
                   {"wait_s", op.wait_s},
                   {"exposed_s", op.exposed_s},
                   {"flops_per_s", op.flops_per_s},
                   {"bytes_per_s", op.bytes_per_s}});
  }
  return ops;
}

nlohmann::json collectives_json(const Profile& profile, const RunRow& run) {
  nlohmann::json collectives = nlohmann::json::array();
  for (const CollectiveBandwidth& c : collective_bandwidth(profile, run.id)) {
    collectives.push_back({{"collective", c.kind},
                           {"group", c.group},
                           {"ranks", c.ranks},
                           {"bytes", c.bytes},
                           {"count", c.count},
                           {"mean_s", c.mean_s},
                           {"wait_s", c.mean_wait_s},
                           {"algbw_bytes_per_s", c.algbw},
                           {"busbw_bytes_per_s", c.busbw}});
  }
  return collectives;
}

nlohmann::json report_json(const Profile& profile, const RunRow& run, int top) {
  nlohmann::json json = run_json(profile, run);
  json["ops"] = ops_json(profile, run, top);
  json["collectives"] = collectives_json(profile, run);
  json["diagnostics"] = list_diagnostics(profile, run.id);
  json["imported"] = import_json(profile, run.id);
  return json;
}

void print_one(const Profile& profile, const RunRow& run, int top) {
  const StepTimes times = step_times(profile, run.id);
  fmt::print("\nStep time {} ms (10 % of steps under {}, 90 % under {})\n", milliseconds(times.median_s),
             milliseconds(times.p10_s), milliseconds(times.p90_s));
  print_breakdown(profile, run);
  print_memory(profile, run);
  print_ops(profile, run, top);
  print_collectives(profile, run);
}

void run(const Options& o) {
  const Profile profile(o.path);
  const std::vector<RunRow> runs = o.run.empty() ? list_runs(profile) : std::vector{find_run(profile, o.run)};
  if (o.json) {
    nlohmann::json all = nlohmann::json::array();
    for (const RunRow& run : runs) all.push_back(report_json(profile, run, o.top));
    nlohmann::json json = {{"profile", o.path}, {"runs", std::move(all)}};
    for (const nlohmann::json& run : json["runs"]) {  // of the first imported run also here
      if (run["imported"].is_null()) continue;
      json.update(nlohmann::json(run["imported"]));
      break;
    }
    fmt::print("{}", to_line(json));
    return;
  }
  if (runs.empty()) {
    fmt::print("{} holds no runs.\n", o.path);
    return;
  }
  print_runs(profile, runs);
  if (runs.size() == 1) {
    print_one(profile, runs.front(), o.top);
  } else {
    print_overview(profile, runs);
  }
}

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("report", "Show what a profile says: step times, memory, ops, collectives.");
  command->add_option("profile", options->path, "The profile")->required()->type_name("RUN.db");
  command->add_option("--run", options->run, "One run in detail, by number or name")->type_name("N|NAME");
  command->add_option("--top", options->top, "Kinds of op to list; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object: profile, runs");
  command->footer(
      "Examples:\n"
      "  shardscope report run.db\n"
      "  shardscope report run.db --run zero-2 --top 20\n"
      "  shardscope report run.db --json | python3 -m json.tool");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
