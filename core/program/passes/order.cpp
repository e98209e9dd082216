// order: the dependencies between lanes.
// Before: a sequential program with lanes and addresses. After: `after` orders any two ops of different lanes that
// touch the same bytes, one of them writing, and no more than needed: what other orders imply is left out. Last,
// because it reads addresses: a buffer that takes over another's bytes waits for its last users like any writer.

#include <algorithm>
#include <map>

#include "core/program/clocks.h"
#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

/// Who touched the bytes [key, end) last. Ops are indices, -1: none; per lane the latest suffices.
struct Segment {
  std::int64_t end = 0;
  std::int32_t write = -1;
  std::array<std::int32_t, kLanes> reads;
};

class ByteHistory {
 public:
  /// Calls f(Segment&) for every piece of [begin, end), splitting and adding pieces so that they fit exactly.
  template <class F>
  void for_each(std::int64_t begin, std::int64_t end, F&& f) {
    split(begin);
    split(end);
    auto it = segments_.lower_bound(begin);
    std::int64_t at = begin;
    while (at < end) {
      if (it == segments_.end() || it->first > at) {
        Segment fresh;
        fresh.end = it == segments_.end() ? end : std::min(end, it->first);
        fresh.reads.fill(-1);
        it = segments_.emplace_hint(it, at, fresh);
      }
      f(it->second);
      at = it->second.end;
      ++it;
    }
  }

  /// Makes [begin, end) one piece again: all of it was written by `op`.
  void overwrite(std::int64_t begin, std::int64_t end, std::int32_t op) {
    split(begin);  // operands of one op may overlap: q, k and v lie side by side in each row
    split(end);
    auto it = segments_.lower_bound(begin);
    while (it != segments_.end() && it->first < end) it = segments_.erase(it);
    Segment whole;
    whole.end = end;
    whole.write = op;
    whole.reads.fill(-1);
    segments_.emplace_hint(it, begin, whole);
  }

 private:
  void split(std::int64_t at) {
    auto it = segments_.lower_bound(at);
    if (it == segments_.begin() || (it != segments_.end() && it->first == at)) return;
    --it;
    if (it->second.end <= at) return;
    Segment right = it->second;
    it->second.end = at;
    segments_.emplace(at, right);
  }

  std::map<std::int64_t, Segment> segments_;
};

class Orderer {
 public:
  explicit Orderer(Program& program) : program_(program), clocks_(program.instructions.size()) {}

  void run() {
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      Instruction& in = program_.instructions[i];
      if (is_memory_op(in.op)) continue;
      const OpId id{static_cast<std::int32_t>(i)};
      clocks_.begin(id, in.lane);
      in.after = dependencies(id, in);
      note(id, in);
    }
  }

 private:
  struct Range {
    std::int64_t begin, end;
  };
  Range bytes_of(const Region& r) const {
    const Buffer& b = program_.buffer(r.buffer);
    const std::int64_t size = size_of(b.dtype);
    return {b.address + r.offset * size, b.address + r.end() * size};
  }
  ByteHistory& history(const Region& r) {
    return histories_[static_cast<std::size_t>(program_.buffer(r.buffer).space)];
  }
  Lane lane_of(std::int32_t op) const { return program_.instructions[static_cast<std::size_t>(op)].lane; }

  std::vector<OpId> dependencies(OpId id, const Instruction& in) {
    std::array<std::int32_t, kLanes> latest;
    latest.fill(-1);
    const auto need = [&](std::int32_t op) {
      if (op < 0) return;
      auto& last = latest[static_cast<std::size_t>(lane_of(op))];
      last = std::max(last, op);
    };
    for_each_access(in.op, [&](const char*, const Region& r, Access access) {
      const Range range = bytes_of(r);
      history(r).for_each(range.begin, range.end, [&](Segment& segment) {
        need(segment.write);
        if (access == Access::kRead) return;
        for (std::int32_t read : segment.reads) need(read);
      });
    });
    latest[static_cast<std::size_t>(in.lane)] = -1;  // the lane itself keeps order
    std::sort(latest.begin(), latest.end(), std::greater<>());
    std::vector<OpId> after;
    for (std::int32_t op : latest) {  // latest first: it often implies the others
      if (op < 0 || clocks_.is_after(id, OpId{op}, lane_of(op))) continue;
      after.push_back(OpId{op});
      clocks_.join(id, OpId{op}, lane_of(op));
    }
    std::sort(after.begin(), after.end());
    return after;
  }

  void note(OpId id, const Instruction& in) {
    for_each_access(in.op, [&](const char*, const Region& r, Access access) {
      const Range range = bytes_of(r);
      if (access == Access::kRead) {
        history(r).for_each(range.begin, range.end,
                            [&](Segment& segment) { segment.reads[static_cast<std::size_t>(in.lane)] = id.index; });
      } else {
        history(r).overwrite(range.begin, range.end, id.index);
      }
    });
  }

  Program& program_;
  Clocks clocks_;
  std::array<ByteHistory, kSpaces> histories_;
};

}  // namespace

void pass_order(Draft& draft) { Orderer(draft.program).run(); }

}  // namespace shardscope
