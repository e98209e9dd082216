// shardscope critical-path: the chain of work, over all ranks, that made a step as long as it was.

#include "profiler/query/critical_path.h"

#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "profiler/query/list_runs.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, run;
  std::int64_t step = -1;
  int top = 12;
  bool json = false;
};

std::string share_of(std::int64_t ns, const CriticalPath& path) {
  return percent(static_cast<double>(ns), static_cast<double>(path.time.length()));
}

std::string name_of(const StepGraph& graph, const PathSegment& s) {
  if (s.node < 0) return "";
  const WorkOp& op = graph.op(graph.nodes[static_cast<std::size_t>(s.node)]);
  return op.name.empty() ? op.kind : op.name;
}

void print(const StepGraph& graph, const CriticalPath& path, const Options& o) {
  fmt::print("Step {}: {} ms, from where its first rank begins to where its last ends\n", path.step,
             ns_in_ms(path.time.length()));
  TextTable parts({"on the path", "ms", "share"});
  for (int p = 0; p < kTimeParts; ++p) {
    const auto part = static_cast<TimePart>(p);
    if (path.part(part) > 0)
      parts.add({std::string(to_string(part)), ns_in_ms(path.part(part)), share_of(path.part(part), path)});
  }
  parts.add({"step", ns_in_ms(path.time.length()), "100.0 %"});
  fmt::print("\n{}", parts.text());
  if (path.by_rank.size() > 1) {
    TextTable ranks({"rank", "ms", "share"});
    for (const auto& [rank, ns] : path.by_rank) ranks.add({std::to_string(rank), ns_in_ms(ns), share_of(ns, path)});
    fmt::print("\nBy rank; the path leads from one to another {} times\n{}", path.rank_changes, ranks.text());
  }
  if (!path.work.empty()) {
    TextTable work({"work on the path", "kind", "times", "ms", "share"}, 2);
    for (const PathWork& w : path.work) {
      if (o.top > 0 && &w - path.work.data() >= o.top) break;
      const std::string name = w.name.size() > 60 ? w.name.substr(0, 57) + "..." : w.name;
      work.add({name, w.kind, std::to_string(w.count), ns_in_ms(w.ns), share_of(w.ns, path)});
    }
    fmt::print("\n{}", work.text());
  }
  std::vector<const PathSegment*> pauses;
  for (const PathSegment& s : path.segments)
    if (s.node < 0) pauses.push_back(&s);
  std::stable_sort(pauses.begin(), pauses.end(),
                   [](const PathSegment* a, const PathSegment* b) { return a->time.length() > b->time.length(); });
  if (o.top > 0 && pauses.size() > static_cast<std::size_t>(o.top)) pauses.resize(static_cast<std::size_t>(o.top));
  TextTable longest({"longest pauses on it", "after", "rank", "at ms", "ms"}, 2);
  for (const PathSegment* s : pauses) {
    const bool first = s == path.segments.data();
    longest.add({std::string(to_string(s->part)), first ? "" : name_of(graph, *(s - 1)).substr(0, 60),
                 std::to_string(s->rank), ns_in_ms(s->time.begin_ns - path.time.begin_ns), ns_in_ms(s->time.length())});
  }
  if (!longest.empty()) fmt::print("\n{}", longest.text());
  for (const std::string& remark : path.remarks) fmt::print("\n{}\n", remark);
}

nlohmann::json json_of(const StepGraph& graph, const CriticalPath& path, const RunRow& run, const Options& o) {
  nlohmann::json parts, ranks = nlohmann::json::array(), work = nlohmann::json::array(),
                        segments = nlohmann::json::array();
  for (int p = 0; p < kTimeParts; ++p)
    parts[std::string(key_of(static_cast<TimePart>(p)))] = path.part(static_cast<TimePart>(p));
  for (const auto& [rank, ns] : path.by_rank) ranks.push_back({{"rank", rank}, {"ns", ns}});
  for (const PathWork& w : path.work)
    work.push_back({{"kind", w.kind}, {"name", w.name}, {"part", key_of(w.part)}, {"ns", w.ns}, {"count", w.count}});
  for (const PathSegment& s : path.segments) {
    segments.push_back({{"rank", s.rank},
                        {"part", key_of(s.part)},
                        {"start_ns", s.time.begin_ns},
                        {"dur_ns", s.time.length()},
                        {"name", name_of(graph, s)}});
  }
  return {{"profile", o.path},
          {"run", run.id},
          {"name", run.name},
          {"step", path.step},
          {"start_ns", path.time.begin_ns},
          {"dur_ns", path.time.length()},
          {"parts_ns", std::move(parts)},
          {"ranks", std::move(ranks)},
          {"rank_changes", path.rank_changes},
          {"work", std::move(work)},
          {"segments", std::move(segments)},
          {"remarks", path.remarks}};
}

void run(const Options& o) {
  const Profile profile(o.path);
  const RunRow run = find_run_or_first(profile, o.run);
  const StepGraphSource source(profile, run.id);
  const std::optional<std::int64_t> usual = source.usual_step();
  if (!usual) throw Error(ErrorKind::kConfig, fmt::format("{}: run {} has no steps", o.path, printable(run.name)));
  const StepGraph graph = source.graph(o.step >= 0 ? o.step : *usual);
  CriticalPath path = critical_path(graph);
  if (!source.steps().remark.empty()) path.remarks.insert(path.remarks.begin(), source.steps().remark);
  if (o.json) {
    fmt::print("{}", to_line(json_of(graph, path, run, o)));
  } else {
    print(graph, path, o);
  }
}

}  // namespace

void add_critical_path(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("critical-path",
                                         "Show the chain of work, over all ranks, that made a step as long as it was.");
  command->add_option("profile", options->path, "The profile")->required()->type_name("RUN.db");
  command->add_option("--run", options->run, "The run, by number or name; else the first measured one")
      ->type_name("N|NAME");
  command->add_option("--step", options->step, "The step; else the one of median length")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command->add_option("--top", options->top, "Work and pauses to list; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object: parts_ns, ranks, work, segments, ...");
  command->footer(
      "How it is found, and what it takes for granted: docs/understand.md.\n"
      "Examples:\n"
      "  shardscope critical-path run.db\n"
      "  shardscope critical-path imported.db --step 12 --json");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
