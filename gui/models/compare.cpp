#include "gui/models/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "gui/models/state_reader.h"
#include "gui/models/waterfall.h"
#include "profiler/query/step_times.h"

namespace shardscope::gui {

namespace {

constexpr std::array<const char*, 3> kModes = {"pair", "stages", "predicted stages"};

}  // namespace

std::string to_json(const CompareState& s) {
  nlohmann::json out = state_json("compare");
  if (s.mode != CompareMode::kPair) out["mode"] = kModes[static_cast<std::size_t>(s.mode)];
  if (!s.against.empty()) out["against"] = s.against;
  if (s.window.length() > 0) out["window_ns"] = window_json(s.window);
  if (s.rank >= 0) out["rank"] = s.rank;
  if (s.op) out["op"] = {{"kind", s.op->kind}, {"phase", s.op->phase}, {"name", s.op->name}};
  if (s.cursor_ns >= 0) out["cursor_ns"] = s.cursor_ns;
  if (s.dark) out["dark"] = true;
  return out.dump();
}

namespace {

OpLabel parse_op(const nlohmann::json& object, const std::string& where) {
  StateReader reader(object, where);
  OpLabel label;
  reader.read("kind", label.kind);
  reader.read("phase", label.phase);
  reader.read("name", label.name);
  reader.no_other_keys();
  return label;
}

}  // namespace

CompareState parse_compare_state(const std::string& text, const std::string& name) {
  const StateText json_text(text, name);
  StateReader reader(json_text.root(), name, "compare");
  CompareState s;
  std::string mode = kModes[0];
  reader.read("mode", mode);
  const auto known = std::find(kModes.begin(), kModes.end(), mode);
  if (known == kModes.end()) reader.fail("mode", "is '" + mode + "'; it must be pair, stages or predicted stages");
  s.mode = static_cast<CompareMode>(known - kModes.begin());
  reader.read("against", s.against);
  reader.read("window_ns", s.window);
  reader.read("rank", s.rank);
  if (const nlohmann::json* op = reader.find("op")) s.op = parse_op(*op, name + ": op");
  reader.read("cursor_ns", s.cursor_ns);
  reader.read("dark", s.dark);
  reader.no_other_keys();
  return s;
}

TimeWindow axis_of(const PairFacts& facts) { return {0, facts.at_ns.empty() ? 0 : facts.at_ns.back()}; }

std::size_t step_on_axis(const PairFacts& facts, std::int64_t axis_ns) {
  const auto after = std::upper_bound(facts.at_ns.begin(), facts.at_ns.end(), axis_ns);
  const auto at = after == facts.at_ns.begin() ? 0 : static_cast<std::size_t>(after - facts.at_ns.begin()) - 1;
  return std::min(at, facts.alignment.steps.size() - 1);
}

std::vector<StepPlace> places_of(const PairFacts& facts, Side side, TimeWindow window) {
  std::vector<StepPlace> places;
  for (std::size_t i = step_on_axis(facts, window.begin_ns); i < facts.alignment.steps.size(); ++i) {
    if (facts.at_ns[i] >= window.end_ns) break;
    const AlignedStep& step = facts.alignment.steps[i];
    places.push_back({side == Side::kA ? step.a : step.b, facts.at_ns[i], step.a_step,
                      side == Side::kA ? step.a_step : step.b_step});
  }
  return places;
}

std::int64_t step_delta_ns(const PairFacts& facts, std::size_t step) { return -facts.alignment.steps[step].slip_ns(); }

std::optional<AxisDifference> next_difference(const PairFacts& facts, std::int64_t axis_ns, bool forward) {
  std::optional<AxisDifference> found;
  for (const AxisDifference& d : facts.differences) {
    if (std::abs(d.delta_ns) < facts.notable_ns) continue;
    if (forward ? d.axis.begin_ns <= axis_ns : d.axis.begin_ns >= axis_ns) continue;
    found = d;
    if (forward) break;
  }
  return found;
}

std::size_t DurationHistogram::highest() const {
  std::size_t highest = 0;
  for (std::size_t n : a) highest = std::max(highest, n);
  for (std::size_t n : b) highest = std::max(highest, n);
  return highest;
}

DurationHistogram make_histogram(OpLabel label, const std::vector<double>& a_s, const std::vector<double>& b_s) {
  constexpr std::size_t kBins = 48;
  constexpr double kShortest = 1e-9, kNarrowest = 1.05;  // seconds; high / low, so that equal durations have an axis
  DurationHistogram h{
      .label = std::move(label), .a = std::vector<std::size_t>(kBins), .b = std::vector<std::size_t>(kBins)};
  h.count_a = a_s.size();
  h.count_b = b_s.size();
  h.median_a_s = quantile(a_s, 0.5);
  h.median_b_s = quantile(b_s, 0.5);
  double low = 1e300, high = kShortest;
  for (const std::vector<double>* run : {&a_s, &b_s}) {
    for (double s : *run) {
      low = std::min(low, std::max(s, kShortest));
      high = std::max(high, s);
    }
  }
  if (a_s.empty() && b_s.empty()) return h;
  h.low_s = low / kNarrowest;
  h.high_s = high * kNarrowest;
  const double per_bin = std::log(h.high_s / h.low_s) / kBins;
  const auto count = [&](const std::vector<double>& run, std::vector<std::size_t>& bins) {
    for (double s : run) {
      const double bin = std::log(std::max(s, kShortest) / h.low_s) / per_bin;
      ++bins[std::min(kBins - 1, static_cast<std::size_t>(std::max(0.0, bin)))];
    }
  };
  count(a_s, h.a);
  count(b_s, h.b);
  return h;
}

TableData delta_table(const std::vector<OpDifference>& ops) {
  TableData table{{"op", "A, per step", "B, per step", "delta", "share", "count change"}, {}};
  table.rows.reserve(ops.size());
  for (const OpDifference& op : ops) {
    const double change = op.count_change();
    table.rows.push_back({{to_string(op.label)},
                          {op.a_count > 0 ? format_seconds(op.a_s) : "-", op.a_s},
                          {op.b_count > 0 ? format_seconds(op.b_s) : "-", op.b_s},
                          {format_delta(op.delta_s()), op.delta_s()},
                          {fmt::format("{:.1f} %", op.share * 100), op.share},
                          {std::abs(change) < 1e-9 ? "0" : fmt::format("{:+.4g}", change), change}});
  }
  return table;
}

}  // namespace shardscope::gui
