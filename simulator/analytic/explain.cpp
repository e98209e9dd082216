#include "simulator/analytic/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "simulator/analytic/explain_parts.h"
#include "simulator/analytic/zero_plus_plus.h"

namespace shardscope {
namespace {

void check(const Workload& w, const Target& target, const FrameworkSpec& framework, const Plan& plan) {
  if (w.model.layers < 1) {
    throw Error(ErrorKind::kConfig, fmt::format("model {}: has {} layers; there is nothing to explain without one",
                                                w.model.name, w.model.layers));
  }
  std::string problem = find_plan_problem(w, target, plan);
  if (problem.empty()) problem = find_framework_problem(framework, plan);
  if (!problem.empty())
    throw Error(ErrorKind::kConfig, fmt::format("the closed form cannot estimate this: {}", problem));
}

template <class Part, class Size>
void sort_by(std::vector<Part>& parts, Size Part::*size) {
  std::stable_sort(parts.begin(), parts.end(), [&](const Part& a, const Part& b) { return a.*size > b.*size; });
}

}  // namespace

Explanation explain(const Workload& workload, const Target& target, const FrameworkSpec& framework, const Plan& plan,
                    const Constants& constants) {
  check(workload, target, framework, plan);
  Explanation e;
  e.sensitivities = find_sensitivities(workload, target, framework, plan, constants);  // refuses steps of no time
  EstimateNotes notes;
  e.estimate = Estimator(workload, target, framework, constants).estimate(plan, &notes);
  const Explained explained{workload, target, framework, plan, constants, e.estimate, notes};
  e.time = explain_time(explained);
  e.memory = explain_memory(explained);
  sort_by(e.time, &ExplainedTime::seconds);
  sort_by(e.memory, &ExplainedMemory::bytes);
  e.constants = constants_in_use(constants, target.gpu, target.fabric.name, framework.name);
  return e;
}

std::string describe_host(const Estimate& e) {
  std::string text;
  if (e.host_bytes > 0) {
    text = fmt::format("host {}, of which pinned {}", quantity(e.host_bytes, "B"), quantity(e.pinned_bytes, "B"));
  }
  if (e.nvme_bytes > 0) text += fmt::format("{}drive {}", text.empty() ? "" : "; ", quantity(e.nvme_bytes, "B"));
  return text;
}

std::string quantity(double value, std::string_view unit) {
  constexpr std::array<std::string_view, 6> kPrefixes{"", "k", "M", "G", "T", "P"};
  std::size_t i = 0;
  for (; value >= 999.5 && i + 1 < kPrefixes.size(); ++i) value /= 1000;
  const bool plain = kPrefixes[i].empty() && unit.empty();
  return fmt::format("{:.3g}{}{}{}", value, plain ? "" : " ", kPrefixes[i], unit);
}

std::string duration(double seconds) {
  if (seconds >= 1) return fmt::format("{:.3g} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.3g} ms", seconds * 1e3);
  return fmt::format("{:.3g} us", seconds * 1e6);
}

std::string blocks_text(const Stage& s) {
  if (s.mixture <= 0) return fmt::format("{:g} blocks", s.dense);
  if (s.dense <= 0) return fmt::format("{:g} blocks of experts", s.mixture);
  return fmt::format("{:g} dense blocks and {:g} of experts", s.dense, s.mixture);
}

}  // namespace shardscope
