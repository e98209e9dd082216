#pragma once
// The parts of a DeepSpeed checkpoint that its layouts share. Only this folder includes it.

#include <memory>
#include <string>
#include <vector>

#include "core/engine/checkpoint/deepspeed/deepspeed_checkpoint.h"
#include "core/engine/checkpoint/deepspeed/range_source.h"
#include "core/engine/checkpoint/deepspeed/torch_file.h"
#include "core/engine/checkpoint/tensor_names.h"

namespace shardscope::deepspeed {

/// A parameter as `param_shapes` lists it: name and shape of the whole.
struct Shape {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t elements() const;
};

/// What the optimizer's groups hold, in the order in which they are flattened. Throws Error{kParse}.
std::vector<std::vector<Shape>> read_param_shapes(const TorchFile& file);

/// The model's name of a parameter, or its own name if the model has none such (check_same_tensors will say so).
std::string model_name(const TensorNames& names, const std::string& stored);

/// Updates that a torch optimizer's state_dict counts: in a parameter's state, or in its group (where DeepSpeed's
/// FusedAdam keeps a 0 of old). Nothing if neither says.
std::optional<double> optimizer_steps(PickleValue optimizer, const TorchFile& file);

/// Adds the ranges of every parameter. `model_states`: the file with param_shapes; `files`: the optimizer's, by rank.
void add_flat_groups(RangeSource& source, const TensorNames& names, const TorchFile& model_states,
                     const std::vector<std::unique_ptr<TorchFile>>& files);  // stages 1 and 2
void add_partitions(RangeSource& source, const TensorNames& names, const TorchFile& model_states,
                    const std::vector<std::unique_ptr<TorchFile>>& files);  // stage 3
std::optional<double> add_universal(RangeSource& source, const TensorNames& names, const std::string& folder,
                                    bool check_sums);                                           // zero/NAME/fp32.pt ...
void add_module(RangeSource& source, const TensorNames& names, const TorchFile& model_states);  // weights only

}  // namespace shardscope::deepspeed
