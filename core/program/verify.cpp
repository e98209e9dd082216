#include "core/program/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/check.h"
#include "core/error.h"
#include "core/program/clocks.h"
#include "core/program/faults.h"

namespace shardscope {
namespace {

std::string describe(const Program& program, std::size_t i) {
  const Instruction& in = program.instructions[i];
  const std::string_view name = program.name(in.label.name);
  return fmt::format("op {} ({}{}{} on {})", i, op_name(in.op), name.empty() ? "" : " ", name, to_string(in.lane));
}

// ---------------------------------------------------------------- operands

/// What each op requires of its operands' sizes, from its definition in ops.h. Returns what is wrong, or nothing.
class SizeCheck {
 public:
  explicit SizeCheck(const Program& program) : p_(program) {}

  std::string operator()(const Copy& o) const { return same(o.src, o.dst); }
  std::string operator()(const NvmeRead& o) const { return swap(o.src, o.dst); }
  std::string operator()(const NvmeWrite& o) const { return swap(o.dst, o.src); }
  std::string operator()(const CopyRows& o) const {
    return exactly("dst", o.dst, (o.blocks - 1) * o.dst_block + (o.rows - 1) * o.dst_stride + o.cols);
  }
  std::string operator()(const Accumulate& o) const { return same(o.src, o.dst); }
  std::string operator()(const Add& o) const { return first(same(o.a, o.b), same(o.a, o.out)); }
  std::string operator()(const Quantize& o) const { return quantized(o, o.src.count); }
  std::string operator()(const Dequantize& o) const { return quantized(o, o.out.count * o.parts); }
  std::string operator()(const LoadBatch& o) const {
    return first(exactly("tokens", o.tokens, o.batch * o.seq), exactly("targets", o.targets, o.batch * o.seq),
                 halves(o.part, o.seq));
  }
  std::string operator()(const Embedding& o) const {
    return first(exactly("tokens", o.tokens, o.rows), exactly("table", o.table, o.vocab * o.hidden),
                 exactly("out", o.out, o.rows * o.hidden),
                 o.positions.empty() ? "" : at_least("positions", o.positions, o.part.end(o.seq) * o.hidden),
                 halves(o.part, o.seq));
  }
  std::string operator()(const LoadTokens& o) const {
    return first(exactly("tokens", o.tokens, o.batch * o.seq), exactly("starts", o.starts, o.batch),
                 exactly("counts", o.counts, o.batch));
  }
  std::string operator()(const EmbeddingBackward& o) const {
    return first(exactly("tokens", o.tokens, o.rows), exactly("d_table", o.d_table, o.vocab * o.hidden),
                 exactly("d_out", o.d_out, o.rows * o.hidden),
                 o.d_positions.empty() ? "" : at_least("d_positions", o.d_positions, o.part.end(o.seq) * o.hidden),
                 halves(o.part, o.seq));
  }
  std::string operator()(const LayerNorm& o) const {
    return first(norm(o), exactly("bias", o.bias, o.hidden), exactly("mean", o.mean, o.rows));
  }
  std::string operator()(const RmsNorm& o) const { return norm(o); }
  std::string operator()(const LayerNormBackward& o) const {
    return first(norm_backward(o), exactly("mean", o.mean, o.rows), exactly("d_bias", o.d_bias, o.hidden));
  }
  std::string operator()(const RmsNormBackward& o) const { return norm_backward(o); }
  std::string operator()(const MatMul& o) const {
    return first(exactly("a", o.a, o.m * o.k), exactly("b", o.b, o.k * o.n), exactly("c", o.c, o.m * o.n),
                 o.bias.empty() ? "" : exactly("bias", o.bias, o.n),
                 o.accumulate && !o.bias.empty() ? "a bias cannot be added when accumulating" : "", fp8(o));
  }
  std::string operator()(const MatMulInt8& o) const {
    return first(exactly("a", o.a, o.m * o.k), exactly("b", o.b, o.k * o.n), exactly("scales", o.scales, o.n),
                 exactly("c", o.c, o.m * o.n), o.bias.empty() ? "" : exactly("bias", o.bias, o.n));
  }
  std::string operator()(const BiasGradient& o) const {
    return first(exactly("d_out", o.d_out, o.rows * o.cols), exactly("d_bias", o.d_bias, o.cols));
  }
  std::string operator()(const Activation& o) const { return same(o.x, o.out); }
  std::string operator()(const ActivationBackward& o) const { return first(same(o.x, o.d_out), same(o.x, o.d_x)); }
  std::string operator()(const SwiGlu& o) const { return first(same(o.gate, o.up), same(o.gate, o.out)); }
  std::string operator()(const SwiGluBackward& o) const {
    return first(same(o.gate, o.up), same(o.gate, o.d_out), same(o.gate, o.d_gate), same(o.gate, o.d_up));
  }
  std::string operator()(const Rope& o) const {
    return first(exactly("x", o.x, o.rows * o.heads * o.head_dim), halves(o.part, o.seq));
  }
  std::string operator()(const Attention& o) const {
    return first(attention(o), exactly("out", o.out, o.batch * o.seq * o.heads * o.head_dim));
  }
  std::string operator()(const AttentionBackward& o) const {
    return first(attention(o), exactly("d_out", o.d_out, o.batch * o.seq * o.heads * o.head_dim), same(o.q, o.d_q),
                 same(o.k, o.d_k), same(o.v, o.d_v));
  }
  std::string operator()(const CrossEntropy& o) const {
    return first(exactly("logits", o.logits, o.rows * o.vocab), exactly("targets", o.targets, o.rows),
                 exactly("loss", o.loss, 1));
  }
  std::string operator()(const RowMax& o) const { return first(sharded_logits(o), exactly("top", o.top, o.rows)); }
  std::string operator()(const ShiftedExp& o) const {
    return first(sharded_logits(o), exactly("top", o.top, o.rows), exactly("targets", o.targets, o.rows),
                 exactly("sums", o.sums, 2 * o.rows));
  }
  std::string operator()(const ShardedCrossEntropy& o) const {
    return first(sharded_logits(o), exactly("targets", o.targets, o.rows), exactly("sums", o.sums, 2 * o.rows),
                 exactly("loss", o.loss, 1));
  }
  std::string operator()(const RopeAt& o) const {
    return first(exactly("x", o.x, o.rows * o.heads * o.head_dim), exactly("positions", o.positions, o.rows));
  }
  std::string operator()(const AppendCache& o) const {
    const std::int64_t kv = (o.batch * o.seq - 1) * o.kv_stride + o.kv_heads * o.head_dim;
    return first(exactly("k", o.k, kv), exactly("v", o.v, kv), cache(o));
  }
  std::string operator()(const CachedAttention& o) const {
    const std::int64_t rows = o.batch * o.seq;
    return first(exactly("q", o.q, (rows - 1) * o.q_stride + o.heads * o.head_dim),
                 exactly("out", o.out, rows * o.heads * o.head_dim), cache(o), grouped(o));
  }
  std::string operator()(const LastRows& o) const {
    return first(exactly("x", o.x, o.batch * o.seq * o.hidden), exactly("out", o.out, o.batch * o.hidden),
                 exactly("counts", o.counts, o.batch));
  }
  std::string operator()(const Sample& o) const {
    if (o.parts < 1) return "parts is below 1";
    return first(exactly("logits", o.logits, o.batch * o.parts * ((o.vocab + o.parts - 1) / o.parts)),
                 exactly("starts", o.starts, o.batch), exactly("counts", o.counts, o.batch),
                 exactly("tokens", o.tokens, o.batch), exactly("logprobs", o.logprobs, o.batch));
  }
  std::string operator()(const Route& o) const {
    return first(exactly("logits", o.logits, o.rows * o.experts), same(o.logits, o.probabilities),
                 exactly("weights", o.weights, o.rows * o.top_k), same(o.weights, o.chosen), same(o.weights, o.slots),
                 exactly("counts", o.counts, o.experts), exactly("source", o.source, o.experts * o.capacity),
                 o.top_k <= o.experts ? "" : "more experts are chosen than there are",
                 o.parts > 0 && o.experts % o.parts == 0 ? "" : "parts do not divide experts");
  }
  std::string operator()(const LoadBalance& o) const {
    return first(exactly("probabilities", o.probabilities, o.rows * o.experts), exactly("counts", o.counts, o.experts),
                 exactly("loss", o.loss, 1));
  }
  std::string operator()(const RouteBackward& o) const {
    return first(exactly("d_weights", o.d_weights, o.rows * o.top_k), same(o.d_weights, o.weights),
                 same(o.d_weights, o.chosen), exactly("probabilities", o.probabilities, o.rows * o.experts),
                 exactly("counts", o.counts, o.experts), same(o.probabilities, o.d_logits));
  }
  std::string operator()(const Dispatch& o) const {
    return first(exactly("x", o.x, o.rows * o.hidden), exactly("out", o.out, o.source.count * o.hidden),
                 o.weights.empty() ? "" : exactly("weights", o.weights, o.rows * o.top_k));
  }
  std::string operator()(const Combine& o) const {
    return first(exactly("out", o.out, o.rows * o.hidden), exactly("slots", o.slots, o.rows * o.top_k), slot_rows(o),
                 o.weights.empty() ? "" : same(o.slots, o.weights));
  }
  std::string operator()(const CombineBackward& o) const {
    return first(exactly("d_out", o.d_out, o.rows * o.hidden), exactly("slots", o.slots, o.rows * o.top_k),
                 same(o.slots, o.d_weights), slot_rows(o));
  }
  std::string operator()(const SumSquares& o) const { return exactly("sum", o.sum, 1); }
  std::string operator()(const ClipCoefficient& o) const {
    return first(exactly("sum", o.sum, 1), exactly("norm", o.norm, 1), exactly("coefficient", o.coefficient, 1),
                 flag(o.overflow));
  }
  std::string operator()(const Adam& o) const {
    return first(same(o.param, o.grad), same(o.param, o.exp_avg), same(o.param, o.exp_avg_sq), flag(o.overflow),
                 o.copy.empty() ? "" : same(o.param, o.copy));
  }
  std::string operator()(const ReduceScatter& o) const { return exactly("in", o.in, o.out.count * size(o.group)); }
  std::string operator()(const AllGather& o) const { return exactly("out", o.out, o.in.count * size(o.group)); }
  std::string operator()(const AllToAll& o) const {
    return first(same(o.in, o.out), o.in.count % size(o.group) == 0 ? "" : "in does not divide into equal slices");
  }
  std::string operator()(const RingShift& o) const {
    return first(same(o.in, o.out), o.in.overlaps(o.out) ? "in and out overlap" : "");
  }
  std::string operator()(const Broadcast& o) const { return member("root", o.group, o.root); }
  std::string operator()(const Send& o) const { return member("peer", o.group, o.peer); }
  std::string operator()(const Recv& o) const { return member("peer", o.group, o.peer); }
  std::string operator()(const auto&) const { return ""; }  // one operand, of any size

