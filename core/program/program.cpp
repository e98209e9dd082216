#include "core/program/program.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace shardscope {

std::int64_t Parameter::elements() const {
  std::int64_t n = 1;
  for (std::int64_t dim : shape) n *= dim;
  return n;
}

std::vector<std::int64_t> Parameter::local_shape() const {
  std::vector<std::int64_t> local = shape;
  if (slice.parts == 1) return local;
  std::int64_t& extent = local[static_cast<std::size_t>(slice.dim)];
  const std::int64_t block = extent / slice.blocks;
  extent = slice.blocks * ((block + slice.parts - 1) / slice.parts);
  return local;
}

std::int64_t Parameter::local_elements() const {
  std::int64_t n = 1;
  for (std::int64_t dim : local_shape()) n *= dim;
  return n;
}

std::string_view to_string(StateRole role) {
  static constexpr std::array<std::string_view, 4> kNames{"parameter", "master", "exp_avg", "exp_avg_sq"};
  return kNames[static_cast<std::size_t>(role)];
}

BufferId Program::add_buffer(Buffer buffer) {
  buffers.push_back(std::move(buffer));
  return BufferId{static_cast<std::int32_t>(buffers.size()) - 1};
}

NameId Program::intern(std::string_view name) {
  auto [it, is_new] = interned_.try_emplace(std::string(name), NameId{static_cast<std::int32_t>(names.size())});
  if (is_new) names.emplace_back(name);
  return it->second;
}

std::string_view op_name(const Op& op) {
  return std::visit([](const auto& o) -> std::string_view { return std::decay_t<decltype(o)>::kName; }, op);
}

bool is_communication(const Op& op) {
  return std::visit([](const auto& o) { return is_collective<std::decay_t<decltype(o)>>; }, op);
}

namespace {

/// Sum of min(t, most) over t = 1 ... n.
double sum_of_capped(double n, double most) {
  if (n <= 0) return 0;
  return n <= most ? n * (n + 1) / 2 : most * (most + 1) / 2 + most * (n - most);
}

/// Neighbouring tokens of a sequence.
struct Stretch {
  std::int64_t first, count;
};
std::array<Stretch, 2> halves(const SequencePart& part, std::int64_t rows) {
  const std::int64_t early = (rows + 1) / 2;
  return {{{part.start, early}, {part.position(early, rows), rows - early}}};
}

template <class T>
double attention_pairs(const T& o) {
  return static_cast<double>(o.batch) * o.heads * visible_pairs(o.span, o.seq);
}

double optimizer_flops(std::int64_t count) { return 15.0 * count; }  // multiply-adds, one sqrt, one division

}  // namespace

// The i-th query of a stretch sees min(i + ahead, keys) keys of another, or none.
double visible_pairs(const AttentionSpan& span, std::int64_t seq) {
  double pairs = 0;
  for (const Stretch& q : halves(span.q, seq)) {
    for (const Stretch& k : halves(span.kv, span.keys(seq))) {
      const auto ahead = static_cast<double>(q.first - k.first), keys = static_cast<double>(k.count);
      pairs += sum_of_capped(ahead + static_cast<double>(q.count), keys) - sum_of_capped(ahead, keys);
    }
  }
  return pairs;
}

