#include "core/engine/region_io.h"

#include <cstring>

namespace shardscope {

void read_region(const Memory& memory, const Region& region, void* out) {
  std::memcpy(out, memory.at(region), static_cast<std::size_t>(memory.program->bytes(region)));
}

void write_region(const Memory& memory, const Region& region, const void* in) {
  std::memcpy(memory.at(region), in, static_cast<std::size_t>(memory.program->bytes(region)));
}

}  // namespace shardscope
