#pragma once
// A program cut into segments, each what one rank does forward or backward for one micro-batch: durations, waits and
// memory, with other segments named by how far back they lie. Micro-batch after micro-batch most are equal, so each is
// kept once.
//
//   SegmentStore store(costs);
//   SplitProgram split = store.split(program);   // split.segments[i] is an index into store
//   SegmentStore of_memory;                      // without costs: what is allocated and freed alone

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/program/program.h"
#include "simulator/clock/cost_table.h"
#include "simulator/clock/flat_program.h"

namespace shardscope {

/// What waits for an op: `back` segments before its own, or the program's first one.
struct FoldWait {
  static constexpr std::int32_t kFirst = -1;
  std::int32_t back = 0, op = 0;
  friend bool operator==(const FoldWait&, const FoldWait&) = default;
};

struct FoldOp {
  std::int64_t duration_ns = 0;
  std::int32_t slot = -1;  ///< meetings only: where it meets whom
  std::int32_t draws = 0;  ///< number in SegmentStore::draws()
  std::int32_t first_wait = 0, end_wait = 0;
  FlatKind kind = FlatKind::kWork;
  TimeClass time_class = TimeClass::kCompute;
  bool waits_idle = false;
  friend bool operator==(const FoldOp&, const FoldOp&) = default;
};

/// An Alloc (bytes above 0) or Free.
struct FoldMemory {
  std::int32_t instruction = 0;  ///< within the segment
  Space space = Space::kDevice;
  Category category = Category::kWorkspace;
  std::int64_t bytes = 0;
  friend bool operator==(const FoldMemory&, const FoldMemory&) = default;
};

struct Segment {
  std::vector<FoldOp> ops;                            ///< lane by lane; Alloc and Free left out
  std::array<std::int32_t, kLanes + 1> lane_begin{};  ///< into ops
  std::vector<FoldWait> waits;
  std::vector<FoldMemory> memory;
  std::int32_t instructions = 0;
  std::int32_t farthest = 0;  ///< largest FoldWait::back
  friend bool operator==(const Segment&, const Segment&) = default;
};

/// Where an op meets others: the group, the lane and, of a Send or Recv, the peer's place relative to one's own.
struct MeetingSlot {
  std::string group;
  Lane lane = Lane::kCompute;
  bool is_pair = false, sends = false;
  int offset = 0;
  friend auto operator<=>(const MeetingSlot&, const MeetingSlot&) = default;
};

/// Which part of the schedule a segment is.
struct SegmentLabel {
  enum class Kind : std::uint8_t { kForward, kBackward, kOptimizer };
  Kind kind = Kind::kForward;
  int micro_batch = -1;
  friend bool operator==(const SegmentLabel&, const SegmentLabel&) = default;
};

struct SplitProgram {
  std::vector<int> segments;
  std::vector<SegmentLabel> labels;
  std::vector<char> by_chance;  ///< by segment: an op of it waits for whoever happened to have its bytes
  MemoryTable persistent;       ///< live before the first
};

class SegmentStore {
 public:
  SegmentStore() = default;
  explicit SegmentStore(const CostModel& costs) : table_(costs) {}

  SplitProgram split(const Program& program);
  const Segment& operator[](int index) const { return segments_[static_cast<std::size_t>(index)]; }
  int size() const { return static_cast<int>(segments_.size()); }
  const std::vector<MeetingSlot>& slots() const { return slots_; }
  const DrawsTable& draws() const { return table_->draws(); }

 private:
  struct Cut;
  static void place_ops(const Program& program, Cut& cut);
  Segment build(const Program& program, const Cut& cut, std::size_t index);
  void add_ops(const Program& program, const Cut& cut, std::size_t index, Segment& segment);
  FoldOp make_op(const Program& program, const Instruction& instruction);
  std::int32_t slot_of(const Program& program, const Instruction& instruction);
  int intern(Segment segment);

  std::optional<CostTable> table_;
  std::vector<Segment> segments_;
  std::unordered_multimap<std::size_t, int> by_hash_;
  std::vector<MeetingSlot> slots_;
  std::map<MeetingSlot, std::int32_t> known_slots_;
  std::map<std::array<std::int64_t, 4>, std::int32_t> slot_cache_;  ///< of the program being split
};

/// Peak of a program of these segments; MemoryPeak::at counts instructions as the program would.
MemoryPeak fold_memory(const SegmentStore& store, const MemoryTable& persistent, const std::vector<int>& segments);

}  // namespace shardscope
