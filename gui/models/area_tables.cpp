#include "gui/models/area_tables.h"

#include <fmt/format.h>

#include <algorithm>

#include "gui/models/bar_chart.h"
#include "gui/models/memory_looks.h"
#include "gui/models/memory_state.h"
#include "gui/models/timeline_colours.h"
#include "profiler/query/step_times.h"

namespace shardscope::gui {
namespace {

constexpr double kNs = 1e-9;

TableCell text(const std::string& value) { return {value}; }
TableCell seconds(double ns) { return {format_seconds(ns * kNs), ns * kNs, fmt::format("{:.12g}", ns * kNs)}; }
TableCell count(std::int64_t value) { return {std::to_string(value), static_cast<double>(value)}; }
TableCell percent(double share) { return {fmt::format("{:.1f} %", share * 100), share, fmt::format("{:.6g}", share)}; }
TableCell rate(double per_second, const char* unit) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P"};
  std::size_t prefix = 0;
  double shown = per_second;
  while (shown >= 999.5 && prefix + 1 < std::size(kPrefixes)) shown /= 1000, ++prefix;
  return {fmt::format("{:.3g} {}{}", shown, kPrefixes[prefix], unit), per_second, fmt::format("{:.6g}", per_second)};
}

double ns_of(const AreaRow& row, std::size_t work) { return static_cast<double>(row.busy_ns[work]); }

std::array<bool, kWorkClasses> classes_of(const std::vector<AreaRow>& rows) {
  std::array<bool, kWorkClasses> used{};
  for (const AreaRow& row : rows) {
    for (std::size_t c = 0; c < used.size(); ++c) used[c] = used[c] || row.busy_ns[c] > 0;
  }
  return used;
}

std::string title_of(const AreaOp& op) { return op.name.empty() ? op.kind : op.kind + " " + op.name; }

double inside_of(const std::vector<AreaOp>& ops) {
  double all = 0;
  for (const AreaOp& op : ops) all += static_cast<double>(op.inside_ns);
  return all;
}

/// Rows of "what, value, remark" below one another.
class Report {
 public:
  void add(const std::string& what, const std::string& value, const std::string& remark = {}) {
    table_.rows.push_back({text(what), text(value), text(remark)});
  }
  TableData take() { return std::move(table_); }

