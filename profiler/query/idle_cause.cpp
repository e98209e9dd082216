#include "profiler/query/idle_cause.h"

#include <algorithm>
#include <array>

namespace shardscope {
namespace {

/// Of what begins next on the device the launch that came last; nothing without one.
const HostSlice* launch_of_next(const RankWork& work, std::int64_t time_ns) {
  auto next = std::lower_bound(work.device.begin(), work.device.end(), time_ns,
                               [](const DeviceSlice& s, std::int64_t t) { return s.time.begin_ns < t; });
  if (next == work.device.end()) return nullptr;
  const HostSlice* latest = nullptr;
  for (const std::int64_t begin = next->time.begin_ns; next != work.device.end() && next->time.begin_ns == begin;
       ++next) {
    if (next->launch < 0) continue;
    const HostSlice& call = work.host[static_cast<std::size_t>(next->launch)];
    if (latest == nullptr || call.time.begin_ns > latest->time.begin_ns) latest = &call;
  }
  return latest;
}

/// Host slices that may overlap [.., end): those that begin before it. Nested ones are few; all are looked at.
struct HostView {
  const RankWork& work;
  TimeWindow time;
  template <class F>
  void each(F&& f) const {
    const auto end = std::lower_bound(work.host.begin(), work.host.end(), time.end_ns,
                                      [](const HostSlice& s, std::int64_t t) { return s.time.begin_ns < t; });
    // A range that began long ago is seldom; calls are short, so that looking back this far finds all but those.
    constexpr std::ptrdiff_t kFar = 4096;
    for (auto s = end - std::min<std::ptrdiff_t>(kFar, end - work.host.begin()); s != end; ++s) f(*s);
  }
};

/// The device had nothing left because the host had waited for it: a call that was under way when it ran dry, or
/// shortly after.
bool drained(const RankWork& work, TimeWindow starved) {
  bool yes = false;
  HostView{work, starved}.each([&](const HostSlice& s) {
    yes = yes || (s.kind == HostKind::kSync && s.time.begin_ns <= starved.begin_ns + kLaunchLatencyNs &&
                  s.time.end_ns >= starved.begin_ns);
  });
  return yes;
}

/// Cuts [begin, end) at the edges of what the host's slices cover, and gives each piece its cause.
void add_starved(const RankWork& work, TimeWindow starved, std::vector<IdlePiece>& pieces) {
  const IdleCause otherwise = drained(work, starved) ? IdleCause::kSync : IdleCause::kLaunch;
  std::vector<std::pair<TimeWindow, IdleCause>> covers;
  std::vector<std::int64_t> edges = {starved.begin_ns, starved.end_ns};
  HostView{work, starved}.each([&](const HostSlice& s) {
    const bool data = s.kind == HostKind::kData;
    if (!data && s.kind != HostKind::kAllocation) return;
    const TimeWindow part{std::max(s.time.begin_ns, starved.begin_ns), std::min(s.time.end_ns, starved.end_ns)};
    if (part.length() <= 0) return;
    covers.emplace_back(part, data ? IdleCause::kData : IdleCause::kAllocation);
    edges.insert(edges.end(), {part.begin_ns, part.end_ns});
  });
  std::sort(edges.begin(), edges.end());
  for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
    const TimeWindow time{edges[i], edges[i + 1]};
    if (time.length() <= 0) continue;
    IdleCause cause = otherwise;
    for (const auto& [cover, of] : covers)
      if (cover.begin_ns <= time.begin_ns && cover.end_ns >= time.end_ns && cause != IdleCause::kAllocation) cause = of;
    pieces.push_back({cause, time});
  }
}

}  // namespace

std::string_view to_string(IdleCause cause) {
  constexpr std::array<std::string_view, kIdleCauses> kNames = {
      "the host launches no faster", "the host waited for the device", "reading data",
      "taking or freeing memory",    "waiting for another queue",      "unknown"};
  return kNames[static_cast<std::size_t>(cause)];
}

std::vector<IdlePiece> idle_pieces(const RankWork& work, TimeWindow gap) {
  const HostSlice* launch = launch_of_next(work, gap.end_ns);
  if (launch == nullptr) return {{IdleCause::kUnknown, gap}};
  const std::int64_t launched = launch->time.begin_ns;
  if (launched <= gap.begin_ns) {
    const bool on_its_way = gap.end_ns - launched <= kLaunchLatencyNs;
    return {{on_its_way ? IdleCause::kLaunch : IdleCause::kQueued, gap}};
  }
  std::vector<IdlePiece> pieces;
  const std::int64_t starved_to = std::min(launched, gap.end_ns);
  add_starved(work, {gap.begin_ns, starved_to}, pieces);
  if (starved_to == gap.end_ns) return pieces;
  // Then it was on its way; what takes longer waits for something.
  const std::int64_t arrived = std::min(gap.end_ns, std::max(launch->time.end_ns, launched + kLaunchLatencyNs));
  const IdleCause cause = pieces.empty() ? IdleCause::kLaunch : pieces.back().cause;
  const bool drained = cause == IdleCause::kSync;
  pieces.push_back({drained ? cause : IdleCause::kLaunch, {starved_to, arrived}});
  if (arrived < gap.end_ns) pieces.push_back({IdleCause::kQueued, {arrived, gap.end_ns}});
  return pieces;
}

}  // namespace shardscope
