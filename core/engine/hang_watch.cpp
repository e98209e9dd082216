#include "core/engine/hang_watch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <map>

namespace shardscope {
namespace {

constexpr std::size_t kMostPlaces = 4;  // that a message lists; a line has an end

std::string ranks_text(const std::vector<int>& ranks) {
  return ranks.size() == 1 ? fmt::format("rank {} is", ranks.front())
                           : fmt::format("ranks {} are", fmt::join(ranks, ", "));
}

RankFailure failure(int rank, const std::string& text) { return {rank, Error(ErrorKind::kDevice, text)}; }

}  // namespace

double WatchClock::now_s() {
  const auto now = std::chrono::steady_clock::now();
  now_s_ += std::min(std::chrono::duration<double>(now - last_).count(), 1.0);
  last_ = now;
  return now_s_;
}

HangWatch::HangWatch(int ranks, double timeout_s) : timeout_s_(timeout_s), seen_(static_cast<std::size_t>(ranks)) {}

void HangWatch::update(int rank, const RankState& state, double now_s) {
  std::optional<Seen>& seen = seen_[static_cast<std::size_t>(rank)];
  const bool moved = !seen || state.progress != seen->state.progress || state.doing != seen->state.doing;
  seen = Seen{state, now_s, moved ? now_s : seen->moved_s};
}

void HangWatch::forget(int rank) { seen_[static_cast<std::size_t>(rank)].reset(); }

std::optional<RankFailure> HangWatch::find(double now_s) const {
  if (timeout_s_ <= 0) return std::nullopt;
  for (int rank = 0; rank < static_cast<int>(seen_.size()); ++rank) {
    const auto& seen = seen_[static_cast<std::size_t>(rank)];
    if (!seen) continue;
    if (auto found = find_at(rank, *seen, now_s)) return found;
  }
  return find_deadlock();
}

std::optional<RankFailure> HangWatch::find_at(int rank, const Seen& seen, double now_s) const {
  const double silent_s = now_s - seen.heard_s, still_s = seen.heard_s - seen.moved_s;
  if (silent_s > timeout_s_) {
    return failure(rank,
                   fmt::format("has not answered for {:.0f} s (it is stopped, or its machine cannot be reached); {}",
                               silent_s, places(rank)));
  }
  if (seen.state.doing == RankState::Doing::kBusy && still_s > timeout_s_ + seen.state.allowance_s) {
    return failure(rank, fmt::format("hangs {} for {:.0f} s; {}", seen.state.where, still_s, places_of_others(rank)));
  }
  return std::nullopt;
}

std::optional<RankFailure> HangWatch::find_deadlock() const {
  double still_s = std::numeric_limits<double>::infinity(), allowance_s = 0;
  for (const auto& seen : seen_) {
    if (!seen || seen->state.doing != RankState::Doing::kWaiting) return std::nullopt;
    still_s = std::min(still_s, seen->heard_s - seen->moved_s);
    allowance_s = std::max(allowance_s, seen->state.allowance_s);  // much data over a slow network
  }
  if (still_s <= timeout_s_ + allowance_s) return std::nullopt;
  return failure(0, fmt::format("all ranks have waited for each other for {:.0f} s: rank 0 is {}; {}", still_s,
                                seen_.front()->state.where, places_of_others(0)));
}

std::string HangWatch::places(int rank) const {
  const auto& seen = seen_[static_cast<std::size_t>(rank)];
  const std::string others = places_of_others(rank);
  return fmt::format("it was last seen {}{}{}", seen ? seen->state.where : "nowhere", others.empty() ? "" : "; ",
                     others);
}

std::string HangWatch::places_of_others(int rank) const {
  std::map<std::string, std::vector<int>> ranks_at;
  for (int r = 0; r < static_cast<int>(seen_.size()); ++r) {
    const auto& seen = seen_[static_cast<std::size_t>(r)];
    if (r != rank && seen) ranks_at[seen->state.where].push_back(r);
  }
  std::vector<std::pair<std::vector<int>, std::string>> places;
  for (auto& [where, ranks] : ranks_at) places.emplace_back(std::move(ranks), where);
  std::sort(places.begin(), places.end());
  std::string text;
  for (std::size_t i = 0; i < places.size() && i < kMostPlaces; ++i) {
    text += fmt::format("{}{} {}", i == 0 ? "" : "; ", ranks_text(places[i].first), places[i].second);
  }
  return text + (places.size() > kMostPlaces ? "; ..." : "");
}

}  // namespace shardscope