 private:
  static std::string exactly(const char* what, const Region& r, std::int64_t n) {
    return r.count == n ? "" : fmt::format("{} has {} elements where {} are needed", what, r.count, n);
  }
  static std::string at_least(const char* what, const Region& r, std::int64_t n) {
    return r.count >= n ? "" : fmt::format("{} has {} elements where at least {} are needed", what, r.count, n);
  }
  static std::string same(const Region& a, const Region& b) {
    return a.count == b.count ? "" : fmt::format("operands differ in size, {} and {} elements", a.count, b.count);
  }
  /// Whole blocks of the drive, so that two lanes never share one; the last may be cut by the buffer's end.
  std::string swap(const Region& on_drive, const Region& in_memory) const {
    const Buffer& drive = p_.buffer(on_drive.buffer);
    const Buffer& memory = p_.buffer(in_memory.buffer);
    const std::int64_t begin = on_drive.offset * size_of(drive.dtype), end = on_drive.end() * size_of(drive.dtype);
    if (drive.space != Space::kNvme || memory.space == Space::kNvme) return "one side must lie in the nvme space";
    if (drive.dtype != memory.dtype) return "bytes are not converted on their way to or from a drive";
    const bool whole_end = end % kNvmeAlignment == 0 || on_drive.end() == drive.elements;
    if (begin % kNvmeAlignment != 0 || !whole_end) return "takes part of a block of the drive";
    return same(on_drive, in_memory);
  }
  static std::string fp8(const MatMul& o) {
    if ((o.cast_a == Fp8::kNone) != (o.cast_b == Fp8::kNone)) return "one operand is in fp8 and the other is not";
    if (!o.in_fp8()) return "";
    if (o.cast_a == Fp8::kE5M2 && o.cast_b == Fp8::kE5M2) return "both operands are e5m2, which no tensor core takes";
    return o.suits_fp8() ? "" : fmt::format("fp8 wants m, n and k in multiples of {}", kFp8Multiple);
  }
  static std::string halves(const SequencePart& part, std::int64_t rows) {
    return part.jump == 0 || rows % 2 == 0 ? "" : fmt::format("{} rows have no two halves to jump between", rows);
  }
  static std::string flag(const Region& overflow) { return overflow.empty() ? "" : exactly("overflow", overflow, 1); }
  static std::string first() { return ""; }
  template <class... T>
  static std::string first(std::string head, T... tail) {
    return head.empty() ? first(std::string(tail)...) : head;
  }
  template <class T>
  static std::string norm(const T& o) {
    return first(exactly("x", o.x, o.rows * o.hidden), exactly("out", o.out, o.rows * o.hidden),
                 exactly("weight", o.weight, o.hidden), exactly("rstd", o.rstd, o.rows));
  }
  template <class T>
  static std::string norm_backward(const T& o) {
    return first(exactly("x", o.x, o.rows * o.hidden), exactly("d_out", o.d_out, o.rows * o.hidden),
                 exactly("d_x", o.d_x, o.rows * o.hidden), exactly("weight", o.weight, o.hidden),
                 exactly("d_weight", o.d_weight, o.hidden), exactly("rstd", o.rstd, o.rows));
  }
  template <class T>
  static std::string quantized(const T& o, std::int64_t elements) {
    if (o.slice <= 0 || o.group <= 0 || elements % o.slice != 0) return "the elements do not divide into slices";
    if (o.bits != 8 && (o.bits != 4 || o.slice % 2 != 0 || o.group % 2 != 0))
      return "4 bits need even slices and groups";
    return first(exactly("q", o.q, elements * o.bits / 8),
                 exactly("scales", o.scales, elements / o.slice * ((o.slice + o.group - 1) / o.group)));
  }
  template <class T>
  static std::string slot_rows(const T& o) {
    return o.hidden > 0 && o.y.count % o.hidden == 0 ? "" : "y is not a number of rows";
  }
  template <class T>
  static std::string sharded_logits(const T& o) {
    return first(exactly("logits", o.logits, o.rows * o.vocab),
                 o.real >= 0 && o.real <= o.vocab ? "" : "there are more real columns than columns");
  }
  template <class T>
  static std::string attention(const T& o) {
    const std::int64_t rows = o.batch * o.seq, keys = o.span.keys(o.seq);
    const std::int64_t q = (rows - 1) * o.q_stride + o.heads * o.head_dim;
    const std::int64_t kv = (o.batch * keys - 1) * o.kv_stride + o.kv_heads * o.head_dim;
    return first(exactly("q", o.q, q), exactly("k", o.k, kv), exactly("v", o.v, kv),
                 exactly("lse", o.lse, rows * o.heads), halves(o.span.q, o.seq), halves(o.span.kv, keys), grouped(o));
  }
  template <class T>
  static std::string grouped(const T& o) {
    return o.kv_heads > 0 && o.heads % o.kv_heads == 0 ? "" : "kv_heads do not divide heads";
  }
  template <class T>
  static std::string cache(const T& o) {
    const std::int64_t n = o.batch * o.kv_heads * o.capacity * o.head_dim;
    return first(o.starts.empty() ? "" : exactly("starts", o.starts, o.batch), exactly("k_cache", o.k_cache, n),
                 exactly("v_cache", o.v_cache, n), o.seq <= o.capacity ? "" : "seq is larger than the capacity");
  }
  std::int64_t size(GroupId group) const { return p_.group(group).size(); }
  std::string member(const char* what, GroupId group, std::int64_t place) const {
    return place >= 0 && place < size(group) ? "" : fmt::format("{} {} is not a place in the group", what, place);
  }

