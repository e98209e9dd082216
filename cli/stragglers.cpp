// shardscope stragglers: whom the others wait for, by a clock that all ranks share.

#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "profiler/query/collective_waits.h"
#include "profiler/query/list_runs.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, run;
  bool json = false;
};

template <class T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

std::string microseconds(double ns) { return fmt::format("{:.3f}", ns * 1e-3); }
std::string gigabytes(const std::optional<double>& speed) {
  return speed ? fmt::format("{:.3f}", *speed * 1e-9) : std::string("-");
}

void print_clocks(const ClockAlignment& clocks) {
  fmt::print("Clocks: what to add to a rank's times to have those of rank {}\n", clocks.ranks.front().rank);
  TextTable table({"rank", "offset us", "drift ppm", "error us, at most", "collectives", "contradiction us", ""}, 1);
  for (const RankClock& c : clocks.ranks) {
    if (!c.error_ns) {
      table.add({std::to_string(c.rank), "-", "-", "-", "0", "-", "not known"});
      continue;
    }
    table.add({std::to_string(c.rank), microseconds(c.offset_ns), fmt::format("{:.3f}", c.drift_ppm),
               microseconds(*c.error_ns), std::to_string(c.collectives), microseconds(c.contradiction_ns),
               &c == &clocks.ranks.front() ? ""
               : c.may_be_same             ? "as recorded"
                                           : "shifted"});
  }
  fmt::print("{}", table.text());
}

void print_waits(const CollectiveWaits& waits) {
  fmt::print("\nStragglers: how often each rank came last, and how long all others together waited for it\n");
  TextTable ranks({"rank", "collectives", "last", "surely", "behind ms", "made wait ms", "itself waits ms", "moves ms"},
                  1);
  for (const Straggler& s : waits.stragglers) {
    ranks.add({std::to_string(s.rank), std::to_string(s.collectives), std::to_string(s.last),
               std::to_string(s.surely_last), ns_in_ms(s.behind_ns), ns_in_ms(s.made_wait_ns), ns_in_ms(s.waits_ns),
               ns_in_ms(s.moves_ns)});
  }
  fmt::print("{}\nBy group, sums over ranks (algbw and busbw as nccl-tests, of the time moving)\n", ranks.text());
  TextTable groups({"collective", "group", "ranks", "calls", "waiting ms", "of it", "moving ms", "algbw GB/s",
                    "busbw GB/s", "waits most for"},
                   2);
  for (const GroupWaits& g : waits.groups) {
    groups.add({g.kind, g.group, std::to_string(g.ranks), std::to_string(g.calls), ns_in_ms(g.waits_ns),
                percent(static_cast<double>(g.waits_ns), static_cast<double>(g.waits_ns + g.moves_ns)),
                ns_in_ms(g.moves_ns), gigabytes(g.algbw), gigabytes(g.busbw),
                g.most_last ? fmt::format("rank {}", *g.most_last) : std::string("-")});
  }
  fmt::print("{}", groups.text());
}

nlohmann::json clocks_json(const ClockAlignment& clocks) {
  nlohmann::json all = nlohmann::json::array();
  for (const RankClock& c : clocks.ranks) {
    const bool known = c.error_ns.has_value();
    all.push_back({{"rank", c.rank},
                   {"offset_ns", known ? nlohmann::json(c.offset_ns) : nlohmann::json(nullptr)},
                   {"drift_ppm", known ? nlohmann::json(c.drift_ppm) : nlohmann::json(nullptr)},
                   {"error_ns", or_null(c.error_ns)},
                   {"collectives", c.collectives},
                   {"contradiction_ns", c.contradiction_ns},
                   {"may_be_same", c.may_be_same}});
  }
  return all;
}

nlohmann::json waits_json(const CollectiveWaits& waits) {
  nlohmann::json ranks = nlohmann::json::array(), groups = nlohmann::json::array();
  for (const Straggler& s : waits.stragglers) {
    ranks.push_back({{"rank", s.rank},
                     {"collectives", s.collectives},
                     {"waits_ns", s.waits_ns},
                     {"moves_ns", s.moves_ns},
                     {"last", s.last},
                     {"surely_last", s.surely_last},
                     {"behind_ns", s.behind_ns},
                     {"made_wait_ns", s.made_wait_ns}});
  }
  for (const GroupWaits& g : waits.groups) {
    groups.push_back({{"collective", g.kind},
                      {"group", g.group},
                      {"ranks", g.ranks},
                      {"calls", g.calls},
                      {"waits_ns", g.waits_ns},
                      {"moves_ns", g.moves_ns},
                      {"algbw_bytes_per_s", or_null(g.algbw)},
                      {"busbw_bytes_per_s", or_null(g.busbw)},
                      {"waits_most_for", or_null(g.most_last)}});
  }
  return {{"stragglers", std::move(ranks)}, {"groups", std::move(groups)}};
}

RunRow chosen_run(const Profile& profile, const std::string& name) {
  if (!name.empty()) return find_run(profile, name);
  const std::vector<RunRow> runs = list_runs(profile);
  if (runs.empty()) throw Error(ErrorKind::kConfig, profile.path() + ": holds no runs");
  std::vector<RunRow> measured;
  for (const RunRow& run : runs) {
    if (!run.predicted) measured.push_back(run);
  }
  if (measured.size() == 1 || runs.size() == 1) return measured.size() == 1 ? measured.front() : runs.front();
  throw Error(ErrorKind::kConfig, fmt::format("{}: holds {} runs; choose one with --run (shardscope report lists them)",
                                              profile.path(), runs.size()));
}

void run(const Options& o) {
  const Profile profile(o.path);
  const RunRow run = chosen_run(profile, o.run);
  const MatchedCollectives matched = match_collectives(profile, run.id);
  const ClockAlignment clocks = align_clocks(matched);
  const CollectiveWaits waits = collective_waits(matched, clocks);
  const std::vector<std::string> remarks = alignment_remarks(matched, clocks);
  if (o.json) {
    nlohmann::json json = {{"profile", o.path},
                           {"run", run.id},
                           {"name", run.name},
                           {"collectives", matched.executions},
                           {"unmatched", matched.unmatched},
                           {"clocks", clocks_json(clocks)},
                           {"remarks", remarks}};
    json.update(waits_json(waits));
    fmt::print("{}", to_line(json));
    return;
  }
  if (!matched.calls.empty()) print_clocks(clocks);
  if (!waits.groups.empty()) print_waits(waits);
  for (const std::string& remark : remarks) fmt::print("{}\n", remark);
}

}  // namespace

void add_stragglers(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "stragglers", "Show whom the others wait for in collectives, and how the clocks of the ranks differ.");
  command->add_option("profile", options->path, "The profile")->required()->type_name("RUN.db");
  command->add_option("--run", options->run, "The run, by number or name; else the only measured one")
      ->type_name("N|NAME");
  command->add_flag("--json", options->json, "One JSON object: clocks, stragglers, groups, remarks");
  command->footer(
      "Clocks of different machines are aligned by the collectives that both were in (docs/stragglers.md).\n"
      "Examples:\n"
      "  shardscope stragglers run.db\n"
      "  shardscope stragglers run.db --run zero-2 --json");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
