#include "simulator/clock/shared_resources.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace shardscope {
namespace {

constexpr int kResources = 6;

Draws random_draws(std::mt19937& random) {
  Draws draws;
  for (int r = 0; r < kResources; ++r) {
    if (random() % 3 == 0) draws.demands.push_back({r, (1.0 + random() % 8) / 8});
  }
  draws.goes_first = random() % 4 == 0;
  return draws;
}

std::map<int, double> speeds_of_all(const std::map<int, Draws>& running, const std::vector<double>& capacity) {
  std::vector<Sharer> sharers;
  for (const auto& [activity, draws] : running) sharers.push_back({draws.demands, 1, draws.goes_first});
  SharingScratch scratch;
  share_fairly(sharers, capacity, scratch);
  std::map<int, double> speeds;
  std::size_t i = 0;
  for (const auto& [activity, draws] : running) speeds[activity] = sharers[i++].speed;
  return speeds;
}

TEST(SharedResources, AChangeReachesWhomItMustAndTheSpeedsAreThoseOfAllSharedOutTogether) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    std::vector<double> capacity;
    for (int r = 0; r < kResources; ++r) capacity.push_back(0.5 + random() % 3);
    SharedResources shared(capacity);
    std::map<int, Draws> running;
    std::map<int, double> speed;
    for (int i = 0; i < 40; ++i) {
      if (running.size() > 8 || (!running.empty() && random() % 3 == 0)) {
        const auto gone = std::next(running.begin(), random() % running.size());
        shared.remove(gone->first);
        speed.erase(gone->first);
        running.erase(gone);
      } else {
        const auto it = running.emplace(i, random_draws(random)).first;
        speed[i] = 1;
        shared.add(i, it->second);
      }
      if (i % 3 != 0) continue;  // several changes at one instant
      if (shared.changed()) shared.share([&](std::int32_t activity, double s) { speed[activity] = s; });
      for (const auto& [activity, s] : speeds_of_all(running, capacity)) {
        EXPECT_NEAR(speed[activity], s, 1e-12) << round << ' ' << i << ' ' << activity;
      }
    }
  }
}

TEST(SharedResources, FarAwayNothingIsSharedOutAnew) {
  SharedResources shared({1, 1});
  const Draws here{{{0, 1}}, false}, there{{{1, 1}}, false};
  EXPECT_FALSE(shared.add(0, here));
  EXPECT_FALSE(shared.add(1, there));
  EXPECT_TRUE(shared.add(2, there));
  std::map<int, double> set;
  shared.share([&](std::int32_t activity, double s) { set[activity] = s; });
  EXPECT_EQ(set, (std::map<int, double>{{1, 0.5}, {2, 0.5}}));
}

}  // namespace
}  // namespace shardscope
