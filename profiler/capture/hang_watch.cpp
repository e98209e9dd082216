#include "profiler/capture/hang_watch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "profiler/capture/inject/nccl_profiler.h"

namespace shardscope::capture {

namespace {

constexpr std::size_t kMostNested = 64, kMostEntered = 4096, kMostNamed = 16;

std::string ranks_text(const std::vector<int>& ranks) {
  const std::vector<int> shown(ranks.begin(),
                               ranks.begin() + static_cast<std::ptrdiff_t>(std::min(ranks.size(), kMostNamed)));
  return fmt::format("{} {}{}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(shown, ", "),
                     shown.size() < ranks.size() ? ", ..." : "");
}

}  // namespace

void HangWatch::take(int process, std::uint32_t thread, const RecordHead& head, SpoolReader& spool) {
  switch (head.kind) {
    case RecordKind::kRangePush:
      if (const auto* range = record_as<RangeRecord>(head); range != nullptr && range->domain == 0) {
        auto& ranges = processes_[process].ranges[thread];
        if (ranges.size() < kMostNested) ranges.emplace_back(spool.text(range->name));
      }
      break;
    case RecordKind::kRangePop:
      if (const auto* range = record_as<RangeRecord>(head); range != nullptr && range->domain == 0) {
        auto& ranges = processes_[process].ranges[thread];
        if (!ranges.empty()) ranges.pop_back();
      }
      break;
    case RecordKind::kNcclInit:
      if (const auto* init = record_as<NcclInitRecord>(head); init != nullptr && init->ranks > 0) {
        Communicator& c = communicators_[init->communicator];
        c.name = std::string(spool.text(init->name));
        const std::int32_t global = spool.header().rank;
        c.members[init->rank] = {process, global >= 0 ? global : init->rank, -1};
      }
      break;
    case RecordKind::kNcclStart:
      if (const auto* start = record_as<NcclStartRecord>(head); start != nullptr) {
        if ((head.small & (nccl::kColl | nccl::kCeColl)) != 0) enter(process, thread, *start, spool);
      }
      break;
    case RecordKind::kNcclFinalize:
      if (const auto* state = record_as<NcclStateRecord>(head)) communicators_.erase(state->handle);
      break;
    default:
      break;
  }
}

void HangWatch::enter(int process, std::uint32_t thread, const NcclStartRecord& start, SpoolReader& spool) {
  const auto found = communicators_.find(start.communicator);
  if (found == communicators_.end() || !found->second.members.contains(start.rank)) return;
  processes_[process].thread = thread;
  Line& line = found->second.lines[start.function];
  if (line.members.empty()) {
    line.function = std::string(spool.text(start.function));
    line.members = found->second.members;
  }
  const auto number = static_cast<std::int64_t>(start.sequence);
  for (const auto& [rank, member] : found->second.members) line.members.try_emplace(rank, member);
  Member& member = line.members[start.rank];
  if (number <= member.last) return;  // a captured graph: its numbers stand still
  member.last = number;
  line.entered.try_emplace(number, start.head.time_ns);
  const std::int64_t least =
      std::min_element(line.members.begin(), line.members.end(), [](const auto& a, const auto& b) {
        return a.second.last < b.second.last;
      })->second.last;
  line.entered.erase(line.entered.begin(), line.entered.upper_bound(least));
  if (line.entered.size() > kMostEntered) line.entered.erase(line.entered.begin());
}

std::string HangWatch::range_of(int process) const {
  const auto found = processes_.find(process);
  if (found == processes_.end()) return "";
  const auto& ranges = found->second.ranges;
  auto nested = ranges.find(found->second.thread);
  if (nested == ranges.end() && ranges.size() == 1) nested = ranges.begin();
  if (nested == ranges.end() || nested->second.empty()) return "";
  return fmt::format("; it is in {}", fmt::join(nested->second, " > "));
}

void HangWatch::look(const std::string& communicator, Line& line, std::int64_t now_ns,
                     std::vector<std::string>& said) const {
  if (line.entered.empty()) return;
  const auto [number, since] = *line.entered.begin();
  if (now_ns - since < patience_ns_ || line.told == number) return;
  std::vector<int> waiting;
  for (const auto& [rank, member] : line.members) {
    if (member.last >= number) waiting.push_back(member.rank);
  }
  line.told = number;
  for (const auto& [rank, member] : line.members) {
    if (member.last >= number) continue;
    const std::string last = member.last < 0 ? "it entered none" : fmt::format("its last is {}", member.last);
    said.push_back(fmt::format("rank {} is late: {} {} in {} {} of communicator {} since {:.0f} s; {}{}", member.rank,
                               ranks_text(waiting), waiting.size() == 1 ? "waits" : "wait", line.function, number,
                               communicator, static_cast<double>(now_ns - since) * 1e-9, last,
                               range_of(member.process)));
  }
}

std::vector<std::string> HangWatch::look(std::int64_t now_ns) {
  std::vector<std::string> said;
  for (auto& [id, communicator] : communicators_) {
    const std::string name = communicator.name.empty() ? fmt::format("{:016x}", id) : communicator.name;
    for (auto& [function, line] : communicator.lines) look(name, line, now_ns, said);
  }
  return said;
}

void HangWatch::forget() {
  for (auto& [id, communicator] : communicators_) communicator.lines.clear();
}

}  // namespace shardscope::capture
