// zero/NAME/{fp32,exp_avg,exp_avg_sq,step}.pt, a folder per parameter. Source: DeepSpeed's
// checkpoint/ds_to_universal.py.

#include <fmt/format.h>

#include <filesystem>

#include "core/engine/checkpoint/deepspeed/deepspeed_files.h"
#include "core/error.h"

namespace shardscope::deepspeed {
namespace {

namespace fs = std::filesystem;

constexpr std::pair<const char*, StateRole> kFiles[] = {
    {"fp32.pt", StateRole::kParameter}, {"exp_avg.pt", StateRole::kExpAvg}, {"exp_avg_sq.pt", StateRole::kExpAvgSq}};

/// The tensor of a file: alone, or under "param".
TorchTensor tensor_of(const TorchFile& file) {
  return TorchFile::is_tensor(file.root()) ? file.tensor(file.root(), "param")
                                           : file.tensor(file.root()["param"], "param");
}

/// Converted from stage 3, tensors are flat: then the model says what their shape is.
std::vector<std::int64_t> shape_of(const TorchTensor& stored, const std::vector<std::int64_t>& wanted) {
  const StoredTensor as_wanted{"", wanted};
  const bool flat = stored.shape.size() == 1 && !wanted.empty() && as_wanted.elements() == stored.elements();
  return flat ? wanted : stored.shape;
}

void add_parameter(RangeSource& source, const TensorNames& names, const std::string& stored_name,
                   const std::string& folder, bool check_sums) {
  const std::string name = model_name(names, stored_name);
  std::vector<std::int64_t> shape;
  std::size_t tensor = 0;
  for (const auto& [file_name, role] : kFiles) {
    const TorchFile file(join_path(folder, file_name));
    if (check_sums) file.zip().check_sums();
    const TorchTensor stored = tensor_of(file);
    if (role == StateRole::kParameter) {
      shape = stored.shape;
      tensor = source.add_tensor(name, shape_of(stored, names.shape(name)));
    } else if (stored.shape != shape) {
      file.fail("is of another shape than fp32.pt beside it");
    }
    source.add_range(tensor, role, {source.add_file(file.path()), stored.dtype, stored.offset, 0, stored.elements()});
  }
}

}  // namespace

std::optional<double> add_universal(RangeSource& source, const TensorNames& names, const std::string& folder,
                                    bool check_sums) {
  std::optional<double> applied;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string stored = entry.path().filename().string(), path = entry.path().string();
    if (!entry.is_directory() || names.is_tied_head(stored)) continue;
    add_parameter(source, names, stored, path, check_sums);
    const std::string step = join_path(path, "step.pt");
    if (applied || !fs::exists(step, error)) continue;
    const TorchFile file(step);
    const PickleValue root = file.root();
    applied = file.number(root["param"] ? root["param"] : root, "step");
  }
  const std::string optimizer = join_path(folder, "optimizer_state.pt");  // made from stage 3: all of rank 0's
  if (applied || !fs::exists(optimizer, error)) return applied;
  const TorchFile file(optimizer);
  applied = optimizer_steps(file.root()["optimizer_state_dict"], file);
  return applied ? applied : optimizer_steps(file.root(), file);
}

}  // namespace shardscope::deepspeed
