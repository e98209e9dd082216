#pragma once
// Weights in safetensors as Hugging Face's transformers saves them: one file, or several with an index.
//
//   WeightsSource source("llama/", model);   check_same_tensors(source, model);

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/engine/checkpoint/state_source.h"
#include "core/engine/safetensors_reader.h"

namespace shardscope {

class WeightsSource : public StateSource {
 public:
  /// `path`: a .safetensors file, an index.json, or a folder with model.safetensors or its index. Names are brought to
  /// the model's (TensorNames); a head that the model ties must hold the embedding's values. Throws Error{kConfig,
  /// kParse}.
  WeightsSource(const std::string& path, const ModelSpec& model);

  const std::string& path() const override { return path_; }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  bool has_moments() const override { return false; }
  void read(std::size_t tensor, StateRole role, std::int64_t begin, std::span<float> out) override;

 private:
  struct Place {
    const SafetensorsReader* file = nullptr;
    const SafetensorsTensor* tensor = nullptr;
  };
  void open(const std::string& path);
  void open_index(const std::string& path);
  void add(const std::string& name, Place place);
  void check_tied_head(Place head, const std::string& embedding) const;

  std::string path_;
  std::vector<std::unique_ptr<SafetensorsReader>> files_;
  std::vector<StoredTensor> tensors_;
  std::vector<Place> places_;                           // by tensor
  std::unordered_map<std::string, std::size_t> index_;  // of tensors, by name
};

/// Whether a path is what WeightsSource reads, by its name and what lies in it.
bool is_weights(const std::string& path);

}  // namespace shardscope
