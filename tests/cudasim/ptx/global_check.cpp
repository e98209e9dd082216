#include "tests/cudasim/ptx/global_check.h"

#include <fmt/format.h>

namespace cudasim::ptx {

namespace {

u64 launch_of(u64 stamp) { return stamp >> 48; }
u64 block_of(u64 stamp) { return stamp >> 24 & 0xffffff; }
u64 epoch_of(u64 stamp) { return stamp >> 11 & 0x1fff; }
u64 thread_of(u64 stamp) { return stamp & 0x7ff; }

std::string describe(u64 stamp, const char* did) {
  return fmt::format("block {} thread {} {} it, with no atomic and no barrier between", block_of(stamp),
                     thread_of(stamp) - 1, did);
}

}  // namespace

GlobalToucher::GlobalToucher(const Block& block, const Warp& warp, int lane)
    : me_((block.launch & 0xffff) << 48 | (block.linear & 0xffffff) << 24 |
          static_cast<u64>(block.epoch & 0x1fff) << 11 | static_cast<u64>(warp.id * 32 + lane + 1)),
      block_(block) {}

bool GlobalToucher::ordered(u64 earlier) const {
  if (launch_of(earlier) != launch_of(me_) || thread_of(earlier) == 0) return true;
  if (block_of(earlier) == block_of(me_)) {
    return thread_of(earlier) == thread_of(me_) || epoch_of(earlier) != epoch_of(me_);
  }
  const auto found = block_.releases->by_block.find(block_of(earlier));
  if (found == block_.releases->by_block.end()) return false;
  const bool let_go_after = ((found->second.epoch - epoch_of(earlier)) & 0x1fff) < 0x1000;
  return let_go_after && block_.taken_at > found->second.moment;
}

void strong_access(Block& block) {
  block.taken_at = ++block.releases->moment;
  if (block.fenced) block.releases->by_block[block.linear & 0xffffff] = {block.epoch & 0x1fff, block.taken_at};
}

std::optional<std::string> GlobalToucher::read(RaceCell* cells, u32 bytes) const {
  for (u32 k = 0; k < bytes / 2; ++k) {
    if (!ordered(cells[k].write)) return describe(cells[k].write, "wrote");
    cells[k].read = me_;
  }
  return std::nullopt;
}

std::optional<std::string> GlobalToucher::write(RaceCell* cells, u32 bytes, bool changes) const {
  for (u32 k = 0; k < bytes / 2; ++k) {
    if (changes && !ordered(cells[k].write)) return describe(cells[k].write, "wrote");
    if (changes && !ordered(cells[k].read)) return describe(cells[k].read, "read");
    cells[k].write = me_;
  }
  return std::nullopt;
}

}  // namespace cudasim::ptx
