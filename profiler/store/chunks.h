#pragma once
// Slices and memory samples, some thousands a row. While a run is recorded they are JSON arrays: about 25 bytes and
// 40 ns each, and readable in plain SQL (views slice and memory). What is finished or imported is packed
// (profiler/store/packed.h): about 8 bytes each with all columns.
//
//   EventChunk chunk = encode(std::span<const SliceEvent>(events));     // JSON, without the correlation; or pack(...)
//   decode_slices(chunk.data, chunk.start_ns, [](const SliceEvent& event) { ... });   // reads both
//   decode_blocks(chunk.data, chunk.start_ns, end_ns, [](const SliceBlock& block) { ... });  // for sums over many

#include <array>
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
EventChunk pack(std::span<const SliceEvent> events);  ///< which are in order of their start
EventChunk pack(std::span<const MemoryEvent> events);

/// Calls f for each row; the lane is left at its default (it is a property of the track). False if the data is not what
/// encode() or pack() writes: whatever it holds, nothing worse happens, and f may have been called for rows before.
bool decode_slices(std::string_view data, std::int64_t start_ns, const std::function<void(const SliceEvent&)>& f);
bool decode_memory(std::string_view data, std::int64_t start_ns, const std::function<void(const MemoryEvent&)>& f);

/// What sums of time need of some slices of a chunk: what else there is need not be unpacked.
inline constexpr std::size_t kBlockRows = 256;
struct SliceBlock {
  std::int64_t base_ns = 0;  ///< starts are since then
  std::size_t rows = 0;
  std::array<std::int64_t, kBlockRows> start, duration, wait;  ///< ns
  std::array<std::int64_t, kBlockRows> op;                     ///< any number: not all are ops of the program
};
/// Calls f for one block after the other, in the order of the data, which pack() has by start: those that begin at
/// `end_ns` or later may be left out. Else as decode_slices().
bool decode_blocks(std::string_view data, std::int64_t start_ns, std::int64_t end_ns,
                   const std::function<void(const SliceBlock&)>& f);

}  // namespace shardscope
