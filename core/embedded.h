#pragma once
// Files of data/ that are part of the binary, so that an installed program needs no data folder.
//
//   shardscope_embed(core_spec models ${CMAKE_SOURCE_DIR}/data/models)        # CMake: every *.json and *.csv below
//   std::span<const EmbeddedFile> embedded_models();                          // C++: declare it where it is used

#include <span>
#include <string_view>

namespace shardscope {

struct EmbeddedFile {
  std::string_view path;  ///< below the embedded folder: "gpt2.json", "clouds/aws.json"; files are sorted by it
  std::string_view text;
};

}  // namespace shardscope
