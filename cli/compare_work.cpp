#include "cli/compare_work.h"

#include <fmt/format.h>

#include "cli/text_table.h"

namespace shardscope::cli {
namespace {

std::string change(double a, double b) { return a > 0 && b > 0 ? signed_percent(b / a - 1) : "-"; }
std::string gained(double a, double b) { return fmt::format("{:+.3f}", 1e3 * (b - a)); }
std::string count_of(double count) { return count > 0 ? fmt::format("{:.4g}", count) : "-"; }

template <class T>
std::size_t shown(const std::vector<T>& rows, int top) {
  return top > 0 ? std::min(rows.size(), static_cast<std::size_t>(top)) : rows.size();
}

void print_parts(const RunDifference& d, const std::string& a, const std::string& b) {
  TextTable table({"of a mean step, ms", a, b, "B - A", "change"});
  for (const PartDifference& p : d.parts) {
    table.add({std::string(to_string(p.part)), milliseconds(p.a_s), milliseconds(p.b_s), gained(p.a_s, p.b_s),
               change(p.a_s, p.b_s)});
  }
  table.add({"step", milliseconds(d.a_step_s), milliseconds(d.b_step_s), gained(d.a_step_s, d.b_step_s),
             change(d.a_step_s, d.b_step_s)});
  fmt::print("\n{}", table.text());
}

void print_families(const RunDifference& d, int top) {
  if (d.families.empty()) return;
  fmt::print("\nWork by family and phase, hidden or not, ms of a step of a rank\n");
  TextTable table({"work", "phase", "times in A", "in B", "A", "B", "B - A", "change"}, 2);
  for (std::size_t i = 0; i < shown(d.families, top); ++i) {
    const FamilyDifference& f = d.families[i];
    table.add({f.kind.empty() ? std::string(to_string(f.family)) : f.kind,
               f.phase ? std::string(to_string(*f.phase)) : "-", count_of(f.a_count), count_of(f.b_count),
               milliseconds(f.a_s), milliseconds(f.b_s), gained(f.a_s, f.b_s), change(f.a_s, f.b_s)});
  }
  fmt::print("{}", table.text());
}

void print_collectives(const RunDifference& d, int top) {
  if (d.collectives.empty()) return;
  fmt::print("\nCollectives, each beside the one in its place among those of its kind\n");
  TextTable table({"collective", "place", "MiB in A", "in B", "A ms", "B ms", "A waiting", "B waiting", "B - A"}, 1);
  const auto size = [](double bytes) { return bytes > 0 ? mebibytes(static_cast<std::int64_t>(bytes)) : "-"; };
  for (std::size_t i = 0; i < shown(d.collectives, top); ++i) {
    const CollectiveDifference& c = d.collectives[i];
    table.add({c.kind, c.place ? std::to_string(*c.place) : fmt::format("all {:.3g}, {:.3g}", c.a_count, c.b_count),
               size(c.a_bytes), size(c.b_bytes), milliseconds(c.a_s), milliseconds(c.b_s), milliseconds(c.a_wait_s),
               milliseconds(c.b_wait_s), gained(c.a_s, c.b_s)});
  }
  fmt::print("{}", table.text());
}

}  // namespace

void print_work(const RunDifference& difference, const std::string& a, const std::string& b, int top) {
  print_parts(difference, a, b);
  print_families(difference, top);
  print_collectives(difference, top);
  if (!difference.remarks.empty()) fmt::print("\n");
  for (const std::string& remark : difference.remarks) fmt::print("{}\n", remark);
}

nlohmann::json work_json(const RunDifference& d) {
  using nlohmann::json;
  json parts = json::array(), families = json::array(), collectives = json::array();
  const auto bytes = [](double b) { return b > 0 ? json(b) : json(); };
  for (const PartDifference& p : d.parts) parts.push_back({{"part", key_of(p.part)}, {"a_s", p.a_s}, {"b_s", p.b_s}});
  for (const FamilyDifference& f : d.families) {
    families.push_back({{"family", to_string(f.family)},
                        {"collective", f.kind.empty() ? json() : json(f.kind)},
                        {"phase", f.phase ? json(to_string(*f.phase)) : json()},
                        {"a_s", f.a_s},
                        {"b_s", f.b_s},
                        {"a_count", f.a_count},
                        {"b_count", f.b_count}});
  }
  for (const CollectiveDifference& c : d.collectives) {
    collectives.push_back({{"collective", c.kind},
                           {"place", c.place ? json(*c.place) : json()},
                           {"a_bytes", bytes(c.a_bytes)},
                           {"b_bytes", bytes(c.b_bytes)},
                           {"a_s", c.a_s},
                           {"b_s", c.b_s},
                           {"a_wait_s", c.a_wait_s},
                           {"b_wait_s", c.b_wait_s},
                           {"a_count", c.a_count},
                           {"b_count", c.b_count}});
  }
  return {{"a_step_s", d.a_step_s},
          {"b_step_s", d.b_step_s},
          {"parts", std::move(parts)},
          {"families", std::move(families)},
          {"collectives", std::move(collectives)},
          {"remarks", d.remarks}};
}

}  // namespace shardscope::cli
