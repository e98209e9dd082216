#include "gui/models/memory_why.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "gui/models/memory_looks.h"

namespace shardscope::gui {
namespace {

constexpr double kRow = 20, kNames = 118, kBytes = 76;

struct WhyRow {
  const MemoryLook* look = nullptr;  ///< null: the sum
  std::int64_t from = 0, to = 0;
};

/// What stays from before the first step first, as the stacks have it; the sum last.
std::vector<WhyRow> rows_of(const MemoryWhy& why) {
  std::vector<WhyRow> rows;
  std::int64_t at = 0;
  for (const MemoryLook& look : kMemoryLooks) {
    const std::int64_t bytes = why.mark.instant.parts[static_cast<std::size_t>(look.category)];
    if (bytes <= 0) continue;
    rows.push_back({&look, at, at + bytes});
    at += bytes;
  }
  rows.push_back({nullptr, 0, why.mark.instant.total_bytes});
  return rows;
}

std::string bytes_text(std::int64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

}  // namespace

std::optional<MemoryWhy> load_why(const MemoryTimeline& memory, Space space, const MemoryData& data) {
  if (data.limit_bytes <= 0) return std::nullopt;
  std::optional<MemoryWhy> first;
  const auto take = [&](int rank, const std::optional<MemoryInstant>& instant) {
    if (!instant || (first && first->mark.instant.time_ns <= instant->time_ns)) return;
    first = MemoryWhy{rank, {*instant, {}}};
  };
  if (data.first_over_rank >= 0) {
    take(data.first_over_rank, memory.first_above(data.first_over_rank, space, data.limit_bytes));
  } else {
    for (const MemoryPanel& panel : data.panels) {
      if (panel.over) take(panel.peak.rank, panel.over->instant);
    }
  }
  if (first) first->mark.where = describe_op(memory, first->rank, first->mark.instant.op);
  return first;
}

double why_height(const MemoryWhy& why) { return kRow * static_cast<double>(rows_of(why).size()) + 2 * kRow; }

void draw_why(Picture& picture, const MemoryWhy& why, std::int64_t limit_bytes, const AreaPlace& place,
              const TimelineShades& shades, const TextWidth& measure) {
  if (place.height < 4 * kRow) return;
  const double left = place.x + kNames, width = std::max(1.0, place.width - kNames - kBytes);
  const double most = static_cast<double>(std::max(limit_bytes, why.mark.instant.total_bytes));
  const auto x = [&](std::int64_t bytes) { return left + std::round(static_cast<double>(bytes) / most * width); };
  picture.text(place.x, place.y + kTextSize,
               elide(why.mark.where.empty() ? "there from before the first step" : "taken in " + why.mark.where,
                     place.width, measure),
               shades.faint);
  double y = place.y + kRow;
  const double end = place.y + place.height - kRow;
  for (const WhyRow& row : rows_of(why)) {
    if (y + kRow > end) break;
    const double baseline = y + kRow / 2 + kTextSize * 0.36;
    const double from = x(row.from), to = std::max(from + 1, x(row.to));
    picture.text(place.x, baseline,
                 elide(row.look != nullptr ? row.look->name : "all of it", kNames - 6, measure, !row.look), shades.text,
                 row.look == nullptr);
    picture.fill(from, y + 3, to - from, kRow - 6, row.look != nullptr ? row.look->colour : kGrey);
    if (row.look == nullptr && to > x(limit_bytes))
      picture.fill(x(limit_bytes), y + 3, to - x(limit_bytes), kRow - 6, kVermilion, Texture::kHatch);
    picture.text(place.x + place.width, baseline, bytes_text(row.to - row.from), shades.text, row.look == nullptr,
                 TextAnchor::kEnd);
    y += kRow;
  }
  picture.line(x(limit_bytes), place.y + kRow, x(limit_bytes), y, shades.text, {2, true});
  const std::string limit = fmt::format("limit {}, {} over it", bytes_text(limit_bytes),
                                        bytes_text(why.mark.instant.total_bytes - limit_bytes));
  picture.text(place.x + place.width, y + kTextSize, elide(limit, place.width, measure), shades.text, false,
               TextAnchor::kEnd);
}

std::string describe(const MemoryWhy& why, std::int64_t limit_bytes) {
  std::string text = fmt::format("rank {} is first over the limit of {}, by {}:", why.rank, bytes_text(limit_bytes),
                                 bytes_text(why.mark.instant.total_bytes - limit_bytes));
  for (const WhyRow& row : rows_of(why)) {
    if (row.look != nullptr) text += fmt::format(" {} {},", row.look->name, bytes_text(row.to - row.from));
  }
  text.pop_back();
  return text;
}

}  // namespace shardscope::gui
