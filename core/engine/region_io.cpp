#include "core/engine/region_io.h"

#include <cstring>

#include "core/engine/nvme/nvme_file.h"

namespace shardscope {

namespace {

bool on_drive(const Memory& memory, const Region& region) {
  return memory.program->buffer(region.buffer).space == Space::kNvme;
}

}  // namespace

void read_region(const Memory& memory, const Region& region, void* out) {
  const auto bytes = static_cast<std::size_t>(memory.program->bytes(region));
  if (on_drive(memory, region)) {
    return memory.nvme->read(memory.file_offset(region), {static_cast<std::byte*>(out), bytes});
  }
  if (memory.backend != nullptr) {
    return memory.backend->copy_out(memory.at(region), out, static_cast<std::int64_t>(bytes));
  }
  std::memcpy(out, memory.at(region), bytes);
}

void write_region(const Memory& memory, const Region& region, const void* in) {
  const auto bytes = static_cast<std::size_t>(memory.program->bytes(region));
  if (on_drive(memory, region)) {
    return memory.nvme->patch(memory.file_offset(region), {static_cast<const std::byte*>(in), bytes});
  }
  if (memory.backend != nullptr) {
    return memory.backend->copy_in(memory.at(region), in, static_cast<std::int64_t>(bytes));
  }
  std::memcpy(memory.at(region), in, bytes);
}

}  // namespace shardscope
