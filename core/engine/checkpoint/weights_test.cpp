#include <gmock/gmock.h>

#include "core/engine/checkpoint/bigram_checkpoints_for_test.h"
#include "core/engine/checkpoint/export_weights.h"
#include "core/engine/checkpoint/weights_source.h"
#include "core/engine/safetensors.h"

namespace shardscope {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempFolder;

ModelSpec small_model(bool tied = true) {
  ModelSpec model = parse_model(R"({"model_type": "gpt2", "vocab_size": 7, "n_embd": 4, "n_layer": 1, "n_head": 1,
                                    "n_positions": 8})",
                                "config.json");
  model.tied_embeddings = tied;
  return model;
}

/// Element i of tensor t is 8 t + i modulo 8: exact in bf16.
class Made : public StateSource {
 public:
  explicit Made(const ModelSpec& model) {
    for (const TensorSpec& tensor : list_tensors(model)) tensors_.push_back({tensor.name, tensor.shape});
  }
  const std::string& path() const override { return path_; }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  bool has_moments() const override { return false; }
  void read(std::size_t tensor, StateRole, std::int64_t begin, std::span<float> out) override {
    for (float& x : out) x = static_cast<float>(8 * static_cast<std::int64_t>(tensor) + begin++ % 8);
  }

 private:
  std::string path_ = "made";
  std::vector<StoredTensor> tensors_;
};

void expect_made(StateSource& source, const ModelSpec& model) {
  check_same_tensors(source, model);
  Made made(model);
  for (std::size_t t = 0; t < made.tensors().size(); ++t) {
    const auto n = static_cast<std::size_t>(made.tensors()[t].elements());
    std::vector<float> wanted(n), found(n);
    made.read(t, StateRole::kParameter, 0, wanted);
    for (std::size_t s = 0; s < source.tensors().size(); ++s) {
      if (source.tensors()[s].name == made.tensors()[t].name) source.read(s, StateRole::kParameter, 0, found);
    }
    EXPECT_EQ(found, wanted) << made.tensors()[t].name;
  }
}

/// A file with the model's tensors under other names.
void write_renamed(const std::string& path, const ModelSpec& model,
                   const std::function<std::string(const std::string&)>& rename,
                   const std::vector<std::pair<TensorEntry, float>>& more = {}) {
  Made made(model);
  std::vector<TensorEntry> entries;
  for (const StoredTensor& tensor : made.tensors()) entries.push_back({rename(tensor.name), DType::kF32, tensor.shape});
  for (const auto& [entry, value] : more) entries.push_back(entry);
  SafetensorsWriter file(path, entries);
  for (std::size_t t = 0; t < made.tensors().size(); ++t) {
    std::vector<float> values(static_cast<std::size_t>(made.tensors()[t].elements()));
    made.read(t, StateRole::kParameter, 0, values);
    file.append(std::span<const float>(values));
  }
  for (const auto& [entry, value] : more) {
    file.append(std::span<const float>(std::vector<float>(static_cast<std::size_t>(entry.bytes() / 4), value)));
  }
  file.finish();
}

std::string error_of(const std::string& path, const ModelSpec& model) {
  try {
    WeightsSource source(path, model);
    check_same_tensors(source, model);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string same(const std::string& name) { return name; }

TEST(Weights, WhatIsExportedReadsBack) {
  const ModelSpec model = small_model();
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const std::int64_t file_bytes : {std::int64_t{5'000'000'000}, std::int64_t{300}}) {
      const TempFolder folder;
      Made made(model);
      const ExportResult result =
          export_weights(made, model, folder.file("out"), {.dtype = dtype, .file_bytes = file_bytes});
      EXPECT_EQ(result.files == 1, file_bytes > 300);
      EXPECT_EQ(result.bytes, parameter_count(model) * size_of(dtype));
      WeightsSource source(folder.file("out"), model);
      expect_made(source, model);
      EXPECT_EQ(parameter_count(load_model(folder.file("out"))), parameter_count(model));
      EXPECT_THROW(export_weights(made, model, folder.file("out"), {}), Error) << "what is there is left alone";
    }
  }
}

TEST(Weights, NamesOfOtherProgramsAreKnown) {
  const TempFolder folder;
  const ModelSpec model = small_model();
  const std::string path = folder.file("w.safetensors");
  write_renamed(path, model, [](const std::string& name) { return name.substr(std::string("transformer.").size()); },
                {{{"h.0.attn.bias", DType::kF32, {1, 1, 8, 8}}, 1}});
  WeightsSource without_head(path, model);
  expect_made(without_head, model);
  write_renamed(path, model, [](const std::string& name) { return "module." + name; });
  WeightsSource wrapped(path, model);
  expect_made(wrapped, model);
}

TEST(Weights, ATiedHeadMustBeTheEmbedding) {
  const TempFolder folder;
  const std::string path = folder.file("w.safetensors");
  write_renamed(path, small_model(), same, {{{"lm_head.weight", DType::kF32, {7, 4}}, 5}});
  EXPECT_THAT(error_of(path, small_model()), AllOf(HasSubstr("lm_head.weight"), HasSubstr("tie_word_embeddings")));
  write_renamed(path, small_model(), same);
  EXPECT_THAT(error_of(path, small_model(false)), AllOf(HasSubstr("lacks lm_head.weight"), HasSubstr("1 tensor")));
}

TEST(Weights, MissingExtraAndMisshapenTensorsAreNamed) {
  const TempFolder folder;
  const std::string path = folder.file("w.safetensors");
  write_renamed(path, small_model(), same, {{{"transformer.h.7.odd", DType::kF32, {2}}, 0}});
  EXPECT_THAT(error_of(path, small_model()), HasSubstr("transformer.h.7.odd"));
  ModelSpec wider = small_model();
  wider.vocab_size = 8;
  EXPECT_THAT(error_of(path, wider), AllOf(HasSubstr("transformer.wte.weight is [7, 4]"), HasSubstr("[8, 4]")));
  ModelSpec deeper = small_model();
  deeper.layers = 2;
  EXPECT_THAT(error_of(path, deeper), AllOf(HasSubstr("transformer.h.1.ln_1.weight"), HasSubstr("12 tensor")));
  EXPECT_THAT(error_of(folder.path(), small_model()), HasSubstr("model.safetensors"));
  testing::write_file(folder.file("model.safetensors.index.json"), R"({"weight_map": {"a": "../up.safetensors"}})");
  EXPECT_THAT(error_of(folder.path(), small_model()), HasSubstr("same folder"));
}

}  // namespace
}  // namespace shardscope
