#pragma once
// A checksum per block of a swap file, so that bytes which the drive or somebody else changed do not become weights.
//
//   sums[i] = block_checksum(block);   // at the write, kept in memory
//   if (block_checksum(block) != sums[i]) ...   // at the read

#include <cstddef>
#include <cstdint>

namespace shardscope {

/// Bytes of a block: what O_DIRECT transfers are aligned to, in file and memory. A whole page, because some drives and
/// file systems want no less.
inline constexpr std::int64_t kSwapBlock = 4096;

/// Of kSwapBlock bytes; never 0, which stands for "never written". Four lanes of multiply and rotate, as in XXH64's
/// main loop: any change within one 8-byte word shows for certain before the sum is folded to 32 bits. About 10 GB/s.
std::uint32_t block_checksum(const std::byte* block);

}  // namespace shardscope
