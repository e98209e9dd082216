#pragma once
// SQL over packed chunks: table-valued functions, and the views of the schema that use them, for one connection.
//
//   use_own_views(connection);
//   connection.integer("SELECT count(*) FROM slice");     // all of them, packed or not
//
// slice_rows(data, start_ns) has the columns op, step, start_ns, dur_ns, wait_ns, correlation; memory_rows(data,
// start_ns) has op, step, time_ns, space, category, live_bytes. Data that is neither JSON of ours nor packed ends the
// query as a damaged file does.

#include "profiler/store/sqlite.h"

namespace shardscope {

/// Adds both functions, and a temporary view for each of schema_views(): those of the file are then out of reach.
void use_own_views(Connection& connection);

}  // namespace shardscope
