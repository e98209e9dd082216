#pragma once
// The parts of the memory view's picture: a rank's stack of areas, the heat map of all ranks, bars of peaks, the
// legend. gui/models/memory_picture.cpp puts them together.

#include "gui/models/memory_data.h"
#include "gui/models/picture.h"
#include "gui/models/timeline_colours.h"

namespace shardscope::gui {

struct AreaPlace {
  double x = 0, y = 0, width = 0, height = 0;
  double scale = 1;  ///< bytes at the top
};

/// Bytes at the top of every panel: the same in all, so that they can be compared. A limit far above everything is left
/// out, or it would press all else to the ground.
double memory_scale(const MemoryData& data, const MemoryState& state);
/// Bytes of the lightest colour: the limit, or the highest peak if there is none.
double heat_scale(const MemoryData& data);

/// Areas by category, the highest of each pixel; names written into those that have room.
void draw_stack(Picture& picture, const std::vector<MemoryStretch>& stretches, TimeWindow window,
                const std::set<Category>& hidden, const AreaPlace& place, const TextWidth& measure);
/// The lowest of each pixel, where that is another one than the highest. Not with hidden categories: only the sum is
/// known.
void draw_lowest(Picture& picture, const std::vector<MemoryStretch>& stretches, TimeWindow window,
                 const std::set<Category>& hidden, const AreaPlace& place, Rgb colour);
void draw_predicted(Picture& picture, const std::vector<MemoryPoint>& points, TimeWindow window, const AreaPlace& place,
                    const TimelineShades& shades);

/// A row per rank; where they are more than pixels, several share one and the fullest is seen.
void draw_heat_rows(Picture& picture, const MemoryData& data, const AreaPlace& place, const TimelineShades& shades);

inline constexpr double kPeakBarHeight = 30;
struct PeakBarsPlace {
  double x = 0, y = 0, width = 0, height = 0;
};
void draw_peak_bars(Picture& picture, const MemoryData& data, const PeakBarsPlace& place, const TimelineShades& shades,
                    const TextWidth& measure);

struct LegendItem {
  enum class Kind : std::uint8_t { kCategory, kPredicted, kLowest };
  Kind kind = Kind::kCategory;
  Category category = Category::kWorkspace;
  bool hidden = false;
  double x = 0, width = 0;
  std::string text;
};
/// Only what is in the picture, and as much as fits.
std::vector<LegendItem> memory_legend(const MemoryData& data, const MemoryState& state, double width, double height,
                                      const TextWidth& measure);

/// With as many digits as tell a thousandth of the window.
std::string memory_time_text(std::int64_t ns, TimeWindow window);
/// "at 1.2 s, step 3, backward, layer 3, h.3.mlp"; "from the beginning".
std::string where_text(const MemoryMark& mark);
/// "h.3.mlp.act (activations), forward, layer 3, since 1.2 s".
std::string live_text(const LiveAllocation& allocation);

}  // namespace shardscope::gui
