// The fixtures are written by tests/peers/make_deepspeed_fixtures.py; real checkpoints of DeepSpeed are read by
// tests/peers/compare_transformers.py.

#include <gmock/gmock.h>

#include "core/engine/checkpoint/bigram_checkpoints_for_test.h"
#include "core/engine/checkpoint/deepspeed/deepspeed_checkpoint.h"
#include "core/engine/checkpoint/deepspeed/torch_file.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::read_file;
using testing::TempFolder;
using testing::write_file;

const std::string kFixtures = SHARDSCOPE_SOURCE_DIR "/core/engine/checkpoint/deepspeed/fixtures";

ModelSpec fixture_model() { return load_model(kFixtures + "/config.json"); }

/// What the generator put there: element i of tensor t is t + i / 1024, and so on.
float expected(std::size_t tensor, StateRole role, std::int64_t i) {
  const float value = static_cast<float>(tensor) + static_cast<float>(i) / 1024;
  if (role == StateRole::kExpAvg) return -value;
  return role == StateRole::kExpAvgSq ? value / 2 : value;
}

/// Number of the tensor in list_tensors().
std::size_t number_of(const std::string& name) {
  const std::vector<TensorSpec> all = list_tensors(fixture_model());
  for (std::size_t t = 0; t < all.size(); ++t) {
    if (all[t].name == name) return t;
  }
  ADD_FAILURE() << name;
  return 0;
}

void expect_generated_values(StateSource& source) {
  ASSERT_TRUE(source.has_moments());
  for (std::size_t tensor = 0; tensor < source.tensors().size(); ++tensor) {
    const StoredTensor& stored = source.tensors()[tensor];
    const std::size_t number = number_of(stored.name);
    for (const StateRole role : {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq}) {
      std::vector<float> values(static_cast<std::size_t>(stored.elements()));
      source.read(tensor, role, 0, values);
      for (std::size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(values[i], expected(number, role, static_cast<std::int64_t>(i))) << stored.name << " " << i;
      }
      for (std::size_t i = 0; i + 1 < values.size(); i += 3) {  // and from the middle
        std::vector<float> two(2);
        source.read(tensor, role, static_cast<std::int64_t>(i), two);
        ASSERT_EQ(two[1], values[i + 1]) << stored.name;
      }
    }
  }
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of_opening(const std::string& folder) {
  return error_of([&] {
    const DeepSpeedCheckpoint opened = open_deepspeed(find_deepspeed(folder).value_or(folder), fixture_model(), true);
    check_same_tensors(*opened.source, fixture_model());
  });
}

TEST(DeepSpeed, FlatGroupsOfStageTwo) {
  const auto folder = find_deepspeed(kFixtures + "/stage2");
  ASSERT_TRUE(folder);
  EXPECT_EQ(file_name(*folder), "global_step7");
  const DeepSpeedCheckpoint opened = open_deepspeed(*folder, fixture_model(), true);
  check_same_tensors(*opened.source, fixture_model());
  expect_generated_values(*opened.source);
  EXPECT_EQ(opened.position.steps, 7);
  EXPECT_EQ(opened.position.applied, 7);
  EXPECT_EQ(opened.position.sequences, 56);
}

TEST(DeepSpeed, PartitionsOfStageThree) {
  const DeepSpeedCheckpoint opened = open_deepspeed(kFixtures + "/stage3", fixture_model(), true);
  check_same_tensors(*opened.source, fixture_model());
  expect_generated_values(*opened.source);
}

TEST(DeepSpeed, UniversalFolders) {
  const DeepSpeedCheckpoint opened = open_deepspeed(kFixtures + "/universal", fixture_model(), true);
  EXPECT_EQ(opened.source->tensors().size(), 2U);
  expect_generated_values(*opened.source);
  EXPECT_EQ(opened.position.applied, 7);
  EXPECT_THAT(error_of_opening(kFixtures + "/universal"), HasSubstr("lacks"));
}

TEST(DeepSpeed, WhatIsMissingIsNamed) {
  const TempFolder folder;
  const auto copy = std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing;
  const auto fresh = [&](const char* name) {
    std::filesystem::remove_all(folder.path());
    std::filesystem::copy(kFixtures + "/" + name, folder.path(), copy);
  };
  EXPECT_FALSE(find_deepspeed(folder.path()));
  fresh("stage3");
  std::filesystem::remove(folder.file("zero_pp_rank_1_mp_rank_00_optim_states.pt"));
  EXPECT_THAT(error_of_opening(folder.path()), HasSubstr("rank 1"));
  fresh("stage3");
  std::filesystem::remove(folder.file("zero_pp_rank_2_mp_rank_00_optim_states.pt"));
  EXPECT_THAT(error_of_opening(folder.path()), HasSubstr("optimizer states of 2 ranks; 3 wrote it"));
  fresh("stage3");
  write_file(folder.file("zero_pp_rank_0_mp_rank_01_optim_states.pt"), "");
  EXPECT_THAT(error_of_opening(folder.path()), HasSubstr("several model-parallel ranks"));
  fresh("stage3");
  write_file(folder.file("layer_00-model_states.pt"), "");
  EXPECT_THAT(error_of_opening(folder.path()), HasSubstr("pipelines"));
}

/// Cut at any place, or with any byte changed: an error that names the file, never another value.
TEST(DeepSpeed, DamageIsFoundAndNamed) {
  const TempFolder folder;
  for (const char* name : {"zero_pp_rank_1_mp_rank_00_optim_states.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt"}) {
    std::filesystem::copy(kFixtures + "/stage3", folder.path(),
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
    const std::string path = folder.file(name), good = read_file(path);
    for (std::size_t at = 0; at < good.size(); at += 61) {
      write_file(path, good.substr(0, at));
      ASSERT_THAT(error_of_opening(folder.path()), HasSubstr(name)) << "cut at " << at;
    }
    int found = 0, tried = 0;
    for (std::size_t at = 0; at < good.size(); at += 61, ++tried) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x20);
      write_file(path, bad);
      const std::string error = error_of_opening(folder.path());  // padding and dates are covered by no checksum
      if (error == "no error") continue;
      ++found;
      ASSERT_THAT(error, HasSubstr("rank_")) << at;
    }
    EXPECT_GT(found, tried / 3);
  }
}

TEST(TorchFile, TensorsThatReachBeyondTheirDataAreRefused) {
  const TorchFile file(kFixtures + "/stage3/zero_pp_rank_0_mp_rank_00_optim_states.pt");
  const PickleValue root = file.root()["optimizer_state_dict"];
  EXPECT_EQ(file.tensor(root["fp32_flat_groups"][0], "x").dtype, DType::kF32);
  EXPECT_EQ(file.number(root["optimizer_state_dict"]["state"].at(1)["step"], "step"), 7);
  EXPECT_EQ(root["loss_scaler"].callee().global(), "deepspeed.runtime.fp16.loss_scaler LossScaler")
      << "an object of a class is data";
  EXPECT_THAT(error_of([&] { file.tensor(root["zero_stage"], "zero_stage"); }), HasSubstr("no tensor zero_stage"));
  EXPECT_THAT(error_of([&] { file.number(root, "step"); }), HasSubstr("no tensor step"));
}

}  // namespace
}  // namespace shardscope