// Work of the arithmetic itself, counted by hand from each op's definition in ops.h; exp, sqrt and tanh count as one.
double flops(const Op& op) {
  return std::visit(
      Overloaded{
          [](const MatMul& o) { return 2.0 * o.m * o.n * o.k + (o.bias.empty() ? 0.0 : 1.0 * o.m * o.n); },
          [](const MatMulInt8& o) { return 2.0 * o.m * o.n * o.k + (o.bias.empty() ? 1.0 : 2.0) * o.m * o.n; },
          [](const Attention& o) { return 4.0 * o.head_dim * attention_pairs(o); },
          [](const AttentionBackward& o) { return 10.0 * o.head_dim * attention_pairs(o); },
          [](const LayerNorm& o) { return 8.0 * o.rows * o.hidden; },
          [](const LayerNormBackward& o) { return 14.0 * o.rows * o.hidden; },
          [](const RmsNorm& o) { return 4.0 * o.rows * o.hidden; },
          [](const RmsNormBackward& o) { return 10.0 * o.rows * o.hidden; },
          [](const BiasGradient& o) { return 1.0 * o.rows * o.cols; },
          [](const Activation& o) { return 10.0 * o.x.count; },
          [](const ActivationBackward& o) { return 18.0 * o.x.count; },
          [](const SwiGlu& o) { return 5.0 * o.out.count; },
          [](const SwiGluBackward& o) { return 10.0 * o.d_out.count; },
          [](const Rope& o) { return 3.0 * o.x.count; },
          [](const CrossEntropy& o) { return 5.0 * o.rows * o.vocab; },
          [](const RowMax& o) { return 1.0 * o.rows * o.real; },
          [](const ShiftedExp& o) { return 3.0 * o.rows * o.real; },
          [](const ShardedCrossEntropy& o) { return 1.0 * o.rows * o.real; },
          [](const Route& o) { return 4.0 * o.rows * o.experts; },
          [](const LoadBalance& o) { return 1.0 * o.rows * o.experts; },
          [](const RouteBackward& o) { return 3.0 * o.rows * o.experts; },
          [](const Dispatch& o) { return o.weights.empty() ? 0.0 : 1.0 * o.rows * o.top_k * o.hidden; },
          [](const Combine& o) { return (o.weights.empty() ? 1.0 : 2.0) * o.rows * o.top_k * o.hidden; },
          [](const CombineBackward& o) { return 2.0 * o.rows * o.top_k * o.hidden; },
          [](const Embedding& o) { return o.positions.empty() ? 0.0 : 1.0 * o.rows * o.hidden; },
          [](const EmbeddingBackward& o) { return (o.d_positions.empty() ? 1.0 : 2.0) * o.rows * o.hidden; },
          [](const RopeAt& o) { return 3.0 * o.x.count; },
          [](const CachedAttention& o) { return 4.0 * o.batch * o.seq * o.heads * o.context * o.head_dim; },
          [](const Sample& o) { return 4.0 * o.batch * o.vocab; },
          [](const SumSquares& o) { return 2.0 * o.x.count; },
          [](const ClipCoefficient&) { return 4.0; },
          [](const Adam& o) { return optimizer_flops(o.param.count); },
          [](const Accumulate& o) { return 1.0 * o.dst.count; },
          [](const Add& o) { return 1.0 * o.out.count; },
          [](const Scale& o) { return 1.0 * o.data.count; },
          [](const Quantize& o) { return 2.0 * o.src.count; },
          [](const Dequantize& o) { return 2.0 * o.out.count * o.parts; },
          [](const auto&) { return 0.0; },  // memory, copies and communication do no arithmetic of the model
      },
      op);
}

