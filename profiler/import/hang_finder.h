#pragma once
// Of a run in which collectives did not end: which ranks the others wait for. For each group of ranks the first
// collective that some rank has not completed is looked at, in what all ranks say of it.
//
//   find_hangs(state, numbers);   // adds to the diagnostics of ranks: hang_late, hang_mismatched; of all: hang_missing

#include <vector>

#include "profiler/import/import_state.h"

namespace shardscope {

/// `numbers`: of each of the state's ranks.
///
/// late: the rank has not entered the collective that others are in, or only enqueued it while others have started.
/// mismatched: it entered another one under the same number: another kind, type or, where all must give as much, size.
/// missing: it belongs to the group, and nothing of it was imported.
void find_hangs(ImportState& state, const std::vector<int>& numbers);

}  // namespace shardscope