  const Program& p_;
};

bool check_bounds(const Program& p, std::size_t i, Fault& fault) {
  bool ok = true;
  for_each_access(p.instructions[i].op, [&](const char* field, const Region& r, Access) {
    const bool exists = r.buffer.index >= 0 && static_cast<std::size_t>(r.buffer.index) < p.buffers.size();
    if (exists && r.offset >= 0 && r.count > 0 && r.end() <= p.buffer(r.buffer).elements) return;
    ok = false;
    fault("{}: operand {} leaves its buffer {}", describe(p, i), field, exists ? p.buffer(r.buffer).name : "(none)");
  });
  const std::optional<GroupId> group = group_of(p.instructions[i].op);
  if (group && (group->index < 0 || static_cast<std::size_t>(group->index) >= p.groups.size())) {
    fault("{}: names no group", describe(p, i));
    ok = false;
  }
  return ok;
}

/// The nvme space has no addresses: no other op can reach it.
void check_spaces(const Program& p, std::size_t i, Fault& fault) {
  const Op& op = p.instructions[i].op;
  if (std::holds_alternative<NvmeRead>(op) || std::holds_alternative<NvmeWrite>(op)) return;
  for_each_access(op, [&](const char* field, const Region& r, Access) {
    if (p.buffer(r.buffer).space != Space::kNvme) return;
    fault("{}: operand {} lies in the nvme space, which only nvme_read and nvme_write reach", describe(p, i), field);
  });
}

void check_after(const Program& p, std::size_t i, Fault& fault) {
  for (OpId other : p.instructions[i].after) {
    if (other.index < 0 || static_cast<std::size_t>(other.index) >= i) {
      fault("{}: waits for op {}, which does not come before it", describe(p, i), other.index);
    } else if (is_memory_op(p.instruction(other).op)) {
      fault("{}: waits for op {}, which has no lane time", describe(p, i), other.index);
    }
  }
}

bool check_operands(const Program& p, Fault& fault) {
  bool ok = true;
  for (std::size_t i = 0; i < p.instructions.size(); ++i) {
    if (!check_bounds(p, i, fault)) {
      ok = false;
      continue;
    }
    const std::string wrong = std::visit(SizeCheck(p), p.instructions[i].op);
    if (!wrong.empty()) fault("{}: {}", describe(p, i), wrong);
    check_spaces(p, i, fault);
    check_after(p, i, fault);
  }
  return ok && fault.list.empty();
}

// ---------------------------------------------------------------- lifetimes and addresses

/// Walks memory in program order.
class LifeCheck {
 public:
  LifeCheck(const Program& p, Fault& fault)
      : p_(p), fault_(fault), life_(p.buffers.size(), Life::kNotYet), written_(p.buffers.size()) {}

