#include "simulator/validate/published_runs.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>

#include "core/error.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHead = "id,model_name,gpu,n_gpus,framework,seq_len,step_time_s,notes\n";

std::string complaint(const std::string& csv) {
  try {
    parse_published_runs(csv, "runs.csv");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(PublishedRuns, TheCuratedTableIsWhole) {
  const PublishedRuns table = parse_published_runs(published_runs_csv(), "published_runs.csv");
  EXPECT_TRUE(table.broken.empty());
  EXPECT_EQ(table.runs.size(), 911u);
  std::set<std::string> ids;
  std::map<std::string, int> sources, qualities;
  for (const PublishedRun& run : table.runs) {
    EXPECT_TRUE(ids.insert(run.id).second) << run.id;
    ++sources[run.source], ++qualities[std::string(1, run.quality)];
  }
  EXPECT_EQ(sources.size(), 18u);
  EXPECT_EQ(sources["mcore-h100"], 9);
  EXPECT_EQ(qualities, (std::map<std::string, int>{{"A", 554}, {"B", 283}, {"C", 74}}));
}

TEST(PublishedRuns, BrokenRowsAreNamedAndTheRestStays) {
  const PublishedRuns table = parse_published_runs(std::string(kHead) +
                                                       "x-1,m,h100,8,fsdp,2048,1.5,Q=A; fine\n"
                                                       "x-2,m,h100,many,fsdp,2048,1.5,\n"
                                                       "x-3,m,h100,8,fsdp,2048,-1,\n"
                                                       "x-4,m,h100,8\n"
                                                       ",m,h100,8,fsdp,2048,1.5,\n"
                                                       "x-6,m,h100,8,fsdp,\"2048,1.5,\n"
                                                       "x-7,m,h100,1e30,fsdp,2048,1.5,\n"
                                                       "last,m,h100,8,fsdp,,1.5,no tag\n",
                                                   "runs.csv");
  ASSERT_EQ(table.runs.size(), 2u);
  EXPECT_EQ(table.runs[0].source, "x");
  EXPECT_EQ(table.runs[0].quality, 'A');
  EXPECT_EQ(table.runs[1].source, "all");
  EXPECT_EQ(table.runs[1].quality, ' ');
  EXPECT_FALSE(table.runs[1].seq_len);
  ASSERT_EQ(table.broken.size(), 6u);
  EXPECT_EQ(table.broken[0].line, 3);
  EXPECT_EQ(table.broken[0].id, "x-2");
  EXPECT_THAT(table.broken[0].why, HasSubstr("n_gpus is \"many\"; it must be a whole number from 1 to"));
  EXPECT_THAT(table.broken[1].why, HasSubstr("step_time_s is \"-1\""));
  EXPECT_THAT(table.broken[2].why, HasSubstr("has 4 cells"));
  EXPECT_EQ(table.broken[3].why, "id is blank");
  EXPECT_EQ(table.broken[4].line, 7);
}

TEST(PublishedRuns, FilesThatAreNoTableAreRefused) {
  EXPECT_THAT(complaint("id,model,gpu,n_gpus,framework\na,b,c,1,d\n"),
              HasSubstr("runs.csv:1: there is no column model_name"));
  EXPECT_THAT(complaint("id,model_name,gpu,n_gpu,framework\n"), HasSubstr("no column n_gpus; there is \"n_gpu\""));
  EXPECT_THAT(complaint(""), HasSubstr("no column id"));
  EXPECT_THAT(complaint(kHead), HasSubstr("has no rows"));
  EXPECT_THAT(complaint(std::string(kHead) + "a\nb\n"),
              HasSubstr("runs.csv:2: has 1 cells; the head has 8; all 2 rows"));
}

TEST(PublishedRuns, HostileTextIsNeverMoreThanBroken) {
  std::mt19937 random(7);
  const std::string start(published_runs_csv().substr(0, 4000));
  for (int i = 0; i < 300; ++i) {
    std::string text = start;
    for (int k = 0; k < 20; ++k) text[random() % text.size()] = "\",\n\0\xff-9e"[random() % 9];
    try {
      parse_published_runs(text, "x.csv");
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace shardscope