std::int64_t bytes_touched(const Program& program, const Op& op) {
  if (std::holds_alternative<Hold>(op)) return 0;
  std::int64_t bytes = 0;
  for_each_access(op, [&](const char*, const Region& region, Access access) {
    bytes += program.bytes(region) * (access == Access::kUpdate ? 2 : 1);
  });
  if (const auto* copy = std::get_if<CopyRows>(&op)) {  // not what lies between the rows
    return 2 * copy->blocks * copy->rows * copy->cols * size_of(program.buffer(copy->dst.buffer).dtype);
  }
  if (const auto* embedding = std::get_if<Embedding>(&op)) {  // gathers rows, not the whole table
    bytes += program.bytes(embedding->out) - program.bytes(embedding->table);
    if (!embedding->positions.empty()) bytes += program.bytes(embedding->out) - program.bytes(embedding->positions);
  }
  if (const auto* embedding = std::get_if<EmbeddingBackward>(&op)) {
    bytes += 2 * program.bytes(embedding->d_out) - 2 * program.bytes(embedding->d_table);
    if (!embedding->d_positions.empty()) bytes -= 2 * program.bytes(embedding->d_positions);
    if (!embedding->d_positions.empty()) bytes += 2 * program.bytes(embedding->d_out);
  }
  if (const auto* append = std::get_if<AppendCache>(&op)) {  // writes the new rows of two caches, and reads none
    bytes += 2 * program.part_bytes(append->k, append->batch * append->seq * append->kv_heads * append->head_dim);
    bytes -= 2 * (program.bytes(append->k_cache) + program.bytes(append->v_cache));
  }
  if (const auto* attention = std::get_if<CachedAttention>(&op)) {  // reads the cache as far as it is filled
    const std::int64_t filled = attention->batch * attention->kv_heads * attention->context * attention->head_dim;
    bytes += 2 * program.part_bytes(attention->k_cache, filled) - 2 * program.bytes(attention->k_cache);
  }
  if (const auto* last = std::get_if<LastRows>(&op)) bytes += program.bytes(last->out) - program.bytes(last->x);
  if (const auto* combine = std::get_if<Combine>(&op)) {  // of the slots, those that a row has
    bytes += combine->top_k * program.bytes(combine->out) - program.bytes(combine->y);
  }
  if (const auto* combine = std::get_if<CombineBackward>(&op)) {
    bytes += combine->top_k * program.bytes(combine->d_out) - program.bytes(combine->y);
  }
  return std::max<std::int64_t>(bytes, 0);
}

std::int64_t collective_bytes(const Program& program, const Op& op) {
  if (!is_communication(op)) return 0;
  std::int64_t bytes = 0;
  for_each_access(op,
                  [&](const char*, const Region& region, Access) { bytes = std::max(bytes, program.bytes(region)); });
  return bytes;
}

std::int64_t MemoryTable::total(Space space) const {
  std::int64_t sum = 0;
  for (std::int64_t b : bytes[static_cast<std::size_t>(space)]) sum += b;
  return sum;
}

namespace {

// Live bytes while walking a program; remembers the peaks.
class MemoryWalk {
 public:
  void take(const Buffer& buffer, OpId at) {
    const auto space = static_cast<std::size_t>(buffer.space);
    const auto category = static_cast<std::size_t>(buffer.category);
    live_.bytes[space][category] += buffer.bytes();
    auto& own = peak_.peak_by_category.bytes[space][category];
    own = std::max(own, live_.bytes[space][category]);
    const std::int64_t total = live_.total(buffer.space);
    if (total > peak_.peak_bytes[space]) {
      peak_.peak_bytes[space] = total;
      peak_.at_peak.bytes[space] = live_.bytes[space];
      peak_.at[space] = at;
    }
  }
  void give_back(const Buffer& buffer) {
    live_.bytes[static_cast<std::size_t>(buffer.space)][static_cast<std::size_t>(buffer.category)] -= buffer.bytes();
  }
  const MemoryPeak& peak() const { return peak_; }

 private:
  MemoryTable live_;
  MemoryPeak peak_;
};

}  // namespace

MemoryPeak compute_memory_peak(const Program& program) {
  MemoryWalk walk;
  for (const Buffer& buffer : program.buffers) {
    if (buffer.persistent) walk.take(buffer, OpId{});
  }
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const Op& op = program.instructions[i].op;
    if (const auto* alloc = std::get_if<Alloc>(&op)) {
      walk.take(program.buffer(alloc->buffer), OpId{static_cast<std::int32_t>(i)});
    } else if (const auto* free = std::get_if<Free>(&op)) {
      walk.give_back(program.buffer(free->buffer));
    }
  }
  return walk.peak();
}

}  // namespace shardscope
