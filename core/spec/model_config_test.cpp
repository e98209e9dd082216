#include "core/spec/model_config.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/error.h"
#include "source_dir.h"

namespace shardscope {
namespace {

std::vector<ModelSpec> known_models() {
  std::vector<ModelSpec> models;
  for (const auto& entry : std::filesystem::directory_iterator(SHARDSCOPE_SOURCE_DIR "/data/models")) {
    if (entry.path().extension() == ".json") models.push_back(load_model(entry.path().string()));
  }
  return models;
}

bool is_written(ModelFamily family) { return family <= ModelFamily::kBloom || family == ModelFamily::kQwen3; }

TEST(ModelConfig, FamiliesThatAreOnlyReadAreRefused) {
  for (const ModelSpec& model : known_models()) {
    if (is_written(model.family) || !model.rope_scaling.empty()) continue;
    EXPECT_THROW(model_config_json(model), Error) << model.name;
  }
}

TEST(ModelConfig, ReadsBackAsTheSameModel) {
  int written = 0;
  for (const ModelSpec& model : known_models()) {
    if (!model.rope_scaling.empty() || !is_written(model.family)) continue;
    const std::string json = model_config_json(model);
    const ModelSpec again = parse_model(json, "config.json");
    EXPECT_EQ(again.family, model.family);
    EXPECT_EQ(again.name, model.name);
    EXPECT_EQ(again.qk_norm, model.qk_norm) << model.name;
    EXPECT_EQ(again.rotary_fraction, model.rotary_fraction) << model.name;
    EXPECT_EQ(again.sliding_window, model.sliding_window) << model.name;
    const auto a = list_tensors(model), b = list_tensors(again);
    ASSERT_EQ(a.size(), b.size()) << model.name;
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].name, b[i].name) << model.name;
      EXPECT_EQ(a[i].shape, b[i].shape) << model.name << " " << a[i].name;
      EXPECT_EQ(a[i].init_std, b[i].init_std) << model.name << " " << a[i].name;
    }
    EXPECT_EQ(model_config_json(again), json);
    EXPECT_EQ(find_config_difference(json, model_config_json(again)), "");
    ++written;
  }
  EXPECT_GT(written, 10);
}

TEST(ModelConfig, NamesWhatIsDifferent) {
  ModelSpec model = load_model(SHARDSCOPE_SOURCE_DIR "/data/models/gpt-10m.json");
  const std::string json = model_config_json(model);
  model.name = "another name";
  model.init_std = 0.5;
  EXPECT_EQ(find_config_difference(json, model_config_json(model)), "");
  model.layers += 1;
  EXPECT_EQ(find_config_difference(model_config_json(model), json).rfind("n_layer: ", 0), 0U);
}

TEST(ModelConfig, RopeScalingIsRefused) {
  ModelSpec model = load_model(SHARDSCOPE_SOURCE_DIR "/data/models/gpt-10m.json");
  model.rope_scaling = "yarn";
  EXPECT_THROW(model_config_json(model), Error);
}

}  // namespace
}  // namespace shardscope