  void run() {
    for (std::size_t b = 0; b < p_.buffers.size(); ++b) {
      if (p_.buffers[b].persistent) take(BufferId{static_cast<std::int32_t>(b)}, 0);
    }
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) step(i);
    for (std::size_t b = 0; b < p_.buffers.size(); ++b) {
      if (!p_.buffers[b].persistent && life_[b] == Life::kLive) {
        fault_("buffer {} is never freed: it leaks", p_.buffers[b].name);
      }
    }
  }

 private:
  enum class Life : std::uint8_t { kNotYet, kLive, kFreed };

  void step(std::size_t i) {
    const Op& op = p_.instructions[i].op;
    if (const auto* alloc = std::get_if<Alloc>(&op)) {
      if (life(alloc->buffer) == Life::kLive) {
        fault_("{}: buffer {} is already allocated", describe(p_, i), p_.buffer(alloc->buffer).name);
      } else {
        take(alloc->buffer, i);
      }
    } else if (const auto* free = std::get_if<Free>(&op)) {
      give_back(free->buffer, i);
    } else {
      for_each_access(op, [&](const char* field, const Region& r, Access access) {
        if (life(r.buffer) == Life::kLive) {
          if (access != Access::kWrite && !is_written(r)) {
            fault_("{}: operand {} reads bytes of buffer {} that nothing has written", describe(p_, i), field,
                   p_.buffer(r.buffer).name);
          }
          return;
        }
        fault_("{}: operand {} uses buffer {} {}", describe(p_, i), field, p_.buffer(r.buffer).name,
               life(r.buffer) == Life::kFreed ? "after its free" : "before its alloc");
      });
      for_each_access(op, [&](const char*, const Region& r, Access access) {
        if (access != Access::kRead) note_write(r);
      });
    }
  }