 private:
  TableData table_{{"what", "value", "remark"}, {}};
};

void add_times(Report& report, const OpReport& r) {
  const OpDetails& d = r.details;
  const auto span_ns = static_cast<double>(r.span.end_ns - r.span.begin_ns);
  report.add(
      "this time", format_seconds(span_ns * kNs),
      fmt::format("step {}, from {} on", r.span.step, format_seconds(static_cast<double>(r.span.begin_ns) * kNs)));
  if (r.span.wait_ns > 0)
    report.add("of it waiting", format_seconds(static_cast<double>(r.span.wait_ns) * kNs), "for the last rank to come");
  const char* own = d.predicted ? "predicted, mean" : "measured, mean";
  report.add(own, format_seconds(d.times.mean_ns * kNs),
             fmt::format("{} times on this rank, {} to {}", d.times.count,
                         format_seconds(static_cast<double>(d.times.min_ns) * kNs),
                         format_seconds(static_cast<double>(d.times.max_ns) * kNs)));
  const char* other = d.predicted ? "measured, mean" : "predicted, mean";
  if (!r.other) return report.add(other, "not known", "no such run of the same program is open");
  const double off = d.times.mean_ns > 0 ? r.other->mean_ns / d.times.mean_ns - 1 : 0;
  report.add(other, format_seconds(r.other->mean_ns * kNs), fmt::format("{:+.1f} % beside this run", off * 100));
}

/// What was reached, over the time that the op did not wait.
void add_rates(Report& report, const OpReport& r) {
  const OpDetails& d = r.details;
  const double busy_s = static_cast<double>(r.span.end_ns - r.span.begin_ns - r.span.wait_ns) * kNs;
  if (!(busy_s > 0)) return;
  if (d.flops > 0) {
    report.add("work", rate(d.flops, "FLOP").text);
    const double reached = d.flops / busy_s;
    report.add("reached", rate(reached, "FLOP/s").text,
               d.peak_flops > 0 ? fmt::format("{:.1f} % of the rank's peak, {}", reached / d.peak_flops * 100,
                                              rate(d.peak_flops, "FLOP/s").text)
                                : "the profile names no peak");
  }
  if (d.bytes > 0) {
    report.add("memory traffic", format_bytes(static_cast<double>(d.bytes)), "least: each operand once");
    report.add("reached", rate(static_cast<double>(d.bytes) / busy_s, "B/s").text,
               d.flops > 0 ? fmt::format("{:.4g} FLOP per byte", d.flops / static_cast<double>(d.bytes)) : "");
  }
  if (d.collective_bytes > 0) {
    report.add("moved", format_bytes(static_cast<double>(d.collective_bytes)), "as nccl-tests counts it");
    report.add("reached", rate(static_cast<double>(d.collective_bytes) / busy_s, "B/s").text, "without waiting");
  }
}

/// What the op could reach at most, between its arithmetic and its memory.
void add_roofline(Report& report, const OpReport& r) {
  const OpDetails& d = r.details;
  const double busy_s = static_cast<double>(r.span.end_ns - r.span.begin_ns - r.span.wait_ns) * kNs;
  if (!(busy_s > 0) || !(d.flops > 0) || d.bytes <= 0) return;
  const double peak = d.peak_flops > 0 ? d.peak_flops : r.facts ? r.facts->peak_flops : 0;
  if (!r.facts || !(r.facts->bandwidth > 0) || !(peak > 0)) {
    return report.add("roofline", "not known", "neither the run nor its job says how fast the memory is");
  }
  const double intensity = d.flops / static_cast<double>(d.bytes), by_memory = intensity * r.facts->bandwidth;
  const double roof = std::min(peak, by_memory), reached = d.flops / busy_s;
  report.add("roofline", rate(roof, "FLOP/s").text,
             fmt::format("{:.1f} % of it reached; {} is the bound: {:.4g} FLOP per byte, {} and {}",
                         reached / roof * 100, by_memory < peak ? "memory" : "arithmetic", intensity,
                         rate(r.facts->bandwidth, "B/s").text, rate(peak, "FLOP/s").text));
  report.add("memory bandwidth", rate(r.facts->bandwidth, "B/s").text, r.facts->bandwidth_source);
}

std::string shown(const CostFact& fact) {
  if (fact.unit == "s") return format_seconds(fact.value);
  return fmt::format("{:.4g} {}", fact.value, fact.unit);
}

/// Operands, and what the simulator makes of the op, each number with where it is from.
void add_facts(Report& report, const OpFacts& facts) {
  if (!facts.problem.empty()) return report.add("operands, costs", "not known", facts.problem);
  for (const OperandFact& o : facts.operands) {
    report.add((o.written ? "writes " : "reads ") + o.role, o.shape,
               fmt::format("{}, {}", o.buffer, format_bytes(static_cast<double>(o.bytes))));
  }
  if (!facts.sizes.empty()) report.add("sizes", facts.sizes);
  for (const CostFact& part : facts.parts) report.add("cost alone: " + part.what, shown(part), part.source);
  for (const CostFact& c : facts.constants) report.add("constant " + c.what, shown(c), c.source);
}

/// Columns of a table of ops: what the op is, what it belongs to, its times, and others behind.
TableData table_of_ops(const char* what, const char* of, std::initializer_list<const char*> others) {
  TableData table{{what, of, "count", "sum", "mean", "p50", "p99", "max"}, {}};
  table.columns.insert(table.columns.end(), others.begin(), others.end());
  return table;
}

std::vector<TableCell> cells_of(const AreaOp& op, const std::string& of) {
  return {text(title_of(op)),
          text(of),
          count(op.count),
          seconds(static_cast<double>(op.inside_ns)),
          seconds(op.mean_ns),
          seconds(static_cast<double>(op.p50_ns)),
          seconds(static_cast<double>(op.p99_ns)),
          seconds(static_cast<double>(op.max_ns))};
}

}  // namespace

