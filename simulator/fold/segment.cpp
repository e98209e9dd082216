#include "simulator/fold/segment.h"

#include <algorithm>

#include "core/program/clocks.h"
#include "simulator/fold/chance_waits.h"

namespace shardscope {

namespace {

/// Of the action that the instruction belongs to: what comes in for a later one is received by the one it stands
/// before.
SegmentLabel label_of(const Program& program, std::size_t index) {
  using Kind = SegmentLabel::Kind;
  const auto receives = [](Lane lane) { return lane == Lane::kRecvPrevious || lane == Lane::kRecvNext; };
  while (receives(program.instructions[index].lane) && index + 1 < program.instructions.size()) ++index;
  const Instruction& instruction = program.instructions[index];
  switch (instruction.label.phase) {
    case Phase::kLoad:
    case Phase::kForward:
      return {Kind::kForward, instruction.label.micro_batch};
    case Phase::kRecompute:
    case Phase::kBackward:
      return {Kind::kBackward, instruction.label.micro_batch};
    case Phase::kOptimizer:
      break;
  }
  return {Kind::kOptimizer, instruction.label.micro_batch};
}

/// Work of an action itself, not what is fetched for it. The optimizer's step begins where the last backward has ended.
bool is_begun(const SegmentLabel& label, const Program& program, std::size_t begin, std::size_t end) {
  if (label.kind == SegmentLabel::Kind::kOptimizer) return false;
  return std::any_of(program.instructions.begin() + static_cast<std::ptrdiff_t>(begin),
                     program.instructions.begin() + static_cast<std::ptrdiff_t>(end),
                     [](const Instruction& in) { return in.lane == Lane::kCompute && !is_memory_op(in.op); });
}

/// Where each action begins, and the end of the last one.
std::vector<std::size_t> find_actions(const Program& program, std::vector<SegmentLabel>& labels) {
  std::vector<std::size_t> begin;
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const SegmentLabel label = label_of(program, i);
    if (!labels.empty() && label == labels.back()) continue;
    labels.push_back(label);
    begin.push_back(i);
  }
  begin.push_back(program.instructions.size());
  return begin;
}

/// One per action: what is fetched, or of the optimizer done, early is of the action that goes on behind it.
std::vector<std::size_t> find_segments(const Program& program, std::vector<SegmentLabel>& labels) {
  std::vector<SegmentLabel> actions;
  const std::vector<std::size_t> begin = find_actions(program, actions);
  std::vector<std::size_t> segments;
  for (std::size_t i = 0; i < actions.size();) {
    labels.push_back(actions[i]);
    segments.push_back(begin[i]);
    std::size_t next = i + 1;
    for (std::size_t k = next; k < actions.size(); ++k) {
      if (actions[k] == actions[i]) {
        next = k + 1;
      } else if (is_begun(actions[k], program, begin[k], begin[k + 1])) {
        break;
      }
    }
    i = next;
  }
  segments.push_back(program.instructions.size());
  return segments;
}

std::size_t hash_of(const Segment& segment) {
  std::size_t h = segment.ops.size();
  const auto add = [&](std::int64_t x) { h = (h ^ static_cast<std::size_t>(x)) * 0x9E3779B97F4A7C15ULL + (h >> 29); };
  for (const FoldOp& op : segment.ops) add(op.duration_ns), add(op.slot), add(op.draws), add(op.end_wait);
  for (const FoldWait& wait : segment.waits) add(wait.back), add(wait.op);
  for (const FoldMemory& m : segment.memory) add(m.instruction), add(m.bytes);
  return h;
}

}  // namespace

/// Where each instruction went.
struct SegmentStore::Cut {
  std::vector<std::size_t> begin;            ///< first instruction of each segment, and the end
  std::vector<std::int32_t> segment, index;  ///< by instruction; index within the segment's ops, if there are any
};

SplitProgram SegmentStore::split(const Program& program) {
  SplitProgram split;
  Cut cut;
  const std::size_t n = program.instructions.size();
  cut.segment.resize(n);
  cut.begin = find_segments(program, split.labels);
  for (std::size_t s = 0; s < split.labels.size(); ++s) {
    std::fill(cut.segment.begin() + static_cast<std::ptrdiff_t>(cut.begin[s]),
              cut.segment.begin() + static_cast<std::ptrdiff_t>(cut.begin[s + 1]), static_cast<std::int32_t>(s));
  }
  split.by_chance.resize(split.labels.size(), 0);
  if (table_) {
    table_->begin(program);
    slot_cache_.clear();
    place_ops(program, cut);
    for (std::int32_t i : find_chance_waits(program)) {
      split.by_chance[static_cast<std::size_t>(cut.segment[static_cast<std::size_t>(i)])] = 1;
    }
  }
  for (std::size_t s = 0; s < split.labels.size(); ++s) split.segments.push_back(intern(build(program, cut, s)));
  for (const Buffer& buffer : program.buffers) {
    if (!buffer.persistent) continue;
    split.persistent.bytes[static_cast<std::size_t>(buffer.space)][static_cast<std::size_t>(buffer.category)] +=
        buffer.bytes();
  }
  return split;
}

