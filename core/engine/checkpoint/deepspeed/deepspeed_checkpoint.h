#pragma once
// Reads the checkpoints that DeepSpeed writes: ZeRO 1 and 2 (flat groups, partitioned), ZeRO 3 (a partition of each
// parameter), BF16_Optimizer's, and the universal folders that ds_to_universal.py makes of any of them. Pickles are
// read as data; tensors stay in their files and are read by range.
//
//   if (auto folder = find_deepspeed(path)) DeepSpeedCheckpoint from = open_deepspeed(*folder, model, true);

#include <memory>
#include <optional>
#include <string>

#include "core/engine/checkpoint/state_source.h"
#include "core/engine/run_position.h"

namespace shardscope {

struct DeepSpeedCheckpoint {
  std::unique_ptr<StateSource> source;  ///< under the model's names (TensorNames)
  RunPosition position;
};

/// The folder with the files that `path` means: itself, or the one that its `latest` (or `latest_universal`) names.
/// Nothing if there is no such checkpoint.
std::optional<std::string> find_deepspeed(const std::string& path);

/// `check_sums`: reads all of every file once to compare its CRC-32. Throws Error: kParse for what is damaged or
/// missing, kUnsupported for checkpoints of several model-parallel ranks, of DeepSpeed's pipelines, of MoE layers, with
/// frozen parameters, or of stage 0 with moments asked for (has_moments() is false: it has weights).
DeepSpeedCheckpoint open_deepspeed(const std::string& folder, const ModelSpec& model, bool check_sums);

}  // namespace shardscope
