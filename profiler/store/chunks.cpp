#include "profiler/store/chunks.h"

#include <algorithm>
#include <array>
#include <limits>

#include "profiler/store/chunk_rows.h"
#include "profiler/store/int_rows.h"

namespace shardscope {
namespace {

constexpr std::int64_t kLargestTime = std::numeric_limits<std::int64_t>::max() / 4;  ///< sums of two do not overflow
static_assert((kLargestTime & (kLargestTime + 1)) == 0, "times or-ed together are no larger than the largest may be");

template <std::size_t N, class Event, class Values>
std::string json_rows(std::span<const Event> events, Values&& values) {
  std::string text;
  text.reserve(events.size() * 28 + 2);
  text = "[";
  for (const Event& event : events) append_row<N>(text, values(event));
  return text + "]";
}

bool fits_int32(std::int64_t value) {
  return value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max();
}
bool is_time(std::int64_t value) { return value >= 0 && value <= kLargestTime; }

/// Columns of a packed slice, and from there the order of the others: times first, as packed.h wants it.
enum SliceColumn : std::uint8_t { kStart, kDuration, kOp, kStep, kWait, kCorrelation };
enum MemoryColumn : std::uint8_t { kTime, kLive, kMemoryOp, kMemoryStep, kSpace, kCategory };

bool to_slice(const std::array<std::int64_t, 6>& v, std::int64_t start_ns, SliceEvent& event) {
  if (!fits_int32(v[kOp]) || !fits_int32(v[kStep]) || !is_time(start_ns) || !is_time(v[kStart]) ||
      !is_time(v[kDuration]) || !is_time(v[kWait])) {
    return false;
  }
  event.op = OpId{static_cast<std::int32_t>(v[kOp])};
  event.step = static_cast<std::int32_t>(v[kStep]);
  event.start_ns = start_ns + v[kStart];
  event.duration_ns = v[kDuration];
  event.wait_ns = v[kWait];
  event.correlation = v[kCorrelation];
  return true;
}

bool to_memory(const std::array<std::int64_t, 6>& v, std::int64_t start_ns, MemoryEvent& event) {
  if (!fits_int32(v[kMemoryOp]) || !fits_int32(v[kMemoryStep]) || !is_time(start_ns) || !is_time(v[kTime]))
    return false;
  if (v[kSpace] < 0 || v[kSpace] >= kSpaces || v[kCategory] < 0 || v[kCategory] >= kCategories) return false;
  event.op = OpId{static_cast<std::int32_t>(v[kMemoryOp])};
  event.step = static_cast<std::int32_t>(v[kMemoryStep]);
  event.time_ns = start_ns + v[kTime];
  event.space = static_cast<Space>(v[kSpace]);
  event.category = static_cast<Category>(v[kCategory]);
  event.live_bytes = v[kLive];
  return true;
}

EventChunk bounds_of(std::span<const SliceEvent> events) {
  EventChunk chunk{static_cast<std::int64_t>(events.size()), kLargestTime, 0, {}};
  for (const SliceEvent& e : events) {
    chunk.start_ns = std::min(chunk.start_ns, e.start_ns);
    chunk.end_ns = std::max(chunk.end_ns, e.start_ns + e.duration_ns);
  }
  return chunk;
}

EventChunk bounds_of(std::span<const MemoryEvent> events) {
  EventChunk chunk{static_cast<std::int64_t>(events.size()), kLargestTime, 0, {}};
  for (const MemoryEvent& e : events) {
    chunk.start_ns = std::min(chunk.start_ns, e.time_ns);
    chunk.end_ns = std::max(chunk.end_ns, e.time_ns);
  }
  return chunk;
}

bool decode_json_blocks(std::string_view data, std::int64_t start_ns, const std::function<void(const SliceBlock&)>& f) {
  SliceBlock block{start_ns, 0, {}, {}, {}, {}};
  const auto flush = [&] {
    if (block.rows > 0) f(block);
    block.rows = 0;
  };
  const bool good = decode_slices(data, start_ns, [&](const SliceEvent& e) {
    block.start[block.rows] = e.start_ns - start_ns;
    block.duration[block.rows] = e.duration_ns;
    block.wait[block.rows] = e.wait_ns;
    block.op[block.rows] = e.op.index;
    if (++block.rows == kBlockRows) flush();
  });
  flush();
  return good;
}

std::int64_t number(Space space) { return static_cast<std::int64_t>(space); }
std::int64_t number(Category category) { return static_cast<std::int64_t>(category); }

}  // namespace

EventChunk encode(std::span<const SliceEvent> events) {
  EventChunk chunk = bounds_of(events);
  chunk.data = json_rows<5>(events, [&](const SliceEvent& e) {
    return std::array<std::int64_t, 5>{e.op.index, e.step, e.start_ns - chunk.start_ns, e.duration_ns, e.wait_ns};
  });
  return chunk;
}

EventChunk encode(std::span<const MemoryEvent> events) {
  EventChunk chunk = bounds_of(events);
  chunk.data = json_rows<6>(events, [&](const MemoryEvent& e) {
    return std::array<std::int64_t, 6>{e.op.index,         e.step,      e.time_ns - chunk.start_ns, number(e.space),
                                       number(e.category), e.live_bytes};
  });
  return chunk;
}

EventChunk pack(std::span<const SliceEvent> events) {
  EventChunk chunk = bounds_of(events);
  chunk.data = pack<6>(events.size(), [&](std::size_t i) {
    const SliceEvent& e = events[i];
    return std::array<std::int64_t, 6>{
        e.start_ns - chunk.start_ns, e.duration_ns, e.op.index, e.step, e.wait_ns, e.correlation};
  });
  return chunk;
}

EventChunk pack(std::span<const MemoryEvent> events) {
  EventChunk chunk = bounds_of(events);
  chunk.data = pack<6>(events.size(), [&](std::size_t i) {
    const MemoryEvent& e = events[i];
    return std::array<std::int64_t, 6>{e.time_ns - chunk.start_ns, e.live_bytes, e.op.index, e.step, number(e.space),
                                       number(e.category)};
  });
  return chunk;
}

bool decode_slices(std::string_view data, std::int64_t start_ns, const std::function<void(const SliceEvent&)>& f) {
  SliceEvent event;
  const auto row = [&](const std::array<std::int64_t, 6>& v) {
    if (!to_slice(v, start_ns, event)) return false;
    f(event);
    return true;
  };
  if (is_packed(data)) return read_packed<6>(data, row);
  return read_rows<5>(data, [&](const std::array<std::int64_t, 5>& v) {
    return row({v[2], v[3], v[0], v[1], v[4], 0});
  });
}

bool decode_blocks(std::string_view data, std::int64_t start_ns, std::int64_t end_ns,
                   const std::function<void(const SliceBlock&)>& f) {
  if (!is_time(start_ns)) return false;
  if (!is_packed(data)) return decode_json_blocks(data, start_ns, f);
  PackedColumns<6> columns(data);
  SliceBlock block{start_ns, 0, {}, {}, {}, {}};
  for (std::size_t done = 0; done < columns.rows(); done += block.rows) {
    block.rows = std::min(kBlockRows, columns.rows() - done);
    std::int64_t times = 0, ops = 0;
    const auto read = [&](SliceColumn column, std::array<std::int64_t, kBlockRows>& values, std::int64_t& bits) {
      const bool is_there = done > 0 && columns.is_constant(column);  // in the block before
      return is_there || columns.read(column, std::span(values).first(block.rows), bits);
    };
    if (!read(kStart, block.start, times) || !read(kDuration, block.duration, times) ||
        !read(kWait, block.wait, times) || !read(kOp, block.op, ops) || !is_time(times)) {
      return false;
    }
    f(block);
    if (block.start[block.rows - 1] >= end_ns - start_ns) break;
  }
  return columns.good();
}

bool decode_memory(std::string_view data, std::int64_t start_ns, const std::function<void(const MemoryEvent&)>& f) {
  MemoryEvent event;
  const auto row = [&](const std::array<std::int64_t, 6>& v) {
    if (!to_memory(v, start_ns, event)) return false;
    f(event);
    return true;
  };
  if (is_packed(data)) return read_packed<6>(data, row);
  return read_rows<6>(data, [&](const std::array<std::int64_t, 6>& v) {
    return row({v[2], v[5], v[0], v[1], v[3], v[4]});
  });
}

}  // namespace shardscope