  /// Whether all of a region has been written since its buffer was allocated. Persistent buffers hold the last step's.
  bool is_written(const Region& r) const {
    if (p_.buffer(r.buffer).persistent) return true;
    const auto& ranges = written_[static_cast<std::size_t>(r.buffer.index)];
    const auto after = ranges.upper_bound(r.offset);
    return after != ranges.begin() && std::prev(after)->second >= r.end();
  }

  void note_write(const Region& r) {
    auto& ranges = written_[static_cast<std::size_t>(r.buffer.index)];
    std::int64_t begin = r.offset, end = r.end();
    auto it = ranges.upper_bound(begin);
    if (it != ranges.begin() && std::prev(it)->second >= begin) begin = (--it)->first;
    while (it != ranges.end() && it->first <= end) {
      end = std::max(end, it->second);
      it = ranges.erase(it);
    }
    ranges[begin] = end;
  }

  Life& life(BufferId id) { return life_[static_cast<std::size_t>(id.index)]; }

  void take(BufferId id, std::size_t i) {
    life(id) = Life::kLive;
    const Buffer& b = p_.buffer(id);
    if (b.address < 0) {
      fault_("buffer {} has no address", b.name);
      return;
    }
    if (b.bytes() == 0) return;
    auto& live = live_[static_cast<std::size_t>(b.space)];
    const auto next = live.lower_bound(b.address);
    const bool hits_next = next != live.end() && next->first < b.address + b.bytes();
    const bool hits_previous = next != live.begin() && std::prev(next)->second.end > b.address;
    if (hits_next || hits_previous) {
      const BufferId other = hits_next ? next->second.id : std::prev(next)->second.id;
      fault_("op {}: buffer {} takes bytes that {} still holds", i, b.name, p_.buffer(other).name);
      return;
    }
    if (b.address + b.bytes() > p_.arena_bytes[static_cast<std::size_t>(b.space)]) {
      fault_("buffer {} leaves the {} arena", b.name, to_string(b.space));
    }
    live[b.address] = {b.address + b.bytes(), id};
  }

