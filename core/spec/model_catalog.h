#pragma once
// Well-known models by name. Their config.json files (data/models) are part of the binary.
//
//   ModelSpec model = find_model("meta-llama/Llama-2-7b-hf");   // also "llama-2-7b", "LLAMA2_7B"
//   ModelSpec either = open_model("gpt2");                      // what --model takes: a path, or else a name

#include <string>
#include <string_view>
#include <vector>

#include "core/spec/model_spec.h"

namespace shardscope {

/// Names of all models, as the files in data/models are called, sorted.
std::vector<std::string> model_names();

/// Upper and lower case, punctuation, an owner ("meta-llama/"), a remark in parentheses and the endings -hf, -base,
/// -instruct, -chat and -it do not count; other spellings are in data/models/aliases.csv. The result has the catalog's
/// name. Throws Error{kConfig} with the nearest names.
ModelSpec find_model(std::string_view name);

/// The file or folder of that path (below `folder`) if there is one, else find_model(). What looks like a path (it ends
/// in .json, begins with '.' or '/') is never looked up.
ModelSpec open_model(const std::string& path_or_name, const std::string& folder = "");

/// The config.json that open_model() reads, as it is written, and the file name that it is read under.
struct ModelText {
  std::string text, file_name;
};
ModelText open_model_text(const std::string& path_or_name, const std::string& folder = "");

}  // namespace shardscope
