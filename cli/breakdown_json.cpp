// The keys of `shardscope breakdown --json`: docs/json.md.

#include "cli/breakdown.h"

#include <set>

namespace shardscope::cli {
namespace {

using nlohmann::json;

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}
json or_null(double value) { return value > 0 ? json(value) : json(); }

json parts_json(const PartTimes& ns) {
  json parts;
  for (int p = 0; p < kTimeParts; ++p) {
    const auto part = static_cast<TimePart>(p);
    parts[std::string(key_of(part))] = ns[part];
  }
  return parts;
}

json sums_json(const PartSums& sum) {
  json shares;
  for (int p = 0; p < kTimeParts; ++p) {
    const auto part = static_cast<TimePart>(p);
    shares[std::string(key_of(part))] = sum.share(sum.ns[part]);
  }
  const std::int64_t exposed = sum.ns[TimePart::kCommunication] + sum.ns[TimePart::kWaiting];
  return {{"steps", sum.steps},
          {"total_ns", sum.total_ns},
          {"parts_ns", parts_json(sum.ns)},
          {"shares", std::move(shares)},
          {"communication_ns", sum.communication_ns},
          {"exposed_communication_ns", exposed},
          {"overlap", sum.communication_ns > 0
                          ? json(1 - static_cast<double>(exposed) / static_cast<double>(sum.communication_ns))
                          : json()},
          {"copies_ns", sum.copies_ns}};
}

json steps_json(const TimeBreakdown& time) {
  json steps = json::array();
  for (const StepTime& s : time.steps) {
    steps.push_back({{"rank", s.rank},
                     {"step", s.step},
                     {"start_ns", s.time.begin_ns},
                     {"dur_ns", s.time.length()},
                     {"parts_ns", parts_json(s.ns)},
                     {"communication_ns", s.communication_ns},
                     {"copies_ns", s.copies_ns},
                     {"busy_ns", s.busy_ns}});
  }
  return steps;
}

json ranks_json(const TimeBreakdown& time) {
  std::set<int> ranks;
  for (const StepTime& s : time.steps) ranks.insert(s.rank);
  json all = json::array();
  for (int rank : ranks) {
    json sum = sums_json(sum_of(time, rank));
    sum["rank"] = rank;
    all.push_back(std::move(sum));
  }
  return all;
}

json gaps_json(const TimeBreakdown& time) {
  json gaps = json::array();
  for (const IdleGap& g : time.gaps) {
    gaps.push_back({{"rank", g.rank},
                    {"step", g.step},
                    {"start_ns", g.time.begin_ns},
                    {"dur_ns", g.time.length()},
                    {"cause", key_of(g.cause)},
                    {"before", g.before},
                    {"after", g.after}});
  }
  return gaps;
}

json kernels_json(const std::vector<KernelTime>& kernels) {
  json all = json::array();
  for (const KernelTime& k : kernels) {
    all.push_back({{"kind", k.kind},
                   {"name", k.name},
                   {"phase", k.phase},
                   {"count", k.count},
                   {"total_s", k.total_s},
                   {"mean_s", k.mean_s},
                   {"max_s", k.max_s},
                   {"share", k.share},
                   {"flops_per_s", or_null(k.flops_per_s)},
                   {"bytes_per_s", or_null(k.bytes_per_s)},
                   {"flop_per_byte", or_null(k.intensity)},
                   {"of_roof", or_null(k.of_roof)},
                   {"bound", k.bound.empty() ? json() : json(k.bound)}});
  }
  return all;
}

json ranges_json(const TimeBreakdown& time) {
  json all = json::array();
  for (const LaunchedIn& r : time.ranges) {
    const bool known = !r.kind.empty();
    all.push_back({{"kind", known ? json(r.kind) : json()},
                   {"name", known ? json(r.name) : json()},
                   {"count", r.count},
                   {"total_s", 1e-9 * static_cast<double>(r.total_ns)}});
  }
  return all;
}

json collectives_json(const std::vector<CollectiveBandwidth>& collectives) {
  json all = json::array();
  for (const CollectiveBandwidth& c : collectives) {
    const bool known = c.bytes > 0;
    all.push_back({{"collective", c.kind},
                   {"group", c.group},
                   {"ranks", c.ranks},
                   {"bytes", known ? json(c.bytes) : json()},
                   {"count", c.count},
                   {"mean_s", c.mean_s},
                   {"wait_s", c.mean_wait_s},
                   {"algbw_bytes_per_s", known ? or_null(c.algbw) : json()},
                   {"busbw_bytes_per_s", known ? or_null(c.busbw) : json()}});
  }
  return all;
}

json copies_json(const std::vector<CopyTraffic>& copies) {
  json all = json::array();
  for (const CopyTraffic& c : copies) {
    all.push_back({{"lane", c.lane},
                   {"copy", c.name},
                   {"count", c.count},
                   {"bytes", c.bytes},
                   {"total_s", c.total_s},
                   {"bytes_per_s", or_null(c.bytes_per_s())}});
  }
  return all;
}

json memory_json(const PeakMemory& memory) {
  if (memory.bytes == 0) return nullptr;
  json categories = json::object(), alive = json::array();
  for (const MemoryRow& row : memory.categories)
    if (row.at_peak_bytes > 0) categories[std::string(to_string(row.category))] = row.at_peak_bytes;
  if (memory.alive) {
    for (const LiveAllocation& a : memory.alive->rows) {
      alive.push_back({{"buffer", a.buffer.empty() ? json() : json(a.buffer)},
                       {"category", to_string(a.category)},
                       {"bytes", a.bytes},
                       {"since_ns", a.since_ns},
                       {"phase", a.phase},
                       {"layer", a.layer < 0 ? json() : json(a.layer)},
                       {"module", a.module}});
    }
  }
  return {{"rank", memory.rank},
          {"peak_bytes", memory.bytes},
          {"by_category", std::move(categories)},
          {"time_ns", memory.alive ? json(memory.alive->instant.time_ns) : json()},
          {"allocations", memory.alive ? std::move(alive) : json()}};
}

}  // namespace

json breakdown_json(const std::string& profile, const BreakdownView& view) {
  constexpr const char* kSources[] = {"recorded", "repeats", "whole"};
  return {{"profile", profile},
          {"run", view.run.id},
          {"name", view.run.name},
          {"steps_from", kSources[static_cast<std::size_t>(view.time.source)]},
          {"mean", sums_json(sum_of(view.time))},
          {"ranks", ranks_json(view.time)},
          {"steps", steps_json(view.time)},
          {"idle_gaps", gaps_json(view.time)},
          {"kernels", kernels_json(view.kernels)},
          {"launched_in", ranges_json(view.time)},
          {"collectives", collectives_json(view.collectives)},
          {"copies", copies_json(view.copies)},
          {"memory", memory_json(view.memory)},
          {"mfu", or_null(view.mfu)},
          {"device", view.roof.device.empty() ? json() : json(view.roof.device)},
          {"peak_flops_per_s", or_null(view.roof.flops_per_s)},
          {"memory_bytes_per_s", or_null(view.roof.bytes_per_s)},
          {"remarks", view.time.remarks}};
}

}  // namespace shardscope::cli
