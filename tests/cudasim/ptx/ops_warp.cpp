// What lanes of a warp do together: shuffles, votes, matches, reductions, __syncwarp. A lane waits until every lane of
// its member mask that has not left is at the same instruction with the same mask.

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

constexpr u32 kFromNobody = 0xDEADDEAD;  ///< what a shuffle gives that reads from a lane outside

/// The lanes whose partners are all here run `body(lanes, members)`, group by group; the others wait in the warp.
template <class Body>
Flow together(Warp& w, const Inst& i, u32 mask, const u32* members, Body body) {
  if (mask == kAll) {  // the usual case: all lanes, which all name all
    u32 all = kAll;
    for (int l = 0; l < 32; ++l) all &= members[l];
    if (all == kAll) {
      body(kAll, kAll);
      return Flow::kNext;
    }
  }
  u32 left = mask, ran = 0;
  while (left != 0) {
    const u32 wanted = members[std::countr_zero(left)];
    u32 group = 0;
    each_lane(left, [&](int l) { group |= static_cast<u32>(members[l] == wanted) << l; });
    left &= ~group;
    if ((group & ~wanted) != 0) {
      fault(w, i, cudaErrorLaunchFailure,
            fmt::format("lanes {:#x} run it but are not in their own mask {:#x}", group & ~wanted, wanted));
    }
    u32 waiting = 0;
    each_lane(w.parked,
              [&](int l) { waiting |= static_cast<u32>(w.lane_pc[l] == w.pc && w.park_mask[l] == wanted) << l; });
    const u32 missing = wanted & w.exist & ~w.exited & ~(group | waiting);
    if (missing != 0) {
      w.parked |= group;
      each_lane(group, [&](int l) { w.park_mask[l] = wanted; });
    } else if (waiting != 0) {
      w.parked &= ~waiting;  // all are here: chosen again, they run it together
    } else {
      body(group, wanted);
      ran |= group;
    }
  }
  if (ran == w.mask) return Flow::kNext;
  w.set_pc(w.mask, w.pc);
  w.set_pc(ran | (w.mask & ~mask), w.pc + 1);
  w.choose();
  return Flow::kMoved;
}

bool same_in_all(const u32* row) {
  u32 differ = 0;
  for (int l = 1; l < 32; ++l) differ |= row[l] ^ row[0];
  return differ == 0;
}

enum Shuffle : u16 { kUp, kDown, kButterfly, kIndex };

/// a the value, b the lane or distance, c the clamp and segment, e the members; target: a predicate, whether the source
/// is in the segment.
Flow shuffle(Warp& w, const Inst& i, u32 mask) {
  return together(w, i, mask, w.row<u32>(i.e), [&](u32 group, u32) {
    u32 source[32], out[32];
    std::memcpy(source, w.row<u32>(i.a), sizeof source);
    const u32 *b = w.row<u32>(i.b), *c = w.row<u32>(i.c);
    u32 inside = 0;
    if (group == kAll && i.aux == kButterfly && same_in_all(b) && same_in_all(c) && c[0] == 31) {
      for (u32 l = 0; l < 32; ++l) out[l] = source[l ^ (b[0] & 31)];
      std::memcpy(w.row<u32>(i.d), out, sizeof out);
      if (i.target != kNone) w.predicates[i.target] = kAll;
      return;
    }
    each_lane(group, [&](int l) {
      const int by = static_cast<int>(b[l] & 31), clamp = static_cast<int>(c[l] & 31),
                segment = static_cast<int>(c[l] >> 8 & 31);
      const int first = l & segment, last = first | (clamp & ~segment);
      const int from = i.aux == kUp          ? l - by
                       : i.aux == kDown      ? l + by
                       : i.aux == kButterfly ? l ^ by
                                             : first | (by & ~segment);
      const bool in = i.aux == kUp ? from >= last : from <= last;
      const int lane = in ? from : l;
      const bool there = (group >> lane & 1) != 0;
      if (!there && !w.block->said_nobody) {
        w.block->said_nobody = true;
        w.block->reports->add(
            fmt::format("a shuffle reads lane {}, which has left or does not exist [{}]", lane, place(w, i, l)));
      }
      out[l] = there ? source[lane] : kFromNobody;
      inside |= static_cast<u32>(in) << l;
    });
    store_lanes(w.row<u32>(i.d), out, group);
    if (i.target != kNone) set_predicate(w, i.target, group, inside);
  });
}

enum Vote : u16 { kEvery, kSome, kSame, kBallot };
Flow vote(Warp& w, const Inst& i, u32 mask) {  // b the predicate, flag: negated
  return together(w, i, mask, w.row<u32>(i.e), [&](u32 group, u32) {
    const u32 yes = (i.flag ? ~w.predicates[i.b] : w.predicates[i.b]) & group;
    if (i.aux == kBallot) {
      each_lane(group, [&](int l) { w.row<u32>(i.d)[l] = yes; });
    } else {
      const bool holds = i.aux == kEvery ? yes == group : i.aux == kSome ? yes != 0 : yes == group || yes == 0;
      set_predicate(w, i.d, group, holds ? kAll : 0);
    }
  });
}

