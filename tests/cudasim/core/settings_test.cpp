#include "tests/cudasim/core/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace cudasim {
namespace {

class SettingsTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name :
         {"CUDASIM_DEVICES", "CUDASIM_FAIL", "CUDASIM_SCHED", "CUDASIM_MEM_MB", "CUDA_VISIBLE_DEVICES"})
      unsetenv(name);
  }
};

TEST_F(SettingsTest, FromTheEnvironment) {
  setenv("CUDASIM_DEVICES", "4", 1);
  setenv("CUDASIM_MEM_MB", "16", 1);
  setenv("CUDASIM_SCHED", "eager", 1);
  setenv("CUDASIM_FAIL", "cudaMalloc:3:2,cudaLaunchKernel:1:719", 1);
  const Settings settings = settings_from_environment();
  EXPECT_EQ(settings.devices, 4);
  EXPECT_EQ(settings.memory_bytes, 16u << 20);
  EXPECT_EQ(settings.schedule, Schedule::kEager);
  EXPECT_EQ(settings.fail.at("cudaMalloc").at(3), 2);
  EXPECT_EQ(settings.fail.at("cudaLaunchKernel").at(1), 719);
}

TEST_F(SettingsTest, VisibleDevices) {
  setenv("CUDASIM_DEVICES", "4", 1);
  setenv("CUDA_VISIBLE_DEVICES", "3,1,7,0", 1);  // as CUDA: what follows a number that is none is not seen
  const Settings settings = settings_from_environment();
  EXPECT_EQ(settings.devices, 2);
  EXPECT_EQ(settings.physical(0), 3);
  EXPECT_EQ(settings.physical(1), 1);
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_EQ(settings_from_environment().unavailable(), cudaErrorNoDevice);
}

TEST_F(SettingsTest, NonsenseEndsTheProcess) {
  setenv("CUDASIM_SCHED", "sometimes", 1);
  EXPECT_EXIT(settings_from_environment(), testing::ExitedWithCode(2),
              "CUDASIM_SCHED=sometimes: it must be late or eager or threads");
  setenv("CUDASIM_SCHED", "late", 1);
  setenv("CUDASIM_FAIL", "cudaMalloc", 1);
  EXPECT_EXIT(settings_from_environment(), testing::ExitedWithCode(2), "call:n:code");
}

}  // namespace
}  // namespace cudasim
