// shardscope breakdown: where the time of each step goes, what made devices idle, and what kernels, collectives, copies
// and memory have to do with it. Of our own runs and of recorded or imported ones.

#include "cli/breakdown.h"

#include <fmt/format.h>

#include <memory>
#include <set>

#include "cli/command.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "profiler/query/step_times.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, run;
  int rank = -1, top = 10;
  std::int64_t step = -1;
  bool json = false;
};

constexpr std::size_t kLongestName = 60;

std::string shortened(const std::string& name) {
  return name.size() <= kLongestName ? name : name.substr(0, kLongestName - 3) + "...";
}

std::string gigabytes_per_s(double bytes_per_s) { return fmt::format("{:.2f}", 1e-9 * bytes_per_s); }

PeakMemory peak_memory(const Profile& profile, const RunRow& run, const Options& o) {
  PeakMemory memory;
  for (const RankRow& rank : list_ranks(profile, run.id)) {
    const std::int64_t bytes = rank.peak_bytes[static_cast<std::size_t>(Space::kDevice)];
    if ((o.rank >= 0 && rank.rank != o.rank) || bytes <= memory.bytes) continue;
    memory.rank = rank.rank, memory.bytes = bytes;
  }
  if (memory.bytes == 0) return memory;
  for (const MemoryRow& row : memory_by_category(profile, run.id))
    if (row.rank == memory.rank && row.space == Space::kDevice) memory.categories.push_back(row);
  const MemoryTimeline timeline(profile, load_memory_facts(profile, run.id));
  const auto peak = timeline.first_above(memory.rank, Space::kDevice, memory.bytes - 1);
  if (!peak) return memory;
  memory.alive = live_allocations(timeline, memory.rank, Space::kDevice, peak->time_ns);
  if (o.top > 0 && memory.alive->rows.size() > static_cast<std::size_t>(o.top))
    memory.alive->rows.resize(static_cast<std::size_t>(o.top));
  return memory;
}

/// Part of the peak that the model's own work is; nothing where work or peak are not known.
std::optional<double> mfu_of(const Profile& profile, const RunRow& run) {
  const double peak = run.peak_flops_per_rank * run.world, rate = step_times(profile, run.id).tokens_per_s;
  if (peak <= 0 || rate <= 0 || run.flops_per_token <= 0) return std::nullopt;
  return rate * run.flops_per_token / peak;
}

BreakdownView gather(const Profile& profile, const RunRow& run, const Options& o) {
  BreakdownView view;
  view.run = run;
  view.time = time_breakdown(profile, run.id, {o.rank, o.step});
  if (o.top > 0 && view.time.gaps.size() > static_cast<std::size_t>(o.top))
    view.time.gaps.resize(static_cast<std::size_t>(o.top));
  view.roof = device_roof(profile, run.id);
  view.kernels = kernel_times(profile, run.id, view.roof, o.rank, o.top);
  view.collectives = collective_bandwidth(profile, run.id);
  view.copies = copy_traffic(profile, run.id, o.rank);
  view.memory = peak_memory(profile, run, o);
  view.mfu = mfu_of(profile, run);
  return view;
}

/// Parts that any rank has.
std::vector<TimePart> parts_of(const TimeBreakdown& time) {
  std::vector<TimePart> parts;
  for (int p = 0; p < kTimeParts; ++p) {
    const auto part = static_cast<TimePart>(p);
    const auto has = [&](const StepTime& s) { return s.part(part) > 0; };
    if (std::any_of(time.steps.begin(), time.steps.end(), has)) parts.push_back(part);
  }
  return parts;
}

void print_time(const TimeBreakdown& time) {
  if (time.steps.empty()) return;
  const PartSums all = sum_of(time);
  std::set<int> ranks;
  for (const StepTime& s : time.steps) ranks.insert(s.rank);
  fmt::print("\nWhere the time of a mean step goes, ms\n");
  std::vector<std::string> head = {""};
  if (ranks.size() > 1) head.insert(head.end(), {"all ranks", "share"});
  for (int rank : ranks) head.insert(head.end(), {fmt::format("rank {}", rank), "share"});
  TextTable table(std::move(head));
  std::vector<PartSums> columns;
  if (ranks.size() > 1) columns.push_back(all);
  for (int rank : ranks) columns.push_back(sum_of(time, rank));
  const auto add = [&](const std::string& name, auto&& value, bool share) {
    std::vector<std::string> cells = {name};
    for (const PartSums& c : columns) {
      cells.push_back(milliseconds(c.mean_s(value(c))));
      cells.push_back(share ? fmt::format("{:.1f} %", 100 * c.share(value(c))) : "");
    }
    table.add(std::move(cells));
  };
  for (TimePart part : parts_of(time)) {
    add(
        std::string(to_string(part)), [&](const PartSums& c) { return c.ns[part]; }, true);
  }
  add(
      "step", [](const PartSums& c) { return c.total_ns; }, true);
  if (all.communication_ns > 0) {
    add(
        "communication, hidden too", [](const PartSums& c) { return c.communication_ns; }, true);
  }
  if (all.copies_ns > 0) {
    add(
        "copies, hidden too", [](const PartSums& c) { return c.copies_ns; }, true);
  }
  fmt::print("{}", table.text());
}