  void give_back(BufferId id, std::size_t i) {
    const Buffer& b = p_.buffer(id);
    if (b.persistent || life(id) != Life::kLive) {
      fault_("{}: buffer {} cannot be freed: it is {}", describe(p_, i), b.name,
             b.persistent ? "persistent" : "not allocated");
      return;
    }
    life(id) = Life::kFreed;
    auto& live = live_[static_cast<std::size_t>(b.space)];
    const auto it = live.find(b.address);
    if (it != live.end() && it->second.id == id) live.erase(it);
  }

  struct Range {
    std::int64_t end = 0;
    BufferId id;
  };
  const Program& p_;
  Fault& fault_;
  std::vector<Life> life_;
  std::vector<std::map<std::int64_t, std::int64_t>> written_;  ///< by buffer: begin -> end, joined
  std::array<std::map<std::int64_t, Range>, kSpaces> live_;
};

// ---------------------------------------------------------------- races

/// An earlier access to some bytes of a space.
struct Touch {
  std::int64_t begin, end;
  std::int32_t op;
  bool writes;
};

/// Looks for two accesses to the same bytes, one a write, that nothing orders. Compares each access with all earlier
/// ones that still matter: an access is forgotten once a later write that is ordered after it covers its bytes.
class RaceCheck {
 public:
  RaceCheck(const Program& p, Fault& fault) : p_(p), fault_(fault), clocks_(p.instructions.size()) {}

