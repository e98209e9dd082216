#pragma once
// Where the libraries are that are loaded only when they are wanted: beside this program, as built or installed.
//
//   const std::string path = find_library(kCaptureLibrary);

#include <string>

namespace shardscope::cli {

struct LoadedLibrary {
  const char* file;      ///< its name
  const char* room;      ///< folder of the build that it is made in
  const char* variable;  ///< of the environment, that says where it is
};
inline constexpr LoadedLibrary kCaptureLibrary{"libshardscope-capture.so", "profiler", "SHARDSCOPE_CAPTURE_LIBRARY"};
inline constexpr LoadedLibrary kCudaLibrary{"libshardscope-cuda.so", "kernels", "SHARDSCOPE_CUDA_LIBRARY"};

/// Throws Error{kConfig} saying where it was looked for, or that this build has none.
std::string find_library(const LoadedLibrary& library);

}  // namespace shardscope::cli