TableData category_table(const std::vector<AreaRow>& rows, TimeWindow time) {
  TableData table{{"class of work", "ranks", "sum", "mean", "p50", "p99", "max", "share"}, {}};
  const std::array<bool, kWorkClasses> used = classes_of(rows);
  const double whole = static_cast<double>(time.length()) * static_cast<double>(rows.size());
  for (std::size_t c = 0; c < used.size(); ++c) {
    if (!used[c]) continue;
    std::vector<double> values;
    double sum = 0;
    for (const AreaRow& row : rows) {
      values.push_back(ns_of(row, c));
      sum += values.back();
    }
    const double most = *std::max_element(values.begin(), values.end());
    const auto ranks = static_cast<std::int64_t>(values.size());
    table.rows.push_back({text(look_of(static_cast<WorkClass>(c)).name), count(ranks), seconds(sum),
                          seconds(sum / static_cast<double>(ranks)), seconds(quantile(values, 0.5)),
                          seconds(quantile(values, 0.99)), seconds(most), percent(whole > 0 ? sum / whole : 0)});
  }
  return table;
}

TableData rank_table(const std::vector<AreaRow>& rows, TimeWindow time) {
  TableData table{{"rank"}, {}};
  const std::array<bool, kWorkClasses> used = classes_of(rows);
  for (std::size_t c = 0; c < used.size(); ++c) {
    if (used[c]) table.columns.emplace_back(look_of(static_cast<WorkClass>(c)).name);
  }
  table.columns.emplace_back("compute share");
  for (const AreaRow& row : rows) {
    std::vector<TableCell>& cells = table.rows.emplace_back(std::vector<TableCell>{count(row.rank)});
    double compute = 0;
    for (std::size_t c = 0; c < used.size(); ++c) {
      if (used[c]) cells.push_back(seconds(ns_of(row, c)));
      if (c <= static_cast<std::size_t>(WorkClass::kOptimizer)) compute += ns_of(row, c);
    }
    cells.push_back(percent(time.length() > 0 ? compute / static_cast<double>(time.length()) : 0));
  }
  return table;
}

TableData op_table(const std::vector<AreaOp>& ops) {
  TableData table = table_of_ops("op", "phase", {"share"});
  const double all = inside_of(ops);
  for (const AreaOp& op : ops) {
    std::vector<TableCell>& row = table.rows.emplace_back(cells_of(op, op.phase));
    row.push_back(percent(all > 0 ? static_cast<double>(op.inside_ns) / all : 0));
  }
  return table;
}

TableData collective_table(const std::vector<AreaOp>& ops) {
  TableData table = table_of_ops("collective", "group", {"waiting", "bytes", "rate"});
  for (const AreaOp& op : ops) {
    if (!op.communication) continue;
    const double whole = op.mean_ns * static_cast<double>(op.count), waited = static_cast<double>(op.wait_ns);
    const double moving_s = (whole - waited) / static_cast<double>(op.count) * kNs;
    const auto bytes = static_cast<double>(op.bytes);
    std::vector<TableCell>& row = table.rows.emplace_back(cells_of(op, op.group));
    row.push_back(percent(whole > 0 ? waited / whole : 0));
    row.push_back({format_bytes(bytes), bytes, std::to_string(op.bytes)});
    row.push_back(rate(moving_s > 0 ? bytes / moving_s : 0, "B/s"));
  }
  return table;
}

