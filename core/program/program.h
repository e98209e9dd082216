#pragma once
// A program: what one rank does in one training step, as plain data. Built by lower() (core/program/lower.h), run by
// the executor (core/engine) for real and by the simulator (simulator/) on a virtual clock.
//
// Meaning: the instructions, read in order, are a sequential program. Lanes and `after` only say how far the order may
// be relaxed: within a lane by position, across lanes by `after`. verify() proves that the relaxed order cannot be told
// from the sequential one.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/program/ops.h"
#include "core/program/types.h"

namespace shardscope {

/// Every buffer's bytes are rounded up to this: what the allocator takes is what the program says.
inline constexpr std::int64_t kAlignment = 64;
/// In the nvme space they are rounded up to this, the blocks in which a drive is read and written. A buffer of another
/// space that an nvme op touches begins at a multiple of it too.
inline constexpr std::int64_t kNvmeAlignment = 4096;

struct Buffer {
  std::string name;  ///< unique in the program, no blanks or brackets
  DType dtype = DType::kF32;
  std::int64_t elements = 0;
  Category category = Category::kWorkspace;
  Space space = Space::kDevice;
  bool persistent = false;    ///< lives from before the first step to the end of the run; others have Alloc and Free
  std::int64_t address = -1;  ///< byte offset in its space's arena, given by the lifetimes pass

  std::int64_t bytes() const {
    const std::int64_t alignment = space == Space::kNvme ? kNvmeAlignment : kAlignment;
    return (elements * size_of(dtype) + alignment - 1) / alignment * alignment;
  }
  friend bool operator==(const Buffer&, const Buffer&) = default;
};

/// Ranks that communicate. `ranks` are global numbers, in group order; `self` is this rank's place in it.
struct Group {
  std::string name;  ///< "dp", "tp", ... unique in the program
  std::vector<int> ranks;
  int self = 0;
  int size() const { return static_cast<int>(ranks.size()); }
  friend bool operator==(const Group&, const Group&) = default;
};

struct Instruction {
  Op op;
  Lane lane = Lane::kCompute;
  Label label;
  std::vector<OpId> after;  ///< ops of other lanes that must have finished; all earlier in the program
};

/// The part of a tensor that one of `parts` ranks holds (tensor parallelism). Dimension `dim` is cut into `blocks`
/// equal blocks (q, k and v side by side in one matrix are 3), and of each block the rank holds the `part`-th of
/// `parts` runs of ceil(block / parts); what reaches beyond the block's end is padding that no tensor has.
struct TensorSlice {
  std::int32_t dim = 0;
  std::int64_t blocks = 1;
  std::int32_t part = 0, parts = 1;
  friend bool operator==(const TensorSlice&, const TensorSlice&) = default;
};

/// A parameter of the model, as its checkpoint names it, and which part of it lies here.
struct Parameter {
  std::string name;                 ///< Hugging Face name, e.g. "transformer.h.0.attn.c_attn.weight"
  std::vector<std::int64_t> shape;  ///< of the whole tensor
  std::int32_t layer = -1;
  double init_std = 0;  ///< normal(0, init_std); 0 means the constant below
  double init_value = 0;
  TensorSlice slice;

  std::int64_t elements() const;                  ///< of the whole tensor
  std::vector<std::int64_t> local_shape() const;  ///< of the part here, padding included
  std::int64_t local_elements() const;
  friend bool operator==(const Parameter&, const Parameter&) = default;
};

enum class StateRole : std::uint8_t { kParameter, kMaster, kExpAvg, kExpAvgSq };
std::string_view to_string(StateRole);

/// Where a part of the training state lives on this rank, from one step to the next: elements
/// [begin, begin + home.count) of what this rank has of parameter `parameter` (Parameter::local_shape, flattened
/// row-major) are at `home`. Initialisation, checkpoints and tests find weights through these, and their place in the
/// whole tensor through for_each_run() (core/program/parameter_runs.h).
struct StatePiece {
  std::int32_t parameter = 0;  ///< index into Program::parameters
  StateRole role = StateRole::kParameter;
  std::int64_t begin = 0;
  Region home;
  Region scales;  ///< of an int8 home, which then is the whole part here: f32, one per index of `channel_dim`
  std::int32_t channel_dim = 0;
  friend bool operator==(const StatePiece&, const StatePiece&) = default;
};

struct Program {
  int rank = 0, world = 1;
  int replica = 0, replicas = 1;   ///< which part of the global batch this rank reads, of how many
  std::vector<std::string> names;  ///< interned label names
  std::vector<Group> groups;       ///< those this rank is in
  std::vector<Buffer> buffers;
  std::vector<Instruction> instructions;
  std::vector<Parameter> parameters;
  std::vector<StatePiece> state;
  Region loss;                                      ///< f32 [1], mean over the global batch, on every rank after a step
  Region grad_norm;                                 ///< f32 [1], before clipping; empty where it is not computed
  Region overflow;                                  ///< i32 [1], not 0: the step was not applied; empty: always is
  Region next_tokens, logprobs;                     ///< inference: i32 and f32 [batch], as Sample leaves them
  std::int64_t tokens_per_step = 0;                 ///< of the global batch
  std::array<std::int64_t, kSpaces> arena_bytes{};  ///< extent of each space's arena, given by the lifetimes pass

