#pragma once
// What the emulated device says about itself: an H100's numbers (CUDA C++ Programming Guide, compute capability 9.0).

#include "tests/cudasim/core/types.h"

namespace cudasim {

inline constexpr char kDeviceName[] = "emulated sm_90 (no GPU)";
inline constexpr char kOddDeviceName[] = "another emulated sm_90 (no GPU)";  ///< CUDASIM_ODD_DEVICE
inline constexpr int kSms = 132;
inline constexpr u64 kMostThreads = 1024;
inline constexpr u64 kThreadsPerSm = 2048;
inline constexpr u64 kBlocksPerSm = 32;
inline constexpr u64 kSharedPerSm = 228 * 1024;
inline constexpr u64 kSharedMost = 227 * 1024;  ///< of one block, once asked for
inline constexpr u64 kSharedDefault = 48 * 1024;

}  // namespace cudasim