TableData memory_area_table(const std::vector<AreaMemory>& rows) {
  TableData table{{"rank", "memory", "at its start", "at most", "at least", "at its end", "change"}, {}};
  const auto bytes = [](std::int64_t n) {
    const auto number = static_cast<double>(n);
    return TableCell{(n < 0 ? "-" : "") + format_bytes(std::abs(number)), number, std::to_string(n)};
  };
  std::vector<MemoryLook> used;
  for (const MemoryLook& look : kMemoryLooks) {
    const auto c = static_cast<std::size_t>(look.category);
    const auto holds = [c](const AreaMemory& row) { return row.at_highest[c] > 0; };
    if (std::any_of(rows.begin(), rows.end(), holds)) used.push_back(look);
  }
  for (const MemoryLook& look : used) table.columns.push_back(std::string(look.name) + ", at most");
  for (const AreaMemory& row : rows) {
    std::vector<TableCell>& cells = table.rows.emplace_back(
        std::vector<TableCell>{count(row.rank), text(name_of(row.space)), bytes(row.at_begin), bytes(row.highest),
                               bytes(row.lowest), bytes(row.at_end), bytes(row.at_end - row.at_begin)});
    for (const MemoryLook& look : used) cells.push_back(bytes(row.at_highest[static_cast<std::size_t>(look.category)]));
  }
  return table;
}

TableData details_table(const OpReport& r) {
  const OpDetails& d = r.details;
  Report report;
  report.add("op", d.name.empty() ? d.kind : d.kind + " " + d.name, d.phase);
  report.add("rank, lane", fmt::format("{}, {}", r.rank, d.lane));
  std::string place = d.layer >= 0 ? fmt::format("layer {}", d.layer) : "outside of layers";
  if (d.micro_batch >= 0) place += fmt::format(", micro-batch {}", d.micro_batch);
  report.add("place", place);
  if (!d.group.empty()) {
    report.add("group", fmt::format("{}, {} ranks", d.group, d.group_size),
               r.tied_ranks > 0 ? fmt::format("seen on {} other ranks at this time", r.tied_ranks) : "");
  }
  add_times(report, r);
  add_rates(report, r);
  add_roofline(report, r);
  if (r.facts) add_facts(report, *r.facts);
  return report.take();
}

TableData hits_table(const SearchHits& hits, const TimelineCatalog& catalog) {
  TableData table{{"start", "op", "rank", "lane", "step", "time"}, {}};
  for (const TiedSpan& hit : hits.first) {
    if (hit.track >= catalog.tracks.size()) continue;  // of a lane that is younger than the catalog
    const TimelineTrack& track = catalog.tracks[hit.track];
    const TimelineOp& op = catalog.op(track, hit.span.op);
    table.rows.push_back({seconds(static_cast<double>(hit.span.begin_ns)),
                          text(op.name.empty() ? op.kind : op.kind + " " + op.name), count(track.rank),
                          text(track.lane), count(hit.span.step),
                          seconds(static_cast<double>(hit.span.end_ns - hit.span.begin_ns))});
  }
  return table;
}

TableData notes_table(const TimelineState& state) {
  TableData table{{"at", "rank", "note"}, {}};
  for (const TimelineNote& note : state.notes) {
    table.rows.push_back({seconds(static_cast<double>(note.at_ns)),
                          text(note.rank < 0 ? "all" : std::to_string(note.rank)),
                          text(note.text.empty() ? "(mark)" : note.text)});
  }
  return table;
}

QString hover_text(const OpReport& r) {
  const OpDetails& d = r.details;
  const auto ns = static_cast<double>(r.span.end_ns - r.span.begin_ns);
  std::string out = (d.name.empty() ? d.kind : d.kind + " " + d.name) + ", " + d.phase;
  out += fmt::format("\n{}, rank {}, {} lane, step {}", format_seconds(ns * kNs), r.rank, d.lane, r.span.step);
  if (r.span.wait_ns > 0)
    out += fmt::format("\n{} of it waiting", format_seconds(static_cast<double>(r.span.wait_ns) * kNs));
  if (d.collective_bytes > 0) {
    out += "\n" + format_bytes(static_cast<double>(d.collective_bytes));
  } else if (d.bytes > 0) {
    out += "\n" + format_bytes(static_cast<double>(d.bytes));
  }
  if (r.other) {
    const double off = r.other->mean_ns > 0 ? ns - r.other->mean_ns : 0;
    out +=
        fmt::format("\n{} {}, {}{} beside it", d.predicted ? "measured" : "predicted",
                    format_seconds(r.other->mean_ns * kNs), off < 0 ? "-" : "+", format_seconds(std::abs(off) * kNs));
  }
  return QString::fromStdString(out);
}

}  // namespace shardscope::gui
