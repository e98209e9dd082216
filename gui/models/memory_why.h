#pragma once
// Why is a rank over its limit? What is live at the first instant over it, category by category up to the sum, beside
// the limit; and which op took what crossed it.
//
//   data.why = load_why(memory, space, data);
//   draw_why(picture, *data.why, data.limit_bytes, {x, y, width, height}, shades, measure);

#include <optional>
#include <string>

#include "gui/models/memory_rows.h"

namespace shardscope::gui {

/// Of the rank that is over the limit first, as far as the data know; nothing without a limit or if none is.
std::optional<MemoryWhy> load_why(const MemoryTimeline& memory, Space space, const MemoryData& data);

/// A row for each category, from where the ones before it end; then the sum. As many as fit.
void draw_why(Picture& picture, const MemoryWhy& why, std::int64_t limit_bytes, const AreaPlace& place,
              const TimelineShades& shades, const TextWidth& measure);
double why_height(const MemoryWhy& why);

/// "rank 3 is first over the limit of 8 GiB by 1 GiB: parameters 4 GiB, ...": the same in words.
std::string describe(const MemoryWhy& why, std::int64_t limit_bytes);

}  // namespace shardscope::gui
