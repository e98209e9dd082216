#pragma once
// Files of data/ that are part of the binary, so that an installed program needs no data folder.
//
//   shardscope_embed(core_spec models ${CMAKE_SOURCE_DIR}/data/models)        # CMake: every *.json and *.csv below
//   std::span<const EmbeddedFile> embedded_models();                          // C++: declare it where it is used

#include <cstddef>
#include <span>
#include <string_view>

namespace shardscope {

struct EmbeddedFile {
  std::string_view path;  ///< below the embedded folder: "gpt2.json", "clouds/aws.json"; files are sorted by it
  std::string_view text;
};

/// A literal of known length: compilers refuse to count beyond some 200 KB.
template <std::size_t N>
constexpr std::string_view embedded_text(const char (&literal)[N]) {
  return {literal, N - 1};
}

}  // namespace shardscope
