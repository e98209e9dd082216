#pragma once
// What an area of a timeline holds, as tables: by class of work, by rank, by op, and of collectives; and what is known
// of one op. Times are in seconds where they are sorted, with their unit where they are shown.
//
//   model.set_table(category_table(area_summary(timeline, time, {0, 7}), time));

#include <QString>
#include <optional>
#include <vector>

#include "gui/models/table_data.h"
#include "gui/models/timeline_tile.h"
#include "profiler/query/area_memory.h"
#include "profiler/query/area_ops.h"
#include "profiler/query/area_summary.h"
#include "profiler/query/op_details.h"
#include "profiler/query/timeline_search.h"
#include "simulator/like/op_facts.h"

namespace shardscope::gui {

/// One row per class: how long the ranks spend on it; mean, p50, p99 and max are over the ranks, the share is of the
/// time of the area on all of them. Lanes overlap, so that shares may add up to more than 100 %.
TableData category_table(const std::vector<AreaRow>& rows, TimeWindow time);
/// One row per rank, one column per class that is there.
TableData rank_table(const std::vector<AreaRow>& rows, TimeWindow time);
/// One row per op; the share is of the time of all ops inside the area.
TableData op_table(const std::vector<AreaOp>& ops);
/// Those that move data between ranks, with what they wait, and bytes of one over its time without waiting.
TableData collective_table(const std::vector<AreaOp>& ops);
/// One row per rank and space; one column per category that is there when most is live.
TableData memory_area_table(const std::vector<AreaMemory>& rows);

/// One execution of an op with what is known of the op: property, value, and where the value is from.
struct OpReport {
  OpDetails details;
  std::optional<OpTimes> other;  ///< of the prediction of a measured run, or of the run that a prediction is of
  Span span;
  int rank = 0;
  int tied_ranks = 0;            ///< that run the same collective
  std::optional<OpFacts> facts;  ///< come later than the rest: the program is lowered for them
};
TableData details_table(const OpReport& report);

TableData hits_table(const SearchHits& hits, const TimelineCatalog& catalog);
TableData notes_table(const TimelineState& state);

/// "matmul h.0.mlp, 12.5 ms, rank 3": what a tooltip says, line by line.
QString hover_text(const OpReport& report);

}  // namespace shardscope::gui