void print_steps(const TimeBreakdown& time) {
  constexpr std::size_t kMostSteps = 20;
  if (time.steps.size() < 2) return;
  fmt::print("\nStep by step, ms\n");
  const std::vector<TimePart> parts = parts_of(time);
  std::vector<std::string> head = {"rank", "step", "total"};
  for (TimePart part : parts) head.emplace_back(to_string(part));
  TextTable table(std::move(head), 1);
  for (const StepTime& s : time.steps) {
    if (&s - time.steps.data() >= static_cast<std::ptrdiff_t>(kMostSteps)) break;
    std::vector<std::string> cells = {std::to_string(s.rank), std::to_string(s.step), ns_in_ms(s.time.length())};
    for (TimePart part : parts) cells.push_back(ns_in_ms(s.part(part)));
    table.add(std::move(cells));
  }
  fmt::print("{}", table.text());
  if (time.steps.size() > kMostSteps)
    fmt::print("  ... of {}: --json has all; --rank, --step choose\n", time.steps.size());
}

void print_gaps(const TimeBreakdown& time) {
  if (time.gaps.empty()) return;
  fmt::print("\nLongest stretches in which a device was idle\n");
  TextTable table({"cause", "after", "before", "rank", "step", "ms"}, 3);
  for (const IdleGap& g : time.gaps) {
    table.add({std::string(to_string(g.cause)), shortened(g.before), shortened(g.after), std::to_string(g.rank),
               std::to_string(g.step), ns_in_ms(g.time.length())});
  }
  fmt::print("{}", table.text());
}

void print_kernels(const BreakdownView& view) {
  if (view.kernels.empty()) return;
  fmt::print("\nKernels by time{}\n", view.roof.device.empty() ? "" : " (" + printable(view.roof.device) + ")");
  TextTable table({"kernel", "phase", "count", "total ms", "share", "mean us", "TFLOP/s", "GB/s", "of roof", "bound"},
                  2);
  for (const KernelTime& k : view.kernels) {
    const std::string name = k.name.empty() || !k.phase.empty() ? k.kind + " " + k.name : k.name;
    table.add({shortened(name), k.phase.empty() ? "-" : k.phase, std::to_string(k.count), milliseconds(k.total_s),
               fmt::format("{:.1f} %", 100 * k.share), fmt::format("{:.1f}", 1e6 * k.mean_s),
               k.flops_per_s ? fmt::format("{:.3f}", 1e-12 * *k.flops_per_s) : "-",
               k.bytes_per_s ? gigabytes_per_s(*k.bytes_per_s) : "-",
               k.of_roof ? fmt::format("{:.0f} %", 100 * *k.of_roof) : "-", k.bound.empty() ? "-" : k.bound});
  }
  fmt::print("{}", table.text());
}

void print_ranges(const TimeBreakdown& time, std::size_t top) {
  if (time.ranges.empty()) return;
  std::int64_t all = 0;
  for (const LaunchedIn& r : time.ranges) all += r.total_ns;
  const double steps = static_cast<double>(sum_of(time).steps);
  fmt::print("\nTime of the device by what launched it, of a mean step: the innermost operator or range of the host\n");
  TextTable table({"launched in", "kind", "count", "ms", "share"}, 2);
  for (const LaunchedIn& r : time.ranges) {
    if (top > 0 && static_cast<std::size_t>(&r - time.ranges.data()) >= top) break;
    table.add({r.kind.empty() ? "(no range, or not recorded)" : shortened(r.name), r.kind.empty() ? "-" : r.kind,
               fmt::format("{:.1f}", static_cast<double>(r.count) / steps),
               milliseconds(1e-9 * static_cast<double>(r.total_ns) / steps),
               fmt::format("{:.1f} %", 100.0 * static_cast<double>(r.total_ns) / static_cast<double>(all))});
  }
  fmt::print("{}", table.text());
}

