#pragma once
// What a picture of the memory view is drawn from, read from profiles in one go: off the UI thread, as plain data.
//
//   const MemoryFrame frame = memory_frame(facts.of(state.space).size(), state.ranks, width, height);
//   const MemoryData data = load_memory_data(memory, predicted, state, frame);
//   const Picture picture = draw_memory(data, title, state, width, height, measure);   // gui/models/memory_picture.h

#include <optional>
#include <string>
#include <vector>

#include "gui/models/memory_state.h"
#include "profiler/query/live_allocations.h"

namespace shardscope::gui {

/// Where the parts of the view are.
struct MemoryFrame {
  double left = 0, width = 0;            ///< of everything that has a time axis
  double top = 0;                        ///< of the first rank's panel: its line of text, then its area
  double panel_height = 0;               ///< of each panel
  int panels = 0;                        ///< that have room
  double heat_top = 0, heat_height = 0;  ///< of the cells; 0: no heat map
  double side_left = 0, side_width = 0;  ///< of the peaks; 0: no room
  double bottom = 0;                     ///< of all of it; the legend is below
  double area_top(int panel) const { return top + panel * panel_height + kPanelText; }
  double area_height() const { return panel_height - kPanelText - kPanelGap; }
  static constexpr double kPanelText = 20, kPanelGap = 8;
};
MemoryFrame memory_frame(std::size_t ranks, MemoryRanks which, double width, double height);

/// An instant and what its op is.
struct MemoryMark {
  MemoryInstant instant;
  std::string where;  ///< "backward, layer 3, h.3.mlp"; empty: before the first step
};

/// Live bytes from here on.
struct MemoryPoint {
  std::int64_t time_ns = 0, bytes = 0;
};

struct MemoryPeakBar {
  int rank = 0;
  std::int64_t peak_bytes = 0, predicted_bytes = 0;  ///< predicted: 0 if there is none
  MemoryParts at_peak{}, predicted_at_peak{};
};

struct MemoryPanel {
  MemoryPeakBar peak;
  std::vector<MemoryStretch> stretches;
  std::vector<MemoryPoint> predicted;  ///< its step laid over each measured one; its peak where those are narrow
  std::optional<MemoryMark> peak_at, over;
};

/// The first instant over the limit.
struct MemoryWhy {
  int rank = 0;
  MemoryMark mark;
};

struct MemoryData {
  std::vector<Space> spaces;  ///< that some rank holds something in
  std::vector<int> ranks;     ///< that hold something in the space shown, ascending
  TimeWindow extent, window;
  std::int64_t limit_bytes = 0;  ///< of the space shown; 0: none
  std::vector<MemoryPanel> panels;
  std::vector<MemoryPeakBar> peaks;  ///< of all ranks of the space, highest first
  MemoryOverview overview;           ///< only where there is a heat map
  int first_over_rank = -1;          ///< which is over the limit first in the window; -1: none
  std::int64_t first_over_ns = 0;
  std::optional<MemoryWhy> why;  ///< memory_why.h
  std::optional<LiveAllocations> at_cursor;
};

/// `predicted` may be null. Throws Error as the queries do.
MemoryData load_memory_data(const MemoryTimeline& memory, const MemoryTimeline* predicted, const MemoryState& state,
                            const MemoryFrame& frame);

}  // namespace shardscope::gui
