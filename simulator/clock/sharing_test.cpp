#include "simulator/clock/sharing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace shardscope {
namespace {

std::vector<double> speeds_of(const std::vector<std::vector<Demand>>& demands, const std::vector<double>& capacity) {
  std::vector<Sharer> sharers;
  for (const auto& d : demands) sharers.push_back({d, 0});
  SharingScratch scratch;
  share_fairly(sharers, capacity, scratch);
  std::vector<double> speeds;
  for (const Sharer& s : sharers) speeds.push_back(s.speed);
  return speeds;
}

TEST(Sharing, EnoughForAllIsFullSpeed) { EXPECT_EQ(speeds_of({{{0, 1}}, {{0, 1}}}, {2}), (std::vector<double>{1, 1})); }

TEST(Sharing, TooLittleIsSharedEqually) {
  EXPECT_EQ(speeds_of({{{0, 1}}, {{0, 1}}, {{0, 2}}}, {2}), (std::vector<double>{0.5, 0.5, 0.5}));
}

TEST(Sharing, WhoIsHeldBackElsewhereLeavesRoomForOthers) {
  // Resource 0 (1 unit) holds the first at 1/4 of its wish of 4; resource 1 (1 unit) then has 3/4 for the second.
  const auto speeds = speeds_of({{{0, 4}, {1, 1}}, {{1, 1}}}, {1, 1});
  EXPECT_DOUBLE_EQ(speeds[0], 0.25);
  EXPECT_DOUBLE_EQ(speeds[1], 0.75);
}

TEST(Sharing, WhoGoesFirstLeavesTheRest) {
  std::vector<Demand> collective{{0, 0.25}}, kernel{{0, 1}};
  std::vector<Sharer> sharers{{kernel, 1, false}, {collective, 1, true}};
  const std::vector<double> one{1};
  SharingScratch scratch;
  share_fairly(sharers, one, scratch);
  EXPECT_EQ(sharers[0].speed, 0.75);
  EXPECT_EQ(sharers[1].speed, 1);
  std::vector<Sharer> many(5, Sharer{collective, 1, true});  // more than there is: they share, a tenth is kept
  many.push_back({kernel, 1, false});
  share_fairly(many, one, scratch);
  EXPECT_EQ(many[0].speed, 0.8);
  EXPECT_DOUBLE_EQ(many[5].speed, 0.1);
}

// What lets one sharer stand for many alike, to the last bit.
TEST(Sharing, OneOfManyTimesTheDemandsIsAsFastAsMany) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::vector<Demand>> kinds(4);
    for (auto& kind : kinds) {
      for (int r = 0; r < 3; ++r) {
        if (random() % 2 == 0) kind.push_back({r, (1.0 + random() % 65536) / 65536});
      }
    }
    const std::vector<double> capacity{1.0, 1.7, 0.3};
    std::vector<std::vector<Demand>> scaled = kinds;
    std::vector<Sharer> many, few;
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      const int count = 1 + static_cast<int>(random() % 9);
      for (int i = 0; i < count; ++i) many.push_back({kinds[k]});
      for (Demand& d : scaled[k]) d.amount *= count;
    }
    for (const auto& kind : scaled) few.push_back({kind});
    std::shuffle(many.begin(), many.end(), random);
    SharingScratch scratch;
    share_fairly(many, capacity, scratch);
    share_fairly(few, capacity, scratch);
    for (const Sharer& s : many) {
      const auto kind =
          std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.data() == s.demands.data(); });
      EXPECT_EQ(s.speed, few[static_cast<std::size_t>(kind - kinds.begin())].speed) << round;
    }
  }
}

TEST(Sharing, NobodyCanGainWithoutASlowerOneLosing) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::vector<double> capacity;
    for (int r = 0; r < 3; ++r) capacity.push_back(0.5 + random() % 5);
    std::vector<std::vector<Demand>> demands(1 + random() % 6);
    for (auto& list : demands) {
      for (int r = 0; r < 3; ++r) {
        if (random() % 2 == 0) list.push_back({r, 0.25 * (1 + random() % 8)});
      }
    }
    const std::vector<double> speeds = speeds_of(demands, capacity);
    std::vector<double> used(capacity.size(), 0.0);
    for (std::size_t i = 0; i < demands.size(); ++i) {
      for (const Demand& d : demands[i]) used[static_cast<std::size_t>(d.resource)] += d.amount * speeds[i];
    }
    for (std::size_t r = 0; r < capacity.size(); ++r) EXPECT_LE(used[r], capacity[r] * (1 + 1e-9));
    for (std::size_t i = 0; i < demands.size(); ++i) {
      bool held = speeds[i] == 1;  // or some resource of its own is used up, by nobody faster than itself
      for (const Demand& d : demands[i]) {
        const auto r = static_cast<std::size_t>(d.resource);
        bool fastest = true;
        for (std::size_t j = 0; j < demands.size(); ++j) {
          for (const Demand& e : demands[j]) {
            if (e.resource == d.resource && speeds[j] > speeds[i] * (1 + 1e-9)) fastest = false;
          }
        }
        held = held || (fastest && used[r] > capacity[r] * (1 - 1e-9));
      }
      EXPECT_TRUE(held) << round << ' ' << i;
    }
  }
}

}  // namespace
}  // namespace shardscope
