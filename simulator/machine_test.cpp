#include "simulator/machine.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "core/error.h"

namespace shardscope {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_machine(text, "m.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Machine, RoundTripsThroughItsFile) {
  const Machine a = default_machine(3);
  const std::string path = testing::TempDir() + "machine_test.json";
  save_machine(a, path);
  const Machine b = load_machine(path);
  std::remove(path.c_str());
  EXPECT_EQ(to_json(a), to_json(b));
  EXPECT_EQ(b.cores, 3);
  EXPECT_EQ(b.families.size(), a.families.size());
  EXPECT_DOUBLE_EQ(b.matmuls.back().seconds, a.matmuls.back().seconds);
}

TEST(Machine, DefaultsSayThatTheyAreGuesses) {
  const Machine m = default_machine(2);
  EXPECT_FALSE(m.calibrated);
  EXPECT_EQ(m.source.rfind("Guess", 0), 0U);
}

TEST(Machine, SharesItsCoresOutEqually) {
  const Machine m = default_machine(8);
  EXPECT_EQ(m.threads_per_rank(1), 8);
  EXPECT_EQ(m.threads_per_rank(3), 2);
  EXPECT_EQ(m.threads_per_rank(100), 1);
  EXPECT_DOUBLE_EQ(m.peak_per_rank(2).value, m.machine_peak.value / 2);
}

TEST(Machine, CapacityDropsOnlyWhereRanksOutnumberCores) {
  Machine m = default_machine(2);
  m.core_capacity = Curve({{2, 2}, {3, 1.5}, {4, 1.9}});
  EXPECT_DOUBLE_EQ(m.capacity(1), 2);
  EXPECT_DOUBLE_EQ(m.capacity(2), 2);
  EXPECT_DOUBLE_EQ(m.capacity(3), 1.5);
  EXPECT_DOUBLE_EQ(m.capacity(9), 1.9);  // held past what was measured
}

TEST(Machine, RefusesWhatIsNoMachine) {
  const std::string good = to_json(default_machine(2));
  EXPECT_EQ(refusal(good), "accepted");
  EXPECT_NE(refusal("").find("m.json"), std::string::npos);
  EXPECT_NE(refusal("[]").find("m.json"), std::string::npos);
  EXPECT_NE(refusal(good.substr(0, good.size() / 2)).find("m.json"), std::string::npos);
  EXPECT_NE(refusal(replaced(good, "machine 1", "machine 9")).find("format"), std::string::npos);
  EXPECT_NE(refusal(replaced(good, "\"cores\": 2", "\"cores\": 0")).find("cores"), std::string::npos);
  EXPECT_NE(refusal(replaced(good, "\"cores\": 2", "\"core\": 2")).find("core"), std::string::npos);
  EXPECT_NE(refusal(replaced(good, "\"cache_bytes\": 4000000.0", "\"cache_bytes\": -1")).find("cache_bytes"),
            std::string::npos);
  const std::string one_core = to_json(default_machine(1));  // one curve per family
  EXPECT_NE(refusal(replaced(one_core, "\"family\":\"copy\"", "\"family\":\"copies\"")).find("copy"),
            std::string::npos);
  EXPECT_NE(refusal(replaced(good, "\"work_seconds\":[[", "\"work_seconds\":[[1e9,1],[")).find("work_seconds"),
            std::string::npos);
  EXPECT_THROW(load_machine("/nowhere/machine.json"), Error);
  EXPECT_THROW(save_machine(default_machine(1), "/nowhere/machine.json"), Error);
}

}  // namespace
}  // namespace shardscope