void print_collectives(const BreakdownView& view, std::size_t top) {
  if (view.collectives.empty()) return;
  fmt::print("\nCollectives by group and size (busbw as nccl-tests, without the time waiting)\n");
  TextTable table({"collective", "group", "ranks", "bytes", "count", "mean us", "waiting us", "busbw GB/s"}, 2);
  for (const CollectiveBandwidth& c : view.collectives) {
    if (top > 0 && static_cast<std::size_t>(&c - view.collectives.data()) >= top) break;
    const bool known = c.bytes > 0;
    table.add({c.kind, shortened(c.group), std::to_string(c.ranks), known ? std::to_string(c.bytes) : "-",
               std::to_string(c.count), fmt::format("{:.1f}", 1e6 * c.mean_s),
               fmt::format("{:.1f}", 1e6 * c.mean_wait_s), known ? gigabytes_per_s(c.busbw) : "-"});
  }
  fmt::print("{}", table.text());
}

void print_copies(const BreakdownView& view) {
  if (view.copies.empty()) return;
  fmt::print("\nCopies\n");
  TextTable table({"lane", "copy", "count", "MiB", "total ms", "GB/s"}, 2);
  for (const CopyTraffic& c : view.copies) {
    table.add({c.lane, c.name, std::to_string(c.count), mebibytes(c.bytes), milliseconds(c.total_s),
               c.bytes > 0 ? gigabytes_per_s(c.bytes_per_s()) : "-"});
  }
  fmt::print("{}", table.text());
}

void print_memory(const PeakMemory& memory) {
  if (memory.bytes == 0) return;
  std::string parts;
  for (const MemoryRow& row : memory.categories) {
    if (row.at_peak_bytes == 0) continue;
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", to_string(row.category), mebibytes(row.at_peak_bytes));
  }
  fmt::print("\nDevice memory at its peak: rank {}, {} MiB ({})\n", memory.rank, mebibytes(memory.bytes), parts);
  if (!memory.alive || memory.alive->rows.empty()) return;
  TextTable table({"alive then", "category", "MiB", "from"}, 2);
  for (const LiveAllocation& a : memory.alive->rows) {
    std::string from = a.phase;
    if (a.layer >= 0) from += fmt::format("{}layer {}", from.empty() ? "" : ", ", a.layer);
    if (!a.module.empty()) from += fmt::format("{}{}", from.empty() ? "" : ", ", a.module);
    table.add({a.buffer.empty() ? "-" : shortened(a.buffer), std::string(to_string(a.category)), mebibytes(a.bytes),
               from.empty() ? (a.op == LiveAllocation::kBefore ? "before the first step" : "-") : from});
  }
  fmt::print("{}", table.text());
}

void print(const BreakdownView& view, const Options& o) {
  const RunRow& run = view.run;
  fmt::print("Run {} {}: {}, {} rank{}\n", run.id, printable(run.name), printable(run.framework), run.world,
             run.world == 1 ? "" : "s");
  if (view.mfu) fmt::print("MFU {:.1f} %\n", 100 * *view.mfu);
  print_time(view.time);
  if (o.step < 0) print_steps(view.time);
  print_gaps(view.time);
  print_kernels(view);
  print_ranges(view.time, static_cast<std::size_t>(o.top));
  print_collectives(view, static_cast<std::size_t>(o.top));
  print_copies(view);
  print_memory(view.memory);
  if (!view.time.remarks.empty()) fmt::print("\n");
  for (const std::string& remark : view.time.remarks) fmt::print("{}\n", remark);
}

void run(const Options& o) {
  const Profile profile(o.path);
  const BreakdownView view = gather(profile, find_run_or_first(profile, o.run), o);
  if (o.json) {
    fmt::print("{}", to_line(breakdown_json(o.path, view)));
  } else {
    print(view, o);
  }
}

}  // namespace

void add_breakdown(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("breakdown", "Show where the time of each step goes, to 100 %, and what made devices idle.");
  command->add_option("profile", options->path, "The profile")->required()->type_name("RUN.db");
  command->add_option("--run", options->run, "The run, by number or name; else the first measured one")
      ->type_name("N|NAME");
  command->add_option("--rank", options->rank, "Of this rank only")->check(CLI::NonNegativeNumber)->type_name("N");
  command->add_option("--step", options->step, "Of this step only")->check(CLI::NonNegativeNumber)->type_name("N");
  command->add_option("--top", options->top, "Kernels, gaps, allocations to list; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object: mean, ranks, steps, idle_gaps, kernels, ...");
  command->footer(
      "What the parts mean: docs/understand.md.\n"
      "Examples:\n"
      "  shardscope breakdown run.db\n"
      "  shardscope breakdown imported.db --rank 3 --step 12\n"
      "  shardscope breakdown run.db --json | python3 -m json.tool");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
