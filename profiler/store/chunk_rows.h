#pragma once
// Rows of integers out of the column `data` of a chunk, whether packed or JSON.
//
//   bool good = read_any<5>(data, [](const std::array<std::int64_t, 5>& row) { return is_valid(row); });

#include <array>
#include <cstdint>
#include <string_view>

#include "profiler/store/int_rows.h"
#include "profiler/store/packed.h"

namespace shardscope {

/// Calls row() for each until it says false. False then, and if the data is not what pack() writes.
template <std::size_t N, class F>
bool read_packed(std::string_view data, F&& row) {
  PackedReader<N> reader(data);
  for (std::array<std::int64_t, N> values{}; reader.next(values);) {
    if (!row(values)) return false;
  }
  return reader.whole();
}

template <std::size_t N, class F>
bool read_any(std::string_view data, F&& row) {
  return is_packed(data) ? read_packed<N>(data, row) : read_rows<N>(data, row);
}

}  // namespace shardscope
