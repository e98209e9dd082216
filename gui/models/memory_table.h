#pragma once
// The memory view as a table: the peaks of every rank or, with a cursor, what is live at it.
//
//   model.set_table(memory_table(data, state));

#include "gui/models/memory_data.h"
#include "gui/models/table_data.h"

namespace shardscope::gui {

/// Only of the categories that some rank holds at its peak. Bytes are copied in full digits.
TableData memory_table(const MemoryData& data, const MemoryState& state);
/// What it is: "Peak of each rank, device memory", "Live on rank 3 at 1.2 s: 41 MiB in 12 allocations".
std::string memory_table_title(const MemoryData& data, const MemoryState& state);

}  // namespace shardscope::gui
