#pragma once
// How the families list their tensors. Only core/spec/model_*.cpp include this.
//
//   out.linear("attn.out_proj", h, h, m.attention_out_bias, m.init_std);   // weight [h, h] and perhaps a bias [h]

#include <string>
#include <utility>
#include <vector>

#include "core/spec/model_spec.h"

namespace shardscope {

using Shape = std::vector<std::int64_t>;

/// Collects tensors under a prefix and a layer number.
class TensorList {
 public:
  void enter(std::string prefix, std::int32_t layer) {
    prefix_ = std::move(prefix);
    layer_ = layer;
  }
  void weight(const std::string& module, Shape shape, double std) { add(module, "weight", std::move(shape), std, 0); }
  void bias(const std::string& module, std::int64_t n) { add(module, "bias", {n}, 0, 0); }
  /// LayerNorm has a bias (but mpt's), RMSNorm has none; Gemma's multiplies by 1 + weight.
  void norm(const std::string& module, std::int64_t n, const ModelSpec& m) {
    const bool gemma = m.family == ModelFamily::kGemma || m.family == ModelFamily::kGemma2;
    add(module, "weight", {n}, 0, gemma || m.family == ModelFamily::kGemma3Text ? 0 : 1);
    if (m.norm == NormKind::kLayerNorm && m.norm_bias) bias(module, n);
  }
  /// A parameter that lies in a module under a name of its own, not as its weight.
  void parameter(const std::string& module, const char* name, Shape shape, double std) {
    add(module, name, std::move(shape), std, 0);
  }
  /// nn.Linear: [out, in].
  void linear(const std::string& module, std::int64_t out, std::int64_t in, bool has_bias, double std) {
    weight(module, {out, in}, std);
    if (has_bias) bias(module, out);
  }
  /// GPT-2's Conv1D: [in, out].
  void conv1d(const std::string& module, std::int64_t in, std::int64_t out, bool has_bias, double std) {
    weight(module, {in, out}, std);
    if (has_bias) bias(module, out);
  }
  /// What follows belongs to this expert; -1: to none.
  void enter_expert(std::int32_t expert) { expert_ = expert; }
  std::int32_t layer() const { return layer_; }
  std::vector<TensorSpec> take() { return std::move(tensors_); }

 private:
  void add(const std::string& module, const char* kind, Shape shape, double std, double value) {
    const std::string owner = prefix_ + module;
    tensors_.push_back({owner + "." + kind, std::move(shape), layer_, owner, std, value, expert_});
  }
  std::string prefix_;
  std::int32_t layer_ = -1, expert_ = -1;
  std::vector<TensorSpec> tensors_;
};

/// What comes before the blocks (layer -1), in a block, and after the blocks (layer = number of blocks).
enum class Part { kBefore, kBlock, kAfter };

using AddTensors = void(const ModelSpec& m, Part part, TensorList& out);
AddTensors gpt2_tensors, gptj_tensors, gpt_neox_tensors, opt_tensors, bloom_tensors, falcon_tensors, mpt_tensors,
    phi_tensors, llama_tensors;

}  // namespace shardscope
