#pragma once
// The bars of one row of a timeline: spans that are wide enough as rectangles with texts, all else as columns of a
// pixel whose height is the part of the time that is busy, stacked by class of work.

#include <array>
#include <span>

#include "gui/models/picture.h"
#include "gui/models/timeline_layout.h"

namespace shardscope::gui {

/// Busy part of each class per column, 0 to 1.
using Columns = std::vector<std::array<float, kWorkClasses>>;
inline constexpr double kWideSpan = 3;  ///< pixels: wider spans are drawn as rectangles

std::string label_of(const TimelineOp& op);  ///< "matmul h.0.mlp"
/// What of a label can be read in so many pixels: "matmul h.0.m…", "matmul"; nothing where it would be a few letters.
std::string fitting_label(const std::string& label, double room, const TextWidth& measure);

struct RowPlace {
  double x = 0, y = 0, width = 0, height = 0;
};

/// Adds `busy` ns of a class, that lie somewhere in [begin, end), evenly to the columns there.
void spread(Columns& columns, TimeWindow window, std::int64_t begin, std::int64_t end, double busy, WorkClass work);
/// One execution: its waiting, then its work.
void add_span(Columns& columns, TimeWindow window, const Span& span, WorkClass work);

/// Adds the track's time to the columns; spans of at least `wide` pixels are left out and returned.
std::vector<Span> add_columns(const Timeline& timeline, const TimelineTrack& track, const TrackView& view,
                              TimeWindow window, double wide, Columns& columns);

/// A strip has room for kStackParts classes. Those of other programs' runs share the part of one that such runs lack,
/// and look as that one does (look_of()).
constexpr std::size_t strip_part(WorkClass work) {
  switch (work) {
    case WorkClass::kCompute:
      return static_cast<std::size_t>(WorkClass::kForward);
    case WorkClass::kHostApi:
      return static_cast<std::size_t>(WorkClass::kRecompute);
    case WorkClass::kOther:
      return static_cast<std::size_t>(WorkClass::kLoad);
    default:
      return static_cast<std::size_t>(work);
  }
}
std::vector<Stack> stacks_of(const Columns& columns);
/// How each part of a strip looks.
const StripLooks& work_looks();
/// A level of a lane whose spans lie in one another.
RowPlace level_place(const RowPlace& place, int level, int depth);
/// Those of the spans, in order of time, that lie in the window; in `depth` levels.
void draw_spans(Picture& picture, const std::vector<TimelineOp>& ops, std::span<const Span> spans, TimeWindow window,
                const RowPlace& place, const TextWidth& measure, int depth = 1);

/// A rank in one row: its compute lane; where that is idle, what the other lanes do.
Columns rank_columns(const Timeline& timeline, const TimelineRow& row, TimeWindow window, int width);

}  // namespace shardscope::gui
