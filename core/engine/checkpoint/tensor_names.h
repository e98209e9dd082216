#pragma once
// The names under which other programs store a model's tensors, and which of ours they are.
//
//   TensorNames names(model);
//   names.find("h.0.ln_1.weight")   // "transformer.h.0.ln_1.weight": a model saved without its head

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/spec/model_spec.h"

namespace shardscope {

class TensorNames {
 public:
  explicit TensorNames(const ModelSpec& model);
  /// The model's tensor: of the same name, or of the name without a wrapper's "module." or with the model's own prefix
  /// ("transformer.", "model."). Nothing if it has none.
  std::optional<std::string> find(const std::string& stored) const;
  /// The second name of the embedding where the model ties its head to it ("lm_head.weight"): the same values.
  bool is_tied_head(const std::string& stored) const;
  const std::string& embedding() const { return embedding_; }
  /// The shape of a tensor of the model; empty: it has no such tensor.
  std::vector<std::int64_t> shape(const std::string& name) const;
  /// Causal masks and rotary frequencies that some versions save beside the weights.
  static bool is_constant(const std::string& stored);

 private:
  std::map<std::string, std::vector<std::int64_t>> wanted_;  // shapes by name
  std::string prefix_, embedding_;
  bool tied_ = false;
};

}  // namespace shardscope
