#include "gui/models/waterfall.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gui/models/state_reader.h"

namespace shardscope::gui {

std::string to_json(const WaterfallState& s) {
  nlohmann::json out = state_json("waterfall");
  if (!s.against.empty()) out["against"] = s.against;
  if (s.rank >= 0) out["rank"] = s.rank;
  if (s.step >= 0) out["step"] = s.step;
  if (s.dark) out["dark"] = true;
  return out.dump();
}

WaterfallState parse_waterfall_state(const std::string& text, const std::string& name) {
  const StateText json_text(text, name);
  StateReader reader(json_text.root(), name, "waterfall");
  WaterfallState s;
  reader.read("against", s.against);
  reader.read("rank", s.rank);
  reader.read("step", s.step);
  reader.read("dark", s.dark);
  reader.no_other_keys();
  return s;
}

std::string format_delta(double seconds) {
  if (seconds == 0) return "0 ms";
  return (seconds > 0 ? "+" : "-") + format_seconds(std::abs(seconds)) + (seconds > 0 ? " ▲" : " ▼");
}

Rgb delta_colour(double seconds) { return seconds == 0 ? kGrey : seconds > 0 ? kOrange : kBlue; }

namespace {

std::string title_of(const WaterfallNames& names, double difference_s) {
  if (difference_s == 0) return fmt::format("{} takes as long as {}", names.run, names.base);
  return fmt::format("Why {} takes {} {} than {}", names.run, format_seconds(std::abs(difference_s)),
                     difference_s > 0 ? "longer" : "less", names.base);
}

std::string remark_of(const StepDifference& d, const WaterfallState& state) {
  const std::string steps = state.step >= 0 ? fmt::format("step {}", state.step)
                            : d.steps == 1  ? std::string("1 step")
                                            : fmt::format("mean of {} steps", d.steps);
  if (state.rank >= 0) return fmt::format("{}, rank {}", steps, state.rank);
  return fmt::format("{}, {}", steps, d.ranks == 1 ? std::string("1 rank") : fmt::format("mean of {} ranks", d.ranks));
}

}  // namespace

Waterfall make_waterfall(const StepDifference& difference, const WaterfallNames& names, const WaterfallState& state) {
  Waterfall waterfall;
  waterfall.names = names;
  std::int64_t base = 0, at = 0;
  for (std::int64_t ns : difference.b) base += ns;
  at = base;
  for (int i = 0; i < kCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    const std::int64_t before = difference.b[StepDifference::index(cause)],
                       now = difference.a[StepDifference::index(cause)];
    if (before == 0 && now == 0) continue;
    waterfall.steps.push_back({cause, difference.mean_s(before), difference.mean_s(now), difference.mean_s(at),
                               difference.mean_s(at + now - before)});
    at += now - before;
  }
  waterfall.base_s = difference.mean_s(base);
  waterfall.run_s = difference.mean_s(at);
  waterfall.title = title_of(names, difference.mean_s(at - base));
  waterfall.remark = remark_of(difference, state);
  return waterfall;
}

Waterfall no_waterfall(std::string problem) {
  Waterfall waterfall;
  waterfall.title = "Why a step takes longer";
  waterfall.problem = std::move(problem);
  return waterfall;
}

TableData waterfall_table(const Waterfall& waterfall) {
  TableData table{{"cause", "base", "run", "difference", "share of the difference"}, {}};
  if (!waterfall.problem.empty()) return table;
  table.columns[1] = waterfall.names.base;
  table.columns[2] = waterfall.names.run;
  const double all = waterfall.run_s - waterfall.base_s;
  const auto add = [&](std::string name, double base_s, double run_s) {
    const double delta = run_s - base_s, share = all == 0 ? 0 : delta / all;
    table.rows.push_back({{std::move(name)},
                          {format_seconds(base_s), base_s},
                          {format_seconds(run_s), run_s},
                          {format_delta(delta), delta},
                          {fmt::format("{:.0f} %", share * 100), share}});
  };
  for (const WaterfallStep& step : waterfall.steps) add(std::string(to_string(step.cause)), step.base_s, step.run_s);
  add("step", waterfall.base_s, waterfall.run_s);
  return table;
}

}  // namespace shardscope::gui
