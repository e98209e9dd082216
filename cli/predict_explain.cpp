#include "cli/predict_explain.h"

#include <fmt/format.h>

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string time_text(const Explanation& e) {
  std::string text =
      fmt::format("closed form {:.4f} s: the slowest stage's micro-batches, term by term\n", e.estimate.step_time_s);
  for (const ExplainedTime& p : e.time) {
    text += fmt::format("  {:<24}{:10.4f} s  {:5.1f} %  {}\n", title_of(p.term), p.seconds, 100 * p.share, p.text);
  }
  return text;
}

std::string memory_text(const Explanation& e) {
  std::string text = fmt::format("closed form {:.2f} GB used of the fullest GPU's memory\n", e.estimate.used / 1e9);
  for (const ExplainedMemory& p : e.memory) {
    text += fmt::format("  {:<24}{:10.3f} GB {:5.1f} %  {}\n", title_of(p.term), p.bytes / 1e9,
                        100 * p.bytes / e.estimate.used, p.text);
  }
  const std::string host = describe_host(e.estimate);
  return host.empty() ? text : text + fmt::format("  {:<24}{}\n", "beside the GPU", host);
}

std::string sensitivities_text(const Explanation& e) {
  std::string text = "what would change the step\n";
  for (const Sensitivity& s : e.sensitivities) {
    const std::string change = s.legal ? fmt::format("{:+.2f} %", 100 * s.change) : "-";
    text += fmt::format("  {:<28}{:>10}{}\n", s.name, change, s.why.empty() ? "" : "  " + s.why);
  }
  return text;
}

std::string constants_text(const Explanation& e) {
  std::string text = "constants (data/calibration/constants.csv)\n";
  for (const Constant& c : e.constants) {
    text += fmt::format("  {:<44}{:>10.4g} {:<18} {}\n", fmt::format("{} {} {}", c.scope, c.owner, c.name), c.value,
                        c.unit, c.source);
  }
  return text;
}

}  // namespace

Interval interval_of(std::string_view framework, int gpus, double step_time_s) {
  const IntervalRow& row = find_interval(default_intervals(), framework, gpus);
  const std::string sizes = row.max_gpus > 0   ? fmt::format(" on {} to {} GPUs", row.min_gpus, row.max_gpus)
                            : row.min_gpus > 1 ? fmt::format(" on {} GPUs and more", row.min_gpus)
                                               : "";
  return {step_time_s * row.from(), step_time_s * row.median, step_time_s * row.to(),
          fmt::format("published over predicted step time of {} runs of {}{}: {}", row.rows,
                      row.framework == "any" ? "any framework" : row.framework, sizes, row.source)};
}

std::string interval_text(const Interval& i) {
  return fmt::format("P10-P90     {:.4f} to {:.4f} s, median {:.4f} s ({})\n", i.low_s, i.high_s, i.median_s, i.source);
}

Explanation explain(const PlanCase& c) { return shardscope::explain(c.workload, c.target, c.framework, c.plan); }

std::string explanation_text(const Explanation& e) {
  return "\n" + time_text(e) + "\n" + memory_text(e) + "\n" + sensitivities_text(e) + "\n" + constants_text(e);
}

Json explanation_json(const Explanation& e) {
  Json json{{"step_time_s", e.estimate.step_time_s}, {"used_bytes", e.estimate.used}};
  json["time"] = json["memory"] = json["sensitivities"] = json["constants"] = Json::array();
  for (const ExplainedTime& p : e.time) {
    json["time"].push_back({{"term", to_string(p.term)}, {"seconds", p.seconds}, {"share", p.share}, {"text", p.text}});
  }
  for (const ExplainedMemory& p : e.memory) {
    json["memory"].push_back({{"term", to_string(p.term)}, {"bytes", p.bytes}, {"text", p.text}});
  }
  for (const Sensitivity& s : e.sensitivities) {
    json["sensitivities"].push_back({{"name", s.name},
                                     {"change", s.legal ? Json(s.change) : Json(nullptr)},
                                     {"why", s.why.empty() ? Json(nullptr) : Json(s.why)}});
  }
  for (const Constant& c : e.constants) {
    json["constants"].push_back({{"scope", c.scope},
                                 {"owner", c.owner},
                                 {"name", c.name},
                                 {"value", c.value},
                                 {"unit", c.unit},
                                 {"source", c.source}});
  }
  return json;
}

}  // namespace shardscope::cli
