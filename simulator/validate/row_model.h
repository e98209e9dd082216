#pragma once
// The model of a published run: from the catalog if it is there by name, with what the row's own columns say put in its
// place; else from the columns alone.
//
//   RowModel row = model_of(run);      // run.model_name "Llama3-70B-cut", run.n_layers 12
//   row.model.layers, row.assumed      // 12, {"vocab: 128256, the catalog's"}

#include <string>
#include <vector>

#include "core/spec/model_spec.h"
#include "simulator/validate/published_runs.h"

namespace shardscope {

struct RowModel {
  ModelSpec model;
  double capacity_factor = 0;  ///< of experts; 0: no token is dropped
  std::vector<std::string> assumed;
};

/// Without a catalog entry, the kind of MLP and whether embeddings are tied follow from the name ("llama", "gpt"), and
/// from params_billion where the name's habits do not give that number. Throws Error{kUnsupported} with the reason.
RowModel model_of(const PublishedRun&);

}  // namespace shardscope
