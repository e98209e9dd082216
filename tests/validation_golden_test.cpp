// The errors of our predictions against published runs, pinned: a change of the model or of its constants shows here.
// After a change that is meant, look at the difference that
//   build/release/cli/shardscope validate --json --summary > tests/golden/validation.json
// makes, and commit it with the change.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "core/spec/json_reader.h"
#include "simulator/validate/score.h"
#include "source_dir.h"

namespace shardscope {
namespace {

constexpr double kTolerance = 0.002;  // of an error or a tau: compilers differ in the last digits, not in these

using nlohmann::json;

void expect_like(const json& golden, const char* key, std::optional<double> now, const std::string& where) {
  ASSERT_TRUE(golden.contains(key)) << where << " " << key;
  ASSERT_EQ(golden[key].is_null(), !now) << where << " " << key;
  if (!now) return;
  EXPECT_NEAR(*now, golden[key].get<double>(), kTolerance) << where << " " << key;
}

void expect_like(const json& golden, const Score& now, const std::string& where) {
  EXPECT_EQ(golden["n"], now.step_time.n) << where;
  EXPECT_EQ(golden["skipped"], now.skipped) << where;
  EXPECT_EQ(golden["mem_n"], now.memory.n) << where;
  expect_like(golden, "step_time_mape", now.step_time.mape, where);
  expect_like(golden, "step_time_median", now.step_time.median, where);
  expect_like(golden, "step_time_p90", now.step_time.p90, where);
  expect_like(golden, "mem_mape", now.memory.mape, where);
  expect_like(golden, "mem_median", now.memory.median, where);
  expect_like(golden, "kendall_tau", now.kendall_tau, where);
}

TEST(ValidationGolden, ErrorsAreThoseThatAreWritten) {
  const json golden = json::parse(read_text_file(SHARDSCOPE_SOURCE_DIR "/tests/golden/validation.json"));
  const Validation result = validate(parse_published_runs(published_runs_csv(), "published_runs.csv"),
                                     default_catalog(), default_constants());
  EXPECT_TRUE(result.broken.empty());
  const auto sources = score_sources(result.rows, "AB");
  EXPECT_EQ(golden["sources"].size(), sources.size());
  for (const auto& [name, score] : sources) {
    ASSERT_TRUE(golden["sources"].contains(name)) << name;
    expect_like(golden["sources"][name], score, name);
  }
  expect_like(golden["overall"], score_overall(result.rows, "AB"), "overall");
}

}  // namespace
}  // namespace shardscope
