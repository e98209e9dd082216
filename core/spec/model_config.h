#pragma once
// The other way round: a Hugging Face config.json of a model, for exported weights and for checkpoints that must know
// what they are of.
//
//   std::string json = model_config_json(model);   // parse_model(json) gives the same model

#include <string>

#include "core/spec/model_spec.h"

namespace shardscope {

/// All keys that load_model() looks at and that transformers needs to build the model. Throws Error{kUnsupported} for a
/// rope scaling (of it, only the name is known here) and for families that are neither trained nor exported here.
std::string model_config_json(const ModelSpec& model);

/// The first key in which two such texts differ in a way that makes them different models, as "n_layer: 12, not 24";
/// empty: none. Names, dtypes and how weights were initialised do not count.
std::string find_config_difference(const std::string& config, const std::string& other);

}  // namespace shardscope