/// For each lane, which lanes have its value; flag: only if all have, with predicate target.
template <class U>
Flow match(Warp& w, const Inst& i, u32 mask) {
  return together(w, i, mask, w.row<u32>(i.e), [&](u32 group, u32) {
    const U* a = w.row<U>(i.a);
    u32 out[32], all = 0;
    each_lane(group, [&](int l) {
      out[l] = 0;
      each_lane(group, [&](int other) { out[l] |= static_cast<u32>(a[other] == a[l]) << other; });
      all |= static_cast<u32>(out[l] == group) << l;
      if (i.flag && out[l] != group) out[l] = 0;
    });
    store_lanes(w.row<u32>(i.d), out, group);
    if (i.target != kNone) set_predicate(w, i.target, group, all);
  });
}

enum Reduction : u16 { kAdd, kMin, kMax, kAnd, kOr, kXor };
template <class T>
Flow reduce(Warp& w, const Inst& i, u32 mask) {
  return together(w, i, mask, w.row<u32>(i.e), [&](u32 group, u32) {
    const T* a = w.row<T>(i.a);
    T sum = a[std::countr_zero(group)];
    each_lane(group & (group - 1), [&](int l) {
      switch (i.aux) {
        case kAdd:
          sum = static_cast<T>(static_cast<u32>(sum) + static_cast<u32>(a[l]));
          break;
        case kMin:
          sum = std::min(sum, a[l]);
          break;
        case kMax:
          sum = std::max(sum, a[l]);
          break;
        case kAnd:
          sum &= a[l];
          break;
        case kOr:
          sum |= a[l];
          break;
        default:
          sum ^= a[l];
      }
    });
    each_lane(group, [&](int l) { w.row<T>(i.d)[l] = sum; });
  });
}

Flow sync_warp(Warp& w, const Inst& i, u32 mask) {
  return together(w, i, mask, w.row<u32>(i.e), [&](u32, u32) { ++w.epoch; });
}

Flow active_mask(Warp& w, const Inst& i, u32 mask) {
  each_lane(mask, [&](int l) { w.row<u32>(i.d)[l] = mask; });
  return Flow::kNext;
}

/// "d|p": a register and perhaps a predicate.
void target_and_predicate(Decoder& d) {
  const std::vector<std::string> targets = split(d.arg(0), '|');
  d.inst.d = d.row_of(targets.at(0), 4);
  d.inst.target = targets.size() > 1 ? d.predicate(targets[1]) : kNone;
}
void want_sync(Decoder& d) {
  if (!d.take("sync")) d.refuse("only with .sync");
}

void decode_shfl(Decoder& d) {
  want_sync(d);
  d.take_type();
  const int how = d.take_one({"up", "down", "bfly", "idx"});
  if (how < 0) d.refuse("which shuffle?");
  d.inst.aux = static_cast<u16>(how);
  target_and_predicate(d);
  d.inst.a = d.row(1, 4);
  d.inst.b = d.row(2, 4);
  d.inst.c = d.row(3, 4);
  d.inst.e = d.row(4, 4);
  d.emit(shuffle);
}
void decode_vote(Decoder& d) {
  want_sync(d);
  d.take_type();
  const int how = d.take_one({"all", "any", "uni", "ballot"});
  if (how < 0) d.refuse("which vote?");
  d.inst.aux = static_cast<u16>(how);
  d.inst.d = how == kBallot ? d.target_row(0, 4) : d.predicate(d.arg(0));
  d.inst.b = d.predicate(d.arg(1), &d.inst.flag);
  d.inst.e = d.row(2, 4);
  d.emit(vote);
}
void decode_match(Decoder& d) {
  want_sync(d);
  const int bytes = type_bytes(d.take_type());
  const int how = d.take_one({"any", "all"});
  if (how < 0) d.refuse("which match?");
  d.inst.flag = how == 1;
  target_and_predicate(d);
  d.inst.a = d.row(1, bytes);
  d.inst.e = d.row(2, 4);
  d.emit(bytes == 4 ? match<u32> : match<u64>);
}
void decode_redux(Decoder& d) {
  want_sync(d);
  const std::string type = d.take_type();
  const int how = d.take_one({"add", "min", "max", "and", "or", "xor"});
  if (how < 0) d.refuse("which reduction?");
  d.inst.aux = static_cast<u16>(how);
  d.inst.d = d.target_row(0, 4);
  d.inst.a = d.row(1, 4);
  d.inst.e = d.row(2, 4);
  d.emit(type == "s32" ? reduce<s32> : type == "u32" || type == "b32" ? reduce<u32> : nullptr);
}
void decode_activemask(Decoder& d) {
  d.take_type();
  d.inst.d = d.target_row(0, 4);
  d.emit(active_mask);
}

}  // namespace

void decode_warp_barrier(Decoder& d) {  // bar.warp.sync, from ops_control.cpp
  d.inst.e = d.row(0, 4);
  d.emit(sync_warp);
}

void add_warp(DecodeTable& table) {
  table["shfl"] = decode_shfl;
  table["vote"] = decode_vote;
  table["match"] = decode_match;
  table["redux"] = decode_redux;
  table["activemask"] = decode_activemask;
}

}  // namespace cudasim::ptx