  void run() {
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) {
      const Instruction& in = p_.instructions[i];
      if (is_memory_op(in.op)) continue;
      const OpId id{static_cast<std::int32_t>(i)};
      clocks_.begin(id, in.lane);
      for (OpId other : in.after) clocks_.join(id, other, p_.instruction(other).lane);
      for_each_access(in.op, [&](const char*, const Region& r, Access access) { check(id, r, access); });
      for_each_access(in.op, [&](const char*, const Region& r, Access access) { note(id, r, access); });
    }
  }

 private:
  using Touches = std::vector<Touch>;

  Touch touch_of(OpId id, const Region& r, Access access) const {
    const Buffer& b = p_.buffer(r.buffer);
    const std::int64_t size = size_of(b.dtype);
    return {b.address + r.offset * size, b.address + r.end() * size, id.index, access != Access::kRead};
  }
  std::map<std::int64_t, Touches>& index(const Region& r) {
    return index_[static_cast<std::size_t>(p_.buffer(r.buffer).space)];
  }

  struct View {
    std::map<std::int64_t, Touches>::iterator first, last;
    auto begin() const { return first; }
    auto end() const { return last; }
  };
  /// The entries whose touches may reach into `t`: those that start at most the longest touch before it.
  View range(std::map<std::int64_t, Touches>& map, const Touch& t) const {
    return {map.lower_bound(t.begin - longest_), map.lower_bound(t.end)};
  }

  void check(OpId id, const Region& r, Access access) {
    const Touch now = touch_of(id, r, access);
    for (auto& [begin, touches] : range(index(r), now)) {
      for (const Touch& then : touches) {
        if (then.op == id.index || then.end <= now.begin || now.end <= then.begin || !(then.writes || now.writes))
          continue;
        if (clocks_.is_after(id, OpId{then.op}, p_.instruction(OpId{then.op}).lane)) continue;
        fault_("data race on {}: {} and {} touch the same bytes, one writes, and nothing orders them",
               p_.buffer(r.buffer).name, describe(p_, static_cast<std::size_t>(then.op)),
               describe(p_, static_cast<std::size_t>(id.index)));
      }
    }
  }

  void note(OpId id, const Region& r, Access access) {
    const Touch now = touch_of(id, r, access);
    auto& map = index(r);
    if (now.writes) {  // what it covers is ordered before it (or was reported), so it stands for all of that
      for (auto& [begin, touches] : range(map, now)) {
        std::erase_if(touches,
                      [&](const Touch& t) { return t.op != id.index && now.begin <= t.begin && t.end <= now.end; });
      }
    }
    map[now.begin].push_back(now);
    longest_ = std::max(longest_, now.end - now.begin);
  }

  const Program& p_;
  Fault& fault_;
  Clocks clocks_;
  std::array<std::map<std::int64_t, Touches>, kSpaces> index_;
  std::int64_t longest_ = 0;
};

}  // namespace

std::vector<std::string> find_faults(const Program& program) {
  std::vector<std::string> faults;
  Fault fault{faults};
  if (!check_operands(program, fault)) return faults;  // what follows relies on operands in bounds
  LifeCheck(program, fault).run();
  if (faults.empty()) RaceCheck(program, fault).run();
  return faults;
}

void verify(const Program& program, const std::string& where) {
  const std::vector<std::string> faults = find_faults(program);
  if (faults.empty()) return;
  throw Error(ErrorKind::kConfig,
              fmt::format("{}: the program has {} faults; the first: {}", where, faults.size(), faults.front()));
}

}  // namespace shardscope
