// cp.async: the bytes are read at once and land in shared memory only when the program waits for their group, so that a
// missing wait reads what was there before.

#include <algorithm>

#include "tests/cudasim/ptx/access.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

/// d: the target's row, imm beside it; b: the source's, with `aux` added; memory: bytes; c: how many of them are copied
/// (the rest is zeros), or none.
Flow copy_async(Warp& w, const Inst& i, u32 mask) {
  u64 targets[32];
  addresses_of(w, i, targets);
  const u64* sources = w.row<u64>(i.b);
  each_lane(mask, [&](int l) {
    PendingCopy copy{l, i.memory, w.copy_group[l], targets[l], {}};
    const u32 wanted = i.c == kNone ? i.memory : std::min<u32>(w.row<u32>(i.c)[l], i.memory);
    const u64 source = sources[l] + static_cast<u64>(static_cast<s16>(i.aux));
    if (wanted == i.memory) {
      std::memcpy(copy.data, resolve_one(w, i, l, source, i.memory, Use::kRead, Space::kGlobal), i.memory);
    } else {
      for (u32 k = 0; k < wanted; ++k) copy.data[k] = *resolve_one(w, i, l, source + k, 1, Use::kRead, Space::kGlobal);
    }
    w.copies.push_back(copy);
  });
  return Flow::kNext;
}

Flow commit_group(Warp& w, const Inst&, u32 mask) {
  each_lane(mask, [&](int l) { ++w.copy_group[l]; });
  return Flow::kNext;
}

/// imm: how many groups may still be under way; -1: none, nor what was not committed.
Flow wait_group(Warp& w, const Inst& i, u32 mask) {
  std::vector<PendingCopy> left;
  for (const PendingCopy& copy : w.copies) {
    const bool lands =
        (mask >> copy.lane & 1) != 0 && (i.imm < 0 || copy.group + static_cast<u32>(i.imm) < w.copy_group[copy.lane]);
    if (lands) {
      std::memcpy(resolve_one(w, i, copy.lane, copy.target, copy.bytes, Use::kWrite, Space::kShared, copy.data),
                  copy.data, copy.bytes);
    } else {
      left.push_back(copy);
    }
  }
  w.copies = std::move(left);
  return Flow::kNext;
}

/// "cp.async.cg.shared.global [to], [from], 16, size"
void decode_cp(Decoder& d) {
  if (!d.take("async")) d.refuse("only cp.async");
  if (d.take("commit_group")) return d.emit(commit_group);
  if (d.take("wait_all")) {
    d.inst.imm = -1;
    return d.emit(wait_group);
  }
  if (d.take("wait_group")) {
    d.inst.imm = static_cast<s64>(literal_bits(d.arg(0)));
    return d.emit(wait_group);
  }
  d.take_one({"ca", "cg"});
  if (d.take_one({"shared", "shared::cta"}) < 0 || !d.take("global")) d.refuse("only from global to shared memory");
  d.take_one({"L2::64B", "L2::128B", "L2::256B"});
  const u64 bytes = literal_bits(d.arg(2));
  if (bytes != 4 && bytes != 8 && bytes != 16) d.refuse("4, 8 or 16 bytes");
  d.address(1);
  const Inst source = d.inst;
  if (!source.wide_address || source.imm != static_cast<s16>(source.imm) || source.a == kNone)
    d.refuse("this source address");
  d.inst.space = Space::kShared;
  d.address(0);
  d.inst.b = source.a;
  d.inst.aux = static_cast<u16>(source.imm);
  d.inst.memory = static_cast<u8>(bytes);
  if (d.args() > 3) d.inst.c = d.row(3, 4);
  d.emit(copy_async);
}

}  // namespace

void add_async_copy(DecodeTable& table) { table["cp"] = decode_cp; }

}  // namespace cudasim::ptx