  const Buffer& buffer(BufferId id) const { return buffers[static_cast<std::size_t>(id.index)]; }
  Buffer& buffer(BufferId id) { return buffers[static_cast<std::size_t>(id.index)]; }
  const Group& group(GroupId id) const { return groups[static_cast<std::size_t>(id.index)]; }
  const Instruction& instruction(OpId id) const { return instructions[static_cast<std::size_t>(id.index)]; }
  std::string_view name(NameId id) const {
    return id.valid() ? std::string_view(names[static_cast<std::size_t>(id.index)]) : std::string_view();
  }

  BufferId add_buffer(Buffer buffer);
  NameId intern(std::string_view name);
  Region whole(BufferId id) const { return {id, 0, buffer(id).elements}; }
  std::int64_t bytes(const Region& region) const { return part_bytes(region, region.count); }
  std::int64_t part_bytes(const Region& region, std::int64_t count) const {  ///< of `count` elements
    return count * size_of(buffer(region.buffer).dtype);
  }

 private:
  std::unordered_map<std::string, NameId> interned_;
};

/// "matmul", "all_gather", ...
std::string_view op_name(const Op& op);
bool is_communication(const Op& op);

enum class Access : std::uint8_t { kRead, kWrite, kUpdate };

/// Every non-empty operand of the op, as f(const char* field, const Region&, Access).
template <class F>
void for_each_access(const Op& op, F&& f);

/// Pairs of a query and a key that it sees, in one head of one sequence.
double visible_pairs(const AttentionSpan& span, std::int64_t seq);

/// Floating-point operations of an op (multiply and add count as two), and the bytes it must read and write at least.
double flops(const Op& op);
std::int64_t bytes_touched(const Program& program, const Op& op);

/// The bytes a collective moves, as nccl-tests counts them: the size of `data`, or the larger of in and out.
std::int64_t collective_bytes(const Program& program, const Op& op);

// ---------------------------------------------------------------- memory as a fact of the program

/// Live bytes by space and category.
struct MemoryTable {
  std::array<std::array<std::int64_t, kCategories>, kSpaces> bytes{};
  std::int64_t total(Space space) const;
  friend bool operator==(const MemoryTable&, const MemoryTable&) = default;
};

struct MemoryPeak {
  std::array<std::int64_t, kSpaces> peak_bytes{};  ///< highest live bytes of each space
  MemoryTable peak_by_category;  ///< highest live bytes of each category by itself (columns peak at different times)
  MemoryTable at_peak;           ///< what was live when the space was at its peak; a row sums to peak_bytes
  std::array<OpId, kSpaces> at;  ///< the Alloc that reached it; invalid if persistent buffers alone do
};

/// Walks Alloc and Free in program order. Known before anything runs, and independent of timing.
MemoryPeak compute_memory_peak(const Program& program);

// ---------------------------------------------------------------- implementation of for_each_access

template <class F>
struct AccessVisitor {
  F& f;
  void buffer(const char*, BufferId) {}
  void group(const char*, GroupId) {}
  template <class T>
  void attr(const char*, const T&) {}
  void read(const char* n, const Region& r) {
    if (!r.empty()) f(n, r, Access::kRead);
  }
  void write(const char* n, const Region& r) {
    if (!r.empty()) f(n, r, Access::kWrite);
  }
  void update(const char* n, const Region& r) {
    if (!r.empty()) f(n, r, Access::kUpdate);
  }
  void write_or_update(const char* n, const Region& r, bool is_update) {
    if (!r.empty()) f(n, r, is_update ? Access::kUpdate : Access::kWrite);
  }
};

template <class F>
void for_each_access(const Op& op, F&& f) {
  std::visit([&](const auto& o) { std::decay_t<decltype(o)>::fields(o, AccessVisitor<F>{f}); }, op);
}

}  // namespace shardscope