/// Lane by lane within each segment.
void SegmentStore::place_ops(const Program& program, Cut& cut) {
  cut.index.resize(program.instructions.size());
  for (std::size_t s = 0; s + 1 < cut.begin.size(); ++s) {
    std::array<std::int32_t, kLanes + 1> next{};
    for (std::size_t i = cut.begin[s]; i < cut.begin[s + 1]; ++i) {
      const Instruction& in = program.instructions[i];
      if (!is_memory_op(in.op)) ++next[static_cast<std::size_t>(in.lane) + 1];
    }
    for (std::size_t lane = 0; lane < kLanes; ++lane) next[lane + 1] += next[lane];
    for (std::size_t i = cut.begin[s]; i < cut.begin[s + 1]; ++i) {
      const Instruction& in = program.instructions[i];
      if (!is_memory_op(in.op)) cut.index[i] = next[static_cast<std::size_t>(in.lane)]++;
    }
  }
}

Segment SegmentStore::build(const Program& program, const Cut& cut, std::size_t index) {
  Segment segment;
  const std::size_t begin = cut.begin[index], end = cut.begin[index + 1];
  segment.instructions = static_cast<std::int32_t>(end - begin);
  for (std::size_t i = begin; i < end; ++i) {
    const Instruction& in = program.instructions[i];
    if (!is_memory_op(in.op)) continue;
    const auto* alloc = std::get_if<Alloc>(&in.op);
    const Buffer& buffer = program.buffer(alloc != nullptr ? alloc->buffer : std::get<Free>(in.op).buffer);
    segment.memory.push_back({static_cast<std::int32_t>(i - begin), buffer.space, buffer.category,
                              alloc != nullptr ? buffer.bytes() : -buffer.bytes()});
  }
  if (table_) add_ops(program, cut, index, segment);
  return segment;
}

void SegmentStore::add_ops(const Program& program, const Cut& cut, std::size_t index, Segment& segment) {
  const std::size_t begin = cut.begin[index], end = cut.begin[index + 1];
  std::vector<std::size_t> order(end - begin);  // by place in ops
  for (std::size_t i = begin; i < end; ++i) {
    const Instruction& in = program.instructions[i];
    if (is_memory_op(in.op)) continue;
    ++segment.lane_begin[static_cast<std::size_t>(in.lane) + 1];
    order[static_cast<std::size_t>(cut.index[i])] = i;
  }
  for (std::size_t lane = 0; lane < kLanes; ++lane) segment.lane_begin[lane + 1] += segment.lane_begin[lane];
  segment.ops.reserve(static_cast<std::size_t>(segment.lane_begin[kLanes]));
  for (std::int32_t k = 0; k < segment.lane_begin[kLanes]; ++k) {
    const Instruction& in = program.instructions[order[static_cast<std::size_t>(k)]];
    FoldOp op = make_op(program, in);
    op.first_wait = static_cast<std::int32_t>(segment.waits.size());
    for (OpId before : in.after) {
      const auto b = static_cast<std::size_t>(before.index);
      const auto own = static_cast<std::int32_t>(index);
      const std::int32_t back = cut.segment[b] == 0 && own > 0 ? FoldWait::kFirst : own - cut.segment[b];
      segment.waits.push_back({back, cut.index[b]});
      segment.farthest = std::max(segment.farthest, back);
    }
    op.end_wait = static_cast<std::int32_t>(segment.waits.size());
    segment.ops.push_back(op);
  }
}

/// Its waits follow.
FoldOp SegmentStore::make_op(const Program& program, const Instruction& instruction) {
  FoldOp op;
  op.kind = kind_of(instruction.op);
  op.time_class = time_class_of(instruction);
  op.waits_idle = std::holds_alternative<Send>(instruction.op) || std::holds_alternative<Recv>(instruction.op);
  if (op.kind != FlatKind::kInstant) {
    const OpTime time = table_->of(instruction);
    op.duration_ns = time.duration_ns;
    op.draws = time.draws;
  }
  if (op.kind == FlatKind::kMeeting) op.slot = slot_of(program, instruction);
  return op;
}

