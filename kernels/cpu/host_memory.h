#pragma once
// Memory of a space: reserved at once, zero, and backed by pages only where it is touched.
//
//   std::byte* arena = map_memory(bytes);
//   unmap_memory(arena, bytes);

#include <cstddef>
#include <cstdint>

namespace shardscope {

/// `bytes` >= 0 of zeros, aligned to 4 KiB, or to 2 MiB (with huge pages asked for) from 2 MiB up.
/// Throws Error{kDevice} if the system refuses.
std::byte* map_memory(std::int64_t bytes);
void unmap_memory(std::byte* data, std::int64_t bytes);

}  // namespace shardscope
