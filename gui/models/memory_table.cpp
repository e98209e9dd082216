#include "gui/models/memory_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "gui/models/memory_looks.h"
#include "gui/models/memory_rows.h"
#include "gui/models/memory_why.h"
#include "gui/models/timeline_picture.h"

namespace shardscope::gui {
namespace {

TableCell bytes_cell(std::int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  return {format_bytes(number), number, std::to_string(bytes)};
}
TableCell number_cell(std::int64_t number) { return {std::to_string(number), static_cast<double>(number)}; }

bool shows_live(const MemoryData& data, const MemoryState& state) {
  return state.cursor && data.at_cursor && !data.at_cursor->rows.empty();
}

TableData live_table(const MemoryData& data) {
  TableData table{{"size", "category", "buffer", "taken in", "layer", "micro-batch", "module", "op", "since"}, {}};
  for (const LiveAllocation& a : data.at_cursor->rows) {
    const bool known = a.op >= 0;
    const auto number = [known](std::int64_t n) { return known && n >= 0 ? number_cell(n) : TableCell{}; };
    table.rows.push_back(
        {bytes_cell(a.bytes),
         {look_of(a.category).name},
         {a.buffer},
         {known                             ? a.phase
          : a.op == LiveAllocation::kBefore ? "before the first step"
                                            : "unknown"},
         number(a.layer),
         number(a.micro_batch),
         {a.module},
         number(a.op),
         known ? TableCell{format_time(a.since_ns, 1000), static_cast<double>(a.since_ns), std::to_string(a.since_ns)}
               : TableCell{}});
  }
  return table;
}

}  // namespace

TableData memory_table(const MemoryData& data, const MemoryState& state) {
  if (shows_live(data, state)) return live_table(data);
  TableData table{{"rank", "peak", "predicted", "headroom"}, {}};
  std::vector<std::size_t> used;
  for (const MemoryLook& look : kMemoryLooks) {
    const auto c = static_cast<std::size_t>(look.category);
    const auto holds = [c](const MemoryPeakBar& bar) { return bar.at_peak[c] > 0; };
    if (std::none_of(data.peaks.begin(), data.peaks.end(), holds)) continue;
    used.push_back(c);
    table.columns.emplace_back(look.name);
  }
  for (const MemoryPeakBar& bar : data.peaks) {
    std::vector<TableCell> row{number_cell(bar.rank), bytes_cell(bar.peak_bytes),
                               bar.predicted_bytes > 0 ? bytes_cell(bar.predicted_bytes) : TableCell{},
                               data.limit_bytes > 0 ? bytes_cell(data.limit_bytes - bar.peak_bytes) : TableCell{}};
    if (data.limit_bytes > 0 && bar.peak_bytes > data.limit_bytes) {
      row[3].text = "−" + bytes_cell(bar.peak_bytes - data.limit_bytes).text + " (over)";
    }
    for (std::size_t c : used) row.push_back(bytes_cell(bar.at_peak[c]));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string memory_table_title(const MemoryData& data, const MemoryState& state) {
  if (!shows_live(data, state)) {
    const std::string peaks = "Peak of each rank, " + name_of(state.space) + " memory";
    return data.why ? peaks + "; " + describe(*data.why, data.limit_bytes) : peaks;
  }
  return fmt::format("Live on rank {} at {}: {} in {} {}{}", state.cursor->rank,
                     memory_time_text(state.cursor->time_ns, data.window),
                     format_bytes(static_cast<double>(data.at_cursor->instant.total_bytes)),
                     data.at_cursor->rows.size(), data.at_cursor->rows.size() == 1 ? "allocation" : "allocations",
                     data.at_cursor->matched ? ", matched by size" : "");
}

}  // namespace shardscope::gui