std::int32_t SegmentStore::slot_of(const Program& program, const Instruction& instruction) {
  return std::visit(
      [&](const auto& o) -> std::int32_t {
        using T = std::decay_t<decltype(o)>;
        if constexpr (is_collective<T>) {
          constexpr bool kPair = std::is_same_v<T, Send> || std::is_same_v<T, Recv>;
          const Group& group = program.group(o.group);
          MeetingSlot slot{{}, meeting_lane(instruction.lane), kPair, std::is_same_v<T, Send>, 0};
          if constexpr (kPair) slot.offset = static_cast<int>(o.peer) - group.self;
          const std::array<std::int64_t, 4> key{o.group.index, static_cast<std::int64_t>(slot.lane),
                                                kPair ? 1 + (slot.sends ? 1 : 0) : 0, slot.offset};
          const auto [cached, is_new] = slot_cache_.try_emplace(key, 0);
          if (!is_new) return cached->second;
          slot.group = group.name;
          const auto it = known_slots_.try_emplace(slot, static_cast<std::int32_t>(slots_.size())).first;
          if (it->second == static_cast<std::int32_t>(slots_.size())) slots_.push_back(slot);
          return cached->second = it->second;
        } else {
          return -1;
        }
      },
      instruction.op);
}

int SegmentStore::intern(Segment segment) {
  const std::size_t hash = hash_of(segment);
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (segments_[static_cast<std::size_t>(it->second)] == segment) return it->second;
  }
  segments_.push_back(std::move(segment));
  by_hash_.emplace(hash, static_cast<int>(segments_.size()) - 1);
  return static_cast<int>(segments_.size()) - 1;
}

namespace {

/// What a segment does to memory, relative to what was live before it.
struct MemoryEffect {
  struct Part {
    std::size_t space, category;
    std::int64_t net, rise;
  };
  struct Top {  ///< first instruction at which the space is fullest
    std::size_t space;
    std::int64_t rise;
    std::int32_t instruction;
    std::array<std::int64_t, kCategories> row;
  };
  std::vector<Part> parts;
  std::vector<Top> tops;
};

MemoryEffect effect_of(const Segment& segment) {
  MemoryTable live, rise;
  std::array<std::array<bool, kCategories>, kSpaces> seen{};
  std::array<MemoryEffect::Top, kSpaces> tops{};
  for (const FoldMemory& m : segment.memory) {
    const auto s = static_cast<std::size_t>(m.space), c = static_cast<std::size_t>(m.category);
    live.bytes[s][c] += m.bytes;
    seen[s][c] = true;
    rise.bytes[s][c] = std::max(rise.bytes[s][c], live.bytes[s][c]);
    if (live.total(m.space) > tops[s].rise) tops[s] = {s, live.total(m.space), m.instruction, live.bytes[s]};
  }
  MemoryEffect effect;
  for (std::size_t s = 0; s < kSpaces; ++s) {
    for (std::size_t c = 0; c < kCategories; ++c) {
      if (seen[s][c]) effect.parts.push_back({s, c, live.bytes[s][c], rise.bytes[s][c]});
    }
    if (tops[s].rise > 0) effect.tops.push_back(tops[s]);
  }
  return effect;
}

}  // namespace

MemoryPeak fold_memory(const SegmentStore& store, const MemoryTable& persistent, const std::vector<int>& segments) {
  MemoryTable live = persistent;
  std::array<std::int64_t, kSpaces> total{};
  MemoryPeak peak;
  for (std::size_t s = 0; s < kSpaces; ++s) total[s] = peak.peak_bytes[s] = live.total(static_cast<Space>(s));
  peak.peak_by_category = live;
  peak.at_peak = live;
  std::unordered_map<int, MemoryEffect> effects;
  std::int32_t base = 0;
  for (int index : segments) {
    auto [it, is_new] = effects.try_emplace(index);
    if (is_new) it->second = effect_of(store[index]);
    for (const auto& top : it->second.tops) {
      if (total[top.space] + top.rise <= peak.peak_bytes[top.space]) continue;
      peak.peak_bytes[top.space] = total[top.space] + top.rise;
      peak.at[top.space] = OpId{base + top.instruction};
      for (std::size_t c = 0; c < kCategories; ++c) {
        peak.at_peak.bytes[top.space][c] = live.bytes[top.space][c] + top.row[c];
      }
    }
    for (const auto& part : it->second.parts) {
      auto& own = live.bytes[part.space][part.category];
      auto& most = peak.peak_by_category.bytes[part.space][part.category];
      most = std::max(most, own + part.rise);
      own += part.net;
      total[part.space] += part.net;
    }
    base += store[index].instructions;
  }
  return peak;
}

}  // namespace shardscope
