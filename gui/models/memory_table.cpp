#include "gui/models/memory_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "gui/models/memory_looks.h"
#include "gui/models/memory_rows.h"
#include "gui/models/timeline_picture.h"

namespace shardscope::gui {
namespace {

TextCell bytes_cell(std::int64_t bytes) {
  return {QString::fromStdString(format_bytes(static_cast<double>(bytes))), static_cast<double>(bytes),
          QString::number(bytes)};
}
TextCell number_cell(std::int64_t number) {
  return {QString::number(number), static_cast<double>(number), QString::number(number)};
}
TextCell text_cell(const std::string& text) { return {QString::fromStdString(text), 0, {}}; }

bool shows_live(const MemoryData& data, const MemoryState& state) {
  return state.cursor && data.at_cursor && !data.at_cursor->rows.empty();
}

TextTable live_table(const MemoryData& data) {
  TextTable table;
  table.columns = {{"size", true},        {"category", false}, {"buffer", false}, {"taken in", false}, {"layer", true},
                   {"micro-batch", true}, {"module", false},   {"op", true},      {"since", true}};
  for (const LiveAllocation& a : data.at_cursor->rows) {
    const bool known = a.op >= 0;
    const auto number = [known](std::int64_t n) { return known && n >= 0 ? number_cell(n) : TextCell{{}, -1, {}}; };
    table.rows.push_back({bytes_cell(a.bytes), text_cell(look_of(a.category).name), text_cell(a.buffer),
                          text_cell(known                             ? a.phase
                                    : a.op == LiveAllocation::kBefore ? "before the first step"
                                                                      : "unknown"),
                          number(a.layer), number(a.micro_batch), text_cell(a.module), number(a.op),
                          known ? TextCell{QString::fromStdString(format_time(a.since_ns, 1000)),
                                           static_cast<double>(a.since_ns), QString::number(a.since_ns)}
                                : TextCell{{}, -1, {}}});
  }
  return table;
}

}  // namespace

TextTable memory_table(const MemoryData& data, const MemoryState& state) {
  if (shows_live(data, state)) return live_table(data);
  TextTable table;
  table.columns = {{"rank", true}, {"peak", true}, {"predicted", true}, {"headroom", true}};
  std::vector<std::size_t> used;
  for (const MemoryLook& look : kMemoryLooks) {
    const auto c = static_cast<std::size_t>(look.category);
    const auto holds = [c](const MemoryPeakBar& bar) { return bar.at_peak[c] > 0; };
    if (std::none_of(data.peaks.begin(), data.peaks.end(), holds)) continue;
    used.push_back(c);
    table.columns.push_back({QString::fromLatin1(look.name), true});
  }
  for (const MemoryPeakBar& bar : data.peaks) {
    std::vector<TextCell> row{number_cell(bar.rank), bytes_cell(bar.peak_bytes),
                              bar.predicted_bytes > 0 ? bytes_cell(bar.predicted_bytes) : TextCell{},
                              data.limit_bytes > 0 ? bytes_cell(data.limit_bytes - bar.peak_bytes) : TextCell{}};
    if (data.limit_bytes > 0 && bar.peak_bytes > data.limit_bytes) {
      const QString over = bytes_cell(bar.peak_bytes - data.limit_bytes).text;
      row[3].text = QStringLiteral("−") + over + QStringLiteral(" (over)");
    }
    for (std::size_t c : used) row.push_back(bytes_cell(bar.at_peak[c]));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string memory_table_title(const MemoryData& data, const MemoryState& state) {
  if (!shows_live(data, state)) return "Peak of each rank, " + name_of(state.space) + " memory";
  return fmt::format("Live on rank {} at {}: {} in {} {}{}", state.cursor->rank,
                     memory_time_text(state.cursor->time_ns, data.window),
                     format_bytes(static_cast<double>(data.at_cursor->instant.total_bytes)),
                     data.at_cursor->rows.size(), data.at_cursor->rows.size() == 1 ? "allocation" : "allocations",
                     data.at_cursor->matched ? ", matched by size" : "");
}

}  // namespace shardscope::gui
