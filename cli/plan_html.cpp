// The result of a search as one HTML file: plots and tables, nothing loaded from elsewhere.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/plan.h"
#include "core/xml_text.h"
#include "simulator/planner/files.h"
#include "simulator/planner/plan_text.h"
#include "simulator/planner/plots.h"

namespace shardscope::cli {
namespace {

constexpr std::string_view kStyle =
    ":root{color-scheme:light dark}body{font:15px/1.45 sans-serif;max-width:1400px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;font-size:12px}td,th{padding:3px "
    "5px;text-align:right;white-space:nowrap;border-bottom:1px solid "
    "#8884}"
    "td:first-child,th:first-child,td:nth-child(2),th:nth-child(2),td:nth-child(3),th:nth-child(3){text-align:left}"
    "tr.best{font-weight:bold}svg{max-width:100%;height:auto}pre{background:#8882;padding:.7em;overflow-x:auto;font-"
    "size:12px}"
    "td:last-child,td:nth-child(3){white-space:normal}td:last-child{min-width:22em}td:nth-child(3){min-width:11em}"
    "td:last-child,th:last-child{text-align:left}"
    ".wide{overflow-x:auto}small{opacity:.7}td small,th small{display:block}";

std::string label_of(const ReportedPoint& r) {
  return fmt::format("{} x {}", r.point.plan.gpus, r.plan_case.target.gpu.name);
}

std::string scatter(const PlanReport& report) {
  std::map<std::string, Series> kinds;
  for (const ReportedPoint& r : report.points) {
    Series& s = kinds[r.plan_case.target.gpu.name];
    s.name = r.plan_case.target.gpu.name;
    s.dots.push_back(
        {r.point.run.days, r.point.run.cost_usd,
         fmt::format("{}: {:.1f} days, {}", label_of(r), r.point.run.days, format_usd(r.point.run.cost_usd)),
         &r == &report.chosen()});
  }
  std::vector<Series> all;
  for (auto& [name, series] : kinds) all.push_back(std::move(series));
  return scatter_svg({.x = "days of training", .y = "USD", .log = true}, all);
}

/// Names a bar: several points may have as many GPUs of a kind.
std::string bar_label(const ReportedPoint& r) {
  return fmt::format("{}, {:.{}f} d", label_of(r), r.point.run.days, r.point.run.days < 100 ? 1 : 0);
}

/// Points spread over the front, and those that are the best of something; so many that bars can be compared.
std::vector<const ReportedPoint*> compared(const PlanReport& report) {
  std::vector<const ReportedPoint*> some;
  const std::size_t n = report.points.size(), most = 14;
  for (std::size_t i = 0; i < n; ++i) {
    if (n <= most || i * most / n != (i + 1) * most / n || !report.points[i].best.empty() ||
        &report.points[i] == &report.chosen())
      some.push_back(&report.points[i]);
  }
  return some;
}

std::string memory_bars(const std::vector<const ReportedPoint*>& points) {
  std::vector<std::string> names;
  for (int i = 0; i < kMemoryTerms; ++i) names.emplace_back(title_of(static_cast<MemoryTerm>(i)));
  std::vector<Bar> bars;
  double least = 1e300, most = 0;
  for (const ReportedPoint* r : points) {
    Bar bar{fmt::format("{} ({:.0f} GB)", bar_label(*r), r->plan_case.target.gpu.memory.value / 1e9), {}};
    for (const double b : r->point.estimate.bytes) bar.parts.push_back(b / 1e9);
    bars.push_back(std::move(bar));
    least = std::min(least, r->plan_case.target.gpu.memory.value),
    most = std::max(most, r->plan_case.target.gpu.memory.value);
  }
  return bars_svg("GB of a GPU at the peak", names, bars, least == most ? most / 1e9 : 0);
}

std::string time_bars(const std::vector<const ReportedPoint*>& points) {
  std::vector<std::string> names;
  for (int i = 0; i < kTimeTerms; ++i) names.emplace_back(title_of(static_cast<TimeTerm>(i)));
  std::vector<Bar> bars;
  for (const ReportedPoint* r : points) {
    Bar bar{bar_label(*r), {}};
    for (const double s : r->point.estimate.seconds) bar.parts.push_back(100 * s / r->point.estimate.step_time_s);
    bars.push_back(std::move(bar));
  }
  return bars_svg("% of the step", names, bars, 0);
}

std::string table(const PlanReport& report) {
  std::string out =
      "<div "
      "class=\"wide\"><table><tr><th>GPUs</th><th>framework</th><th>layout</th><th>ZeRO</th><th>micro</"
      "th><th>recompute</th>"
      "<th>step s<small>P10-P90</small></th><th>MFU</th><th>days</th><th>cost</th><th>MWh</th><th>peak GB</th><th>free "
      "GB</th>"
      "<th>bottleneck; relief</th></tr>\n";
  for (const ReportedPoint& r : report.points) {
    const Plan& p = r.point.plan;
    std::string best;
    for (const std::string& name : r.best) best += " <small>best " + name + "</small>";
    if (&r == &report.chosen()) best += " <small>recommended</small>";
    out += fmt::format(
        "<tr{}><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td>{:.2f}<small>{:.2f}-{:.2f}</small></td><td>{:.1f} "
        "%</td><td>{:.1f}</td><td>{}</td><td>{}</td><td>{:.1f}</td><td>{:.1f}</td><td>{}</td></tr>\n",
        &r == &report.chosen() ? " class=\"best\"" : "", escape_xml(label_of(r)), best,
        escape_xml(r.plan_case.framework.name), layout_text(p), zero_text(p), p.micro_batch, to_string(p.recompute),
        r.point.estimate.step_time_s, r.low_s, r.high_s, 100 * r.mfu, r.point.run.days,
        format_usd(r.point.run.cost_usd), format_amount(r.point.run.energy_kwh / 1e3), r.point.estimate.used / 1e9,
        (r.plan_case.target.gpu.memory.value - r.point.estimate.used) / 1e9, escape_xml(describe(r.relief)));
  }
  return out + "</table></div>\n";
}

std::string files(const PlanReport& report) {
  std::string out;
  for (const NamedText& file : plan_files(report.chosen().plan_case, report.tokens)) {
    out += fmt::format("<details><summary>{}</summary><pre>{}</pre></details>\n", file.first, escape_xml(file.second));
  }
  return out;
}

}  // namespace

std::string plan_html(const PlanReport& report) {
  const auto some = compared(report);
  const ReportedPoint& best = report.chosen();
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">"
      "<title>Plan for {0}</title><style>{1}</style></head><body>\n<h1>Plan for {0}</h1>\n",
      escape_xml(report.model), kStyle);
  out += fmt::format(
      "<p>{:.1f} B parameters, {} tokens, {} sequences of {} tokens a step. {} plans searched in {:.2f} s.</p>\n",
      report.parameters / 1e9, format_tokens(report.tokens), report.global_batch, report.seq, report.searched,
      report.seconds);
  out += fmt::format("<p>Recommended for {}: <b>{}</b> under {}, {}: {}, {}. Bottleneck: {}.</p>\n",
                     to_string(report.objective), escape_xml(label_of(best)), escape_xml(best.plan_case.framework.name),
                     layout_text(best.point.plan), format_days(best.point.run.days),
                     format_usd(best.point.run.cost_usd), escape_xml(describe(best.relief)));
  out += "<h2>Days and cost</h2>\n<p><small>The ringed one is recommended.</small></p>\n" + scatter(report) +
         "<h2>Memory</h2>\n" + memory_bars(some) + "<h2>Where the step goes</h2>\n" + time_bars(some);
  out += "<h2>The front</h2>\n" + table(report) + "<h2>Files of the recommended plan</h2>\n" + files(report);
  out += fmt::format(
      "<p><small>P10-P90: what published runs took over what was predicted for them, and always the prediction itself: "
      "{}. Prices, power and the rest of the hardware are the catalog's, or as "
      "given.</small></p></body></html>\n",
      escape_xml(best.interval_source));
  return out;
}

}  // namespace shardscope::cli
