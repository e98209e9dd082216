#include "profiler/store/chunks.h"

#include <algorithm>
#include <array>
#include <limits>

#include "profiler/store/int_rows.h"

namespace shardscope {
namespace {

constexpr std::int64_t kLargestTime = std::numeric_limits<std::int64_t>::max() / 4;  ///< sums of two do not overflow

bool fits_int32(std::int64_t value) {
  return value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max();
}
bool is_time(std::int64_t value) { return value >= 0 && value <= kLargestTime; }

}  // namespace

Chunk encode(std::span<const SliceEvent> events) {
  Chunk chunk{static_cast<std::int64_t>(events.size()), kLargestTime, 0, {}};
  for (const SliceEvent& e : events) {
    chunk.start_ns = std::min(chunk.start_ns, e.start_ns);
    chunk.end_ns = std::max(chunk.end_ns, e.start_ns + e.duration_ns);
  }
  chunk.data.reserve(events.size() * 28 + 2);
  chunk.data = "[";
  for (const SliceEvent& e : events) {
    append_row<5>(chunk.data, {e.op.index, e.step, e.start_ns - chunk.start_ns, e.duration_ns, e.wait_ns});
  }
  chunk.data += ']';
  return chunk;
}

Chunk encode(std::span<const MemoryEvent> events) {
  Chunk chunk{static_cast<std::int64_t>(events.size()), kLargestTime, 0, {}};
  for (const MemoryEvent& e : events) {
    chunk.start_ns = std::min(chunk.start_ns, e.time_ns);
    chunk.end_ns = std::max(chunk.end_ns, e.time_ns);
  }
  chunk.data.reserve(events.size() * 32 + 2);
  chunk.data = "[";
  for (const MemoryEvent& e : events) {
    append_row<6>(chunk.data, {e.op.index, e.step, e.time_ns - chunk.start_ns, static_cast<std::int64_t>(e.space),
                               static_cast<std::int64_t>(e.category), e.live_bytes});
  }
  chunk.data += ']';
  return chunk;
}

bool decode_slices(std::string_view data, std::int64_t start_ns, const std::function<void(const SliceEvent&)>& f) {
  return read_rows<5>(data, [&](const std::array<std::int64_t, 5>& v) {
    if (!fits_int32(v[0]) || !fits_int32(v[1]) || !is_time(start_ns) || !is_time(v[2]) || !is_time(v[3]) ||
        !is_time(v[4])) {
      return false;
    }
    SliceEvent event;
    event.op = OpId{static_cast<std::int32_t>(v[0])};
    event.step = static_cast<std::int32_t>(v[1]);
    event.start_ns = start_ns + v[2];
    event.duration_ns = v[3];
    event.wait_ns = v[4];
    f(event);
    return true;
  });
}

bool decode_memory(std::string_view data, std::int64_t start_ns, const std::function<void(const MemoryEvent&)>& f) {
  return read_rows<6>(data, [&](const std::array<std::int64_t, 6>& v) {
    if (!fits_int32(v[0]) || !fits_int32(v[1]) || !is_time(start_ns) || !is_time(v[2])) return false;
    if (v[3] < 0 || v[3] >= kSpaces || v[4] < 0 || v[4] >= kCategories) return false;
    MemoryEvent event;
    event.op = OpId{static_cast<std::int32_t>(v[0])};
    event.step = static_cast<std::int32_t>(v[1]);
    event.time_ns = start_ns + v[2];
    event.space = static_cast<Space>(v[3]);
    event.category = static_cast<Category>(v[4]);
    event.live_bytes = v[5];
    f(event);
    return true;
  });
}

}  // namespace shardscope
