#pragma once
// Which transformer blocks go to which pipeline stage.

#include <vector>

#include "core/spec/job.h"

namespace shardscope {

/// First block of each stage, and at the end the number of blocks: stages + 1 entries, each stage at least one block.
/// uniform: equal numbers of blocks; parameters: smallest largest stage by parameters; balanced: by FLOPs of a token,
/// where the first stage also has the embeddings and the last the final norm and head. Throws Error{kConfig} if there
/// are more stages than blocks.
std::vector<int> partition_layers(const ModelSpec& model, Partition partition, int stages, std::int64_t seq);

}  // namespace shardscope
