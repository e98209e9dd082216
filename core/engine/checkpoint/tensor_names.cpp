#include "core/engine/checkpoint/tensor_names.h"

#include <string_view>

namespace shardscope {
namespace {

std::string without(const std::string& name, std::string_view prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

}  // namespace

TensorNames::TensorNames(const ModelSpec& model) : tied_(model.tied_embeddings) {
  const std::vector<TensorSpec> tensors = list_tensors(model);
  embedding_ = tensors.front().name;
  prefix_ = embedding_.substr(0, embedding_.find('.') + 1);
  for (const TensorSpec& tensor : tensors) wanted_.emplace(tensor.name, tensor.shape);
}

std::optional<std::string> TensorNames::find(const std::string& stored) const {
  const std::string bare = without(without(stored, "module."), "_orig_mod.");
  for (const std::string& name : {stored, bare, prefix_ + bare}) {
    if (wanted_.contains(name)) return name;
  }
  return std::nullopt;
}

std::vector<std::int64_t> TensorNames::shape(const std::string& name) const {
  const auto found = wanted_.find(name);
  return found == wanted_.end() ? std::vector<std::int64_t>{} : found->second;
}

bool TensorNames::is_tied_head(const std::string& stored) const {
  const std::string bare = without(stored, "module.");
  return tied_ && (bare == "lm_head.weight" || bare == "embed_out.weight");
}

bool TensorNames::is_constant(const std::string& stored) {
  for (const std::string_view end :
       {".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"}) {
    if (stored.ends_with(end)) return true;
  }
  return false;
}

}  // namespace shardscope
