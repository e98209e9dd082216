#pragma once
// Weights for others: safetensors with Hugging Face's names and a config.json, which transformers loads.
//
//   export_weights(source, model, "out", {.dtype = DType::kBF16});

#include <string>

#include "core/engine/checkpoint/state_source.h"

namespace shardscope {

struct WeightExportOptions {
  DType dtype = DType::kF32;                ///< f32, bf16 or f16
  std::int64_t file_bytes = 5'000'000'000;  ///< a larger model is cut into files of at most so much (or one tensor)
};

struct ExportResult {
  int files = 0;
  std::int64_t tensors = 0, bytes = 0;
};

/// Into a folder that holds no weights yet, made if need be. Files get their names when they are whole. Memory: a
/// block. Throws Error{kConfig} if there are weights, Error{kIo}, and what reading throws.
ExportResult export_weights(StateSource& source, const ModelSpec& model, const std::string& folder,
                            const WeightExportOptions& options);

}  // namespace shardscope
