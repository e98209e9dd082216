#include "core/engine/process/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/error.h"

namespace shardscope {
namespace {

using Values = std::map<std::string, std::string>;

std::optional<Launch> launch(const Values& values) {
  return detect_launch([&](const std::string& name) {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  });
}

std::string refusal(const Values& values) {
  try {
    launch(values);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "not refused";
}

TEST(Launch, AloneIsNoLaunch) {
  EXPECT_FALSE(launch({}));
  EXPECT_FALSE(launch({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}));
  EXPECT_FALSE(launch({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}})) << "a batch script is no rank";
  EXPECT_FALSE(launch({{"RANK", "0"}, {"WORLD_SIZE", "1"}}));
}

TEST(Launch, TorchrunsVariablesSayWhereToMeet) {
  Values values{{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "node1"}, {"MASTER_PORT", "29500"}};
  const auto found = launch(values);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 3);
  EXPECT_EQ(found->world, 4);
  EXPECT_EQ(found->host, "node1");
  EXPECT_EQ(found->port, 29500);
  EXPECT_FALSE(found->has_mpi);
  values["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_EQ(launch(values)->port, 29501) << "torchrun itself listens at MASTER_PORT";
}

TEST(Launch, MpiAndSlurm) {
  EXPECT_TRUE(launch({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}})->has_mpi);
  EXPECT_EQ(launch({{"PMI_RANK", "5"}, {"PMI_SIZE", "8"}})->rank, 5);
  const Values srun{
      {"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "16"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}};
  EXPECT_EQ(launch(srun)->world, 4) << "of the step, not of the job";
  EXPECT_TRUE(launch(srun)->has_mpi);
  const auto place = launch({{"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "4"}, {"MASTER_ADDR", "h"}, {"MASTER_PORT", "1"}});
  EXPECT_EQ(place->rank, 2);
  EXPECT_FALSE(place->has_mpi);
}

TEST(Launch, RefusesWhatMakesNoSense) {
  EXPECT_THAT(refusal({{"RANK", "0"}, {"WORLD_SIZE", "4"}}), testing::HasSubstr("MASTER_ADDR"));
  EXPECT_THAT(refusal({{"PMI_RANK", "4"}, {"PMI_SIZE", "4"}}), testing::HasSubstr("PMI_RANK is \"4\""));
  EXPECT_THAT(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}, {"MASTER_PORT", "http"}}),
              testing::HasSubstr("MASTER_PORT is \"http\""));
}

}  // namespace
}  // namespace shardscope
