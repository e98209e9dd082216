#pragma once
// Slices and memory samples, some thousands a row. While a run is recorded they are JSON arrays: about 25 bytes and
// 40 ns each, and readable in plain SQL (views slice and memory). What is finished or imported is packed
// (profiler/store/packed.h): about 8 bytes each with all columns.
//
//   EventChunk chunk = encode(std::span<const SliceEvent>(events));     // JSON, without the correlation; or pack(...)
//   decode_slices(chunk.data, chunk.start_ns, [](const SliceEvent& event) { ... });   // reads both

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/trace.h"

namespace shardscope {

inline constexpr std::size_t kChunkRows = 4096;

struct EventChunk {
  std::int64_t rows = 0, start_ns = 0, end_ns = 0;
  std::string data;  ///< as the columns `data` of slice_chunk and memory_chunk are documented
};

EventChunk encode(std::span<const SliceEvent> events);
EventChunk encode(std::span<const MemoryEvent> events);
EventChunk pack(std::span<const SliceEvent> events);
EventChunk pack(std::span<const MemoryEvent> events);

/// Calls f for each row; the lane is left at its default (it is a property of the track). False if the data is not what
/// encode() or pack() writes: whatever it holds, nothing worse happens, and f may have been called for rows before.
bool decode_slices(std::string_view data, std::int64_t start_ns, const std::function<void(const SliceEvent&)>& f);
bool decode_memory(std::string_view data, std::int64_t start_ns, const std::function<void(const MemoryEvent&)>& f);

}  // namespace shardscope
